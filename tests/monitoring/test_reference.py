"""What an evaluation says of inputs and answers, as a service would have kept them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from osler.errors import InputError
from osler.monitoring.reference import read_reference
from osler.runs.predictions import read_predictions
from osler.runs.run import Run, tuned_name


@pytest.mark.usefixtures("texts_here")
def test_the_cases_of_the_evaluation_are_known_as_they_were_asked_and_answered(evaluated_run: Path) -> None:
    run = Run(evaluated_run)
    reference = read_reference(run)
    (record,) = [one for one in run.read_results().records if one.split == reference.split]
    system = record.systems[tuned_name(run.recipe())]
    assert reference.split == "test"
    assert len(reference.cases) == record.n
    assert reference.cases.right.mean() == pytest.approx(system.metrics["accuracy"].value)
    after = system.calibration.after
    assert after is not None
    told = sum(row.n * row.confidence for row in after.reliability) / record.n
    assert reference.cases.confidence.mean() == pytest.approx(told)  # calibrated, as they are served
    assert (reference.cases.tokens > 0).all()
    assert not np.isnan(reference.cases.unknown_share).any()
    assert "length" in reference.watched
    assert "findings" in reference.not_watched


def test_what_is_not_here_is_not_watched_and_says_why(
    finished_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has no calibration; the tokenizer, then the texts, too, are elsewhere."""
    run = Run(shutil.copytree(finished_project, tmp_path / "project") / "runs" / "tiny-made-up" / "1.0.0")
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "project" / "data"))
    reference = read_reference(run)
    assert reference.not_watched.keys() == {"length", "findings", "abstention"}
    assert "the tokenizer is not on this machine" in reference.not_watched["length"]
    monkeypatch.delenv("OSLER_DATA_DIR")
    reference = read_reference(run)
    assert "the texts of test are not on this machine" in reference.not_watched["length"]
    assert reference.watched == ["labels", "confidence"]


def test_a_run_without_results_or_with_other_predictions_is_refused(finished_project: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_project, tmp_path / "project")
    run = Run(folder / "runs" / "tiny-made-up" / "1.0.0")
    path = run.prediction_path("made_up", "test", tuned_name(run.recipe()))
    assert read_predictions(path)
    path.write_text(path.read_text().replace("0.7", "0.6").replace("0.1,", "0.2,", 1))
    with pytest.raises(InputError, match="evaluate again"):
        read_reference(run)
    run.results_path().unlink()
    with pytest.raises(InputError, match=r"scripts/evaluate\.py"):
        read_reference(run)
