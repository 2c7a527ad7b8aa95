"""What is recorded beside a recipe, and the tables made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from finished import ENVIRONMENT, manifest
from project import make
from scipy.stats import norm

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.reproduction import expected, readme_tables, recording
from osler.runs.run import Run
from osler.storage.files import read_json, write_json
from osler.storage.hashes import sha256_file

TUNED = "tiny-made-up@1.0.0"
HASHES = dict.fromkeys((TUNED, "base_model", "majority", "tfidf_svm"), "ab")
SCORED: dict[str, Any] = {"schema": 1, "resamples": 50, "seed": 0, "weights_sha256": None, "fused": None}


def estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "method": "made up"}


def evaluated(folder: Path, path: Path, seed: int, accuracy: float, *overrides: str, **machine: Any) -> Run:
    """A run directory as training and evaluation leave it, with made-up figures; ``machine`` is of its environment."""
    run = Run(folder / f"run-{seed}-{accuracy}")
    threads = machine.pop("threads", 2)
    recipe = load_recipe(path, [f"train.seed={seed}", *overrides])
    run.open(recipe)
    own = {
        "seed": seed,
        "environment": {**ENVIRONMENT, **machine},
        "threads": threads,
        "train_seconds": 90.0,
        "peak_memory_bytes": {"host": 2_340_000_000, "gpu": None},
    }
    write_json(run.manifest_path, {**manifest(recipe, "ab", "cd"), **own})
    values = {"base_model": 0.1, "majority": 0.2, "tfidf_svm": 0.3, TUNED: accuracy}
    systems = {
        name: {
            "metrics": {metric: estimate(v) for metric in (*expected.METRICS, "parse_rate", "ece")},
            "calibration": {
                "before": {
                    "ece": estimate(v),
                    "reliability": [{"n": 24, "confidence": 0.5, "accuracy": estimate(v)}],
                },
                "temperature": 1.5,
            },
            "subgroups": {
                "sex": {"values": {"male": {"n": 12, "accuracy": None}}, "worst": None, "best": None, "gap": None}
            },
        }
        for name, v in values.items()
    }
    record = {
        "task": "made_up",
        "task_version": 1,
        "split": "test",
        "n": 24,
        "groups": None,
        "prompt_sha256": "ab",
        "predictions_sha256": HASHES,
        "systems": systems,
        "comparisons": [],
        "parity": None,
        "contamination": None,
    }
    write_json(run.results_path(), {**SCORED, "records": [record]})
    return run


def test_the_table_shows_the_tuned_model_and_not_another_system(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    recording.record([evaluated(tmp_path, path, 0, 0.4)], path)
    row = readme_tables.overview(tmp_path).splitlines()[-1]
    figures = "24 | 0.400 [0.400, 0.400] | 0.400 |  | tfidf_svm 0.300 [0.300, 0.300] |"
    assert f"| 1.5 min on 2 threads, 2.3 GB | test | {figures}" in row
    page = readme_tables.details(path).splitlines()
    assert page[0] == "Trained in 1.5 minutes on 2 threads of 2 cores (a CPU), with 2.3 GB of memory."
    assert page[6].startswith("| tiny-made-up@1.0.0 | 0.400")


def test_robustness_is_recorded_where_it_was_measured_and_only_with_the_same_predictions(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path = make(tmp_path, tiny_base)
    run = evaluated(tmp_path, path, 0, 0.4)
    assert read_json(recording.record([run], path))["robustness"] is None
    row = {
        "perturbation": "typos",
        "strength": 0.1,
        "n": 24,
        "accuracy": estimate(0.3),
        "change": {"difference": -0.1, "low": None, "high": None, "method": "made up"},
        "top_1_flip_rate": estimate(0.2),
    }
    records = {TUNED: [{**row, "seed": 0, "unchanged": 0, "original_accuracy": estimate(0.4)}], "tfidf_svm": []}
    measured: dict[str, Any] = {"schema": 1, "task": "made_up", "split": "test", "records": records}
    hashes = {TUNED: {"original": "ab", "typos-0.1": "cd"}, "tfidf_svm": {"original": "ab"}}
    file = run.folder / "robustness.json"
    write_json(file, {**measured, "predictions_sha256": hashes})
    assert read_json(recording.record([run], path))["robustness"] == {"test": [row]}
    hashes[TUNED]["original"] = "ef"
    write_json(file, {**measured, "predictions_sha256": hashes})
    with pytest.raises(InputError, match=r"robustness\.json: of other predictions than results\.json"):
        recording.record([run], path)


def test_the_tuned_model_is_recorded_with_its_calibration_and_the_others_with_what_the_tables_show(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path = make(tmp_path, tiny_base)
    split = read_json(recording.record([evaluated(tmp_path, path, 0, 0.4)], path))["splits"]["test"]
    assert split["calibration"] == {"before": {"ece": estimate(0.4)}, "temperature": 1.5}
    assert split["subgroups"] == {"sex": {"worst": None, "best": None, "gap": None}}
    assert "ece" in split["systems"][TUNED]
    assert set(split["systems"]["tfidf_svm"]) == set(expected.METRICS)


def test_one_seed_gives_no_tolerance(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    written = read_json(recording.record([evaluated(tmp_path, path, 0, 0.4), evaluated(tmp_path, path, 1, 0.5)], path))
    assert written["tolerance"] is None, "two seeds are no spread either"


def test_three_seeds_give_the_spread_and_the_tolerance(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    runs = [evaluated(tmp_path, path, seed, accuracy) for seed, accuracy in ((0, 0.40), (1, 0.44), (2, 0.48))]
    written = read_json(recording.record(runs, path))
    assert [(run["seed"], run["values"]["test"]["accuracy"]) for run in written["runs"]] == [
        (0, 0.40),
        (1, 0.44),
        (2, 0.48),
    ]
    # By hand: t(0.975, 2 degrees) = 4.3027, s = 0.04, √(4/3) = 1.1547.
    assert written["tolerance"]["test"]["accuracy"] == pytest.approx(4.3027 * 0.04 * 1.1547, abs=1e-4)
    assert "| 0.440 (0.400–0.480, 3) |" in readme_tables.overview(tmp_path)


def test_a_new_seed_is_within_tolerance_95_times_in_100() -> None:
    figures = norm.rvs(0.6, 0.03, size=(4000, 4), random_state=0)
    within = 0
    for *recorded, new in figures.tolist():
        tolerance = expected.tolerance([{"test": {"accuracy": value}} for value in recorded], {"test": 1_000_000})
        assert tolerance is not None
        within += abs(new - sum(recorded) / 3) <= tolerance["test"]["accuracy"]
    assert 0.94 < within / len(figures) < 0.96


def test_the_same_seed_on_other_machines_is_a_spread_too(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    runs = [
        evaluated(tmp_path, path, 0, 0.40),
        evaluated(tmp_path, path, 0, 0.44, threads=1),
        evaluated(tmp_path, path, 0, 0.48, cpu="another CPU"),
        evaluated(tmp_path, path, 1, 0.60),
    ]
    written = expected.read_expected(recording.record(runs, path))
    told = [(run.seed, run.threads, run.cpu, run.values["test"]["accuracy"]) for run in written.runs]
    assert told == [(0, 2, "a CPU", 0.40), (0, 1, "a CPU", 0.44), (0, 2, "another CPU", 0.48), (1, 2, "a CPU", 0.60)]
    # By hand: t(0.975, 3 degrees) = 3.1824, s = 0.0864, √(5/4) = 1.1180.
    assert written.tolerance is not None
    assert written.tolerance["test"]["accuracy"] == pytest.approx(3.1824 * 0.08641 * 1.1180, abs=2e-4)
    assert written.mean_over_runs("test", "accuracy") == pytest.approx(0.48)
    assert written.over_seeds("test", "accuracy") == [0.40, 0.60]
    assert "| 0.500 (0.400–0.600, 2) |" in readme_tables.overview(tmp_path), "that column is over seeds"
    assert written.manifest_sha256 == sha256_file(runs[0].manifest_path)
    assert written.content == runs[0].read_manifest().content


def test_runs_that_agree_to_the_last_case_leave_room_for_one_case(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    runs = [evaluated(tmp_path / str(seed), path, seed, 0.5) for seed in (0, 1, 2)]
    written = read_json(recording.record(runs, path))
    assert 1 / 24 <= written["tolerance"]["test"]["accuracy"] < 1 / 24 + 1e-4


@pytest.mark.parametrize(
    ("seeds", "override", "says"),
    [
        ((1,), [], "is not a run of"),  # the first run is the recipe's own
        ((0, 0), [], "seed 0 is there already, on 2 threads of such a machine"),
        ((0, 1), ["train.learning_rate=0.5"], "is not a run of"),
        ((0, 1), ["evaluation.resamples=7"], "evaluates something else now"),
    ],
)
def test_runs_of_anything_else_are_refused(
    tmp_path: Path, tiny_base: BaseSection, seeds: tuple[int, ...], override: list[str], says: str
) -> None:
    path = make(tmp_path, tiny_base)
    runs = [evaluated(tmp_path, path, seed, 0.1 * n, *(override if n else [])) for n, seed in enumerate(seeds)]
    with pytest.raises(InputError, match=says):
        recording.record(runs, path)
    assert not expected.expected_path(path).exists()


def test_runs_on_two_releases_of_the_data_are_no_spread(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    runs = [evaluated(tmp_path, path, seed, 0.5) for seed in (0, 1)]
    content = read_json(runs[1].manifest_path)
    write_json(runs[1].manifest_path, content | {"release_sha256": "ab" * 32})
    with pytest.raises(InputError, match=r"trained on release abababababab of the data, .* a spread needs one"):
        recording.record(runs, path)


def test_a_recipe_that_was_not_run_says_so_in_the_table(tmp_path: Path, tiny_base: BaseSection) -> None:
    make(tmp_path, tiny_base)
    assert readme_tables.NOT_RUN in readme_tables.overview(tmp_path)


def test_pages_of_a_recipe_that_was_not_run_say_so(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    assert readme_tables.headline(path) == readme_tables.details(path) == "`tiny-made-up`: not run yet."


def test_benchmarks_that_were_answered_are_in_the_table_beside_what_the_base_made_of_them(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path = make(tmp_path, tiny_base)
    run = evaluated(tmp_path, path, 0, 0.4)
    (record,) = read_json(run.results_path())["records"]
    change = {"difference": 0.3, "low": 0.1, "high": 0.5, "interval_method": "made up", "p_value": 0.02}
    change |= {"p_adjusted": 0.02, "method": "made up", "discordance": 0.5, "minimum_detectable_difference": None}
    record["comparisons"] = [{"a": TUNED, "b": "base_model", "metric": "accuracy", **change}]
    write_json(run.results_path("medqa"), {**SCORED, "records": [{**record, "task": "medqa", "n": 7}]})
    write_json(run.results_path("medqa", limit=3), {**SCORED, "records": [{**record, "task": "medqa", "n": 3}]})
    recording.record([run], path)
    assert (
        readme_tables.overview(tmp_path).splitlines()[-1]
        == "| tiny | medqa | test | 7 | 0.400 [0.400, 0.400] | 0.100 [0.100, 0.100] "
        "| +0.300 [+0.100, +0.500], p = 0.020 | 0.400 [0.400, 0.400] |"
    )


def test_a_baseline_the_recipe_lists_and_nobody_recorded_is_named(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    recorded = recording.record([evaluated(tmp_path, path, 0, 0.4)], path)
    content = read_json(recorded)
    del content["splits"]["test"]["systems"]["majority"]
    write_json(recorded, content)
    with pytest.raises(InputError, match=r"test has no majority, which .* lists: start scripts/train.py"):
        readme_tables.details(path)


def test_the_front_page_shows_how_the_model_compares_with_the_best_baseline(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path = make(tmp_path, tiny_base)
    content = read_json(recording.record([evaluated(tmp_path, path, 0, 0.4), evaluated(tmp_path, path, 1, 0.6)], path))
    svm = {"a": TUNED, "b": "tfidf_svm", "difference": 0.1, "low": -0.05, "high": 0.25, "method": "made up"}
    svm |= {"p_value": 0.2, "p_adjusted": 0.3}
    content["splits"]["test"]["comparisons"] = [{**svm, "b": "majority", "difference": 0.2}, svm]
    content["splits"]["test"]["groups"] = 12
    write_json(expected.expected_path(path), content)
    lines = readme_tables.headline(path).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:6]] == [
        "| tiny-made-up@1.0.0",
        "| tfidf_svm",
        "| majority",
        "| base_model",
    ]
    assert lines[1].count("---") == 4
    assert lines[7].startswith("24 cases of `test` in 12 independent groups. Trained in 1.5 minutes on 2 threads")
    assert lines[9:] == [
        "* `tiny-made-up@1.0.0` minus `tfidf_svm`, the best baseline: +0.100 [-0.050, +0.250], p = 0.300 after Holm's"
        " correction.",
        "* `tiny-made-up@1.0.0` over training seeds, mean (range, number of seeds): 0.500 (0.400–0.600, 2).",
    ]


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ((0.01, 0.02), "fused is above every part of it (Holm, p < 0.05 each)"),
        ((0.01, 0.20), "fused is not shown to be above tfidf_svm"),
    ],
)
def test_the_tables_say_whether_the_mixture_is_above_every_part(
    tmp_path: Path, tiny_base: BaseSection, p_values: tuple[float, float], said: str
) -> None:
    path = make(tmp_path, tiny_base)
    content = read_json(recording.record([evaluated(tmp_path, path, 0, 0.4)], path))
    weights = {"tfidf_svm": 1.5, TUNED: 0.25}
    fitted_on = {"split": "validation", "n": 86}
    content["fused"] = {"weights": weights, "floor": 1e-6, "fitted_on": fitted_on, "groups": 86, "left_out": []}
    split = content["splits"]["test"]
    split["systems"]["fused"] = {name: estimate(0.55) for name in expected.METRICS}
    row = {
        "a": "fused",
        "b": TUNED,
        "difference": 0.15,
        "low": 0.05,
        "high": 0.25,
        "method": "made up",
        "p_value": 0.01,
    }
    split["comparisons"] = [
        {**row, "b": b, "p_adjusted": p} for b, p in zip((TUNED, "tfidf_svm"), p_values, strict=True)
    ]
    write_json(expected.expected_path(path), content)
    mixture = f"| tiny | test | 0.550 [0.550, 0.550] | 0.550 | {TUNED} | +0.150 [+0.050, +0.250] | {said} |"
    assert mixture in readme_tables.overview(tmp_path).splitlines()
    assert f"* {said}." in readme_tables.headline(path).splitlines()
    formula = f"log p(fused) = 1.50 × log p(tfidf_svm) + 0.25 × log p({TUNED}) + constant; fitted on 86 cases"
    assert formula in readme_tables.details(path)


def test_an_interval_that_says_nothing_is_named(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    content = read_json(recording.record([evaluated(tmp_path, path, 0, 0.4)], path))
    content["splits"]["test"]["systems"][TUNED]["accuracy"] |= {"low": 0.0, "high": 0.997}
    write_json(expected.expected_path(path), content)
    for table in (readme_tables.headline(path), readme_tables.details(path), readme_tables.overview(tmp_path)):
        assert "| 0.400 (too few publications) |" in table
        assert "0.997" not in table


def reproduced(folder: Path, recipe_sha256: str, verdict: str = "reproduced", **changed: Any) -> Path:
    """A reproduction.json with two figures, both inside; ``changed``: other answers, figures or differences."""
    inside = {"split": "test", "system": "x", "metric": "mrr", "expected": 0.5, "tolerance": 0.0, "got": 0.5}
    inside["inside"] = True
    answer = {"split": "test", "system": "x", "n": 24, "same_first_label": 24, "same_ranking": 24}
    answer |= {"max_probability_difference": 2e-6, "first": None, "same": True}
    write_json(
        path := folder / "reproduction.json",
        {
            "schema": 1,
            "depth": "predictions",
            "target": "x",
            "revision": None,
            "commit": None,
            "recipe": {"name": "tiny-made-up", "version": "1.0.0", "sha256": recipe_sha256},
            "environment": ENVIRONMENT,
            "date": "2026-01-02",
            "verdict": verdict,
            "differences": [{"what": "threads", "was": 2, "now": 1, "content": False, **changed.get("difference", {})}],
            "answers": [{**answer, **changed.get("answer", {})}],
            "table": [inside, {**inside, **changed.get("figure", {})}],
        },
    )
    return path


MISSED = {"figure": {"got": 0.4, "inside": False}, "answer": {"same_ranking": 23, "same": False}}


def test_what_came_of_a_reproduction_is_recorded_and_shown(tmp_path: Path, tiny_base: BaseSection) -> None:
    recipe = make(tmp_path, tiny_base)
    recording.record([evaluated(tmp_path, recipe, 0, 0.4)], recipe)
    sha256 = load_recipe(recipe).sha256
    for verdict, changed, cells in (("missed", MISSED, "1 of 2 | 23 of 24"), ("reproduced", {}, "2 of 2 | 24 of 24")):
        recording.record_reproduction(reproduced(tmp_path, sha256, verdict, **changed), recipe)
        row = readme_tables.reproductions(tmp_path).splitlines()[-1]
        assert row == (
            f"| tiny | `--predictions` | **{verdict}**, 2026-01-02 | {cells} | 2.0e-06 | threads: 2, here 1 |"
        )
    with pytest.raises(InputError, match="of another recipe"):
        recording.record_reproduction(reproduced(tmp_path, "0" * 64), recipe)


@pytest.mark.parametrize(
    ("changed", "come_to"),
    [
        ({"figure": {"got": 0.4, "inside": False}}, "missed"),
        ({"figure": {"got": 0.4}}, "missed"),  # whatever it says of itself
        ({"figure": {"inside": False}}, "missed"),
        ({"figure": {"got": None, "inside": None}}, "undecided"),
        ({"figure": {"got": 0.4, "tolerance": None, "inside": None}}, "undecided"),
        ({"answer": {"same_ranking": 23, "same": False}}, "missed"),
        ({"answer": {"first": "test/1: 0.1 moved by 0.2", "same": False}}, "missed"),
        ({"answer": {"same": False}}, "missed"),
        ({"difference": {"content": True}}, "differs"),
    ],
)
def test_a_reproduction_whose_figures_do_not_come_to_its_verdict_is_refused(
    tmp_path: Path, tiny_base: BaseSection, changed: dict[str, Any], come_to: str
) -> None:
    recipe = make(tmp_path, tiny_base)
    recorded = recording.record([evaluated(tmp_path, recipe, 0, 0.4)], recipe)
    before = recorded.read_bytes()
    made = reproduced(tmp_path, load_recipe(recipe).sha256, **changed)
    with pytest.raises(InputError, match=f"says reproduced, but its figures and answers come to {come_to}; reproduce"):
        recording.record_reproduction(made, recipe)
    assert recorded.read_bytes() == before


def test_every_pair_of_marks_gets_its_table(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        f"a\n{readme_tables.BEGIN}\nold\n{readme_tables.END}\nb\n{readme_tables.BEGIN}\n{readme_tables.END}\nc\n"
    )
    page.write_text(readme_tables.filled(page, "one", "two \\1"))
    assert readme_tables.filled(page, "one", "two \\1") == (
        f"a\n{readme_tables.BEGIN}\none\n{readme_tables.END}\n"
        f"b\n{readme_tables.BEGIN}\ntwo \\1\n{readme_tables.END}\nc\n"
    )
    with pytest.raises(InputError, match="2 times, not 1"):
        readme_tables.filled(page, "one")
