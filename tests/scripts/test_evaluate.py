"""Evaluation as users run it: a run in, predictions, results and one table out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import ROOT, environment, make, script, script_in_two_processes

from osler.recipe.sections import BaseSection

RUN = Path("runs/tiny-made-up/1.0.0")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A small project with one finished, evaluated run."""
    folder: Path = tmp_path_factory.mktemp("project")
    path = make(folder, tiny_base, train={"max_steps": 30, "save_strategy": "no"})
    trained = script(folder, "train", path)
    assert trained.returncode == 0, trained.stderr
    evaluated = script(folder, "evaluate", RUN)
    assert evaluated.returncode == 0, evaluated.stderr
    (folder / "table.txt").write_text(evaluated.stdout)
    return folder


def test_every_system_is_scored_on_the_same_cases(project: Path) -> None:
    results = json.loads((project / RUN / "results.json").read_text())
    (record,) = results["records"]
    assert set(record["systems"]) == {"tiny-made-up@1.0.0", "base_model", "majority", "tfidf_svm"}
    assert record["n"] == 24
    for system in record["systems"].values():
        accuracy = system["metrics"]["accuracy"]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert record["systems"]["tiny-made-up@1.0.0"]["metrics"]["accuracy"]["value"] > 0.5, "the tiny model learns this"
    assert {c["b"] for c in record["comparisons"]} == {"base_model", "majority", "tfidf_svm"}


def test_the_table_names_every_system_with_its_interval(project: Path) -> None:
    table = (project / "table.txt").read_text()
    for system in ("tiny-made-up@1.0.0", "base_model", "majority", "tfidf_svm"):
        assert system in table
    assert max(len(line) for line in table.splitlines() if "it/s" not in line) <= 120


def test_the_overlap_with_the_training_data_is_in_the_results(project: Path) -> None:
    (record,) = json.loads((project / RUN / "results.json").read_text())["records"]
    report = json.loads((project / RUN / "data_report.json").read_text())
    measured = report["contamination"]
    assert record["contamination"] == {**measured["splits"]["test"], "allowed": None, "settings": measured["settings"]}
    assert record["contamination"]["n"] == 24
    assert "Cases that are in the training data: 0 word for word" in (project / "table.txt").read_text()


def test_the_tuned_models_probabilities_sum_to_one(project: Path) -> None:
    path = project / RUN / "predictions" / "made_up-test-tiny-made-up@1.0.0.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 24
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-4 for row in rows)


def test_predictions_say_which_prompt_they_were_made_with_and_baselines_have_none(project: Path) -> None:
    prompt = json.loads((project / RUN / "manifest.json").read_text())["prompt_sha256"]
    for system, expected in (("tiny-made-up@1.0.0", prompt), ("base_model", prompt), ("tfidf_svm", None)):
        lines = (project / RUN / "predictions" / f"made_up-test-{system}.jsonl").read_text().splitlines()
        assert {json.loads(line)["prompt_sha256"] for line in lines} == {expected}


def test_predictions_made_with_an_older_prompt_are_not_scored_as_the_new_ones(project: Path) -> None:
    path = project / RUN / "predictions" / "made_up-test-tiny-made-up@1.0.0.jsonl"
    text = path.read_text()
    prompt = json.loads(text.splitlines()[0])["prompt_sha256"]
    path.write_text(text.replace(prompt, "0" * 64))
    try:
        refused = script(project, "evaluate", RUN)
    finally:
        path.write_text(text)
    assert refused.returncode == 2
    assert "was asked with the prompt 000000000000…" in refused.stderr


def test_systems_with_probabilities_are_checked_for_calibration(project: Path) -> None:
    (record,) = json.loads((project / RUN / "results.json").read_text())["records"]
    tuned = record["systems"]["tiny-made-up@1.0.0"]
    assert tuned["calibration"]["before"]["ece"] == tuned["metrics"]["ece"]
    svm = record["systems"]["tfidf_svm"]
    assert svm["calibration"]["before"]["ece"] == svm["metrics"]["ece"]


def test_results_can_be_computed_again_from_the_predictions_alone(project: Path) -> None:
    files = sorted((project / RUN / "predictions").glob("*.jsonl"))  # as the shell writes out *.jsonl: base_model first
    done = script(project, "evaluate", "--predictions", *files, "--output", "again.json")
    assert done.returncode == 0, done.stderr
    assert "the others are compared with tiny-made-up@1.0.0; choose another with --headline SYSTEM" in done.stdout
    assert (project / "again.html").is_file()
    again = json.loads((project / "again.json").read_text())["records"][0]
    first = json.loads((project / RUN / "results.json").read_text())["records"][0]
    for system, values in first["systems"].items():
        assert again["systems"][system]["metrics"]["accuracy"] == values["metrics"]["accuracy"]
    named = script(project, "evaluate", "--predictions", *files, "--output", "named.json", "--headline", "tfidf_svm")
    assert "Accuracy of tfidf_svm minus that of" in named.stdout
    unknown = script(project, "evaluate", "--predictions", *files, "--output", "named.json", "--headline", "svm")
    assert unknown.returncode == 2
    assert "no predictions of system 'svm'; there are base_model, majority, tfidf_svm" in unknown.stderr


def test_a_full_disk_ends_in_one_line_and_the_same_command_goes_on_later(project: Path) -> None:
    files = sorted((project / RUN / "predictions").glob("*.jsonl"))
    for free, full in ((1000, True), (10**9, False)):
        arguments = ("--predictions", *files, "--output", "full.json")
        done = script(project, "evaluate", *arguments, free=free)
        assert done.returncode == (2 if full else 0), done.stderr
        if full:
            assert done.stderr == "error: full.json: File too large; make room, then run this again\n"
        assert (project / "full.json").exists() != full
    answers = files[0].read_bytes()
    files[0].unlink()
    done = script(project, "evaluate", RUN, free=1000)
    assert done.returncode == 2
    assert f"error: {RUN / 'predictions' / files[0].name}: File too large; make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert script(project, "evaluate", RUN).returncode == 0
    assert files[0].read_bytes() == answers


def test_a_benchmark_is_answered_by_the_tuned_model_and_its_base_and_compared_with_chance(project: Path) -> None:
    task = project / "tasks" / "dxbench"
    shutil.copytree(ROOT / "tasks" / "dxbench", task)
    made_up = [line for line in (task / "task.yaml").read_text().splitlines() if "sha256" not in line]
    (task / "task.yaml").write_text("\n".join(made_up))
    cases = [
        {
            "id": f"DxBench_{number}",
            "department": "Other",
            "explicit_symptoms": [[f"Symptom {number}", "True"]],
            "implicit_symptoms": [["Fever", "False"]],
            "candidate_diseases": ["Gout", "Frostbite", "A stubbed toe"],
            "disease": ("Gout", "Frostbite", "A stubbed toe")[number % 3],
        }
        for number in range(6)
    ]
    (project / "data" / "dxbench").mkdir()
    (project / "data" / "dxbench" / "DxBench_en.json").write_text(json.dumps(cases))
    done = script(project, "evaluate", RUN, "--benchmark", "dxbench", "--limit", "3")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads((project / RUN / "results-dxbench-partial-first-3.json").read_text())["records"]
    assert (record["task"], record["n"]) == ("dxbench", 3)
    assert record["contamination"]["n"] == 3  # of these three cases
    assert set(record["systems"]) == {"tiny-made-up@1.0.0", "base_model"}
    assert [(row["a"], row["b"]) for row in record["comparisons"]] == [("tiny-made-up@1.0.0", "base_model")]
    page = (project / RUN / "report-dxbench-partial-first-3.html").read_text()
    assert "Guessing among 3 labels comes to 0.333." in page


def test_a_page_beside_the_results_shows_the_cases(project: Path) -> None:
    page = (project / RUN / "report.html").read_text()
    assert "tiny-made-up@1.0.0 on made_up" in page
    assert "Patient 1000 has " in page or "Patient 1001 has " in page
    assert "Held-out cases that the training data holds too" in page


def test_evaluating_twice_scores_nothing_twice(project: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (project / RUN / "predictions").iterdir()}
    assert script(project, "evaluate", RUN).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in (project / RUN / "predictions").iterdir()} == before


def test_two_processes_predict_what_one_does(project: Path) -> None:
    file = project / RUN / "predictions" / "made_up-test-tiny-made-up@1.0.0.jsonl"
    alone = file.read_bytes()
    file.unlink()
    # `accelerate launch` starts several processes for several GPUs only; this is how.
    ranks = script_in_two_processes(project, "evaluate", RUN)
    assert [rank.returncode for rank in ranks] == [0, 0], ranks[0].stderr
    assert file.read_bytes() == alone
    assert [rank.stdout.count("balanced") for rank in ranks] == [1, 0], "one process prints the table"


def test_a_killed_evaluation_goes_on_where_it_was(project: Path) -> None:
    file = project / RUN / "predictions" / "made_up-test-tiny-made-up@1.0.0.jsonl"
    results = project / RUN / "results.json"
    whole, scored = file.read_bytes(), results.read_bytes()
    lines = whole.splitlines(keepends=True)
    marked = [line.replace(b'"text": null', b'"text": "scored before the kill"') for line in lines]
    file.unlink()
    # 24 cases are two batches, of 16 and of 8. The process died in the middle of the last line of one of them.
    file.with_name(f".{file.name}.part-0").write_bytes(b"".join(marked[:-1]) + marked[-1][:40])
    assert script(project, "evaluate", RUN).returncode == 0
    again = file.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["case_id"] for line in again] == [json.loads(line)["case_id"] for line in lines]
    assert sum(b"scored before the kill" in line for line in again) in (8, 16), "the whole batch is not scored again"
    assert not list(file.parent.glob(".*")), "nothing is left lying about"
    file.write_bytes(whole)
    results.write_bytes(scored)


@pytest.fixture
def fusing(tmp_path: Path, tiny_base: BaseSection) -> Path:
    """A small project with a finished run that asks for the mixture, not evaluated yet."""
    evaluation = {"splits": ["test", "validation"], "fused": True}
    train = {"max_steps": 2, "save_strategy": "no"}
    path = make(tmp_path, tiny_base, rows=48, evaluation=evaluation, train=train)
    task = tmp_path / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"]["validation_share"] = 0.5
    content["splits"]["validation"] = "training rows held out"
    task.write_text(yaml.safe_dump(content))
    trained = script(tmp_path, "train", path)
    assert trained.returncode == 0, trained.stderr
    return tmp_path


@pytest.mark.slow
def test_a_mixture_is_evaluated_killed_and_reproduced_like_any_other_system(fusing: Path) -> None:
    predictions = fusing / RUN / "predictions"
    alone = script(fusing, "evaluate", RUN, "--split", "test")
    assert "fused: left out: needs validation among the splits" in alone.stdout
    done = script(fusing, "evaluate", RUN)
    assert done.returncode == 0, done.stderr
    assert "Accuracy of fused minus that of" in done.stdout
    assert "log p(fused) = " in done.stdout
    results = json.loads((fusing / RUN / "results.json").read_text())
    assert list(results["fused"]["weights"]) == ["tiny-made-up@1.0.0", "tfidf_svm"]
    assert results["fused"]["fitted_on"] == {"split": "validation", "n": results["fused"]["groups"]}
    for record in results["records"]:
        assert "fused" in record["systems"]
        assert {(c["a"], c["b"]) for c in record["comparisons"] if "fused" in c.values()} == {
            ("fused", "tiny-made-up@1.0.0"),
            ("fused", "tfidf_svm"),
        }
    files = {path: path.read_bytes() for path in (*predictions.iterdir(), fusing / RUN / "results.json")}
    # Killed after the parts had answered one split; and while it wrote, which leaves no half of a file.
    for path in predictions.glob("made_up-validation-*"):
        path.unlink()
    (fusing / RUN / "results.json").unlink()
    assert script(fusing, "evaluate", RUN).returncode == 0
    assert {path: path.read_bytes() for path in files} == files

    for depth in ("scores", "predictions"):
        again = script(fusing, "reproduce", RUN, f"--{depth}")
        assert again.returncode == 0, again.stdout + again.stderr
        assert "test, fused: 48 of 48 rankings are the same" in again.stdout
    mixed = predictions / "made_up-test-fused.jsonl"
    exchanged = (predictions / "made_up-test-tfidf_svm.jsonl").read_text().replace('"tfidf_svm"', '"fused"')
    mixed.write_text(exchanged)
    scored = json.loads(files[fusing / RUN / "results.json"])
    scored["records"][0]["predictions_sha256"]["fused"] = hashlib.sha256(mixed.read_bytes()).hexdigest()
    (fusing / RUN / "results.json").write_text(json.dumps(scored))
    forged = script(fusing, "reproduce", RUN, "--scores")
    assert forged.returncode == 1
    assert re.search("test, fused: [0-9]+ of 48 rankings", forged.stdout), "from its parts, not from its file"
    assert "test, fused: 48 of 48" not in forged.stdout


def test_a_limited_evaluation_leaves_the_real_one_alone(project: Path) -> None:
    before = [(project / RUN / name).read_bytes() for name in ("results.json", "report.html")]
    done = script(project, "evaluate", RUN, "--limit", "3")
    assert done.returncode == 0, done.stderr
    assert [(project / RUN / name).read_bytes() for name in ("results.json", "report.html")] == before
    shown = (project / RUN / "report-partial-first-3.html").read_text()
    assert re.search("The cases of <b>test</b>, [^:]+: 3 cases", shown), "with what the task says they are"
    assert "test: counted over all its cases, of which 3 were asked." in shown
    assert "Cases that are in the training data (of all 24 of the split): 0 word for word" in done.stdout
    assert script(project, "evaluate", RUN, "--split", "test").returncode == 0
    assert "24 cases" in (project / RUN / "report-partial-test.html").read_text()


def test_a_run_whose_adapter_or_recipe_was_exchanged_is_refused_before_a_model_is_loaded(project: Path) -> None:
    weights, recipe = project / RUN / "adapter" / "adapter_model.safetensors", project / RUN / "recipe.yaml"
    named = f"{RUN}/adapter (weights, configuration, tokenizer or chat template)"
    for path, old, new, said in ((weights, b"F32", b"F16", named), (recipe, b"seed: 0", b"seed: 1", recipe.name)):
        whole = path.read_bytes()
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        refused = script(project, "evaluate", RUN)
        path.write_bytes(whole)
        assert refused.returncode == 2
        assert f"{said}: not " in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_base_folder_that_was_edited_after_training_is_refused(project: Path, tiny_base: BaseSection) -> None:
    (weights,) = Path(tiny_base.model).glob("*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused = script(project, "evaluate", RUN)
    weights.write_bytes(whole)
    assert refused.returncode == 2
    assert f"{tiny_base.model}: its weights are not those that {RUN} was trained on" in refused.stderr


@pytest.mark.parametrize("script_name", ["evaluate", "train"])
def test_a_data_report_without_what_is_needed_of_it_is_named(project: Path, script_name: str) -> None:
    report = project / RUN / "data_report.json"
    whole = report.read_text()
    report.write_text("{}")
    refused = script(project, script_name, RUN if script_name == "evaluate" else project / "recipes" / "tiny.yaml")
    report.write_text(whole)
    assert refused.returncode == 2
    assert "data_report.json: schema: missing; make the file anew, or bring back the whole one" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("home", ["HOME", "HF_HOME"])
def test_a_home_that_is_none_is_named_in_one_line(project: Path, home: str) -> None:
    file = project / RUN / "predictions" / "made_up-test-majority.jsonl"
    command = [
        sys.executable,
        str(ROOT / "scripts" / "evaluate.py"),
        "--predictions",
        str(file),
        "--output",
        "out.json",
    ]
    variables = {key: value for key, value in environment(project).items() if key not in ("HF_HOME", "XDG_CACHE_HOME")}
    refused = subprocess.run(
        command, cwd=project, env={**variables, home: "/dev/null"}, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2, refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("error: /dev/null")
    assert not (project / "out.json").exists()


def test_perturbed_cases_are_answered_once_and_compared(project: Path) -> None:
    results = (project / RUN / "results.json").read_bytes()
    done = script(project, "evaluate", RUN, "--robustness")
    assert done.returncode == 0, done.stderr
    measured = json.loads((project / RUN / "robustness.json").read_text())
    assert (measured["schema"], measured["task"], measured["split"]) == (1, "made_up", "test")
    assert list(measured["records"]) == ["tiny-made-up@1.0.0", "tfidf_svm"], "neither the base nor the majority"
    (record,) = json.loads(results)["records"]
    for system, rows in measured["records"].items():
        assert {(row["perturbation"], row["strength"]) for row in rows} >= {("typos", 0.1), ("sex_swap", 1)}
        by_name = {(row["perturbation"], row["strength"]): row for row in rows}
        accuracy = record["systems"][system]["metrics"]["accuracy"]["value"]
        assert by_name["typos", 0.3]["n"] == 24
        assert by_name["typos", 0.3]["original_accuracy"]["value"] == accuracy
        assert by_name["sex_swap", 1]["n"] == 0, "no complaint says whose it is"
        assert measured["predictions_sha256"][system]["original"] == record["predictions_sha256"][system]
        assert "typos-0.3" in measured["predictions_sha256"][system]
    assert "  typos " in done.stdout
    assert (project / RUN / "results.json").read_bytes() == results
    assert 'id="robustness-plot' in (project / RUN / "report.html").read_text()

    files = sorted((project / RUN / "predictions-perturbed").rglob("*.jsonl"))
    assert {file.name for file in files} == {f"made_up-test-{system}.jsonl" for system in measured["records"]}
    written = {file: file.stat().st_mtime_ns for file in files}
    files[0].unlink()
    assert script(project, "evaluate", RUN, "--robustness").returncode == 0
    assert json.loads((project / RUN / "robustness.json").read_text()) == measured
    assert [file for file, at in written.items() if file.stat().st_mtime_ns != at] == files[:1]


def test_a_few_perturbed_cases_have_files_of_their_own(project: Path) -> None:
    done = script(project, "evaluate", RUN, "--robustness", "--limit", "3")
    assert done.returncode == 0, done.stderr
    measured = json.loads((project / RUN / "robustness-first-3.json").read_text())
    assert {row["n"] for rows in measured["records"].values() for row in rows} <= {0, 1, 2, 3}
    cases = (project / RUN / "predictions-first-3" / "made_up-test-tfidf_svm.jsonl").read_text().splitlines()
    copies = project / RUN / "predictions-perturbed-first-3" / "typos-0.1" / "made_up-test-tfidf_svm.jsonl"
    ids = [[json.loads(line)["case_id"] for line in lines] for lines in (cases, copies.read_text().splitlines())]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no recipe.yaml"),
        ([RUN, "--split", "tset"], "the recipe evaluates test"),
        ([RUN, "--limit", "0"], "at least 1"),
        ([RUN, "--robustness", "--benchmark", "medqa"], "--robustness is of one split of the recipe's own task"),
        ([], "name either a run directory or --predictions"),
        (["--predictions", "missing.jsonl"], "--output"),
        (["--predictions", "missing.jsonl", "--output", "out.json"], "missing.jsonl"),
        (["--predictions", "missing.jsonl", "--output", "report.html"], "name a file that ends in .json"),
        (["--predictions", "a.jsonl", "--output", "out.json", "--limit", "3"], "--limit is for a run"),
        (["--predictions", "a.jsonl", "--output", "out.json", "--split", "test"], "--split is for a run"),
        (["--predictions", "a.jsonl", "--output", "out.json", "--robustness"], "--robustness is for a run"),
        (["--predictions", "a.jsonl", "--output", "out.json", "--benchmark", "medqa"], "--benchmark is for a run"),
        ([RUN, "--output", "out.json"], "the results of a run are written into it"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(project: Path, arguments: list[str | Path], said: str) -> None:
    refused = script(project, "evaluate", *arguments)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (project / "out.json").exists()


@pytest.mark.parametrize("name", ["train", "evaluate", "check_recipes", "record_expected", "fetch_phenopackets"])
def test_help_does_not_wait_for_torch(name: str) -> None:
    code = f"import sys, runpy; sys.argv = ['{name}', '--help']\n"
    code += f"try: runpy.run_path('scripts/{name}.py', run_name='__main__')\n"
    code += "except SystemExit as end: assert not end.code\nassert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
