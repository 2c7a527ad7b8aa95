"""Which case somebody who reviews sees next, and how many there are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from osler.feedback.records import StoredPrediction
from osler.feedback.schema import as_record, predictions, verdicts
from osler.feedback.store import Store

Order = Literal["unsure", "random"]


class Progress(NamedTuple):
    """How many answers were shown to users, how many of them a rater has judged, and how many raters disagree on."""

    answers: int
    judged: int
    disputed: int


def next_case(store: Store, rater: str, order: Order, skipped: Collection[str] = ()) -> StoredPrediction | None:
    """The first answer that ``rater`` has not judged; None where there is none.

    ``unsure``: the one with the lowest probability first. ``random``: in an order that was drawn when answers were kept
    and is the same for all, so that several raters see the same cases however far they come. ``skipped`` are left out.
    """
    by = predictions.c.confidence if order == "unsure" else predictions.c.lot
    chosen = sa.select(predictions).where(predictions.c.shown, ~_judged_by(rater))
    if skipped:
        chosen = chosen.where(predictions.c.id.not_in(skipped))
    return _first(store, chosen.order_by(by, predictions.c.number))


def next_dispute(store: Store, adjudicator: str, skipped: Collection[str] = ()) -> StoredPrediction | None:
    """The first answer that raters disagree on, ``adjudicator`` not among them, and nobody has settled."""
    chosen = sa.select(predictions).where(predictions.c.id.in_(_disputed()), ~_judged_by(adjudicator))
    if skipped:
        chosen = chosen.where(predictions.c.id.not_in(skipped))
    return _first(store, chosen.order_by(predictions.c.number))


def progress(store: Store, rater: str) -> Progress:
    """How far ``rater`` is."""
    with store.reading() as connection:
        of = sa.select(sa.func.count()).select_from
        return Progress(
            connection.scalar(of(predictions).where(predictions.c.shown)) or 0,
            connection.scalar(of(verdicts).where(verdicts.c.rater == rater)) or 0,
            connection.scalar(of(_disputed().subquery())) or 0,
        )


def _judged_by(rater: str) -> sa.Exists:
    return sa.exists().where(verdicts.c.prediction == predictions.c.id, verdicts.c.rater == rater)


def _disputed() -> sa.Select[Any]:
    """Ids of predictions with verdicts that say different things, none of them an adjudicator's."""
    label = sa.func.coalesce(verdicts.c.label, "")
    return (
        sa.select(verdicts.c.prediction)
        .group_by(verdicts.c.prediction)
        .having(
            sa.func.count() > 1,
            sa.or_(sa.func.count(verdicts.c.right.distinct()) > 1, sa.func.count(label.distinct()) > 1),
            sa.func.sum(sa.cast(verdicts.c.adjudicated, sa.Integer)) == 0,
        )
    )


def _first(store: Store, chosen: sa.Select[Any]) -> StoredPrediction | None:
    with store.reading() as connection:
        row = connection.execute(chosen.limit(1)).mappings().first()
        return None if row is None else as_record(StoredPrediction, row)
