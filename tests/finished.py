"""A run directory as training and `evaluate.py --merged` leave it, made in a second and without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from project import SIGNS, make
from safetensors.numpy import save_file

from osler.evaluation import results
from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.sections import BaseSection
from osler.runs.predictions import Prediction, write_predictions
from osler.runs.run import MERGED_FROM, Run, merged_name, tuned_name
from osler.storage.files import model_fingerprint, write_json
from osler.storage.hashes import sha256_file, sha256_text

COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
NONE = {"cases": 0, "share": 0.0, "worst": []}
OVERLAP: dict[str, Any] = {
    "settings": {
        "ngram_words": 8,
        "contained": 0.7,
        "shingle_characters": 5,
        "near": 0.7,
        "minhash": {"bands": 25, "rows": 5, "seed": 1},
    },
    "splits": {
        "test": {
            "n": 24,
            "exact": NONE,
            "normalised": NONE,
            "ngrams": {**NONE, "measured": 20, "mean": 0.1},
            "near": {"cases": 1, "share": 0.0417, "worst": [["test/00001", "train/00001", 0.75]]},
            "publications": None,
        }
    },
    "allowed": {},
}
ENVIRONMENT: dict[str, Any] = {
    "constraints_sha256": "2" * 64,
    "cores": 2,
    "cpu": "a CPU",
    "git_commit": "3" * 40,
    "git_dirty": False,
    "gpus": [],
    "memory_bytes": 25276510208,
    "osler": "0.1.0",
    "packages": {
        "bitsandbytes": "0.50.2",
        "peft": "0.21.2",
        "torch": "2.13.0+cpu",
        "transformers": "5.23.0",
        "trl": "1.16.0",
    },
    "platform": "Linux-6.18.44-x86_64-with-glibc2.36",
    "python": "3.11.7",
}


def make_run(folder: Path) -> Run:
    """A project with a finished, evaluated, merged run of a recipe on a base of the Hub; nothing is wrong with it."""
    pinned = {"model": BASE, "revision": COMMIT, "quantization": "nf4"}
    path = make(folder, BaseSection(model=BASE), base=pinned, publish={"license": "apache-2.0"})
    recipe = load_recipe(path)
    run = Run(folder / "runs" / recipe.name / recipe.version)
    run.open(recipe)

    adapter = run.folder / "adapter"
    adapter.mkdir()
    save_file({"lora_A.weight": np.ones((2, 3), np.float32)}, adapter / "adapter_model.safetensors")
    where = {"base_model_name_or_path": BASE, "revision": COMMIT, "r": 4}
    write_json(adapter / "adapter_config.json", where)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        write_json(adapter / name, {})
    (adapter / "chat_template.jinja").write_text("{{ messages }}")
    (adapter / "README.md").write_text("# TRL's own card")
    run.merged_path.mkdir()
    save_file({"weight": np.ones((3, 3), np.float32)}, run.merged_path / "model.safetensors")
    write_json(run.merged_path / "config.json", {"model_type": "llama"})
    hashes = {
        "adapter_sha256": model_fingerprint(run.adapter_path),
        "weights_sha256": model_fingerprint(run.merged_path),
    }
    write_json(run.merged_path / MERGED_FROM, hashes)

    prompt = sha256_text("''\n{{ text }}\nDiagnosis?")
    texts = {"words": ["heart", "patient"], "min_units": 5, "tokens": 30, "unknown_share": 0.5}
    write_json(run.panel_path, {"schema": 1, "labels": {label: label for label in sorted(SIGNS)}, "texts": texts})
    made = manifest(recipe, prompt, hashes["adapter_sha256"])
    write_json(run.manifest_path, {**made, "panel_sha256": sha256_file(run.panel_path)})
    write_json(run.data_report_path, data_report(prompt, folder))
    (run.folder / "train_log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')

    files = []
    for system, right in ((tuned_name(recipe), 20), (merged_name(recipe), 20), ("majority", 6)):
        files.append(run.prediction_path("made_up", "test", system))
        write_predictions(files[-1], predictions(folder, system, right, None if system == "majority" else prompt))
    results.score(
        files,
        run.results_path(),
        resamples=50,
        compared=tuned_name(recipe),
        task_version=1,
        prompt_sha256=prompt,
        contamination=run.read_data_report().contamination,
        weights_sha256=run.weights(recipe),
    )
    (run.folder / "report.html").write_text("<p>Patient 1000 has short stature and a heart murmur.</p>")
    return run


def predictions(folder: Path, system: str, right: int, prompt: str | None) -> list[Prediction]:
    labels = sorted(SIGNS)
    rows = [json.loads(line) for line in (folder / "data" / "made_up" / "test.jsonl").read_text().splitlines()]
    made = []
    for number, row in enumerate(rows, 1):
        first = row["diagnosis"] if number <= right else labels[number % 4 - 1]
        made.append(
            Prediction(
                case_id=f"test/{number:05d}",
                task="made_up",
                split="test",
                system=system,
                label=row["diagnosis"],
                ranked=(first, *(label for label in labels if label != first)),
                probabilities=(0.7, 0.1, 0.1, 0.1),
                subgroups={"words": "0-24"},
                prompt_sha256=prompt,
            )
        )
    return made


def manifest(recipe: Recipe, prompt: str, adapter: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "adapter_sha256": adapter,
        "augmentation": None,
        "chat_template_sha256": sha256_text("{{ messages }}"),
        "conversation": {"own_system_turn": True, "content_parts": False, "opening": ""},
        "mixture": None,
        "base": {
            "architecture": "LlamaForCausalLM",
            "parameters": 134_515_008,
            "fingerprint": "1" * 64,
            "model": recipe.base.model,
            "revision": recipe.base.revision,
            "weights": None,
        },
        "dropped": {},
        "environment": ENVIRONMENT,
        "peak_memory_bytes": {"gpu": None, "host": 1867988992},
        "prompt_sha256": prompt,
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "sha256": recipe.sha256,
            "run_sha256": recipe.run_sha256,
        },
        "resumed_from_step": None,
        "rows_in": 24,
        "rows_out": 24,
        "seed": 0,
        "steps": 6,
        "task": {"name": "made_up", "panel": None, "version": 1},
        "threads": 1,
        "tokens_a_pass": 1000,
        "train_seconds": 12.5,
        "truncated_rows": 0,
    }


def data_report(prompt: str, folder: Path) -> dict[str, Any]:
    labels = sorted(SIGNS)
    return {
        "schema": 1,
        "task": "made_up",
        "task_version": 1,
        "panel": None,
        "prompt_sha256": prompt,
        "rows_in": 24,
        "rows_out": 24,
        "dropped": {},
        "truncated": 0,
        "sources": {"osler/made-up": 24},
        "rows_per_label": dict.fromkeys(labels, 6),
        "labels": {label: label for label in labels},
        "tokens": {"total": 1000, "completion": 100, "min": 30, "median": 40, "p95": 50, "max": 60},
        "augmentation": None,
        "mixture": None,
        "provenance": {"dataset": "osler/made-up", "revision": "0" * 40, "local": "/home/jane.doe/data/made_up"},
        "contamination": OVERLAP,
    }


def seal(folder: Path) -> None:
    """Write SHA256SUMS, as publishing does: of all files there are."""
    sums = Run(folder).sums_path
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != sums)
    sums.write_text("".join(f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files))


def edit_json(path: Path, **values: Any) -> None:
    """Change what a JSON file says; ``a__b=1`` is the key ``b`` of the object ``a``."""
    path.write_text(json.dumps(_changed(json.loads(path.read_text()), values)))


def edit_yaml(path: Path, **values: Any) -> None:
    """As :func:`edit_json`."""
    path.write_text(yaml.safe_dump(_changed(yaml.safe_load(path.read_text()), values), sort_keys=False))


def _changed(content: Any, values: dict[str, Any]) -> Any:
    for key, value in values.items():
        inside = content
        *sections, last = key.split("__")
        for section in sections:
            inside = inside[section]
        inside[last] = value
    return content
