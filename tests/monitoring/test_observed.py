"""Verdicts that agree, disagree, and are settled."""

from __future__ import annotations

import numpy as np
import streams

from osler.monitoring.observed import Observed


def test_a_case_is_right_as_all_raters_say_or_as_it_was_settled_and_else_not_judged() -> None:
    seen = streams.cases(5)
    stored = streams.stored(seen, "w")
    verdicts = [
        *streams.judged(seen, [0, 1, 2], "ana", right=True),
        *streams.judged(seen, [1, 2], "ben", right=False),
        *[one.model_copy(update={"adjudicated": True}) for one in streams.judged(seen, [2], "cem", right=False)],
        *streams.judged(seen, [3], "ana", right=False),
    ]
    columns = Observed.of(stored, verdicts)
    assert columns.right[[0, 2, 3]].tolist() == [1, 0, 0]
    assert np.isnan(columns.right[[1, 4]]).all()
    assert columns.disputed == 1


def test_an_answer_that_could_not_be_read_has_no_label_and_no_probability() -> None:
    (one,) = streams.stored(streams.cases(1), "w")
    columns = Observed.of([one.model_copy(update={"diagnoses": (), "unknown_share": None})])
    assert columns.label == (None,)
    assert np.isnan(columns.confidence).all()
    assert np.isnan(columns.unknown_share).all()
