"""A small Osler project in a folder: a made-up task, a recipe on the tiny model, and how to run its scripts."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from forked import fork, run_script

from osler.recipe.sections import BaseSection

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
SIGNS = {
    "Noonan syndrome": ["short stature", "a heart murmur", "widely spaced eyes"],
    "Duchenne muscular dystrophy": ["muscle weakness", "calf enlargement", "a waddling gait"],
    "urinary tract infection": ["burning when passing water", "pain in the lower back", "fever"],
    "type 1 diabetes mellitus": ["thirst", "weight loss", "blurred vision"],
}


def make(folder: Path, tiny: BaseSection, rows: int = 24, **sections: Any) -> Path:
    """Write tasks/, data/ and recipes/ below ``folder``; returns the recipe. ``sections`` update the recipe's own; one
    that is None is left out."""
    task = folder / "tasks" / "made_up"
    task.mkdir(parents=True)
    (task / "prompt.jinja").write_text("{{ text }}\nDiagnosis?")
    content = {
        "schema": 1,
        "name": "made_up",
        "version": 1,
        "source": {
            "kind": "dataset",
            "dataset": "osler/made-up",
            "revision": "0" * 40,
            "local": "made_up",
            "files": {"train": "train.jsonl", "test": "test.jsonl"},
            "columns": {"text": "complaint", "label": "diagnosis"},
        },
        "splits": {"test": "held-out rows"},
        "labels": sorted(SIGNS),
        "system": "",
        "prompt": "prompt.jinja",
        "license": "apache-2.0",
    }
    (task / "task.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    data = folder / "data" / "made_up"
    data.mkdir(parents=True)
    for name, first in (("train", 0), ("test", 1000)):
        lines = []
        for n in range(first, first + rows):
            label = sorted(SIGNS)[n % len(SIGNS)]
            signs = SIGNS[label]
            text = f"Patient {n} has {signs[n % 3]} and {signs[(n + 1 + n // 3) % 3]}."
            lines.append(json.dumps({"complaint": text, "diagnosis": label}) + "\n")
        (data / f"{name}.jsonl").write_text("".join(lines))
    recipe: dict[str, Any] = {
        "schema": 1,
        "name": "tiny-made-up",
        "version": "1.0.0",
        "base": {"model": tiny.model, "revision": None, "dtype": "float32", "attn_implementation": "eager"},
        "task": {"name": "made_up", "version": 1},
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "lora_dropout": 0.0},
        "loss": {"name": "label_trie", "completion_weight": 0.1},
        "train": {
            "per_device_train_batch_size": 4,
            "max_steps": 6,
            "learning_rate": 0.01,
            "logging_steps": 1,
            "save_steps": 2,
            "max_length": 128,
            "seed": 0,
            "use_cpu": True,
        },
        "evaluation": {"splits": ["test"], "baselines": ["base_model", "majority", "tfidf_svm"], "resamples": 50},
    }
    for name, values in sections.items():
        recipe[name] = {**recipe[name], **values} if isinstance(recipe.get(name), dict) and values else values
    recipe = {name: values for name, values in recipe.items() if values is not None}
    path = folder / "recipes" / "tiny.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def make_classifier(folder: Path, tiny: BaseSection, **sections: Any) -> Path:
    """As :func:`make`, of a recipe with ``head: classifier``."""
    head = {"head": "classifier", "loss": None, "evaluation": {"baselines": ["majority"]}}
    return make(folder, tiny, **{**head, **sections})


def make_cohort(folder: Path, tiny: BaseSection, hpoa: str = "", **sections: dict[str, Any]) -> Path:
    """As :func:`make`, of a task whose patients are findings: two made-up diseases with two published patients each.

    ``hpoa`` replaces the rows of tests/golden/cohort.hpoa. The files stand in ``folder/cache``, for ``$OSLER_CACHE``.
    """
    path = make(folder, tiny, task={"panel": "all"}, **sections)
    content = yaml.safe_load((folder / "tasks" / "made_up" / "task.yaml").read_text())
    texts = {
        "mini.obo": (GOLDEN / "mini.obo").read_text(),
        "mini.hpoa": hpoa or (GOLDEN / "cohort.hpoa").read_text(),
    }
    specs = {}
    for name, text in texts.items():
        file = folder / "cache" / "mini-1" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        specs[name] = f"pypi:mini==1/{name}#sha256={hashlib.sha256(text.encode()).hexdigest()}"
    content["source"] = {
        "kind": "simulated",
        "ontology": specs["mini.obo"],
        "annotations": specs["mini.hpoa"],
    }
    content["panels"] = {"all": {"min_patients": 1}}
    content["splits"] = {"test": "published patients", "simulated": "new simulated ones"}
    del content["labels"]
    (folder / "tasks" / "made_up" / "task.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def make_store(folder: Path, tiny: BaseSection, individuals: Sequence[dict[str, Any]], **sections: Any) -> Path:
    """As :func:`make_cohort`, of a task whose patients are :func:`individual`s of Phenopacket Store."""
    path = make_cohort(folder, tiny, **sections)
    recipe = yaml.safe_load(path.read_text())
    del recipe["task"]["panel"]
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"] = {
        "kind": "phenopackets",
        **{key: content["source"][key] for key in ("ontology", "annotations")},
        "store": "store/cases.jsonl.gz",
        "min_publications": 3,
        "shares": {"train": 0.5, "validation": 0.15, "test": 0.35},
    }
    del content["panels"]
    content["splits"] = {
        f"{part}{wording}": f"{part} patients" for part in ("test", "validation") for wording in ("", "_unseen_wording")
    }
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    write_store(folder / "data" / "store" / "cases.jsonl.gz", *individuals)
    return path


def make_differential(folder: Path, tiny: BaseSection, individuals: Sequence[dict[str, Any]], **sections: Any) -> Path:
    """As :func:`make_store`, of a task whose candidates are all diseases of tests/golden/cohort.hpoa."""
    evaluation = {
        "baselines": ["ranker_resnik", "ranker_mixture"],
        "splits": ["validation", "phenopackets"],
        "fused": True,
    }
    head = {"head": "reranker", "loss": None, "evaluation": evaluation}
    path = make_store(folder, tiny, individuals, **{**head, **sections})
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"] |= {"kind": "differential", "external": {}}
    del content["source"]["min_publications"]
    content["splits"] = {"validation": "new patients", "phenopackets": "new patients", "hpoa": "the annotations' own"}
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def made_up_complaints(folder: Path) -> Path:
    """The files of symptom_to_diagnosis with made-up rows."""
    labels = yaml.safe_load((ROOT / "tasks/symptom_to_diagnosis/task.yaml").read_text())["labels"]
    (folder / "symptom_to_diagnosis").mkdir()
    for name in ("train", "test"):
        lines = [
            f'{{"input_text": "Complaint {name} {n}.", "output_text": "{label}"}}\n' for n, label in enumerate(labels)
        ]
        (folder / "symptom_to_diagnosis" / f"{name}.jsonl").write_text("".join(lines))
    return folder


def write_store(path: Path, *individuals: Any) -> None:
    """The condensed file of Phenopacket Store, with these lines in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in individuals).encode(), mtime=0))


def individual(**changes: Any) -> dict[str, Any]:
    """A line of the condensed file."""
    return {
        "case_id": "PMID_901_Ada",
        "cohort": "LAMP1X",
        "references": ["PMID:901"],
        "disease_id": "OMIM:900001",
        "disease": "Lantern disease",
        "sex": "female",
        "age": "P5Y6M",
        "observed": [["HP:9000010", "Glowing skin"]],
        "excluded": [],
        **changes,
    }


def environment(folder: Path) -> dict[str, str]:
    """The environment for scripts: the project's data, one thread, no network."""
    data = {"OSLER_DATA_DIR": str(folder / "data")} if (folder / "data").is_dir() else {}
    return {
        **os.environ,
        **data,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "src"),
    }


def script(
    folder: Path, name: str, *arguments: str | Path, source: Path = ROOT, free: int | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``scripts/<name>.py`` of the checkout ``source`` in ``folder`` as a user would.

    Where ``free`` is given, no file can be longer than this many bytes: writing more fails as on a full disk.
    """
    command = [str(source / "scripts" / f"{name}.py"), *map(str, arguments)]
    variables = {**environment(folder), **variables, "PYTHONPATH": str(source / "src")}
    with tempfile.TemporaryDirectory() as output:
        process = fork(run_script, command, folder, variables, output, free)
        process.join(timeout=280)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, 280)
        stdout, stderr = (Path(output, stream).read_text(encoding="utf-8") for stream in ("stdout", "stderr"))
    return subprocess.CompletedProcess(command, process.exitcode, stdout, stderr)


def script_in_two_processes(
    folder: Path, name: str, *arguments: str | Path, target: Callable[..., None] = run_script, **variables: str
) -> list[subprocess.CompletedProcess[str]]:
    """Run ``scripts/<name>.py`` in ``folder`` as two processes, as a launcher starts them for two GPUs.

    ``target`` is what each process does with the script.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    ranks = []
    for rank in ("0", "1"):
        output = folder / f"rank-{rank}"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        launched = {
            **environment(folder),
            **{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            **variables,
        }
        ranks.append((fork(target, command, folder, launched, str(output)), output))
    for process, _ in ranks:
        process.join(timeout=120)
        if process.exitcode is None:
            process.kill()
            process.join()
    return [
        subprocess.CompletedProcess(
            command, process.exitcode or 0, *((output / stream).read_text() for stream in ("stdout", "stderr"))
        )
        for process, output in ranks
    ]


def kill_at_first_checkpoint(
    run: Path, folder: Path, name: str, *arguments: str | Path, how: signal.Signals = signal.SIGKILL
) -> int:
    """Start ``scripts/<name>.py`` in ``folder``, and send it ``how`` once the run directory ``run`` has a whole
    checkpoint; the exit status."""
    command = [str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments)]
    process = fork(run_script, command, folder, environment(folder), folder)
    deadline = time.monotonic() + 120
    while not list(run.glob("checkpoints/checkpoint-*/complete.json")):
        assert process.is_alive(), "it ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, how)
    process.join()
    return int(process.exitcode)


def losses(run: Path) -> dict[int, float]:
    """Step → logged loss; of a step logged twice (a killed run does that) the last."""
    lines = [json.loads(line) for line in (run / "train_log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}
