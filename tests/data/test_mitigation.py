"""Groups count alike: by weights in the loss, or by rows that are repeated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from project import make

from osler.data.mitigation import balanced
from osler.data.training_data import build_training_data
from osler.errors import InputError
from osler.models.loading import load_tokenizer
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection, MitigationSection
from osler.tasks.case import Case
from osler.tasks.task import load_task

ROWS = [Case(f"c{n}", f"text {n}", "rare" if n % 5 == 0 else "common", {"sex": "female"}) for n in range(20)]
ROWS = [replace(row, subgroups={}) if n == 7 else row for n, row in enumerate(ROWS)]
ROWS = [replace(row, subgroups={"sex": "male"}) if n in (1, 2, 3) else row for n, row in enumerate(ROWS)]


def test_reweighted_groups_weigh_alike_and_a_row_one_in_mean() -> None:
    rows, weights, report = balanced(ROWS, MitigationSection("label", "reweighting"), "r.yaml", 0)
    assert weights is not None
    assert rows == ROWS
    assert sum(weights) == pytest.approx(len(ROWS))
    of = Counter[str]()
    for row, weight in zip(rows, weights, strict=True):
        of[row.label] += weight
    assert of["rare"] == pytest.approx(of["common"])
    assert report.groups["rare"].rows == 4
    assert report.groups["rare"].counted == pytest.approx(2.5)


def test_sampled_groups_are_as_large_and_lose_no_row() -> None:
    rows, weights, report = balanced(ROWS, MitigationSection("sex", "sampling"), "r.yaml", 0)
    assert weights is None
    assert Counter(row.subgroups.get("sex") for row in rows) == {"female": 16, "male": 16, None: 1}
    assert len({row.case_id for row in rows}) == len(rows)
    assert {row.unit for row in rows} == {row.unit for row in ROWS}
    assert (report.untold, report.groups["male"].rows) == (1, 3)
    assert report.groups["male"].counted == pytest.approx(16 / 3)
    assert rows == balanced(ROWS, MitigationSection("sex", "sampling"), "r.yaml", 0)[0], "the same seed, the same rows"


def test_a_row_that_does_not_tell_its_group_weighs_one() -> None:
    _, weights, _ = balanced(ROWS, MitigationSection("sex", "reweighting"), "r.yaml", 0)
    assert weights is not None
    assert weights[7] == 1


def test_an_attribute_that_parts_nothing_is_named_with_those_that_do() -> None:
    with pytest.raises(InputError, match=r'^r.yaml: mitigation.by: "age" parts .* into 0 groups; .* of label, sex '):
        balanced(ROWS, MitigationSection("age", "sampling"), "r.yaml", 0)


@pytest.mark.parametrize("method", ["reweighting", "sampling"])
def test_what_was_done_is_in_the_data_report(
    method: str, tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, tiny_base, rows=21, mitigation={"by": "label", "method": method})
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    recipe = load_recipe(path)
    data = build_training_data(recipe, load_task(tmp_path / "tasks" / "made_up"), load_tokenizer(recipe.base))
    report = data.report
    assert report.mitigation is not None
    assert sum(group.rows for group in report.mitigation.groups.values()) == report.rows_in == 21
    assert len(data.rows) == len(data.examples) == report.rows_out == (21 if method == "reweighting" else 24)
    assert (data.weights is None) == (method == "sampling")
