"""The scorer of a classifier: a softmax over the outputs of its head, one a label."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.errors import InputError
from osler.scoring.alike import ALIKE, common_beginning, tree_size
from osler.scoring.answer import Answer
from osler.scoring.labels import ranking
from osler.scoring.passes import Way
from osler.scoring.prefix import Prefix, padded, read_prefix
from osler.scoring.reranker import Candidates, outputs_at_ends, prove_reranker
from osler.tasks import Case, Task, encode_classified

# transformers warns that a head given embeddings reads the last position, padding or not. Only log_p gives it some, of
# prompts of one length, whose last token is the one to read.
logging.getLogger("transformers.modeling_layers").addFilter(
    lambda record: "will not detect padding tokens in `inputs_embeds`" not in record.getMessage()
)


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

    def answer_alike(self, prompts: Sequence[Sequence[int]]) -> list[Answer]:
        """The answers to prompts that are alike, such as one with parts of its text left out: what they begin with in
        common is read once, where the model can share a pass (:mod:`osler.scoring.reranker`)."""
        if self._way == "plain":
            return self.answer(prompts, [])
        begun = common_beginning(prompts)
        tree = Candidates([prompt[begun:] for prompt in prompts], piece=ALIKE)
        with torch.inference_mode():
            (outputs,) = outputs_at_ends(self._model, [prompts[0][:begun]], [tree], "shared")
        return [ranking(self._labels, row) for row in outputs.cpu().log_softmax(-1)]

    def tokens_run(self, prompts: Sequence[Sequence[int]]) -> int:
        """How many tokens :meth:`answer_alike` runs."""
        return tree_size(prompts) if self._way == "shared" else sum(map(len, prompts))

    @cached_property
    def _way(self) -> Way:
        """Whether prompts that are alike can share a pass; encoders, which read ahead, cannot."""
        try:
            return prove_reranker(self._model)
        except InputError:
            return "plain"

    def log_p(self, embedded: torch.Tensor, label: str) -> torch.Tensor:
        """(batch,) the log-probability of ``label`` after prompts of one length, given as what the embedding layer
        makes of them, (batch, tokens, width); gradients flow."""
        logits: torch.Tensor = self._model(inputs_embeds=embedded).logits
        return logits.float().log_softmax(-1)[:, self._labels.index(label)]
