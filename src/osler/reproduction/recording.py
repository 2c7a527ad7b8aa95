"""From finished runs and reproductions to an expected file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from osler.errors import InputError
from osler.recipe import Recipe, load_recipe
from osler.reproduction.expected import (
    METRICS,
    Expected,
    ExpectedBenchmark,
    ExpectedCalibration,
    ExpectedComparison,
    ExpectedMeasures,
    ExpectedPerturbation,
    ExpectedSplit,
    Hardware,
    RecordedReproduction,
    RecordedRun,
    SubgroupGap,
    expected_path,
    read_expected,
    threads_text,
    tolerance,
)
from osler.reproduction.outcome import ReproductionFile, verdict_of
from osler.runs import Calibration, Manifest, Record, Results, Robustness, Run, System, tuned_name
from osler.storage import plain, read_model, sha256_file, write_model


def record(runs: Sequence[Run], recipe_path: Path) -> Path:
    """Write the expected file of the recipe at ``recipe_path`` from a run of exactly that recipe, the first of
    ``runs``, and of others that say how far its figures spread: of other seeds (``train.seed``), or of a seed that is
    there already with another number of threads, on another processor, or with other versions of the packages.

    Raises :class:`InputError` where a run is of another recipe, unfinished, not evaluated on all splits, or repeats
    one that is there: it would find the same figures, and make the spread look small.
    """
    recipe = load_recipe(recipe_path)
    manifests: list[Manifest] = []
    results: list[Results] = []
    for run in runs:
        run.recipe()  # where the folder is no run, it says so
        manifest = run.read_manifest()
        results.append(run.read_results())
        as_run = recipe if run is runs[0] else load_recipe(recipe_path, [f"train.seed={manifest.seed}"])
        if run.recipe().run_sha256 != as_run.run_sha256:
            raise InputError(f"{run.folder}: is not a run of {recipe_path} as it stands now; train it again")
        if run.recipe().evaluation != as_run.evaluation:
            raise InputError(
                f"{run.folder}: {recipe_path} evaluates something else now; start scripts/train.py with it once more,"
                " which trains nothing, then scripts/evaluate.py"
            )
        if unscored := [of.split for of in results[-1].records if tuned_name(as_run) not in of.systems]:
            raise InputError(f"{run.results_path()}: no {tuned_name(as_run)} on {unscored[0]}; evaluate it again")
        if manifests and manifest.release_sha256 != manifests[0].release_sha256:
            one, other = (str(of.release_sha256)[:12] for of in (manifests[0], manifest))
            raise InputError(
                f"{run.folder}: trained on release {other} of the data, {runs[0].folder} on {one}; a spread needs one"
                " release"
            )
        if _circumstances(manifest) in map(_circumstances, manifests):
            raise InputError(
                f"{run.folder}: seed {manifest.seed} is there already, on {threads_text(manifest.threads)} of such a"
                " machine; a spread needs other seeds, machines or numbers of threads"
            )
        manifests.append(manifest)
    tuned, first, environment = tuned_name(recipe), manifests[0], manifests[0].environment
    recorded = tuple(
        RecordedRun(
            seed=manifest.seed,
            threads=manifest.threads,
            cpu=manifest.environment.cpu,
            git_commit=manifest.environment.git_commit,
            values={record.split: _values(record.systems[tuned]) for record in of_run.records},
        )
        for manifest, of_run in zip(manifests, results, strict=True)
    )
    cases = {record.split: record.n for record in results[0].records}
    expected = Expected(
        schema=1,
        recipe_sha256=recipe.sha256,
        recorded=date.today().isoformat(),
        git_commit=environment.git_commit,
        git_dirty=environment.git_dirty,
        packages=environment.packages,
        hardware=Hardware(
            cpu=environment.cpu,
            cores=environment.cores,
            memory_bytes=environment.memory_bytes,
            gpus=environment.gpus,
        ),
        threads=first.threads,
        train_minutes=round(first.train_seconds / 60, 1),
        peak_memory_gb=round(first.peak_memory_bytes.host / 1e9, 1),
        content=first.content,
        manifest_sha256=sha256_file(runs[0].manifest_path),
        runs=recorded,
        tolerance=tolerance([run.values for run in recorded], cases),
        splits={record.split: _split(record, tuned) for record in results[0].records},
        fused=results[0].fused,
        robustness=_robustness(runs[0], recipe, results[0]),
        benchmarks=_benchmarks(runs[0], recipe),
    )
    write_model(expected_path(recipe_path), expected)
    return expected_path(recipe_path)


def record_reproduction(path: Path, recipe_path: Path) -> Path:
    """Add the outcome of a ``reproduction.json`` to the expected file of the recipe: the newest of each depth is kept.

    Raises :class:`InputError` where there is no expected file, the reproduction is of another recipe, or its figures
    and answers come to another verdict than it gives.
    """
    made, expected = read_model(path, ReproductionFile), read_expected(expected_path(recipe_path))
    if made.recipe.sha256 != expected.recipe_sha256:
        raise InputError(f"{path}: of another recipe than {expected_path(recipe_path).name}; reproduce {recipe_path}")
    if (verdict := verdict_of(made)) != made.verdict:
        raise InputError(
            f"{path}: says {made.verdict}, but its figures and answers come to {verdict}; reproduce {recipe_path}"
        )
    moved = [answer.max_probability_difference for answer in made.answers]
    recorded = RecordedReproduction(
        verdict=made.verdict,
        date=made.date,
        cpu=made.environment.cpu,
        git_commit=made.environment.git_commit,
        differences=tuple(f"{one.what}: {one.was}, here {one.now}" for one in made.differences),
        figures=len(made.table),
        figures_inside=sum(figure.inside is True for figure in made.table),
        answers=sum(answer.n for answer in made.answers),
        same_rankings=sum(answer.same_ranking for answer in made.answers),
        max_probability_difference=max((m for m in moved if m is not None), default=None),
    )
    reproductions = {**expected.reproductions, made.depth: recorded}
    write_model(expected_path(recipe_path), expected.model_copy(update={"reproductions": reproductions}))
    return expected_path(recipe_path)


def _circumstances(manifest: Manifest) -> tuple[object, ...]:
    """What two runs of a recipe must share to find the same figures, bit for bit."""
    environment = manifest.environment
    return manifest.seed, manifest.threads, environment.cpu, environment.gpus, environment.packages


def _values(system: System) -> dict[str, float]:
    return {name: system.metrics[name].value for name in METRICS if name in system.metrics}


def _split(record: Record, tuned: str) -> ExpectedSplit:
    """What is kept of a split: every metric, the calibration and the subgroup gaps of the tuned model, of the others
    the metrics of the tables."""
    systems = {
        name: {metric: system.metrics[metric] for metric in METRICS if metric in system.metrics}
        for name, system in record.systems.items()
    }
    system = record.systems[tuned]
    return ExpectedSplit(
        n=record.n,
        groups=record.groups,
        systems={**systems, tuned: system.metrics},
        comparisons=_comparisons(record),
        calibration=_calibration(system.calibration),
        subgroups={
            name: SubgroupGap(worst=subgroups.worst, best=subgroups.best, gap=subgroups.gap)
            for name, subgroups in system.subgroups.items()
        },
        predictions_sha256=record.predictions_sha256[tuned],
    )


def _comparisons(record: Record) -> tuple[ExpectedComparison, ...]:
    compared = (plain(comparison) for comparison in record.comparisons)
    return tuple(
        ExpectedComparison(**{name: row[name] for name in ExpectedComparison.model_fields}) for row in compared
    )


def _calibration(calibration: Calibration) -> ExpectedCalibration:
    parts = {name: getattr(calibration, name) for name in calibration.model_fields_set}
    for name in ("before", "after"):
        if name in parts:
            parts[name] = ExpectedMeasures(**parts[name].measures)
    return ExpectedCalibration(**parts)


def _robustness(run: Run, recipe: Recipe, results: Results) -> dict[str, tuple[ExpectedPerturbation, ...]] | None:
    """Split → what perturbations of its cases do to the tuned model's answers; None where nobody looked.

    Raises :class:`InputError` where it was measured on other predictions than the results.
    """
    system, splits = tuned_name(recipe), {}
    for record in results.records:
        path = run.robustness_path(recipe, record.split)
        if not path.is_file():
            continue
        measured = read_model(path, Robustness)
        if system not in measured.records:
            raise InputError(f"{path}: no answers of {system} in it; measure it again")
        if measured.predictions_sha256[system]["original"] != record.predictions_sha256[system]:
            raise InputError(f"{path}: of other predictions than {run.results_path().name}; measure it again")
        splits[record.split] = tuple(
            ExpectedPerturbation(**{name: getattr(row, name) for name in ExpectedPerturbation.model_fields})
            for row in measured.records[system]
        )
    return splits or None


def _benchmarks(run: Run, recipe: Recipe) -> dict[str, dict[str, ExpectedBenchmark]] | None:
    """Benchmark → split → what the tuned model and its base made of it; None where none was answered."""
    answered: dict[str, dict[str, ExpectedBenchmark]] = {}
    for path in sorted(run.folder.glob("results-*.json")):
        for record in read_model(path, Results).records:
            if path == run.results_path(record.task):  # not a part of the cases
                metrics = record.systems[tuned_name(recipe)].metrics
                base = record.systems.get("base_model")
                answered.setdefault(record.task, {})[record.split] = ExpectedBenchmark(
                    n=record.n,
                    accuracy=metrics["accuracy"],
                    parse_rate=metrics.get("parse_rate"),
                    base_accuracy=base.metrics["accuracy"] if base else None,
                    comparison=next((row for row in _comparisons(record) if row.b == "base_model"), None),
                )
    return answered or None
