"""Which keys of ``data:`` go with which source, and what they are where a recipe is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from project import ROOT

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.rules import complete_data
from osler.recipe.sections import DataSection
from osler.recipe.task_file import read_task
from osler.recipe.type_check import Problem

RECIPE = ROOT / "recipes" / "smollm2-135m" / "phenopackets" / "qlora-v1.yaml"


@pytest.mark.parametrize(
    ("task", "written", "data"),
    [
        ("phenopackets", None, DataSection(simulated_per_label=0)),
        ("phenopackets", {"tellings": 4}, DataSection(simulated_per_label=0, tellings=4)),
        ("phenopackets", {"simulated_per_label": 20}, DataSection(simulated_per_label=20)),
        ("phenopackets", {"balance": 0.8, "partial": 0.5}, DataSection(0, balance=0.8, partial=0.5)),
        ("phenopackets", {"share": 0.25}, DataSection(0, share=0.25)),
        ("rare_disease", None, DataSection(simulated_per_label=100)),
        ("rare_disease", {"real_repeats": 3}, DataSection(simulated_per_label=100, real_repeats=3)),
        ("symptom_to_diagnosis", None, None),
    ],
)
def test_a_source_completes_what_a_recipe_asks_for(
    task: str, written: dict[str, int] | None, data: DataSection | None
) -> None:
    assert complete_data("data", written, read_task(ROOT / "tasks" / task)) == data


@pytest.mark.parametrize(
    ("task", "written", "key", "text"),
    [
        (
            "phenopackets",
            {"real_repeats": 3},
            "data.real_repeats",
            "expected tellings or balance or partial or share or simulated_per_label",
        ),
        ("rare_disease", {"tellings": 4}, "data.tellings", "expected simulated_per_label or real_repeats"),
        ("rare_disease", {"simulated_per_label": 0}, "data", "neither simulated nor real patients to train on"),
        ("symptom_to_diagnosis", {}, "data", "not for symptom_to_diagnosis"),
    ],
)
def test_a_key_that_the_source_does_not_know_is_refused(
    task: str, written: dict[str, int], key: str, text: str
) -> None:
    with pytest.raises(Problem) as problem:
        complete_data("data", written, read_task(ROOT / "tasks" / task))
    assert problem.value.key == key
    assert text in problem.value.text


def test_the_resolved_recipe_loads_back(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, ["data.tellings=2"])
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    again = load_recipe(tmp_path / "recipe.yaml")
    assert (again, again.sha256) == (recipe, recipe.sha256)
    assert again.data == DataSection(simulated_per_label=0, tellings=2)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.tellings=0"], "data.tellings (override): 0 is out of range; allowed: 1 to 1000"),
        (["data.real_repeats=2"], "data.real_repeats (override): not with the source of phenopackets"),
        (["task.panel=small"], "task.panel (override): "),
        (["evaluation.splits=[simulated]"], 'evaluation.splits (override): "simulated" is not allowed'),
    ],
)
def test_what_the_recipe_cannot_ask_for_is_named(overrides: list[Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        load_recipe(RECIPE, overrides)
    assert str(error.value).startswith(f"{RECIPE}: {says}")
