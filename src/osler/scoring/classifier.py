"""The scorer of a classifier: a softmax over the outputs of its head, one a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.errors import InputError
from osler.scoring.answer import Answer
from osler.scoring.labels import ranking
from osler.scoring.prefix import Prefix, padded, read_prefix
from osler.tasks import Case, Task, encode_classified


class ClassifierScorer:
    """The scorer ``classifier``: every label of the task's panel, at once. Reads a whole batch, or ``alone`` each case.

    Raises :class:`InputError` where the head of ``model`` is over other labels, or the same in another order.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, alone: bool) -> None:
        self._model, self._tokenizer, self._prompt, self._alone = model, tokenizer, task.prompt, alone
        self._prefix: Prefix | None = None
        self._labels = tuple(task.labels)
        trained = tuple(label for _, label in sorted((model.config.id2label or {}).items()))
        if trained != self._labels:
            raise InputError(
                f"tasks/{task.name}: its {len(self._labels)} labels are not the {len(trained)} that the classifier was"
                " trained on, or stand in another order; bring those back, or train again"
            )

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.answer.Scorer`."""
        return encode_classified(self._prompt, self._tokenizer, case.text)[0]

    def share_prefix(self) -> None:
        """From now on read what all prompts begin with once, where the model answers the same then. For a server:
        in half precision it rounds otherwise than what is written into prediction files."""
        if self._alone:
            return
        prompts = [encode_classified(self._prompt, self._tokenizer, text)[0] for text in ("fever", "A rash, no cough")]
        self._prefix = read_prefix(self._model, prompts, self._tokenizer.pad_token_id)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.answer.Scorer`."""
        return 0

    @torch.inference_mode()
    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.answer.Scorer`."""
        answers = []
        for batch in [[prompt] for prompt in prompts] if self._alone else [list(prompts)]:
            scores = self._model(**self._inputs(batch)).logits.float().cpu().log_softmax(-1)
            answers += [ranking(self._labels, logp) for logp in scores]
        return answers

    def _inputs(self, batch: Sequence[Sequence[int]]) -> dict[str, Any]:
        prefix = self._prefix if self._prefix is not None and self._prefix.begins(batch) else None
        read = len(prefix.tokens) if prefix else 0
        rest = padded([prompt[read:] for prompt in batch], self._tokenizer.pad_token_id)
        inputs = {name: tensor.to(self._model.device) for name, tensor in rest.items()}
        return prefix.inputs(inputs) if prefix else inputs
