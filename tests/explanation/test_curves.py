"""Deletion and insertion curves, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from worded import toy

from osler.explanation.curves import areas, mean_areas
from osler.explanation.units import units_of

TEXT = "Red spots. Blue nails. Dry mouth."


def test_the_right_order_falls_soonest_and_comes_back_soonest() -> None:
    subject = toy({"red": {"lamp": 3.0}, "blue": {"lamp": 1.0}})
    units = units_of(TEXT, None, 8)
    right, wrong = areas(subject, TEXT, units, 0, [[0, 1, 2], [2, 1, 0]])
    assert right.deletion < wrong.deletion
    assert right.insertion > wrong.insertion
    p = [1 / (1 + np.exp(-score)) for score in (4, 1, 0, 0)]
    assert right.deletion == pytest.approx((p[0] / 2 + p[1] + p[2] + p[3] / 2) / 3)
    assert right.deletion_curve[0] == pytest.approx(p[0])
    assert right.insertion_curve[-1] == pytest.approx(p[0])
    assert mean_areas([right, wrong]).deletion == pytest.approx((right.deletion + wrong.deletion) / 2)
    assert len(set(subject.asked)) == len(subject.asked) == 6, "a text that both orders pass is asked once"
