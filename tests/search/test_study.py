"""What is tried next follows from the seed and from what came of the trials before, whoever was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from searching import make_search

from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection
from osler.search.study import Study

SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 3e-2, "log": True},
    "lora.r": {"low": 2, "high": 64, "log": True},
    "lora.target_modules": ["all-linear", ["q_proj", "v_proj"]],
}


def opened(path: Path, file: Path) -> Study:
    recipe = load_recipe(path)
    assert recipe.search is not None
    return Study(file, recipe, recipe.search, every=2)


def tried(study: Study, trials: int) -> list[dict[str, Any]]:
    for _ in range(trials):
        trial = study.ask()
        values = trial.user_attrs["values"]
        study.complete(trial, 2, abs(values["train.learning_rate"] - 1e-3))
    return [trial.values for trial in study.trials()]


@pytest.mark.parametrize("killed", [0, 3, 12])
def test_an_interrupted_study_tries_what_it_would_have(tmp_path: Path, tiny_base: BaseSection, killed: int) -> None:
    path = make_search(tmp_path, tiny_base, {"space": SPACE})
    straight = tried(opened(path, tmp_path / "straight.db"), 14)
    study = opened(path, tmp_path / "killed.db")
    tried(study, killed)
    begun = study.ask()
    begun.set_user_attr("seconds", 7.0)
    for _ in range(2):  # killed, and again when it had only been taken up
        study = opened(path, tmp_path / "killed.db")
        assert study.trials()[killed].state == "unfinished"
        assert study.trials()[killed].seconds == 7.0
    assert tried(study, 14 - killed) == straight
    assert straight[0] == {"train.learning_rate": 0.01, "lora.r": 4, "lora.target_modules": "all-linear"}  # its own
    assert straight[12] != straight[13]


def test_values_are_of_the_space_and_short(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make_search(tmp_path, tiny_base, {"space": SPACE}, lora={"r": 128})
    for values in tried(opened(path, tmp_path / "study.db"), 12):
        rate, rank = values["train.learning_rate"], values["lora.r"]
        assert 1e-4 <= rate <= 3e-2
        assert rate == float(f"{rate:.3g}")
        assert type(rank) is int
        assert 2 <= rank <= 64
        assert values["lora.target_modules"] in ("all-linear", ["q_proj", "v_proj"])


def test_no_combination_comes_twice_and_there_is_an_end(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make_search(tmp_path, tiny_base, {"space": {"lora.r": [2, 4, 8], "patience": [None, 2]}})
    study, seen = opened(path, tmp_path / "study.db"), []
    while not study.exhausted:
        trial = study.ask()
        seen.append(trial.user_attrs["values"])
        study.complete(trial, 2, 1.0)
    assert len(seen) == 6
    assert seen[0] == {"lora.r": 4, "patience": None}
    assert all(one not in seen[:n] for n, one in enumerate(seen))
    assert study.best is not None
    assert study.best.trial == 0
