"""A teacher: classifiers that answer cases they were not fitted on, a finished run, and a student that learns both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from project import losses, make, make_classifier, script

from osler.recipe import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs import Run
from osler.tasks import Case, load_task
from osler.training import distillation

WORDS = {"systems": ["tfidf_svm"], "weight": 0.5}


def test_a_classifier_teaches_cases_it_was_not_fitted_on(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of every row is unlike all others, so whoever answers by having seen it would be right each time."""
    path = make_classifier(tmp_path, tiny_base, teacher={**WORDS, "weight": 1.0})
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    recipe, task = load_recipe(path), load_task(tmp_path / "tasks" / "made_up")
    labels = list(task.labels)
    rows = [Case(f"{n}", f"word{n} word{n}x", labels[n % 4]) for n in range(40)]
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    logp = distillation._cross_fitted("tfidf_svm", recipe, run, task, rows)
    right = np.array([labels.index(row.label) for row in rows])
    assert (logp.argmax(1) == right).mean() < 0.5
    copies = [Case(f"{row.case_id}#copy", row.text, row.label) for row in rows]
    both = distillation._cross_fitted("tfidf_svm", recipe, run, task, rows + copies)
    assert (both.argmax(1) == np.tile(right, 2)).mean() < 0.5, "a copy tells of the patient it is a copy of"


def test_a_student_learns_what_its_teacher_says_and_the_manifest_tells(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make_classifier(tmp_path, tiny_base, teacher=WORDS)
    assert script(tmp_path, "train", path, "--output", "taught").returncode == 0
    planned = script(tmp_path, "train", path, "--plan")
    assert "teacher     tfidf_svm: asked before the first step\n" in planned.stdout
    alone = script(tmp_path, "train", path, "teacher=null", "--output", "alone")
    assert alone.returncode == 0, alone.stderr
    manifest = json.loads((tmp_path / "taught" / "manifest.json").read_text())
    assert list(manifest["teacher"]["weights"]) == ["tfidf_svm"]
    assert 0.5 < manifest["teacher"]["accuracy"] <= 1
    assert manifest["teacher"]["run"] is None
    assert json.loads((tmp_path / "alone" / "manifest.json").read_text())["teacher"] is None
    taught, untaught = losses(tmp_path / "taught"), losses(tmp_path / "alone")
    assert taught[1] == pytest.approx(untaught[1], abs=0.05), "a head that has learnt nothing says nothing"
    assert taught != untaught
    assert script(tmp_path, "evaluate", "taught").returncode == 0


def test_a_finished_run_teaches_another_and_is_named_as_its_ancestor(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)  # a language model
    assert script(tmp_path, "train", path, "--output", "teacher").returncode == 0
    student = (
        "head=classifier",
        "loss={name: cross_entropy}",
        "evaluation.baselines=[majority]",
        "teacher.run=teacher",
    )
    done = script(tmp_path, "train", path, *student, "evaluation.scorer=classifier", "--output", "student")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "student" / "manifest.json").read_text())
    teacher = json.loads((tmp_path / "teacher" / "manifest.json").read_text())
    assert manifest["teacher"]["run"]["adapter_sha256"] == teacher["adapter_sha256"]
    assert manifest["teacher"]["run"]["run_sha256"] == teacher["recipe"]["run_sha256"]
    assert "teacher answers: 100%" in done.stderr


def test_a_model_that_another_run_made_is_named_as_the_base(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base, lora=None, train={"learning_rate": 1e-3, "max_steps": 1})
    assert script(tmp_path, "train", path, "--output", "first").returncode == 0
    done = script(tmp_path, "train", path, "base.model=first/adapter", "--output", "second")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("first", "second"))
    assert first["base"]["run"] is None
    assert second["base"]["run"]["adapter_sha256"] == first["adapter_sha256"]


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"weight": 0.3}, "teacher: names nobody; expected systems, a run, or both"),
        ({**WORDS, "weight": 0}, "teacher.weight: 0 is out of range; allowed: above 0 to 1"),
        ({"systems": ["tfidf_svm", "tfidf_svm"]}, 'teacher.systems: ["tfidf_svm", "tfidf_svm"] is not allowed'),
        ({"systems": ["encoder"]}, "teacher.systems"),
        ({"run": "nowhere"}, "teacher.run: nowhere holds no finished run; train one first, over the same labels"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(
    tmp_path: Path, tiny_base: BaseSection, teacher: dict, said: str
) -> None:
    path = make_classifier(tmp_path, tiny_base, teacher=teacher)
    done = script(tmp_path, "train", path, "--output", "run")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_language_model_has_no_teacher(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base, teacher=WORDS)
    done = script(tmp_path, "train", path, "--output", "run")
    assert "teacher: only with head: classifier" in done.stderr
