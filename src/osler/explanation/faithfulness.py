"""How faithful explanations are, on held-out cases: ablation and integrated gradients against random orders."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from tqdm import tqdm

from osler.errors import InputError
from osler.explanation import ablation
from osler.explanation.curves import GRID, Areas, areas, mean_areas
from osler.explanation.explain import Explainer
from osler.explanation.gradients import STEPS, check_installed, integrated_gradients
from osler.explanation.units import Unit
from osler.recipe import Recipe
from osler.runs import (
    CurveComparison,
    Estimate,
    Faithfulness,
    Manifest,
    OrderCurves,
    Paraphrased,
    RankAgreement,
    tuned_name,
)
from osler.statistics import Floats, Ints, Resamples, intervals, number_groups, significance
from osler.tasks import Case, Perturbation, Source, rephrased

MOST_UNITS = 8  # 256 texts at most can be made of a case then
RANDOM_ORDERS = 5
LEAST_RANKED = 3  # units; the ranks of two agree, or not, by chance
METHODS = ("ablation", "integrated_gradients")
PHRASES, WORDINGS = "phrases that say the same", "other wordings of HPO's findings"


@dataclass(frozen=True)
class Explained:
    """What was measured of one case."""

    unit: str
    units: int
    areas: Mapping[str, Areas]
    agreement: tuple[float, bool] | None
    answer_held: bool | None
    paraphrased: tuple[float, bool] | None


def measure(
    explainer: Explainer,
    recipe: Recipe,
    manifest: Manifest,
    source: Source,
    split: str,
    limit: int | None = None,
    gradients: bool = True,
    seed: int = 0,
) -> Faithfulness:
    """The faithfulness of explanations of the cases of ``split``, the first ``limit`` of them; takes minutes.

    Nothing is chosen by it. Raises :class:`InputError` where there are no such cases, all of them are too short to be
    taken apart, or ``gradients`` cannot be taken.
    """
    cases = source.split(split)[:limit]
    if not cases:
        raise InputError(f"--split {split}: no cases of it are on this machine; see the README of the task")
    if gradients:
        check_installed()
    told, kind = _paraphrases(source, split, cases)
    measured: list[Explained] = []
    left_out: Counter[str] = Counter()
    for case in tqdm(cases, desc=f"explaining {split}", unit=" cases", disable=None):
        one = _measure(explainer, case, told.get(case.case_id), gradients, seed)
        if one is None:
            left_out["one stretch alone, so there is no order"] += 1
        else:
            measured.append(one)
    if not measured:
        raise InputError(f"--split {split}: none of its {len(cases)} texts can be taken apart, so there is no order")
    of_all = _Cases(measured, recipe.evaluation.resamples, seed)
    methods = [name for name in METHODS if gradients or name != METHODS[1]]
    return Faithfulness(
        schema=1,
        task=recipe.task.name,
        split=split,
        system=tuned_name(recipe),
        weights_sha256=manifest.adapter_sha256,
        n=len(measured),
        left_out=dict(left_out),
        first=limit,
        most_units=MOST_UNITS,
        mean_units=round(float(np.mean([one.units for one in measured])), 3),
        random_orders=RANDOM_ORDERS,
        steps=STEPS if gradients else None,
        seed=seed,
        resamples=recipe.evaluation.resamples,
        methods={name: of_all.curves(name) for name in (*methods, "random")},
        comparisons=of_all.comparisons(methods),
        agreement=of_all.agreement([one.agreement for one in measured]) if gradients else None,
        paraphrased=Paraphrased(
            kind=kind,
            cases=sum(one.answer_held is not None for one in measured),
            same_answer=of_all.mean([one.answer_held for one in measured]),
            agreement=of_all.agreement([one.paraphrased for one in measured]),
        ),
    )


def _paraphrases(source: Source, split: str, cases: Sequence[Case]) -> tuple[dict[str, str], str]:
    """Case id → its text told otherwise, of those that can be; and how."""
    if "paraphrased" in source.perturbations:
        rows = source.perturbed(split, Perturbation("paraphrased", 1.0)).rows
        return {row.case_id: row.text for row in rows}, WORDINGS
    told = {case.case_id: rephrased(case.text, 1.0, random.Random(f"paraphrase/{case.case_id}")) for case in cases}
    return {case.case_id: told[case.case_id] for case in cases if told[case.case_id] != case.text}, PHRASES


def _measure(explainer: Explainer, case: Case, paraphrase: str | None, gradients: bool, seed: int) -> Explained | None:
    planned = explainer.plan(case.text, MOST_UNITS)
    if len(planned.units) < 2:
        return None
    scored = explainer.subject.ask([case.text, *planned.texts])
    first = int(scored[0].argmax())
    weights = {METHODS[0]: ablation.weights(scored[0], scored[1:], first)}
    if gradients:
        label = list(explainer.subject.labels)[first]
        weights[METHODS[1]] = integrated_gradients(explainer.subject, case.text, label).of(planned.units)
    orders = [np.argsort(-of, kind="stable").tolist() for of in weights.values()]
    dice = random.Random(f"orders/{seed}/{case.case_id}")
    orders += [dice.sample(range(len(planned.units)), len(planned.units)) for _ in range(RANDOM_ORDERS)]
    found = areas(explainer.subject, case.text, planned.units, first, orders)
    held, stable = None, None
    if paraphrase is not None:
        other = explainer.plan(paraphrase, MOST_UNITS)
        rescored = explainer.subject.ask([paraphrase, *other.texts])
        held = int(rescored[0].argmax()) == first
        pairs = _same_units(planned.units, other.units)
        again = ablation.weights(rescored[0], rescored[1:], first)
        stable = _alike(weights[METHODS[0]][[a for a, _ in pairs]], again[[b for _, b in pairs]])
    return Explained(
        unit=case.unit,
        units=len(planned.units),
        areas={**dict(zip(weights, found, strict=False)), "random": mean_areas(found[len(weights) :])},
        agreement=_alike(*weights.values()) if gradients else None,
        answer_held=held,
        paraphrased=stable,
    )


def _same_units(ours: Sequence[Unit], theirs: Sequence[Unit]) -> list[tuple[int, int]]:
    """Places of the units that are the same in two texts: with the same findings, or clauses in the same place among
    as many."""

    def keys(units: Sequence[Unit]) -> list[object]:
        clauses = sum(not unit.findings for unit in units)
        places = iter(range(clauses))
        return [frozenset(f.hpo_id for f in unit.findings) or (clauses, next(places)) for unit in units]

    there = {key: place for place, key in enumerate(keys(theirs))}
    return [(place, there[key]) for place, key in enumerate(keys(ours)) if key in there]


def _alike(ours: Floats, theirs: Floats) -> tuple[float, bool] | None:
    """Spearman's correlation of two lists of weights, and whether the first unit is the same; None of too few units, or
    where all of one list are equal."""
    if len(ours) < LEAST_RANKED or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return None
    return float(spearmanr(ours, theirs).statistic), int(ours.argmax()) == int(theirs.argmax())


@dataclass(frozen=True)
class _Cases:
    """What was measured of all cases, and what is said of them."""

    rows: Sequence[Explained]
    resamples: int
    seed: int

    def groups(self, rows: Sequence[Explained]) -> Ints | None:
        """The number of each case's group; None where every case stands alone."""
        return number_groups({str(place): row.unit for place, row in enumerate(rows)})

    def mean(self, values: Sequence[float | None]) -> Estimate | None:
        """The mean of what is not None, with its interval."""
        rows = [row for row, value in zip(self.rows, values, strict=True) if value is not None]
        known = np.array([value for value in values if value is not None], dtype=np.float64)
        if not rows:
            return None
        drawn = Resamples.draw(len(rows), self.resamples, self.seed, self.groups(rows))
        low, high, method = drawn.mean_interval(known)
        return Estimate(value=float(known.mean()), low=_known(low), high=_known(high), method=method)

    def agreement(self, found: Sequence[tuple[float, bool] | None]) -> RankAgreement:
        return RankAgreement(
            n=sum(one is not None for one in found),
            spearman=self.mean([one and one[0] for one in found]),
            same_first_unit=self.mean([one and float(one[1]) for one in found]),
        )

    def curves(self, name: str) -> OrderCurves:
        """The areas and curves of one method."""
        own = [row.areas[name] for row in self.rows]
        mean = mean_areas(own)
        deletion = self.mean([one.deletion for one in own])
        insertion = self.mean([one.insertion for one in own])
        assert deletion is not None
        assert insertion is not None
        return OrderCurves(
            deletion=deletion,
            insertion=insertion,
            deletion_curve=_shares(mean.deletion_curve),
            insertion_curve=_shares(mean.insertion_curve),
        )

    def comparisons(self, methods: Sequence[str]) -> tuple[CurveComparison, ...]:
        """Every method against random orders."""
        kinds: dict[str, Callable[[Areas], float]] = {
            "deletion": lambda one: one.deletion,
            "insertion": lambda one: one.insertion,
        }
        groups = self.groups(self.rows)
        drawn = Resamples.draw(len(self.rows), self.resamples, self.seed, groups)
        found = []
        for name in methods:
            for kind, area in kinds.items():
                ours = np.array([area(row.areas[name]) for row in self.rows])
                theirs = np.array([area(row.areas["random"]) for row in self.rows])
                gain = theirs - ours if kind == "deletion" else ours - theirs
                difference, low, high = intervals.paired_bootstrap_difference(
                    ours, theirs, drawn.counts, None if groups is None else drawn.units
                )
                better, worse = gain > 1e-12, gain < -1e-12
                p = significance.sign_flip_exact(
                    better.tolist(), worse.tolist(), np.arange(len(gain)) if groups is None else groups
                )
                found.append((name, kind, difference, low, high, int(better.sum()), int(worse.sum()), p))
        adjusted = significance.holm([one[-1] for one in found])
        return tuple(
            CurveComparison.model_validate(
                {
                    "a": name,
                    "b": "random",
                    "curve": kind,
                    "difference": difference,
                    "low": None if drawn.too_few else low,
                    "high": None if drawn.too_few else high,
                    "interval_method": drawn.method("paired_bootstrap_percentile"),
                    "better": better,
                    "worse": worse,
                    "p_value": p,
                    "p_adjusted": p_adjusted,
                    "method": "sign_test_exact" if groups is None else "sign_flip_exact",
                }
            )
            for (name, kind, difference, low, high, better, worse, p), p_adjusted in zip(found, adjusted, strict=True)
        )


def _known(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or np.isnan(value) else value


def _shares(curve: Floats) -> tuple[float, ...]:
    assert len(curve) == GRID
    return tuple(round(min(1.0, float(value)), 6) for value in curve)
