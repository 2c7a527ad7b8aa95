"""From prediction files to ``results.json``, and from that to the tables people read. Needs no model and no torch."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osler import statistics
from osler.errors import InputError
from osler.manifest import write_atomically
from osler.prediction_file import Prediction, read_predictions

METRICS = Path(__file__).parent / "metrics"
PROPORTIONS = ("accuracy", "top_k_accuracy")  # metric modules whose values are shares of cases: Wilson intervals
COLUMNS = {
    "accuracy": "accuracy [95%]",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
    "top_3_accuracy": "top-3",
    "top_5_accuracy": "top-5",
    "mrr": "MRR",
}


def score(
    files: Sequence[Path],
    output: Path,
    resamples: int = 2000,
    seed: int = 0,
    *,
    compared: str | None = None,
    task_version: int | None = None,
    prompt_sha256: str | None = None,
) -> dict[str, Any]:
    """Score prediction files and write ``results.json``, all or nothing; the same files and seed give the same bytes.

    Args:
        files: prediction files; each may hold several systems, splits and tasks.
        output: where to write.
        resamples, seed: of the bootstrap.
        compared: the system every other one is compared with; the first in ``files`` where None.
        task_version, prompt_sha256: copied into the records; no prediction file holds them.

    Returns:
        What was written: ``schema``, ``resamples``, ``seed`` and ``records``, one a task and split. A metric is
        ``{value, low, high, method}``. Systems that give one label a case have no ranking metrics, and rankings
        shorter than k no top-k accuracy: it would be read as a poor ranking.

    Raises:
        InputError: a file is refused by :func:`~osler.prediction_file.read_predictions`, a system is in two files,
            systems do not cover the same cases of a split or disagree about a label, or ``compared`` is not there.
    """
    if resamples < 1:
        raise InputError(f"resamples is {resamples}; it must be 1 or more")
    splits = read_splits(files)
    sha256 = {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    for (task, split), systems in splits.items():
        check_same_cases({system: rows for system, (_, rows) in systems.items()}, f"{task}, {split}")
        if compared is not None and compared not in systems:
            raise InputError(f"{task}, {split}: no predictions of system {compared!r}; there are {', '.join(systems)}")
    metrics = load_metrics()
    records = []
    for (task, split), systems in splits.items():
        rows = {system: rows for system, (_, rows) in systems.items()}
        first = compared or next(iter(rows))
        counts = statistics.resample_counts(len(rows[first]), resamples, seed)
        records.append(
            {
                "task": task,
                "task_version": task_version,
                "split": split,
                "n": len(rows[first]),
                "prompt_sha256": prompt_sha256,
                "predictions_sha256": {system: sha256[file] for system, (file, _) in systems.items()},
                "systems": {
                    system: {
                        "metrics": metric_values(rows[system], metrics, counts),
                        "calibration": {},
                        "subgroups": subgroup_values(rows[system]),
                    }
                    for system in systems
                },
                "comparisons": comparisons(rows, first, counts),
            }
        )
    results = {"schema": 1, "resamples": resamples, "seed": seed, "records": records}
    write_atomically(output, json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return results


def read_splits(files: Sequence[Path]) -> dict[tuple[str, str], dict[str, tuple[Path, list[Prediction]]]]:
    """(task, split) to system to its file and its predictions, in the order of ``files``, the cases sorted by id.

    Raises :class:`~osler.errors.InputError` where there is no file or a system's predictions are in two.
    """
    if not files:
        raise InputError("no prediction files given")
    splits: dict[tuple[str, str], dict[str, tuple[Path, list[Prediction]]]] = {}
    for file in dict.fromkeys(files):
        for row in read_predictions(file):
            source, rows = splits.setdefault((row.task, row.split), {}).setdefault(row.system, (file, []))
            if source != file:
                raise InputError(f"{file}: system {row.system!r} ({row.task}, {row.split}) is in {source} already")
            rows.append(row)
    for systems in splits.values():
        for _, rows in systems.values():
            # Neither the values nor the resamples may depend on the order of the lines.
            rows.sort(key=lambda row: row.case_id)
    return splits


def load_metrics() -> list[Any]:
    """Every ``evaluate.Metric`` in ``osler/metrics``, by local path: a metric is added by adding its file."""
    # `python scripts/evaluate.py` puts scripts/ first on the path, where `import evaluate` would find that script.
    path = list(sys.path)
    sys.path[:] = [entry for entry in path if not (Path(entry) / "evaluate.py").is_file()]
    try:
        import evaluate  # slow: it imports transformers, and torch where there is one
    finally:
        sys.path[:] = path
    return [evaluate.load(str(file), keep_in_memory=True) for file in sorted(METRICS.glob("*/*.py"))]


def check_same_cases(systems: dict[str, list[Prediction]], place: str) -> None:
    """Raise :class:`~osler.errors.InputError` unless all systems answer the same cases, with the same labels."""
    first, *others = systems
    labels = {row.case_id: row.label for row in systems[first]}
    for other in others:
        other_labels = {row.case_id: row.label for row in systems[other]}
        for lacking, having, missing in (
            (other, first, labels.keys() - other_labels.keys()),
            (first, other, other_labels.keys() - labels.keys()),
        ):
            if missing:
                raise InputError(
                    f"{place}: system {lacking!r} has no prediction for case {min(missing)!r} ({len(missing)} missing "
                    f"in all), which {having!r} has; every system must answer the same cases"
                )
        for case_id, label in labels.items():
            if other_labels[case_id] != label:
                raise InputError(
                    f"{place}: the label of case {case_id!r} is {label!r} for {first!r} and {other_labels[case_id]!r} "
                    f"for {other!r}; predict both on the same version of the task"
                )


def metric_values(rows: list[Prediction], metrics: list[Any], counts: statistics.Floats) -> dict[str, Any]:
    """Every metric of one system with its interval; ``counts`` are the resamples, in the order of ``rows``."""
    columns: dict[str, list[Any]] = {
        "references": [row.label for row in rows],
        "predictions": [row.answer for row in rows],
        "ranked": [list(row.ranked) if row.parsed else [] for row in rows],
    }
    longest = max(len(labels) for labels in columns["ranked"])
    reciprocal_ranks = [
        1 / (labels.index(row.label) + 1) if row.label in labels else 0.0
        for row, labels in zip(rows, columns["ranked"], strict=True)
    ]
    resampled = statistics.resampled_label_metrics(columns["references"], columns["predictions"], counts)
    resampled["mrr"] = statistics.resampled_mean(reciprocal_ranks, counts)
    values = {"parse_rate": proportion(sum(row.parsed for row in rows), len(rows))}
    for metric in metrics:
        inputs = {name: columns[name] for name in metric.features}
        if "ranked" in inputs and longest < 2:
            continue
        for name, value in metric.compute(**inputs).items():
            if metric.name == "top_k_accuracy" and int(name.split("_")[1]) > longest:
                continue
            if metric.name in PROPORTIONS:
                values[name] = proportion(round(value * len(rows)), len(rows))
            else:
                replicates = resampled[name] if name in resampled else recompute(metric, name, inputs, counts)
                low, high = statistics.percentile_interval(replicates)
                values[name] = {"value": value, "low": low, "high": high, "method": "bootstrap_percentile"}
    return values


def proportion(successes: int, n: int) -> dict[str, Any]:
    """A share of cases with its Wilson interval, as ``results.json`` holds it."""
    low, high = statistics.wilson_interval(successes, n)
    return {"value": successes / n, "low": low, "high": high, "method": "wilson"}


def recompute(metric: Any, name: str, inputs: dict[str, list[Any]], counts: statistics.Floats) -> list[float]:
    """A metric that has no vectorised form on every resample, a call each: seconds, not milliseconds."""
    replicates = []
    for row in counts:
        drawn = [case for case, times in enumerate(row) for _ in range(int(times))]
        # _compute and not compute: that one writes an Arrow table a call.
        sample = metric._compute(**{column: [cells[case] for case in drawn] for column, cells in inputs.items()})
        replicates.append(float(sample[name]))
    return replicates


def subgroup_values(rows: list[Prediction]) -> dict[str, Any]:
    """Accuracy and number of cases by subgroup: ``{"sex": {"female": {"n": 40, "accuracy": {...}}}}``."""
    groups: dict[str, dict[str, list[bool]]] = {}
    for row in rows:
        for name, value in row.subgroups.items():
            groups.setdefault(name, {}).setdefault(value, []).append(row.correct)
    return {
        name: {
            value: {"n": len(correct), "accuracy": proportion(sum(correct), len(correct))}
            for value, correct in sorted(values.items())
        }
        for name, values in sorted(groups.items())
    }


def comparisons(systems: dict[str, list[Prediction]], first: str, counts: statistics.Floats) -> list[dict[str, Any]]:
    """``first`` against every other system on the same cases; ``difference`` is the accuracy of ``a`` minus ``b``'s.

    p values are McNemar's exact ones, adjusted by Holm over the comparisons of this task and split.
    """
    correct = {system: [row.correct for row in rows] for system, rows in systems.items()}
    others = [system for system in systems if system != first]
    p_values = [statistics.mcnemar_exact(correct[first], correct[other]) for other in others]
    records = []
    for other, p_value, p_adjusted in zip(others, p_values, statistics.holm(p_values), strict=True):
        difference, low, high = statistics.paired_bootstrap_difference(correct[first], correct[other], counts)
        records.append(
            {
                "a": first,
                "b": other,
                "metric": "accuracy",
                "difference": difference,
                "low": low,
                "high": high,
                "interval_method": "paired_bootstrap_percentile",
                "p_value": p_value,
                "p_adjusted": p_adjusted,
                "method": "mcnemar_exact",
            }
        )
    return records


def render_table(results: dict[str, Any]) -> str:
    """Plain text of at most 110 columns: a table a task and split, then a line a comparison; long names are cut."""
    lines = []
    for record in results["records"]:
        rows = [["system", *COLUMNS.values(), "n"]]
        rows += [
            [_shorten(name), *_cells(system, with_interval=("accuracy",)), str(record["n"])]
            for name, system in record["systems"].items()
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines += [f"{record['task']}, {record['split']}", ""]
        for row in rows:
            cells = [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
            lines.append("  ".join(cells))
        lines.append("")
        lines += [f"{_shorten(name)}: {note}" for name, note in _unparsed(record)]
        if record["comparisons"]:
            lines.append(f"Accuracy of {_shorten(record['comparisons'][0]['a'])} minus that of")
        lines += [f"  {_shorten(row['b']).ljust(widths[0])}  {_comparison(row)}" for row in record["comparisons"]]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def markdown_table(results: dict[str, Any]) -> str:
    """Markdown of the same numbers, every one with its 95% interval: for cards and READMEs."""
    lines = []
    for record in results["records"]:
        lines += [f"**{record['task']}, {record['split']}** (n = {record['n']})", ""]
        header = ["system", *COLUMNS.values()]
        header[1] = "accuracy"
        lines += [f"| {' | '.join(header)} |", f"|---|{'---:|' * len(COLUMNS)}"]
        for name, system in record["systems"].items():
            lines.append(f"| {' | '.join([name, *_cells(system, with_interval=tuple(COLUMNS))])} |")
        lines.append("")
        lines += [f"* {name}: {note}" for name, note in _unparsed(record)]
        lines += [f"* accuracy of {row['a']} minus {row['b']}: {_comparison(row)}" for row in record["comparisons"]]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _cells(system: dict[str, Any], with_interval: tuple[str, ...]) -> list[str]:
    cells = []
    for name in COLUMNS:
        metric = system["metrics"].get(name)
        cell = "–" if metric is None else f"{metric['value']:.3f}"
        if metric is not None and name in with_interval:
            cell += f" [{metric['low']:.3f}, {metric['high']:.3f}]"
        cells.append(cell)
    return cells


def _unparsed(record: dict[str, Any]) -> list[tuple[str, str]]:
    rates = {name: system["metrics"]["parse_rate"]["value"] for name, system in record["systems"].items()}
    return [
        (name, f"{1 - rate:.1%} of the answers could not be parsed and count as wrong")
        for name, rate in rates.items()
        if rate < 1
    ]


def _comparison(row: dict[str, Any]) -> str:
    interval = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{interval}, McNemar {_p(row['p_value'])}, Holm {_p(row['p_adjusted'])}"


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _shorten(name: str, width: int = 36) -> str:
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-width // 2 :]}"
