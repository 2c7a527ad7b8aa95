#!/usr/bin/env python3
"""What monitoring's alarms are worth: false alarms without shift, how fast injected shifts are found, and how near an
accuracy that is estimated without labels comes to the real one. All of it from the answers of an evaluated run.

    python benchmarks/drift.py RUN --output benchmarks/drift.json   # ten minutes; writes the tables into PAGE, too
    python benchmarks/drift.py RUN --choose                         # which δ of ADWIN keeps to its share of the budget

Streams are cases of the run's evaluation drawn one by one, with replacement: they are a population, of which each
simulated evaluation is a sample of as many. Nothing is chosen on `test`: --choose draws from `validation`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression

from osler.errors import InputError, exit_status
from osler.monitoring import NUMBERS, Detectors, Observed, Raised, Reference, drift, read_reference, told, unequal
from osler.rendering import markdown_table, signed
from osler.runs import Calibration, Prediction, Record, Run, read_predictions
from osler.statistics import Floats, Ints, Resamples, calibration
from osler.storage import write_atomically, write_json

PAGE = Path(__file__).resolve().parents[1] / "docs" / "decisions" / "monitoring.md"
BEGIN, END = "<!-- drift: begin -->", "<!-- end -->"
CASES = drift.CASES
JUDGED = 0.1  # of the cases get a verdict
WITHIN = 500  # cases in which a shift has to be found
DELTAS = (2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 1e-5)
WAYS = ("temperature", "temperature and bias", "Platt")  # of calibrating
SPLITS = 200  # random halves of the publications


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of phenopackets, evaluated on its four splits")
    parser.add_argument("--output", type=Path, help="where the results go, as JSON")
    parser.add_argument("--choose", action="store_true", help="instead, false alarms of ADWIN by δ, on validation")
    parser.add_argument("--evaluations", type=int, default=50, help="simulated, of two streams each (default: 50)")
    parser.add_argument("--trials", type=int, default=100, help="of each injected shift (default: 100)")
    arguments = parser.parse_args()
    run = Run(arguments.run)
    if arguments.choose:
        for delta, rate in chosen(read_reference(run, "validation"), arguments.evaluations).items():
            print(f"δ = {delta:g}: {rate:.2f} false alarms of ADWIN in {CASES:,} cases")
        return 0
    if arguments.output is None:
        raise InputError("name a file with --output, or --choose")
    population = read_reference(run, "test")
    results = {
        "run": run.read_manifest().recipe.name,
        "cases": len(population.cases),
        "not_watched": dict(population.not_watched),
        "false_alarms": false_alarms(population, arguments.evaluations),
        "shifts": shifts(population, read_reference(run, "test_unseen_wording"), arguments.trials),
        "accuracy": accuracy(run),
        "halves": {split: halves(run, split) for split in ("validation", "test")},
    }
    write_json(arguments.output, results)
    if PAGE.is_file():
        before, after = PAGE.read_text(encoding="utf-8").split(BEGIN)
        write_atomically(PAGE, f"{before}{BEGIN}\n{tables(results)}\n{END}{after.partition(END)[2]}")
    print(tables(results))
    return 0


def tables(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    quiet, rate = results["false_alarms"], results["false_alarms"]["per_10000"]
    kinds = {kind: quiet["alarms"].get(kind, 0) for kind in drift.BUDGET.shares}
    lines = [
        f"Without shift: {sum(kinds.values())} alarms in {quiet['cases']:,} cases ({quiet['streams']} streams),"
        f" **{rate['value']:.2f} [{rate['low']:.2f}, {rate['high']:.2f}] in {CASES:,}** (Poisson); by detector:",
        "",
        markdown_table(
            ["detector", "designed for", f"seen in {CASES:,} cases"],
            [[kind, f"{drift.BUDGET.shares[kind]:g}", f"{n / quiet['streams']:.2f}"] for kind, n in kinds.items()],
        ),
        "",
        f"Injected shifts, and what was found of them within {WITHIN} cases:",
        "",
        markdown_table(
            ["shift", "watched by", "found", "by any detector", "median cases until then"],
            [
                [
                    name,
                    ", ".join(row["features"]),
                    f"{row['found']:.0%}",
                    f"{row['found_by_any']:.0%}",
                    "–" if row["median_delay"] is None else f"{row['median_delay']:.0f}",
                ]
                for name, row in results["shifts"].items()
            ],
        ),
        "",
        "Accuracy estimated without labels, calibrated on `validation`; error and interval over publications:",
        "",
        markdown_table(
            ["system", "split", "accuracy", "error, temperature [95%]", "error, Platt [95%]"],
            [
                [
                    row["system"],
                    row["split"],
                    f"{row['realised']:.3f}",
                    *(signed(*(row[way][end] for end in ("value", "low", "high"))) for way in ("temperature", "Platt")),
                ]
                for row in results["accuracy"]
            ],
        ),
        "",
        f"Random halves of a split's publications, {SPLITS} times: calibrated on one, mean absolute error on the"
        " other:",
        "",
        markdown_table(
            ["split", "system", *(f"{way} (within 0.03)" for way in WAYS)],
            [
                [
                    split,
                    system,
                    *(f"{of[way]['mean_absolute']:.3f} ({of[way]['within_0.03']:.0%})" for way in WAYS),
                ]
                for split, systems in results["halves"].items()
                for system, of in systems.items()
            ],
        ),
    ]
    return "\n".join(lines)


# ── without shift ────────────────────────────────────────────────────────────────────────────────────────────────────


def evaluations(population: Reference, n: int, seed: int) -> Iterator[tuple[Reference, np.random.Generator]]:
    """Samples of the population, each as large as it is, and what chance their streams come from."""
    for number in range(n):
        draw = np.random.default_rng([seed, number])
        places = draw.integers(len(population.cases), size=len(population.cases))
        groups = None if population.groups is None else population.groups[places]
        yield replace(population, cases=population.cases.take(places), groups=groups), draw


def stream(cases: Observed, n: int, draw: np.random.Generator) -> Observed:
    """``n`` cases, one in ten of them judged."""
    drawn = cases.take(draw.integers(len(cases), size=n))
    return replace(drawn, right=np.where(draw.random(n) < JUDGED, drawn.right, np.nan))


def raised(detectors: Detectors, cases: Observed, looks: Sequence[int]) -> list[Raised]:
    """Every alarm; subgroups are looked at after each number of cases in ``looks``."""
    found = detectors.alarms(cases, detectors.psi(cases), [])
    for end in looks:
        so_far = cases.take(slice(0, end))
        groups = detectors.subgroups.groups(so_far, detectors.calibrated)
        found += unequal(end, groups)
    return found


def false_alarms(population: Reference, n: int) -> dict[str, Any]:
    """By kind, in two streams of 10,000 cases each for ``n`` simulated evaluations; with what every window is looked
    at, as a service does."""
    kinds: Counter[str] = Counter()
    streams = 0
    for reference, draw in evaluations(population, n, seed=1):
        detectors = Detectors(reference)
        for _ in range(2):
            cases = stream(population.cases, CASES, draw)
            found = raised(detectors, cases, range(4 * drift.WINDOW, CASES + 1, 4 * drift.WINDOW))
            kinds.update(one.kind for one in found)
            kinds.update(f"{one.kind}: {one.about}" for one in found if one.kind != "gap")
            streams += 1
    total = sum(kinds[kind] for kind in drift.BUDGET.shares)
    low, high = chi2.ppf(0.025, 2 * total) / 2 if total else 0.0, chi2.ppf(0.975, 2 * total + 2) / 2
    return {
        "streams": streams,
        "cases": streams * CASES,
        "alarms": dict(sorted(kinds.items())),
        "per_10000": {"value": total / streams, "low": low / streams, "high": high / streams},
    }


def chosen(population: Reference, n: int) -> dict[float, float]:
    """δ → false alarms of ADWIN over all numeric streams in 10,000 cases."""
    alarms: Counter[float] = Counter()
    for reference, draw in evaluations(population, n, seed=0):
        cases = stream(population.cases, CASES, draw)
        for feature in [one for one in population.watched if one in NUMBERS]:
            for delta in DELTAS:
                alarms[delta] += len(drift.changes(feature, reference.cases, cases, delta))
    return {delta: alarms[delta] / n for delta in DELTAS}


# ── with shift ───────────────────────────────────────────────────────────────────────────────────────────────────────

Shifted = Callable[[Observed, np.random.Generator], Observed]


def injected(population: Reference, reworded: Reference) -> dict[str, tuple[tuple[str, ...], Shifted]]:
    """What is done to a stream → which features should say so, and how it is done."""
    cases, n = population.cases, len(population.cases)
    both = _joined(cases, reworded.cases)  # the same patients, in the same order

    def longer(factor: float) -> Shifted:
        return lambda own, draw: replace(own, tokens=np.round(own.tokens * factor))

    def less_sure(by: float) -> Shifted:
        def shifted(own: Observed, draw: np.random.Generator) -> Observed:
            confidence = expit(logit(np.clip(own.confidence, 1e-6, 1 - 1e-6)) - by)
            return replace(own, confidence=confidence)

        return shifted

    def foreign(share: float) -> Shifted:
        def shifted(own: Observed, draw: np.random.Generator) -> Observed:
            other = draw.random(len(own)) < share
            return replace(
                own, language=tuple("de" if is_so else one for one, is_so in zip(own.language, other, strict=True))
            )

        return shifted

    def more_of(share: float, key: Callable[[int], str | None]) -> Shifted:
        """``share`` of the cases are of a kind that a tenth to a fifth of the population has; which, by chance."""
        kinds = Counter(key(place) for place in range(n))
        order = sorted((kind for kind in kinds if kind), key=str)

        def shifted(own: Observed, draw: np.random.Generator) -> Observed:
            of: set[str] = set()
            for kind in draw.permutation(order).tolist():
                if sum(kinds[one] for one in of) < n / 10 and kinds[kind] <= n / 5:
                    of.add(kind)
            inside = np.array([place for place in range(n) if key(place) in of])
            places = draw.integers(n, size=len(own))
            more = draw.random(len(own)) < share
            places[more] = draw.choice(inside, size=int(more.sum()))
            return cases.take(places)

        return shifted

    def told_otherwise(share: float) -> Shifted:
        def shifted(own: Observed, draw: np.random.Generator) -> Observed:
            places, changed = draw.integers(n, size=len(own)), draw.random(len(own)) < share
            return both.take(np.where(changed, places + n, places))

        return shifted

    system = [own.get("organ_system") for own in cases.subgroups]
    return {
        "texts half as long again": (("length",), longer(1.5)),
        "texts a quarter longer": (("length",), longer(1.25)),
        "texts a quarter shorter": (("length",), longer(0.75)),
        "all cases in other words": (("wording",), told_otherwise(1.0)),
        "half of the cases in other words": (("wording",), told_otherwise(0.5)),
        "some diagnoses (a tenth of all) in half of the cases": (("labels",), more_of(0.4, lambda i: cases.label[i])),
        "the same in three of ten": (("labels",), more_of(0.2, lambda i: cases.label[i])),
        "one or two organ systems in half of the cases": (("findings",), more_of(0.4, lambda i: system[i])),
        "the same in three of ten, findings": (("findings",), more_of(0.2, lambda i: system[i])),
        "10% of the texts in German": (("language",), foreign(0.1)),
        "5% of the texts in German": (("language",), foreign(0.05)),
        "log-odds of the first diagnosis lower by 1": (("confidence", "abstention"), less_sure(1.0)),
        "log-odds lower by 0.5": (("confidence", "abstention"), less_sure(0.5)),
    }


def _joined(one: Observed, other: Observed) -> Observed:
    columns: dict[str, Any] = {}
    for name, column in vars(one).items():
        more = getattr(other, name)
        columns[name] = np.concatenate([column, more]) if isinstance(column, np.ndarray) else column + more
    return Observed(**columns)


def shifts(population: Reference, reworded: Reference, trials: int) -> dict[str, Any]:
    """Of each injected shift: how often its own features say so within 500 cases, how often any does, and when."""
    table = {}
    references = [Detectors(one) for one, _ in evaluations(population, 10, seed=2)]
    for number, (name, (features, shifted)) in enumerate(injected(population, reworded).items()):
        delays, anything = [], 0
        for trial in range(trials):
            draw = np.random.default_rng([3, number, trial])
            begins = 1000 + int(draw.integers(drift.WINDOW))
            before, after = stream(population.cases, begins, draw), stream(population.cases, WITHIN, draw)
            cases = _joined(before, shifted(after, draw))
            detectors = references[trial % len(references)]
            found = [one for one in detectors.alarms(cases, detectors.psi(cases), []) if one.case > begins]
            own = [one.case - begins for one in found if one.about in features]
            delays += [min(own)] if own else []
            anything += bool(found)
        table[name] = {
            "features": features,
            "trials": trials,
            "found": len(delays) / trials,
            "found_by_any": anything / trials,
            "median_delay": float(np.median(delays)) if delays else None,
            "latest": max(delays, default=None),
        }
    return table


# ── accuracy without labels ──────────────────────────────────────────────────────────────────────────────────────────


def accuracy(run: Run) -> list[dict[str, Any]]:
    """Mean calibrated probability minus accuracy, of every system with probabilities on every split but the one that
    calibration was fitted on. The interval is over publications, cases and what is known of both."""
    rows = []
    for record, system, fitted in calibrated_systems(run):
        answers = read_predictions(run.prediction_path(record.task, record.split, system))
        seen = read_predictions(run.prediction_path(record.task, "validation", system))
        confidence, (right, groups) = told(answers, fitted)[0], outcomes(answers)
        resamples = Resamples.draw(len(right), 2000, 0, groups)
        platt = platt_scaling(told(seen, fitted)[0], outcomes(seen)[0])
        row: dict[str, Any] = {"system": system, "split": record.split, "n": len(right)}
        row |= {"publications": int(groups.max()) + 1, "realised": float(right.mean())}
        for way, estimates in (("temperature", confidence), ("Platt", platt(confidence))):
            low, high, method = resamples.mean_interval(estimates - right)
            value = float((estimates - right).mean())
            row[way] = {"value": value, "low": low, "high": high, "method": method}
        rows.append(row)
    return rows


def platt_scaling(confidence: Floats, right: Floats) -> Callable[[Floats], Floats]:
    """Confidence → how often that much of it is right, by the logistic regression of ``right`` on its log-odds."""

    def odds(of: Floats) -> Floats:
        return logit(np.clip(of, 1e-6, 1 - 1e-6))[:, None]

    fitted = LogisticRegression(C=1e6).fit(odds(confidence), right)
    return lambda of: fitted.predict_proba(odds(of))[:, 1]


def calibrated_systems(run: Run) -> Iterator[tuple[Record, str, Calibration]]:
    for record in run.read_results().records:
        for system, of in record.systems.items():
            if of.calibration.temperature is not None and system != "majority":
                yield record, system, of.calibration


def outcomes(answers: Sequence[Prediction]) -> tuple[Floats, Ints]:
    """Whether each is right, and its publication as a number."""
    groups = np.unique([row.group or row.case_id for row in answers], return_inverse=True)[1]
    return np.array([float(row.correct) for row in answers]), groups


def halves(run: Run, split: str) -> dict[str, Any]:
    """Two hundred times, a half of a split's publications to calibrate on and the other to estimate the accuracy of: no
    shift but chance, which the accuracy of a half has as well."""
    table = {}
    for system in dict.fromkeys(name for _, name, _ in calibrated_systems(run)):
        answers = read_predictions(run.prediction_path(run.read_manifest().task.name, split, system))
        right, groups = outcomes(answers)
        labels = sorted({name for row in answers for name in (row.label, *row.ranked)})
        column = {label: place for place, label in enumerate(labels)}
        p, ranked = np.zeros((len(answers), len(labels))), np.zeros((len(answers), len(labels)), bool)
        for case, row in enumerate(answers):
            places = [column[label] for label in row.ranked]
            p[case, places], ranked[case, places] = row.probabilities, True
        target = np.array([column[row.label] for row in answers])
        errors: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(SPLITS):
            draw = np.random.default_rng([4, number])
            fit = np.isin(groups, draw.permutation(groups.max() + 1)[: (groups.max() + 1) // 2])
            rest = ~fit
            temperature = calibration.fit_temperature(p[fit], target[fit], ranked[fit])
            named = float(ranked[fit, target[fit]].mean())
            sure = calibration.temper(p, temperature, ranked, named).max(axis=1)
            error = float(sure[rest].mean() - right[rest].mean())
            errors["temperature"].append(error)
            errors["temperature and bias"].append(error - float(sure[fit].mean() - right[fit].mean()))
            platt = platt_scaling(sure[fit], right[fit])
            errors["Platt"].append(float(platt(sure[rest]).mean() - right[rest].mean()))
        table[system] = {
            name: {
                "mean": float(np.mean(of)),
                "mean_absolute": float(np.mean(np.abs(of))),
                "within_0.03": float(np.mean(np.abs(of) <= 0.03)),
            }
            for name, of in errors.items()
        }
    return table


if __name__ == "__main__":
    raise SystemExit(exit_status(main))
