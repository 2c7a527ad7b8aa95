"""scripts/export.py: what is exported answers as the evaluated model, or is not there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import published_run
import pytest
from project import make, make_classifier, script
from safetensors.torch import load_file, save_file

from osler.errors import InputError
from osler.export import artefact
from osler.export.forms import form_named
from osler.recipe.sections import BaseSection
from osler.runs.exports import Exports
from osler.runs.run import MERGED_FROM, Run
from osler.storage.contracts import read_model
from osler.storage.files import model_fingerprint, write_json

RUN = Path("runs/tiny-made-up/1.0.0")
SETTINGS = {"max_steps": 20, "learning_rate": 0.02}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A project with a run that was trained and evaluated."""
    folder = tmp_path_factory.mktemp("evaluated")
    make(folder, tiny_base, train=SETTINGS, evaluation={"baselines": ["base_model", "majority"]})
    for name, argument in (("train", "recipes/tiny.yaml"), ("evaluate", RUN)):
        done = script(folder, name, argument)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(evaluated: Path, tmp_path: Path) -> Path:
    return shutil.copytree(evaluated, tmp_path / "project")


def exports(project: Path) -> Exports:
    return read_model(project / RUN / "exports.json", Exports)


@pytest.mark.slow
def test_the_merged_model_is_exported_with_its_figures_and_commands(project: Path) -> None:
    done = script(project, "export", RUN, "--to", "merged")
    assert done.returncode == 0, done.stderr
    assert "merged will be about" in done.stdout
    assert "minus evaluated" in done.stdout
    made = exports(project).artefacts["merged"]
    (row,) = made.splits
    assert (row.split, row.n, row.same_first.value) == ("test", 24, 1.0)
    assert row.log_p.max < 1e-4
    assert made.from_base is not None
    assert made.from_base.to_tuned < made.from_base.to_base
    assert made.prompts_compared == 20
    assert made.tokens_per_second > 0
    text = (project / RUN / "exports" / "merged" / "README.md").read_text()
    assert f"vllm serve {RUN}/merged --served-model-name tiny-made-up-1.0.0 --dtype float32" in text
    assert "--enable-lora --max-lora-rank 8 --lora-modules" in text
    again = script(project, "export", RUN, "--to", "merged")
    assert again.returncode == 2
    assert f"error: {RUN}/exports/merged: exists already; move it away to export again" in again.stderr
    assert script(project, "evaluate", RUN).returncode == 0
    assert '<section id="exports">' in (project / RUN / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("format_name", "name"), [("onnx", "onnx-fp32"), ("openvino", "openvino-fp32")])
def test_a_graph_gives_every_first_answer_of_the_adapter(project: Path, format_name: str, name: str) -> None:
    pytest.importorskip("onnxruntime" if format_name == "onnx" else "openvino")
    done = script(project, "export", RUN, "--to", format_name)
    assert done.returncode == 0, done.stderr
    (row,) = exports(project).artefacts[name].splits
    assert row.same_first.value == 1.0
    assert row.log_p.max < 1e-3
    assert {"README.md", "export.json", "tokenizer.json"} <= {
        p.name for p in (project / RUN / "exports" / name).iterdir()
    }


@pytest.mark.slow
def test_a_gguf_file_gives_every_first_answer_of_the_adapter(project: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it has no wheels")
    for quantization in ("f16", "q8_0", "q4_k_m"):
        done = script(project, "export", RUN, "--to", "gguf", "--quantization", quantization)
        assert done.returncode == 0, done.stderr
    artefacts = exports(project).artefacts
    assert artefacts["gguf-f16"].splits[0].same_first.value == 1.0
    assert artefacts["gguf-f16"].splits[0].log_p.mean < artefacts["gguf-q8_0"].splits[0].log_p.mean
    folder = project / RUN / "exports" / "gguf-q8_0"
    assert "FROM ./tiny-made-up-1.0.0-q8_0.gguf" in (folder / "Modelfile").read_text()
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".gguf", ".md"]


@pytest.mark.slow
def test_a_classifier_is_a_graph_without_cache_and_no_gguf(tmp_path: Path, tiny_base: BaseSection) -> None:
    pytest.importorskip("onnxruntime")
    make_classifier(tmp_path, tiny_base, train=SETTINGS)
    for name, argument in (("train", "recipes/tiny.yaml"), ("evaluate", RUN)):
        done = script(tmp_path, name, argument)
        assert done.returncode == 0, done.stderr
    assert "is a classifier, and llama.cpp has no head for one" in refused(tmp_path, "--to", "gguf")
    done = script(tmp_path, "export", RUN, "--to", "onnx")
    assert done.returncode == 0, done.stderr
    made = exports(tmp_path).artefacts["onnx-fp32"]
    assert made.splits[0].same_first.value == 1.0
    assert made.splits[0].log_p.max < 1e-3
    assert made.from_base is None


@pytest.mark.slow
def test_a_lost_adapter_is_found_out_and_not_kept(project: Path, tiny_base: BaseSection) -> None:
    run = Run(project / RUN)
    merged = run.merged_path
    shutil.copytree(tiny_base.model, merged)
    weights = merged / "model.safetensors"
    save_file(load_file(weights), weights, metadata={"format": "pt"})
    hashes = {"adapter_sha256": model_fingerprint(run.adapter_path), "weights_sha256": model_fingerprint(merged)}
    write_json(merged / MERGED_FROM, hashes)
    done = script(project, "export", RUN, "--to", "merged")
    assert done.returncode == 1
    assert "error: merged: it answers like the untuned base: on 24 cases" in done.stderr
    assert not (run.folder / "exports.json").exists()
    assert not list(run.exports_path.glob("*merged*"))
    assert not list((run.exports_path / "predictions").iterdir())


def refused(project: Path, *arguments: str) -> str:
    done = script(project, "export", RUN, *(arguments or ("--to", "merged")))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.strip().removeprefix("error: ")


@pytest.fixture
def finished(finished_project: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished_project, tmp_path / "finished")


def test_a_run_without_results_has_nothing_to_be_compared_with(finished: Path) -> None:
    (finished / RUN / "results.json").unlink()
    said = refused(finished)
    assert (
        said == f"{RUN}: no results.json, so nothing to compare an export with; scripts/evaluate.py {RUN} answers them"
    )
    assert "scripts/evaluate.py runs/tiny-made-up/1.0.0 --limit 3 answers them" in refused(
        finished, "--to", "onnx", "--limit", "3"
    )


def test_changed_answers_and_an_unfinished_run_are_refused(finished: Path) -> None:
    answers = finished / RUN / "predictions" / "made_up-test-tiny-made-up@1.0.0.jsonl"
    answers.write_text(answers.read_text().replace("0.7", "0.6"))
    assert "not what results.json was made of" in refused(finished)
    (finished / RUN / "manifest.json").unlink()
    assert "training is not finished" in refused(finished)


@pytest.mark.parametrize(
    ("changes", "form", "said"),
    [
        ({"stage": "pretrain"}, "onnx", "pre-trained, it answers nothing"),
        ({"head": "reranker"}, "onnx", "a reranker .* is asked through scripts/diagnose.py alone"),
        ({"head": "classifier"}, "gguf", "is a classifier, and llama.cpp has no head for one; take --to onnx"),
        ({"lora": None}, "merged", "has no lora: its .*adapter is a whole model already"),
    ],
)
def test_kinds_of_runs_that_cannot_be_exported_are_named(
    finished: Path, changes: dict[str, Any], form: str, said: str
) -> None:
    run = Run(finished / RUN)
    with pytest.raises(InputError, match=said):
        artefact._check_kind(run, replace(run.recipe(), **changes), form_named(form))


def test_questions_and_free_text_have_no_probabilities_of_labels(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(finished / RUN)
    task = SimpleNamespace(source=None, scorer="generate")
    monkeypatch.setattr("osler.recipe.read_task", lambda folder: task)
    with pytest.raises(InputError, match="answers with the scorer generate; what is exported is compared by the prob"):
        artefact._check_kind(run, run.recipe(), form_named("merged"))


def test_options_that_do_not_go_together_are_refused(finished: Path) -> None:
    assert refused(finished, "--limit", "3") == "name either --to FORMAT or --endpoint URL"
    assert "expected one of f16, q8_0, q4_k_m" in refused(finished, "--to", "gguf", "--quantization", "q5")
    assert refused(finished, "--to", "gguf", "--model", "m") == "--model is for --endpoint"
    assert refused(finished, "--to", "gguf", "--limit", "0") == "--limit 0: at least 1"
    assert "cannot be reached" in refused(finished, "--endpoint", "http://127.0.0.1:9/v1")


def test_an_export_that_was_killed_at_its_end_is_made_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(finished / RUN)
    published_run.export(run)
    figures = exports(finished).artefacts["gguf-q8_0"]
    run.exports_file().unlink()
    monkeypatch.setattr(artefact, "_make", lambda run, recipe, manifest, form, part, to_merge: part)
    monkeypatch.setattr(artefact, "_prove", lambda *_: figures)
    monkeypatch.setattr(artefact.commands, "files", lambda *_: {"README.md": "how to start it"})
    monkeypatch.setattr(artefact, "check_packages", lambda form: None)

    def killed(*_: Any) -> None:
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(SystemExit):
            artefact.export(run, form_named("onnx"))
    assert not (run.exports_path / "onnx-fp32").exists()
    artefact.export(run, form_named("onnx"))
    assert (run.exports_path / "onnx-fp32" / "README.md").read_text() == "how to start it"
    assert exports(finished).artefacts["onnx-fp32"] == figures
    assert {path.name for path in run.exports_path.iterdir()} <= {"onnx-fp32", "predictions"}


def test_exports_of_another_training_are_refused(finished: Path) -> None:
    content = {"schema": 1, "tuned": "tiny-made-up@1.0.0", "weights_sha256": "4" * 64, "artefacts": {}}
    (finished / RUN / "exports.json").write_text(json.dumps(content))
    assert "exports.json: of another training; move it and" in refused(finished)
