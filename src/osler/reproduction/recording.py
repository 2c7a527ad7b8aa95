"""From finished runs and reproductions to an expected file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import Recipe, load_recipe
from osler.reproduction.expected import METRICS, _threads, not_finite, path_of, tolerance
from osler.runs import Run, tuned_name
from osler.storage import read_json, read_record, write_json

ROBUSTNESS = ("perturbation", "strength", "n", "accuracy", "change", "top_1_flip_rate")


def record(runs: Sequence[Run], recipe_path: Path) -> Path:
    """Write the expected file of the recipe at ``recipe_path`` from a run of exactly that recipe, the first of
    ``runs``, and of others that say how far its figures spread: of other seeds (``train.seed``), or of a seed that is
    there already with another number of threads, on another processor, or with other versions of the packages.

    Raises :class:`InputError` where a run is of another recipe, unfinished, not evaluated on all splits, or repeats
    one that is there: it would find the same figures, and make the spread look small.
    """
    recipe = load_recipe(recipe_path)
    manifests, results = [], []
    for run in runs:
        manifests.append(
            read_record(run.manifest, "seed", "environment", "threads", "train_seconds", "peak_memory_bytes")
        )
        results.append(read_record(run.results, "records"))
        seed, threads = manifests[-1]["seed"], _threads(manifests[-1])
        as_run = recipe if run is runs[0] else load_recipe(recipe_path, [f"train.seed={seed}"])
        if run.recipe().run_sha256 != as_run.run_sha256:
            raise InputError(f"{run.folder}: is not a run of {recipe_path} as it stands now; train it again")
        if run.recipe().evaluation != as_run.evaluation:
            raise InputError(
                f"{run.folder}: {recipe_path} evaluates something else now; start scripts/train.py with it once more,"
                " which trains nothing, then scripts/evaluate.py"
            )
        if _circumstances(manifests[-1]) in map(_circumstances, manifests[:-1]):
            raise InputError(
                f"{run.folder}: seed {seed} is there already, on {threads} of such a machine; a spread needs other"
                " seeds, machines or numbers of threads"
            )
    manifest, environment = manifests[0], manifests[0]["environment"]
    recorded = [
        {
            "seed": m["seed"],
            "threads": m["threads"],
            "cpu": m["environment"]["cpu"],
            "git_commit": m["environment"]["git_commit"],
            "values": {r["split"]: _values(r["systems"][tuned_name(recipe)]) for r in result["records"]},
        }
        for m, result in zip(manifests, results, strict=True)
    ]
    seeds: dict[str, Any] = {}
    for of_run in recorded:
        seeds.setdefault(str(of_run["seed"]), of_run["values"])
    cases = {r["split"]: r["n"] for r in results[0]["records"]}
    write_json(
        path_of(recipe_path),
        {
            "schema": 1,
            "recipe_sha256": recipe.sha256,
            "recorded": date.today().isoformat(),
            "git_commit": environment["git_commit"],
            "git_dirty": environment["git_dirty"],
            "packages": environment["packages"],
            "hardware": {key: environment[key] for key in ("cpu", "cores", "memory_bytes", "gpus")},
            "threads": manifest["threads"],
            "train_minutes": round(manifest["train_seconds"] / 60, 1),
            "peak_memory_gb": round(manifest["peak_memory_bytes"]["host"] / 1e9, 1),
            "manifest": manifest,
            "runs": recorded,
            "seeds": seeds,
            "tolerance": tolerance([of_run["values"] for of_run in recorded], cases),
            "splits": {record["split"]: _split(record, tuned_name(recipe)) for record in results[0]["records"]},
            "robustness": _robustness(runs[0], recipe, results[0]),
            "benchmarks": _benchmarks(runs[0], recipe),
        },
    )
    return path_of(recipe_path)


def record_reproduction(path: Path, recipe_path: Path) -> Path:
    """Add the outcome of a ``reproduction.json`` to the expected file of the recipe: the newest of each depth is kept.

    Raises :class:`InputError` where there is no expected file, the reproduction is of another recipe, or its figures
    and answers come to another verdict than it gives.
    """
    from osler.reproduction import outcome

    keys = ("depth", "recipe.sha256", "environment.git_commit", "differences", "table", "answers", "verdict", "date")
    made = read_record(path, *keys)
    expected = read_record(path_of(recipe_path), "recipe_sha256")
    if made["recipe"]["sha256"] != expected["recipe_sha256"]:
        raise InputError(f"{path}: of another recipe than {path_of(recipe_path).name}; reproduce {recipe_path}")
    if place := not_finite(made):
        raise InputError(f"{path}: {place}: NaN and Infinity are no figures; reproduce {recipe_path} again")
    if (found := outcome.of_record(made)) != made["verdict"]:
        raise InputError(
            f"{path}: says {made['verdict']}, but its figures and answers come to {found}; reproduce {recipe_path}"
        )
    moved = [of["max_probability_difference"] for of in made["answers"]]
    expected.setdefault("reproductions", {})[made["depth"]] = {
        "verdict": made["verdict"],
        "date": made["date"],
        "cpu": made["environment"]["cpu"],
        "git_commit": made["environment"]["git_commit"],
        "differences": [f"{of['what']}: {of['was']}, here {of['now']}" for of in made["differences"]],
        "figures": len(made["table"]),
        "figures_inside": sum(figure["inside"] is True for figure in made["table"]),
        "answers": sum(of["n"] for of in made["answers"]),
        "same_rankings": sum(of["same_ranking"] for of in made["answers"]),
        "max_probability_difference": max((m for m in moved if m is not None), default=None),
    }
    write_json(path_of(recipe_path), expected)
    return path_of(recipe_path)


def _circumstances(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two runs of a recipe must share to find the same figures, bit for bit."""
    environment = manifest["environment"]
    return (manifest["seed"], manifest["threads"], *(environment[key] for key in ("cpu", "gpus", "packages")))


def _values(system: Mapping[str, Any]) -> dict[str, float]:
    return {name: system["metrics"][name]["value"] for name in METRICS if name in system["metrics"]}


def _split(record: Mapping[str, Any], tuned: str) -> dict[str, Any]:
    """What is kept of a split: every metric, the calibration and the subgroup gaps of the tuned model, of the others
    the metrics of the tables."""
    systems = {
        system: {name: values["metrics"][name] for name in METRICS if name in values["metrics"]}
        for system, values in record["systems"].items()
    }
    of_tuned = record["systems"][tuned]
    systems[tuned] = of_tuned["metrics"]
    comparisons = [
        {key: c[key] for key in ("b", "difference", "low", "high", "p_value", "p_adjusted", "method")}
        for c in record["comparisons"]
    ]
    return {
        "n": record["n"],
        "groups": record["groups"],
        "systems": systems,
        "comparisons": comparisons,
        "calibration": _without_reliability(of_tuned["calibration"]),
        "subgroups": {
            name: {key: of[key] for key in ("worst", "best", "gap")} for name, of in of_tuned["subgroups"].items()
        },
        "predictions_sha256": record["predictions_sha256"][tuned],
    }


def _without_reliability(calibration: Mapping[str, Any]) -> dict[str, Any]:
    """The reliability tables are long, and computed again in no time from the predictions."""
    return {
        key: {name: metric for name, metric in of.items() if name != "reliability"}
        if key in ("before", "after")
        else of
        for key, of in calibration.items()
    }


def _robustness(run: Run, recipe: Recipe, results: Mapping[str, Any]) -> dict[str, Any] | None:
    """Split → what perturbations of its cases do to the tuned model's answers; None where nobody looked.

    Raises :class:`InputError` where it was measured on other predictions than the results.
    """
    system, splits = tuned_name(recipe), {}
    for record in results["records"]:
        split, path = record["split"], run.robustness(recipe, record["split"])
        if path.is_file():
            measured = read_json(path)
            if measured["predictions_sha256"][system]["original"] != record["predictions_sha256"][system]:
                raise InputError(f"{path}: of other predictions than {run.results.name}; measure it again")
            splits[split] = [{key: row[key] for key in ROBUSTNESS} for row in measured["records"][system]]
    return splits or None


def _benchmarks(run: Run, recipe: Recipe) -> dict[str, Any] | None:
    """Benchmark → split → number of cases and what the tuned model made of them; None where none was answered."""
    found: dict[str, Any] = {}
    for path in sorted(run.folder.glob("results-*.json")):
        for record in read_json(path)["records"]:
            if path == run.scored(record["task"]):  # not a part of the cases
                metrics = record["systems"][tuned_name(recipe)]["metrics"]
                kept = {name: metrics[name] for name in ("accuracy", "parse_rate") if name in metrics}
                found.setdefault(record["task"], {})[record["split"]] = {"n": record["n"], **kept}
    return found or None
