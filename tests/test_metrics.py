"""The metrics give what one gets by hand (tests/golden/metrics), loaded the way users load them: by path, offline."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osler import statistics
from osler.results import METRICS, load_metrics

GOLDEN = sorted((Path(__file__).parent / "golden" / "metrics").glob("*.json"))


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return {metric.name: metric for metric in load_metrics()}


def compute(metrics: dict[str, Any], columns: dict[str, Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for metric in metrics.values():
        values.update(metric.compute(**{name: columns[name] for name in metric.features}))
    return values


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_metric_has_the_value_computed_by_hand(metrics: dict[str, Any], path: Path) -> None:
    case = json.loads(path.read_text())
    expected = {name: float(Fraction(value)) for name, value in case["expected"].items()}
    assert compute(metrics, case) == pytest.approx(expected)


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


def test_the_intervals_are_of_the_same_metrics(metrics: dict[str, Any]) -> None:
    """The vectorised forms behind the intervals agree with the modules on the sample itself (every case once)."""
    for path in GOLDEN:
        case = json.loads(path.read_text())
        itself = np.ones((1, len(case["references"])))
        for name, values in statistics.resampled_label_metrics(case["references"], case["predictions"], itself).items():
            assert values[0] == pytest.approx(float(Fraction(case["expected"][name]))), (path.stem, name)


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
