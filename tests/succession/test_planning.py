"""What a successor starts from: the last run where its head fits, and otherwise the base."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from kept import prediction, verdict
from project import SIGNS, make_classifier
from safetensors.torch import load_file

from osler.errors import InputError
from osler.feedback import RankedName
from osler.models import load_classifier, merge_run
from osler.recipe import BaseSection, load_recipe
from osler.runs import Run
from osler.succession import Rules, planning
from osler.succession.additions import Settled
from osler.training import train

LABELS = list(SIGNS)


@pytest.fixture
def champion(tiny_base: BaseSection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A trained classifier whose merged model is there."""
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    recipe = load_recipe(make_classifier(tmp_path, tiny_base, train={"max_steps": 1}))
    run = Run(tmp_path / "runs" / recipe.name / recipe.version)
    train(recipe, run)
    merge_run(run, recipe)
    return run


def settled(label: str, n: int = 30) -> list[Settled]:
    """Answers of which each had another right diagnosis, ``label``; no text is like another one."""
    made = []
    for number in range(n):
        text = " ".join(f"{word}{number * 7919 % (17 + place)}x{number}" for place, word in enumerate("abcdefgh"))
        of = {"text": text, "task": "made_up", "diagnoses": (RankedName(label="none", probability=0.5),)}
        at = prediction(number).at + timedelta(days=number)
        made.append((prediction(number, at=at, **of), verdict(number, right=False, label=label)))
    return made


def test_it_goes_on_from_the_last_run_with_its_head_and_all_old_rows(champion: Run, tmp_path: Path) -> None:
    plan = planning.plan_successor(champion, settled(LABELS[0]), tmp_path / "next", Rules())
    assert (plan.start, "the labels are the same" in plan.start_reason) == ("last run", True)
    assert "starts from the last run: " in planning.render(plan)
    text = planning.recipe_path(tmp_path / "next").read_text()
    assert text.splitlines()[1].startswith("# It starts from the last run: its merged model is there")
    base = load_recipe(planning.recipe_path(tmp_path / "next")).base
    assert (Path(base.model), base.weights, base.quantization) == (champion.merged_path.resolve(), None, None)
    assert plan.rows["train"] - plan.added["train"] == champion.read_manifest().rows_out
    head = load_file(next(champion.merged_path.glob("*.safetensors")))["score.weight"]
    model = load_classifier(base, LABELS, trained=())
    assert model.get_parameter("score.weight").tolist() == head.to(model.dtype).tolist()


def test_a_new_label_or_no_merged_model_means_the_base_and_the_plan_says_so(champion: Run, tmp_path: Path) -> None:
    plan = planning.plan_successor(champion, settled("a new disease"), tmp_path / "new", Rules())
    assert plan.start == "base"
    assert plan.start_reason == "the last run's head is of other labels (new: a new disease)"
    assert load_recipe(planning.recipe_path(tmp_path / "new")).base == champion.recipe().base
    (next(champion.merged_path.glob("*.safetensors"))).write_bytes(b"other weights")
    with pytest.raises(InputError, match="it is not what was merged of"):
        planning.plan_successor(champion, settled(LABELS[0]), tmp_path / "spoilt", Rules())
    shutil.rmtree(champion.merged_path)
    plan = planning.plan_successor(champion, settled(LABELS[0]), tmp_path / "without", Rules())
    assert (plan.start, "is not there" in plan.start_reason) == ("base", True)
