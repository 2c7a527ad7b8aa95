"""How near an export is to what was evaluated, from its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from osler.export.comparison import base_fault, compare, from_base, log_p_differences
from osler.runs.predictions import Prediction, write_predictions

LABELS = ("a", "b", "c")


def answers(path: Path, system: str, logits: np.ndarray) -> Path:
    """A file of answers, case after case, whose label is ``a``."""
    rows = []
    for case, row in enumerate(softmax(logits, axis=1)):
        order = np.argsort(-row, kind="stable")
        rows.append(
            Prediction(
                case_id=f"test/{case}",
                task="made_up",
                split="test",
                system=system,
                label="a",
                ranked=tuple(LABELS[i] for i in order),
                probabilities=tuple(float(row[i]) for i in order),
            )
        )
    write_predictions(path, rows)
    return path


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 3))


def test_the_difference_is_of_log_probabilities_in_whatever_order(tmp_path: Path) -> None:
    one, other = np.log([[0.5, 0.3, 0.2]]), np.log([[0.2, 0.3, 0.5]])
    from osler.runs.predictions import read_predictions

    files = (answers(tmp_path / f"{n}.jsonl", "s", row) for n, row in enumerate((one, other)))
    differences = log_p_differences(*map(read_predictions, files))
    assert sorted(differences) == pytest.approx([0, np.log(2.5), np.log(2.5)])


def test_an_export_is_compared_with_its_interval(tmp_path: Path, logits: np.ndarray) -> None:
    noisy = logits + np.random.default_rng(1).normal(scale=0.5, size=logits.shape)
    tuned = {"test": answers(tmp_path / "tuned.jsonl", "tuned", logits)}
    own = {"test": answers(tmp_path / "own.jsonl", "tuned-gguf-q8_0", noisy)}
    (row,) = compare(tuned, own, "tuned-gguf-q8_0", resamples=200)
    right = [float((values.argmax(1) == 0).mean()) for values in (logits, noisy)]
    assert row.accuracy.value == pytest.approx(right[1])
    assert (row.compared.a, row.compared.b) == ("tuned-gguf-q8_0", "tuned")
    assert row.compared.difference == pytest.approx(right[1] - right[0])
    assert row.same_first.value == pytest.approx((logits.argmax(1) == noisy.argmax(1)).mean())
    assert row.same_first.low is not None
    assert row.same_first.low < row.same_first.value < 1
    assert 0 < row.log_p.mean < row.log_p.max


def test_one_that_answers_like_the_base_is_found_out_also_when_it_is_quantised(
    tmp_path: Path, logits: np.ndarray
) -> None:
    generator = np.random.default_rng(2)
    rounding = generator.normal(scale=0.2, size=logits.shape)
    trained = logits + generator.normal(scale=2, size=logits.shape)
    tuned = answers(tmp_path / "tuned.jsonl", "tuned", trained)
    base = answers(tmp_path / "base.jsonl", "base_model", logits[:20])
    without = answers(tmp_path / "without.jsonl", "tuned-gguf-q4_k_m", logits + rounding)
    fault = base_fault(from_base(without, tuned, base))
    assert fault is not None
    assert "it answers like the untuned base: on 20 cases" in fault
    true = answers(tmp_path / "true.jsonl", "tuned-gguf-q4_k_m", trained + rounding)
    assert base_fault(from_base(true, tuned, base)) is None


def test_where_training_changed_nothing_there_is_nothing_to_lose(tmp_path: Path, logits: np.ndarray) -> None:
    base = answers(tmp_path / "base.jsonl", "base_model", logits)
    tuned = answers(tmp_path / "tuned.jsonl", "tuned", logits + 0.001 * np.sign(logits))
    assert base_fault(from_base(base, tuned, base)) is None
