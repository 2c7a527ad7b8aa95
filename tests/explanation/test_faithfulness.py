"""Faithfulness of explanations, of a model whose reasons are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from worded import toy

from osler.errors import InputError
from osler.explanation import Explainer, faithfulness
from osler.explanation.knowledge import Knowledge
from osler.tasks import Case
from osler.tasks.source import TextSource

RECIPE: Any = SimpleNamespace(
    name="made-up", version="1.0.0", task=SimpleNamespace(name="made_up"), evaluation=SimpleNamespace(resamples=200)
)
MANIFEST: Any = SimpleNamespace(adapter_sha256="a" * 64)


class Texts(TextSource):
    """Complaints with one part that decides; the first says nothing else, and the last two are of one patient."""

    labels = {"lamp": "lamp", "hum": "hum"}  # noqa: RUF012

    def training(self, data: Any, seed: int) -> Any:
        raise NotImplementedError

    def provenance(self, data: Any) -> dict[str, Any]:
        return {}

    def split(self, name: str) -> list[Case]:
        parts = ["I feel really glowing.", "It is hard to sleep.", "My neck is stiff.", "Nothing else hurts."]
        texts = [" ".join([*parts[n % 4 :], *parts[: n % 4]]) for n in range(24)]
        rows = [Case(f"{name}/{n}", text, "lamp") for n, text in enumerate(["Glowing.", *texts])]
        return rows if name == "validation" else []


def measured(limit: int | None = None) -> Any:
    words = {"glowing": {"lamp": 2.0}, "sleep": {"lamp": 0.5}, "stiff": {"hum": 0.5}}
    explainer = Explainer(toy(words), Knowledge())
    return faithfulness.measure(explainer, RECIPE, MANIFEST, Texts(), "validation", limit, gradients=False)


def test_ablation_of_a_model_that_adds_up_words_beats_random_orders_for_sure() -> None:
    found = measured()
    assert found.n == 24
    assert found.left_out == {"one stretch alone, so there is no order": 1}
    assert found.first is None
    (deletion, insertion) = found.comparisons
    assert (deletion.a, deletion.b, deletion.curve) == ("ablation", "random", "deletion")
    assert deletion.difference < 0 < insertion.difference
    assert deletion.better == 24
    assert deletion.p_value == pytest.approx(2 * 0.5**24)
    assert max(deletion.p_adjusted, insertion.p_adjusted) < 0.01
    assert found.methods["ablation"].deletion.value < found.methods["random"].deletion.value
    assert found.agreement is None
    assert found.steps is None


def test_a_paraphrase_that_changes_no_reason_keeps_the_order() -> None:
    again = measured().paraphrased
    assert again.cases == 24
    assert again.same_answer.value == 1
    assert again.agreement.spearman.value == pytest.approx(1)


def test_of_the_first_cases_it_says_so_and_of_none_it_ends() -> None:
    assert measured(limit=5).first == 5
    explainer = Explainer(toy({}), Knowledge())
    with pytest.raises(InputError, match="--split test: no cases of it"):
        faithfulness.measure(explainer, RECIPE, MANIFEST, Texts(), "test", None, gradients=False)
    with pytest.raises(InputError, match="none of its 1 texts can be taken apart"):
        faithfulness.measure(explainer, RECIPE, MANIFEST, Texts(), "validation", 1, gradients=False)
