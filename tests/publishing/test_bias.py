"""The bias page of a publication: what was tested, what came out, what is unknown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from published_run import TUNED, predictions, write_run

from osler.errors import InputError
from osler.evaluation.robustness import robustness
from osler.monitoring.records import Monitoring
from osler.publishing import bias, folder
from osler.runs.run import Run
from osler.storage.contracts import read_model
from osler.storage.files import read_json, write_json
from osler.tasks.perturbation import Perturbation

SHARE = {"value": 0.1, "low": 0.05, "high": 0.2, "method": "wilson"}
KNOWN = {"estimated": None, "abstained": SHARE, "judged": 0, "realised": None}
SWAP = {"swap": "sex_swap", "n": 60, "unchanged": 240, "flip_rate": SHARE, "judged": 0, "differs": {}}
SWAP |= dict.fromkeys(("probability", "original_accuracy", "accuracy", "change", "evaluated"))
GROUP = {"attribute": "sex", "value": "female", "n": 150, "accuracy": KNOWN, "changed": {}, "gap": {"abstained": SHARE}}
WINDOW = {"n": 300, "begins": "2026-11-01T00:00:00Z", "ends": "2026-11-02T00:00:00Z", "drift": {}, "groups": {}}
SEEN = {
    "schema": 1,
    "model": "tiny-made-up",
    "version": "1.0.0",
    "task": "made_up",
    "window": 250,
    "n": 300,
    "disputed": 0,
    "reference": {"split": "test", "n": 40, "not_watched": {}, "bias": None},
    "false_alarms": {"budget": 1.0, "shares": {}},
    "accuracy": KNOWN,
    "windows": [{**WINDOW, "accuracy": KNOWN}],
    "groups": [GROUP],
    "swaps": [SWAP],
    "alarms": [],
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("written"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write_run(tmp_path)


def test_every_subgroup_is_beside_the_other_cases(written: Run) -> None:
    page = bias.render(written, "some-model", {})
    sex = read_json(written.results_path())["records"][0]["systems"][TUNED]["subgroups"]["sex"]["values"]
    assert all(f"| sex {value} | {of['n']} | {of['accuracy']['value']:.3f} [" in page for value, of in sex.items())
    gap = sex["male"]["accuracy"]["value"] - sex["female"]["accuracy"]["value"]
    (male,) = [line for line in page.splitlines() if line.startswith("| sex male")]
    assert f"| {gap:+.3f} [" in male
    (young,) = [line for line in page.splitlines() if line.startswith("| age band 0-4")]
    assert set(young.split("|")[3:-1]) == {" – "}, "too few for a figure"


def test_what_nobody_can_say_is_said(written: Run) -> None:
    page = bias.render(written, "some-model", {"biases": "Only <b>one</b> hospital."})
    unknown = page[page.index("## What is unknown") :]
    assert "age band: nothing can be said of 0-4 (n = 4)" in unknown
    (line,) = [line for line in unknown.splitlines() if "no case records" in line]
    assert "ethnicity or ancestry" in line
    assert "pregnancy" in line
    assert " sex," not in line
    assert "age," not in line.replace("language", "")
    assert unknown.count("nobody has exchanged them") == 1
    assert "no report of monitoring" in unknown
    assert "hospital" in unknown
    assert "<b>" not in page


def swapped(run: Run, changed: int) -> None:
    """The robustness file of a run whose first ``changed`` cases say a sex; no case says an age."""
    original = predictions(TUNED, "test", 0.4)
    swaps = {Perturbation("sex_swap", 1.0): original[:changed], Perturbation("age_swap", 1.0): []}
    content = {"schema": 1, "task": "made_up", "split": "test", "records": {TUNED: robustness(original, swaps)}}
    content["predictions_sha256"] = {TUNED: {"original": "0" * 64}}
    write_json(run.folder / "robustness.json", content)


def test_swaps_are_told_here_and_those_that_changed_nothing_are_unknown(run: Run) -> None:
    swapped(run, 20)
    page = bias.render(run, "some-model", {})
    assert "| sex swap | 20 | 20 | 0.000 [" in page
    assert "age swap: no case of test says what would have to be exchanged" in page
    assert "nobody has exchanged them" not in page


def test_a_report_of_monitoring_that_was_kept_is_told_and_another_models_refused(run: Run) -> None:
    write_json(run.monitoring_path, SEEN)
    assert read_model(run.monitoring_path, Monitoring).swaps
    page = bias.render(run, "some-model", {})
    assert "300 cases from 2026-11-01 to 2026-11-02" in page
    assert "sex swap: another first answer to 0.100 [0.050, 0.200] of 60 texts" in page
    assert "no report of monitoring" not in page
    write_json(run.monitoring_path, {**SEEN, "model": "another"})
    with pytest.raises(InputError, match=r"monitoring\.json: of another@1\.0\.0; move it away"):
        bias.render(run, "some-model", {})


def test_without_predictions_no_gap_is_made_up(run: Run) -> None:
    run.prediction_path("made_up", "test", TUNED).unlink()
    assert "no gap can be computed" in bias.render(run, "some-model", {})


def test_of_a_few_patients_in_use_not_even_the_number_is_published(finished_project: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_project, tmp_path, dirs_exist_ok=True)
    run = Run(tmp_path / "runs" / "tiny-made-up" / "1.0.0")
    few = {**GROUP, "attribute": "site", "value": "hamlet", "n": 3, "accuracy": None, "gap": {}}
    write_json(run.monitoring_path, {**SEEN, "groups": [GROUP, few]})
    folder.build(run, tmp_path / "publication", "jane/tiny", {}, {})
    for name in ("monitoring.json", "bias.md"):
        text = (tmp_path / "publication" / name).read_text()
        assert "female" in text
        assert "hamlet" not in text
