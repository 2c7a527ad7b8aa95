"""Limits that keep what they promise, and shifts that are found."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace

import numpy as np
import pytest
import streams
from project import ROOT

from osler.monitoring import drift
from osler.monitoring.bins import bins_of
from osler.monitoring.drift import WINDOW, changes, psi, psi_limit, watched_features, windowed_psi
from osler.monitoring.records import Feature


def test_psi_is_zero_for_the_same_shares_and_what_its_formula_gives_for_others() -> None:
    assert psi(np.array([20.0, 20.0]), np.array([5.0, 5.0])) == 0
    p, q = np.array([79.5, 21.5]) / 101, np.array([50.5, 50.5]) / 101
    told = psi(np.array([79.0, 21.0]), np.array([50.0, 50.0]))
    assert told == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


@pytest.mark.parametrize("feature", ["length", "labels", "findings", "abstention"])
def test_windows_without_shift_exceed_the_limit_as_rarely_as_it_was_made_for(
    feature: Feature, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the evaluation is a small sample of what comes: half of the evaluations would be too sure else."""
    monkeypatch.setattr(drift, "SIMULATED", 2000)
    population, beyond, looked_at = streams.cases(4000), 0, 0
    for seed in range(20):
        draw = np.random.default_rng(seed)
        evaluated = population.take(draw.integers(4000, size=300))
        bins = bins_of(feature, evaluated)
        rows = bins.rows(evaluated)
        limit = psi_limit(rows, 100, 0.05, seed)
        seen = bins.rows(population.take(draw.integers(4000, size=100 * 100))).reshape(100, 100, -1).sum(axis=1)
        beyond, looked_at = beyond + int((psi(rows.sum(axis=0), seen) > limit).sum()), looked_at + 100
    assert 0.01 <= beyond / looked_at <= 0.08


def test_fewer_cases_than_a_window_have_none() -> None:
    cases = streams.cases(300)
    (watched,) = watched_features(cases, ["length"], window=100)
    assert len(windowed_psi(watched, cases.take(slice(0, 99)), window=100)) == 0
    assert len(windowed_psi(watched, cases.take(slice(0, 199)), window=100)) == 1


def test_a_few_texts_in_a_language_never_seen_are_no_drift_and_a_tenth_are() -> None:
    (language,) = watched_features(streams.cases(400), ["language"])
    seen = streams.cases(WINDOW, seed=3)
    for foreign, is_drift in ((1, False), (WINDOW // 10, True)):
        mixed = replace(seen, language=("de",) * foreign + ("en",) * (WINDOW - foreign))
        assert (windowed_psi(language, mixed)[0] > language.limit) == is_drift


def test_adwin_finds_a_change_after_it_came_and_none_where_there_is_none() -> None:
    evaluated, quiet = streams.cases(400), streams.cases(2000, seed=5)
    assert changes("length", evaluated, quiet) == []
    longer = replace(quiet, tokens=np.where(np.arange(2000) < 1000, quiet.tokens, quiet.tokens * 1.5))
    found = changes("length", evaluated, longer)
    assert found
    assert 1000 < found[0] <= 1250


def test_a_number_that_is_not_known_has_a_bin_of_its_own() -> None:
    evaluated = streams.cases(400)
    bins = bins_of("wording", evaluated)
    unknown = bins.rows(replace(evaluated, unknown_share=np.full(400, np.nan)))
    assert unknown[:, -1].all()
    assert not unknown[:, :-1].any()
    assert bins.rows(evaluated)[:, -1].sum() == 0


def test_what_never_varied_in_the_evaluation_is_watched_all_the_same() -> None:
    evaluated, seen = streams.cases(400), streams.cases(WINDOW, seed=3)
    for always in (0.0, 1.0):
        (abstention,) = watched_features(replace(evaluated, abstained=np.full(400, always)), ["abstention"])
        assert windowed_psi(abstention, replace(seen, abstained=np.full(WINDOW, always)))[0] <= abstention.limit
        other = np.where(np.arange(WINDOW) % 5 == 0, 1 - always, always)
        assert windowed_psi(abstention, replace(seen, abstained=other))[0] > abstention.limit


def test_the_tables_in_the_decisions_are_those_of_the_benchmarks_results() -> None:
    benchmark = runpy.run_path(str(ROOT / "benchmarks" / "drift.py"))
    results = json.loads((ROOT / "benchmarks" / "drift.json").read_text())
    page = benchmark["PAGE"].read_text().split(benchmark["BEGIN"])[1].split(benchmark["END"])[0]
    assert page.strip() == benchmark["tables"](results)


def test_the_shares_of_the_budget_fit_into_it() -> None:
    assert sum(drift.BUDGET.shares.values()) <= drift.BUDGET.budget
