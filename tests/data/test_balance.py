"""Groups of training rows that are made to count alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import make

from osler.data.balance import balance_weights
from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.tasks.case import Case

BASE = {"model": "org/base-model", "revision": "a" * 40}
ROWS = [Case(f"{n}", "text", "a" if n < 6 else "b", {"sex": "female"} if n < 2 else {}) for n in range(8)]


def weights(folder: Path, by: str, rows: list[Case] = ROWS) -> list[float] | None:
    path = make(folder, BaseSection(""), base=BASE, balance={"by": by, "method": "sample"})
    return balance_weights(load_recipe(path), rows)[0]


def test_labels_weigh_alike_and_the_mean_is_one(tmp_path: Path) -> None:
    found = weights(tmp_path, "label")
    assert found is not None
    assert sum(found[:6]) == pytest.approx(sum(found[6:])) == pytest.approx(4)


def test_rows_that_tell_no_group_count_as_before(tmp_path: Path) -> None:
    rows = [*ROWS, Case("8", "text", "a", {"sex": "male"})]
    assert weights(tmp_path, "sex", rows) == [0.75, 0.75, *[1.0] * 6, 1.5]


def test_an_attribute_that_no_row_tells_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"balance\.by: no training row of made_up tells .*smoker.* one of label, sex"):
        weights(tmp_path, "smoker")


def test_one_group_alone_cannot_be_balanced(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"all training rows that tell .*sex.* leave balance: out"):
        weights(tmp_path, "sex")
