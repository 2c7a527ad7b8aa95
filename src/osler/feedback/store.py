"""The store: a database of predictions and verdicts.

What a method has returned from outlives its process, however that ends. Threads and processes may write at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from osler.errors import InputError, nearest, show
from osler.feedback.database import Database, open_database
from osler.feedback.records import StoredModel, StoredPrediction, Verdict, settle
from osler.feedback.schema import about, as_record, models, prediction_row, predictions, verdict_row, verdicts

AT_ONCE = 500  # rows read at once; SQLite takes 999 parameters a statement at least
IN_PARTS = {"yield_per": AT_ONCE}

Judged = tuple[StoredPrediction, tuple[Verdict, ...]]


class UnknownPredictionError(InputError):
    """There is no prediction of that id."""


class SecondVerdictError(InputError):
    """The rater, or an adjudicator, has judged this prediction before."""


class Store:
    """An open store; :func:`open_store` makes one. ``place`` is how errors name it.

    Its methods raise :class:`~osler.errors.FailedError` where the database does not do it: its disk is full, its
    server is gone.
    """

    def __init__(self, database: Database) -> None:
        self.place = database.place
        self.reading, self.writing, self.close = database.reading, database.writing, database.close
        self.compact = database.compact

    @property
    def id(self) -> str:
        """Which store it is; a copy has the same."""
        return self._about["store"]

    @cached_property
    def _about(self) -> dict[str, str]:
        with self.reading() as connection:
            return {row.name: row.value for row in connection.execute(sa.select(about.c.name, about.c.value))}

    def text_hmac(self, text: str) -> str:
        """Of ``text``, under the secret of this store: the same text again has the same one."""
        return hmac.new(self._about["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()

    def patient_hmac(self, patient: str) -> str:
        """Of a patient's id, under the same secret; no text has the same one."""
        return self.text_hmac(f"\0patient\0{patient}")

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def add_model(self, model: StoredModel) -> bool:
        """Keep a version of a model; whether it was not there yet."""
        try:
            with self.writing() as connection:
                connection.execute(sa.insert(models), model.model_dump(mode="json"))
        except IntegrityError:
            return False
        return True

    def add_predictions(self, new: Sequence[StoredPrediction]) -> int:
        """Keep all of ``new``, or none; how many were not there yet.

        Raises:
            InputError: one's id is there already, of another prediction.
        """
        rows = [prediction_row(one) for one in new]
        if not rows:
            return 0
        try:
            with self.writing() as connection:
                connection.execute(sa.insert(predictions), rows)
            return len(rows)
        except IntegrityError:  # rare, so that there is no look-up before
            with self.writing() as connection:
                return self._add_missing(connection, new)

    def _add_missing(self, connection: sa.Connection, new: Sequence[StoredPrediction]) -> int:
        there = self._of(connection, StoredPrediction, predictions.c.id, [one.id for one in new])
        known = {one.id: prediction_row(one) for one in there}
        rows = []
        for one in new:
            row = prediction_row(one)
            if one.id not in known:
                known[one.id] = row
                rows.append(row)
            elif known[one.id] != row:
                raise InputError(f"prediction {one.id}: is in {self.place} already, and is another one")
        if rows:
            connection.execute(sa.insert(predictions), rows)
        return len(rows)

    def add_verdict(self, verdict: Verdict, labels: Collection[str] | None = None) -> None:
        """Keep a verdict; one that the rater repeats, and that differs in its time alone, is kept already.

        Args:
            labels: of the task, where they are known: ``label`` and ``own_label`` have to be of them.

        Raises:
            UnknownPredictionError: there is none of that id.
            SecondVerdictError: of the same rater, or a second adjudication.
            InputError: a label that the task does not have; or, of a wrong answer, the label that it gave first.
        """
        _check_labels(verdict, labels)
        with self.writing() as connection:
            self._add_verdict(connection, verdict, repeats=True)

    def _add_verdict(self, connection: sa.Connection, verdict: Verdict, *, repeats: bool = False) -> None:
        of, mine = f"prediction {verdict.prediction}", predictions.c.id == verdict.prediction
        # Its row is locked, so that of two raters at once the second sees the first.
        asked = sa.select(predictions.c.number, predictions.c.disputed, predictions.c.diagnoses).where(mine)
        row = connection.execute(asked.with_for_update())
        if (about_it := row.one_or_none()) is None:
            raise UnknownPredictionError(f"{of}: not in {self.place}")
        first = about_it.diagnoses[0]["label"] if about_it.diagnoses else None
        if not verdict.right and verdict.label is not None and verdict.label == first:
            raise InputError(f"{of}: label: {show(first)} is the answer's first diagnosis; say right, or name another")
        known = self._of(connection, Verdict, verdicts.c.prediction, [verdict.prediction])
        if repeats and any(one.model_copy(update={"at": verdict.at}) == verdict for one in known):
            return
        if any(one.rater == verdict.rater for one in known):
            raise SecondVerdictError(f"{of}: {show(verdict.rater)} has judged it already; a verdict stays as it is")
        if verdict.adjudicated and any(one.adjudicated for one in known):
            raise SecondVerdictError(f"{of}: is adjudicated already; a verdict stays as it is")
        connection.execute(sa.insert(verdicts), verdict_row(verdict) | {"number": about_it.number})
        if (settle([*known, verdict]) is None) != about_it.disputed:
            connection.execute(sa.update(predictions).where(mine).values(disputed=not about_it.disputed))

    def add_judged(self, rows: Sequence[Judged]) -> tuple[int, int]:
        """Keep predictions with their verdicts, all or none; how many of each were not there yet.

        Raises:
            InputError: a prediction or a verdict is there already, and is another one.
        """
        with self.writing() as connection:
            added = self._add_missing(connection, [prediction for prediction, _ in rows])
            given = [verdict for _, of in rows for verdict in of]
            ids = [prediction.id for prediction, _ in rows]
            known = self._of(connection, Verdict, verdicts.c.prediction, ids)
            there = {(one.prediction, one.rater): verdict_row(one) for one in known}
            new = [one for one in given if there.get((one.prediction, one.rater)) != verdict_row(one)]
            for one in new:
                self._add_verdict(connection, one)
        return added, len(new)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def models(self) -> list[StoredModel]:
        """The versions of models that answered, by name."""
        with self.reading() as connection:
            rows = connection.execute(sa.select(models).order_by(models.c.model, models.c.version)).mappings()
            return [as_record(StoredModel, row) for row in rows]

    def prediction(self, id: str) -> StoredPrediction:
        """The prediction of that id. Raises :class:`UnknownPredictionError` where there is none."""
        with self.reading() as connection:
            for one in self._of(connection, StoredPrediction, predictions.c.id, [id]):
                return one
        raise UnknownPredictionError(f"prediction {id}: not in {self.place}")

    def verdicts_of(self, prediction: str) -> list[Verdict]:
        """All verdicts on a prediction, the first given first."""
        with self.reading() as connection:
            return self._of(connection, Verdict, verdicts.c.prediction, [prediction])

    def predictions(
        self,
        model: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        shown: bool | None = None,
    ) -> Iterator[StoredPrediction]:
        """Predictions in the order of their times, from ``since`` on and before ``until``; of the ``model`` of a name,
        ``shown`` or not, or all."""
        for one, _ in self._read(model, since, until, shown, with_verdicts=False):
            yield one

    def judged(
        self, model: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Judged]:
        """As :meth:`predictions`, each with all its verdicts, the first given first, where it has any."""
        for one, of in self._read(model, since, until, None):
            if of:
                yield one, of

    def settled(
        self, model: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[tuple[StoredPrediction, Verdict]]:
        """As :meth:`judged`, with the verdict that holds; without those that raters disagree on."""
        for one, of in self.judged(model, since, until):
            if (verdict := settle(of)) is not None:
                yield one, verdict

    def verdicts(
        self, model: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Verdict]:
        """Verdicts in the order of their times, from ``since`` on and before ``until``; on one ``model``, or all."""
        chosen = sa.select(verdicts).order_by(verdicts.c.at, verdicts.c.prediction, verdicts.c.rater)
        if model is not None:
            chosen = chosen.join(predictions).where(predictions.c.model == model)
        chosen = _between(chosen, verdicts.c.at, since, until)
        with self.reading() as connection:
            for row in connection.execute(chosen, execution_options=IN_PARTS).mappings():
                yield as_record(Verdict, row)

    def every(self) -> Iterator[Judged]:
        """All predictions in the order of their times, each with all its verdicts, as they are at this moment."""
        return self._read(None, None, None, None)

    def _read(
        self,
        model: str | None,
        since: datetime | None,
        until: datetime | None,
        shown: bool | None,
        with_verdicts: bool = True,
    ) -> Iterator[Judged]:
        chosen = sa.select(predictions).order_by(predictions.c.at, predictions.c.number)
        if model is not None:
            chosen = chosen.where(predictions.c.model == model)
        if shown is not None:
            chosen = chosen.where(predictions.c.shown.is_(shown))
        chosen = _between(chosen, predictions.c.at, since, until)
        with self.reading() as connection:
            found = connection.execute(chosen, execution_options=IN_PARTS).mappings()
            for rows in found.partitions():
                of: dict[str, list[Verdict]] = {}
                ids = [row["id"] for row in rows] if with_verdicts else []
                for verdict in self._of(connection, Verdict, verdicts.c.prediction, ids):
                    of.setdefault(verdict.prediction, []).append(verdict)
                for row in rows:
                    yield as_record(StoredPrediction, row), tuple(of.get(row["id"], ()))

    @staticmethod
    def _of(connection: sa.Connection, kind: type[Any], column: sa.Column[Any], values: Sequence[str]) -> list[Any]:
        """The records whose ``column`` has one of these ``values``, the earliest first."""
        found = []
        for start in range(0, len(values), AT_ONCE):
            chosen = sa.select(column.table).where(column.in_(values[start : start + AT_ONCE]))
            rows = connection.execute(chosen.order_by(column.table.c.at)).mappings()
            found += [as_record(kind, row) for row in rows]
        return found


def open_store(url: str, create: bool = False) -> Store:
    """Open a store; one of an older Osler is brought up to date first, with a line on stderr.

    Args:
        url: ``sqlite:///FILE``, or the path alone; ``postgresql://USER:PASSWORD@HOST/DATABASE``.
        create: make one where there is none.

    Raises:
        InputError: there is none, it is no store, a newer Osler's, or cannot be reached; or of another kind, or its
            driver is missing.
    """
    return Store(open_database(url, create))


def moment(option: str, text: str | None) -> datetime | None:
    """A date or a time that was given as ``option``, of UTC where it names no zone; None where none was given. Raises
    :class:`InputError` for another text."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} {show(text)}: expected 2026-11-01, or 2026-11-01T08:00+01:00") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _check_labels(verdict: Verdict, labels: Collection[str] | None) -> None:
    for name, value in (("label", verdict.label), ("own_label", verdict.own_label)):
        if labels and value is not None and value not in labels:
            known = f"none of the task's {len(labels)} labels"
            raise InputError(f"{name}: {show(value)} is {known}{nearest(value, labels)}")


def _between(
    chosen: sa.Select[Any], time: sa.Column[datetime], since: datetime | None, until: datetime | None
) -> sa.Select[Any]:
    if since is not None:
        chosen = chosen.where(time >= since)
    return chosen if until is None else chosen.where(time < until)
