"""A learning curve says what each budget came to, and promises no more than its points show."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import finished
import jsonschema
import numpy as np
import pytest
from project import ROOT, make_store

from osler.errors import InputError
from osler.evaluation import results
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.reproduction import readme_tables
from osler.reproduction.learning_curve import SPLITS, Crossing, crossing, curve_path, measure, read_curve
from osler.runs.predictions import Prediction, write_predictions
from osler.runs.run import Run, tuned_name
from osler.statistics.resamples import Resamples
from osler.storage.files import write_json

CASES, GROUPS = 60, 20
LABELS = ("OMIM:900101", "OMIM:900102")
SVM_RIGHT = 40  # of the cases, whatever it learnt from


@pytest.fixture
def recipe(tmp_path: Path, tiny_base: BaseSection) -> Path:
    """A recipe of a task with shares, told twice."""
    train = {"max_steps": -1, "num_train_epochs": 2}
    return make_store(tmp_path, tiny_base, [], data={"tellings": 2}, train=train, evaluation={"resamples": 200})


class Machine:
    """Trains and evaluates in no time: of 40 patients times the share, every telling makes the model right for two
    more. Keeps the commands it was given."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.release = "5" * 64

    def __call__(self, command: Sequence[object]) -> None:
        script, first, *rest = map(str, command)
        self.commands.append([Path(script).name, first, *rest])
        if script.endswith("train.py"):
            self.train(Path(first), Path(rest[-1]), rest[:-2])
        else:
            evaluate(Run(Path(first)))

    def train(self, path: Path, folder: Path, overrides: list[str]) -> None:
        run, made = Run(folder), load_recipe(path, overrides)
        assert made.data is not None
        run.open(made)
        patients = round(40 * made.data.share)
        content = finished.manifest(made, "0" * 64, "1" * 64)
        told = {"rows_out": patients * made.data.tellings, "tokens_a_pass": 100 * patients * made.data.tellings}
        write_json(run.manifest_path, content | told | {"train_seconds": 90.0, "release_sha256": self.release})
        report = finished.data_report("0" * 64, folder)
        provenance = {"patients": {"train": patients, "test": 3}, "publications": {"train": patients // 4, "test": 1}}
        write_json(run.data_report_path, report | {"provenance": provenance})


def evaluate(run: Run) -> None:
    made, files = run.recipe(), []
    assert made.data is not None
    assert made.evaluation.splits == SPLITS
    right = {tuned_name(made): int(4 + 40 * made.data.share * made.data.tellings / 4)}
    for split in SPLITS:
        for system in (tuned_name(made), *made.evaluation.baselines):
            files.append(run.prediction_path("made_up", split, system))
            write_predictions(files[-1], answers(system, split, right.get(system, SVM_RIGHT)))
    results.score(files, run.results_path(), resamples=50, compared=tuned_name(made), task_version=1)


def answers(system: str, split: str, right: int) -> list[Prediction]:
    return [
        Prediction(
            case_id=f"{n:02d}",
            task="made_up",
            split=split,
            system=system,
            label=LABELS[n % 2],
            ranked=LABELS if (n * 7 % CASES < right) == (n % 2 == 0) else LABELS[::-1],
            probabilities=(0.7, 0.3),
            group=f"PMID:{n % GROUPS}",
        )
        for n in range(CASES)
    ]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    monkeypatch.chdir(tmp_path)
    return Machine()


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Callable[..., int]:
    """Run benchmarks/learning_curve.py in this process, its scripts on ``machine``; its exit status."""
    spec = importlib.util.spec_from_file_location("learning_curve", ROOT / "benchmarks" / "learning_curve.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "learning_curve", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run", machine)

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["learning_curve.py", *map(str, arguments)])
        return int(module.exit_status(module.main))

    return run


def test_every_budget_is_a_run_of_its_own_on_validation_alone_and_becomes_a_point(
    recipe: Path, machine: Machine, benchmark: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(recipe, "--shares", "0.5", "1", "--tellings", "1", "2") == 0
    printed = capsys.readouterr().out
    trained = [command for command in machine.commands if command[0] == "train.py"]
    assert [command[2:4] for command in trained] == [
        ["data.share=0.5", "data.tellings=2"],
        ["data.share=1.0", "data.tellings=1"],
        ["data.share=1.0", "data.tellings=2"],
    ]
    assert len({command[-1] for command in trained}) == 3
    content = json.loads(curve_path(recipe).read_text())
    jsonschema.validate(content, json.loads((ROOT / "docs" / "schemas" / "learning_curve.json").read_text()))
    curve = read_curve(curve_path(recipe))
    assert curve.run_sha256 == load_recipe(recipe).run_sha256
    assert curve.release_sha256 == machine.release
    assert [(p.patients, p.publications) for p in curve.along("patients")] == [(20, 5), (40, 10)]
    assert [(p.tellings, p.tokens, p.rows) for p in curve.along("tokens")] == [(1, 8000, 80), (2, 16000, 160)]
    whole = curve.along("patients")[-1]
    assert whole.minutes == 1.5
    for split in SPLITS:
        scored = whole.splits[split]
        assert scored.systems.keys() == {curve.system, "tfidf_svm", "tfidf_char_svm"}
        assert scored.difference.b == "tfidf_svm"
        assert scored.difference.difference == pytest.approx((24 - SVM_RIGHT) / CASES, abs=1e-3)
        assert scored.systems[curve.system].balanced_accuracy.value == pytest.approx(24 / CASES, abs=0.05)
    # 14 and 24 right with 20 and 40 patients: 40, as the classifier, with three times as many doublings.
    assert curve.crossings["validation"]["patients"].at == pytest.approx(20 * 2**2.6, rel=0.01)
    assert "level at about 121" in printed
    assert str(curve_path(recipe)) in printed


def test_the_plot_is_a_file_of_its_own_that_tells_its_numbers(
    recipe: Path, machine: Machine, benchmark: Callable[..., int]
) -> None:
    assert benchmark(recipe, "--shares", "0.5", "1", "--tellings", "2") == 0
    svg = curve_path(recipe).with_suffix(".svg")
    tree = ElementTree.fromstring(svg.read_text())
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    described = tree.findtext("{http://www.w3.org/2000/svg}desc") or ""
    for said in ("balanced accuracy over training patients", "tiny-made-up@1.0.0: 20 → 0.233", "tfidf_char_svm"):
        assert said in described
    assert "encoder" not in described, "it was not asked"
    before = svg.read_bytes()
    assert benchmark(recipe, "--shares", "0.5", "1", "--tellings", "2") == 0
    assert svg.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"system": "another@1.0.0"}, "a point has nothing of"),
        ({"points": []}, "not two points"),
        ({"share": "1"}, "share: .* is not allowed; expected a number"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(
    recipe: Path, benchmark: Callable[..., int], change: dict[str, Any], said: str
) -> None:
    assert benchmark(recipe, "--shares", "0.5", "1", "--tellings", "2") == 0
    finished.edit_json(curve_path(recipe), **change)
    with pytest.raises(InputError, match=said):
        read_curve(curve_path(recipe))


@pytest.mark.parametrize(
    ("recipe_says", "arguments", "said"),
    [
        ({"max_steps": 6}, [], "train.max_steps"),
        ({}, ["--shares", "0.5", "1.5"], "data.share (override): 1.5 is out of range"),
        ({}, ["--tellings", "0"], "data.tellings (override): 0 is out of range"),
        ({}, ["--baselines", "tfidf_svm", "tfidf"], "evaluation.baselines"),
        ({}, ["--baselines", "majority"], "tfidf_svm"),
    ],
)
def test_what_cannot_be_a_curve_is_said_before_anything_is_trained(
    recipe: Path,
    machine: Machine,
    benchmark: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    recipe_says: dict[str, Any],
    arguments: list[str],
    said: str,
) -> None:
    finished.edit_yaml(recipe, **{f"train__{key}": value for key, value in recipe_says.items()})
    assert benchmark(recipe, *arguments) == 2
    assert said in capsys.readouterr().err
    assert machine.commands == []


def test_a_run_that_is_there_is_a_point_and_is_not_trained_again(
    recipe: Path, machine: Machine, benchmark: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [f"evaluation.splits=[{', '.join(SPLITS)}]", "evaluation.baselines=[tfidf_svm, tfidf_char_svm]"]
    machine.train(recipe, tmp_path / "own", asked)
    own = ["--shares", "0.5", "1", "--tellings", "2", "--run", tmp_path / "own"]
    assert benchmark(recipe, *own) == 2, "it is not evaluated"
    assert str(tmp_path / "own") in capsys.readouterr().err
    assert machine.commands == []
    evaluate(Run(tmp_path / "own"))
    assert benchmark(recipe, *own) == 0
    assert [command[2:4] for command in machine.commands if command[0] == "train.py"] == [
        ["data.share=0.5", "data.tellings=2"]
    ]
    assert [(p.share, p.patients) for p in read_curve(curve_path(recipe)).along("patients")] == [(0.5, 20), (1.0, 40)]


def test_points_of_several_releases_are_no_curve(recipe: Path, machine: Machine, tmp_path: Path) -> None:
    runs = []
    for share in ("0.5", "1"):
        overrides = [f"data.share={share}", f"evaluation.splits=[{', '.join(SPLITS)}]"]
        machine.train(recipe, tmp_path / share, overrides)
        evaluate(Run(tmp_path / share))
        runs.append(Run(tmp_path / share))
    assert len(measure(load_recipe(recipe), runs).points) == 2
    machine.release = "6" * 64
    machine.train(recipe, tmp_path / "1", overrides)
    with pytest.raises(InputError, match="several releases"):
        measure(load_recipe(recipe), runs)


def gains(*right: int) -> np.ndarray:
    """The model right, and the classifier wrong, for that many of the cases more than the other way round."""
    return np.array([[float(np.sign(n)) * (case * 7 % CASES < abs(n)) for case in range(CASES)] for n in right])


@pytest.mark.parametrize("groups", [None, np.arange(CASES) % GROUPS])
def test_a_line_over_the_logarithm_is_followed_as_far_as_ten_times_the_largest_budget(groups: Any) -> None:
    drawn = Resamples.draw(CASES, 500, 0, groups)
    found = crossing([100, 200, 400], gains(-30, -20, -10), drawn)
    assert found.at == pytest.approx(800, rel=1e-3)
    assert found.low is not None
    assert 400 < found.low < 800
    assert found.high is None or found.high > 800
    assert crossing([100, 200, 400], gains(-10, 0, 10), drawn).at == pytest.approx(200, rel=1e-3)
    for out_of_sight in (gains(-30, -29, -29), gains(-10, -20, -30), gains(-10, -10, -10)):
        far = crossing([100, 200, 400], out_of_sight, drawn)
        assert far.at is None
        assert far.high is None


def test_few_publications_give_no_interval() -> None:
    drawn = Resamples.draw(CASES, 500, 0, np.arange(CASES) % 3)
    found = crossing([100, 400], gains(-30, -10), drawn)
    assert found == Crossing(at=800.0, low=None, high=None, method="too_few_groups")


@pytest.mark.parametrize(
    ("at", "low", "high", "said"),
    [
        (800.0, 500.0, 2000.0, "level at about 800 [500, 2,000]"),
        (800.0, 500.0, None, "level at about 800 [500, beyond 4,000]"),
        (None, 900.0, None, "no crossing in sight up to 4,000 patients (95%: not below 900)"),
        (None, None, None, "no crossing in sight up to 4,000 patients"),
    ],
)
def test_a_crossing_is_told_in_a_sentence(at: float | None, low: float | None, high: float | None, said: str) -> None:
    found = Crossing(at=at, low=low, high=high, method="bootstrap_percentile")
    assert readme_tables.crossing_text(found, 400, "patients").endswith(said)


def test_the_page_of_recipes_shows_the_curves_there_are_and_refuses_one_of_another_recipe(
    recipe: Path, machine: Machine, benchmark: Callable[..., int], tmp_path: Path
) -> None:
    assert readme_tables.curves(tmp_path) == "Not run yet."
    assert benchmark(recipe, "--shares", "0.5", "1", "--tellings", "1") == 0
    page = readme_tables.curves(tmp_path)
    assert "](tiny.learning-curve.svg)" in page
    assert "| validation | 20 (5) | 2 | 8,000 | 1.5 | 0.233 [" in page
    assert "* `validation`: by a line over log(patients)" in page
    assert len(re.findall(r"^\| validation_unseen_wording \|", page, re.M)) == 3
    finished.edit_yaml(recipe, train__learning_rate=0.02)
    with pytest.raises(InputError, match=r"another recipe than tiny\.yaml is now"):
        readme_tables.curves(tmp_path)
