"""The metrics give what one gets by hand (tests/golden/metrics), loaded the way users load them: by path, offline."""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from project import GOLDEN

from osler.evaluation.measurement import METRICS, load_metrics

CASES = sorted((GOLDEN / "metrics").glob("*.json"))


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return {metric.name: metric for metric in load_metrics()}


def compute(metrics: dict[str, Any], columns: dict[str, Any]) -> dict[str, float]:
    """The metrics whose columns are there."""
    values: dict[str, float] = {}
    for metric in metrics.values():
        if metric.features.keys() <= columns.keys():
            panel = {"labels": columns["labels"]} if "probabilities" in metric.features else {}
            values.update(metric.compute(**{name: columns[name] for name in metric.features}, **panel))
    return values


def number(text: str) -> float:
    return math.nan if text == "nan" else float(Fraction(text))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_metric_has_the_value_computed_by_hand(metrics: dict[str, Any], path: Path) -> None:
    case = json.loads(path.read_text())
    expected = {name: number(value) for name, value in case["expected"].items()}
    assert compute(metrics, case) == pytest.approx(expected, nan_ok=True)


def test_every_metric_has_a_golden_case(metrics: dict[str, Any]) -> None:
    computed = {name for path in CASES for name in json.loads(path.read_text())["expected"]}
    case = json.loads((GOLDEN / "metrics" / "probabilities.json").read_text())
    assert all(compute({name: metric}, case).keys() <= computed for name, metric in metrics.items())
    assert compute(metrics, case).keys() == computed


def test_a_metric_is_called_like_its_folder(metrics: dict[str, Any]) -> None:
    assert sorted(metrics) == sorted(path.stem for path in METRICS.glob("*/*.py"))
    assert all((METRICS / name / f"{name}.py").is_file() for name in metrics)


def test_balanced_accuracy_is_the_one_of_scikit_learn(metrics: dict[str, Any]) -> None:
    from sklearn.metrics import balanced_accuracy_score

    draw = random.Random(0)
    references = draw.choices("abcde", weights=[9, 5, 3, 2, 1], k=80)
    predictions = [label if draw.random() < 0.6 else draw.choice("abcde") for label in references]
    value = metrics["balanced_accuracy"].compute(predictions=predictions, references=references)
    assert value["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(references, predictions))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_intervals_are_made_from_is_the_metric_itself(metrics: dict[str, Any], path: Path) -> None:
    """One value a case averages to the metric, and a resample that holds every case once has its value."""
    case = json.loads(path.read_text())
    case["probabilities"] = np.array(case.get("probabilities", []))
    case["confidences"] = np.array(case.get("confidences", []))
    measured = set()
    for metric in metrics.values():
        if not all(len(case.get(column, ())) for column in metric.features):
            continue
        columns = {name: case[name] for name in metric.features}
        if "probabilities" in columns:
            columns["labels"] = case["labels"]
        values: dict[str, Any] = {}
        if hasattr(metric, "per_case"):
            values = {name: column.mean() for name, column in metric.per_case(**columns).items()}
        elif hasattr(metric, "replicates"):
            replicates = metric.replicates(np.ones((1, len(case["references"]))), **columns)
            values = {name: replicates[name][0] for name in metric.compute(**columns)}
        for name, value in values.items():
            assert value == pytest.approx(number(case["expected"][name]), nan_ok=True), name
        measured |= values.keys()
    assert {"accuracy", "macro_f1"} <= measured


def test_missing_labels_are_left_out_of_averages(metrics: dict[str, Any]) -> None:
    """A panel of 33 with 3 diseases among the cases: the others have no ROC curve, and no precision."""
    case = json.loads((GOLDEN / "metrics" / "probabilities.json").read_text())
    panel = [f"{number:02d}" for number in range(30)]
    larger = {
        **case,
        "labels": [*panel, *case["labels"]],
        "probabilities": [[0.0] * 30 + row for row in case["probabilities"]],
    }
    same = ("macro_roc_auc", "average_precision", "brier", "log_loss")
    before, after = compute(metrics, case), compute(metrics, larger)
    assert [after[name] for name in same] == pytest.approx([before[name] for name in same])
    # The pairs with absent labels are questions too, here all answered rightly: 120 more negatives, all below.
    assert after["micro_roc_auc"] == pytest.approx((23 + 4 * 120) / (4 * 128))


def test_k_is_free(metrics: dict[str, Any]) -> None:
    top_k = metrics["top_k_accuracy"]
    rankings = {"ranked": [["a", "b"], [], ["b", "a"]], "references": ["a", "b", "a"]}
    assert top_k.compute(**rankings, k=1) == pytest.approx({"top_1_accuracy": 1 / 3})
    assert top_k.compute(**rankings, k=[1, 2]) == pytest.approx({"top_1_accuracy": 1 / 3, "top_2_accuracy": 2 / 3})
    with pytest.raises(ValueError, match="k is 0"):
        top_k.compute(**rankings, k=0)


def test_nothing_parsed_is_all_wrong(metrics: dict[str, Any]) -> None:
    nothing = {"references": ["a", "b"], "predictions": ["", ""], "ranked": [[], []]}
    assert set(compute(metrics, nothing).values()) == {0.0}


def test_metrics_combine_as_evaluate_metrics_do(metrics: dict[str, Any]) -> None:
    import evaluate

    both = evaluate.combine([evaluate.load(str(METRICS / name)) for name in ("accuracy", "macro_f1")])
    assert both.compute(predictions=["a", "b"], references=["a", "b"]) == {"accuracy": 1.0, "macro_f1": 1.0}
