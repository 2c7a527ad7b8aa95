"""What goes out of a store again: answers of a time, a patient's, or their texts alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from osler.errors import InputError
from osler.feedback.schema import predictions, verdicts
from osler.feedback.store import Store


@dataclass(frozen=True)
class Forgotten:
    """How many answers, or texts of answers, are gone, and how many verdicts went with them."""

    answers: int
    verdicts: int


def forget(
    store: Store,
    before: datetime | None = None,
    patients: Sequence[str] = (),
    texts: Sequence[str] = (),
    texts_only: bool = False,
) -> Forgotten:
    """Delete answers with the verdicts on them; of a SQLite file, the bytes are gone, too.

    Args:
        before: those that were given before then.
        patients, texts: those about these patients, by the ids that were sent, and to these texts, as they were asked.
        texts_only: only their texts, and the comments on them; answers and verdicts stay.

    Raises:
        InputError: nothing is named.
    """
    chosen = [] if before is None else [predictions.c.at < before]
    if patients:
        chosen.append(predictions.c.patient_hmac.in_([store.patient_hmac(patient) for patient in patients]))
    if texts:
        chosen.append(predictions.c.text_hmac.in_([store.text_hmac(text) for text in texts]))
    if not chosen:
        raise InputError("nothing is named to be deleted; name a time, a patient or a text")
    these = sa.or_(*chosen)
    ids = sa.select(predictions.c.id).where(these)
    with store.writing() as connection:
        if texts_only:
            gone = connection.execute(
                sa.update(predictions).where(these, predictions.c.text.is_not(None)).values(text=None)
            )
            commented = (verdicts.c.prediction.in_(ids), verdicts.c.comment.is_not(None))
            judged = connection.execute(sa.update(verdicts).where(*commented).values(comment=None))
        else:
            judged = connection.execute(sa.delete(verdicts).where(verdicts.c.prediction.in_(ids)))
            gone = connection.execute(sa.delete(predictions).where(these))
    store.compact()
    return Forgotten(gone.rowcount, judged.rowcount)
