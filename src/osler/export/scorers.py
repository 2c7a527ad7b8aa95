"""Answers of an artefact, by the label trie and the probabilities that the evaluated model was scored with."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from transformers import PreTrainedTokenizerBase

from osler.scoring import Answer, LabelTrie, Layout, Scorer, choice_log_probabilities, ranking
from osler.tasks import Case, Prompt, Task, completions, encode_classified


class Logits(Protocol):
    """The part of :class:`osler.export.runtimes.Runtime` that a scorer asks."""

    def logits(self, prompt: Sequence[int], branches: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """See :class:`osler.export.runtimes.Runtime`."""


def label_log_probabilities(runtime: Logits, prompt: Sequence[int], layout: Layout) -> torch.Tensor:
    """Float32 log-probabilities of the labels of ``layout``, (labels,), as :func:`osler.scoring.score` has them."""
    choices = torch.zeros(len(layout.choice_tokens) + 1)  # the last is the padding of a path, and adds nothing
    branches = layout.branches
    asked = [layout.node_tokens[branch].tolist() for branch in branches]
    for branch, logits in zip(branches, runtime.logits(prompt, asked), strict=True):
        states = torch.cat([torch.zeros(1, dtype=torch.long), 1 + branch])
        deciding = torch.isin(states, layout.choice_states)
        chosen, logp = choice_log_probabilities(logits[deciding], states[deciding], layout)
        choices[chosen] = logp
    return choices[layout.paths].sum(-1)


def asks(task: Task, classifier: bool) -> Callable[[PreTrainedTokenizerBase, str], list[int]]:
    """How a text becomes the token ids of a prompt."""
    if classifier:
        return lambda tokenizer, text: encode_classified(task.prompt, tokenizer, text)[0]
    return task.prompt.encode


def layout_of(task: Task, tokenizer: PreTrainedTokenizerBase, normalised: bool) -> Layout:
    """The label trie of a task's panel, for the scorer ``label_trie`` (``normalised``) or ``label_likelihood``."""
    return Layout(LabelTrie(completions(tokenizer, task.labels)), normalised)


@dataclass(frozen=True)
class LabelsOf:
    """The labels of a task's panel, by :func:`label_log_probabilities`."""

    runtime: Logits
    tokenizer: PreTrainedTokenizerBase
    prompt: Prompt
    layout: Layout

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.Scorer`."""
        return self.prompt.encode(self.tokenizer, case.text)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.Scorer`."""
        return self.layout.behind

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.Scorer`."""
        scores = [label_log_probabilities(self.runtime, prompt, self.layout) for prompt in prompts]
        return [ranking(self.layout.labels, logp) for logp in scores]


class Classifies(Protocol):
    """A classifier that somebody else runs."""

    def classify(self, prompt: Sequence[int]) -> torch.Tensor:
        """Float32 outputs of its head, (labels,)."""


@dataclass(frozen=True)
class ClassesOf:
    """The labels of a task's panel, by the head of a classifier."""

    runtime: Classifies
    tokenizer: PreTrainedTokenizerBase
    task: Task

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.Scorer`."""
        return encode_classified(self.task.prompt, self.tokenizer, case.text)[0]

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.Scorer`."""
        return 0

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.Scorer`."""
        labels = tuple(self.task.labels)
        return [ranking(labels, self.runtime.classify(prompt).log_softmax(-1)) for prompt in prompts]


@dataclass
class Timed:
    """A scorer, and how long it took for how many tokens: those of the prompts, and ``nodes`` of labels a case."""

    scorer: Scorer
    nodes: int
    seconds: float = field(default=0.0, init=False)
    tokens: int = field(default=0, init=False)

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.Scorer`."""
        return self.scorer.encode(case)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.Scorer`."""
        return self.scorer.behind(case)

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.Scorer`."""
        start = time.perf_counter()
        answers = self.scorer.answer(prompts, cases)
        self.seconds += time.perf_counter() - start
        self.tokens += sum(map(len, prompts)) + self.nodes * len(prompts)
        return answers
