"""Integrated gradients on the embeddings of a text's tokens: how much of the log-probability of an answer each brings.

Along the straight line from a text of padding to the text as it is; the frame of the prompt and the label stay as they
are. The contributions add up to the difference of the log-probability at both ends. It is the model's own, before the
temperature. Source: Sundararajan et al. 2017, arXiv:1703.01365.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from osler.errors import InputError
from osler.explanation.contracts import WordWeight
from osler.explanation.subject import Subject
from osler.explanation.units import Unit
from osler.statistics import Floats
from osler.tasks import OPTIONS, TEXT, Case

STEPS = 16  # points on the way, by Gauss and Legendre
AT_ONCE = 8  # of them in one pass


@dataclass(frozen=True)
class Gradients:
    """The contributions of a text's tokens.

    Attributes:
        tokens: where each stands in the text, and what it contributes.
        gap: how far their sum is from the difference of the log-probability that it should be.
    """

    tokens: tuple[WordWeight, ...]
    gap: float

    def of(self, units: Sequence[Unit]) -> Floats:
        """(units,) the sums of the tokens in each; one that two share counts for both in proportion."""
        sums = np.zeros(len(units))
        for token in self.tokens:
            for place, unit in enumerate(units):
                shared = min(token.end, unit.end) - max(token.start, unit.start)
                if shared > 0:
                    sums[place] += token.weight * shared / (token.end - token.start)
        return sums


def check_installed() -> None:
    """Raise :class:`InputError` where captum is not there."""
    if importlib.util.find_spec("captum") is None:
        raise InputError("captum: not installed; pip install 'osler[explain]'")


def integrated_gradients(subject: Subject, text: str, label: str, steps: int = STEPS) -> Gradients:
    """How much each token of ``text`` brings of the log-probability of ``label``.

    Raises:
        InputError: captum is not installed, the tokenizer does not say where its tokens stand, or the scorer is of
            another kind than labels and classifiers.
    """
    check_installed()
    import torch
    from captum.attr import IntegratedGradients

    log_p: Callable[[Any, str], Any] | None = getattr(subject.scorer, "log_p", None)
    if log_p is None:
        raise InputError("gradients: the scorer has no log-probability of a label that they could be taken of")
    tokens = subject.scorer.encode(Case("asked", text, ""))
    places = token_places(subject, text, tokens)
    embed = subject.model.get_input_embeddings()
    ids = torch.tensor([tokens], device=subject.model.device)
    padding = ids.clone()
    padding[0, [n for n, place in enumerate(places) if place]] = int(subject.tokenizer.pad_token_id)
    with torch.no_grad():
        here, there = embed(ids), embed(padding)
    with torch.enable_grad():
        attributed = IntegratedGradients(lambda embedded: log_p(embedded, label)).attribute(
            here, there, n_steps=steps, internal_batch_size=AT_ONCE
        )
    with torch.no_grad():
        difference = float(log_p(here, label)) - float(log_p(there, label))
    of_tokens = attributed.detach().float().sum(-1)[0].tolist()
    return Gradients(
        tuple(
            WordWeight(start=place[0], end=place[1], weight=round(weight, 6))
            for place, weight in zip(places, of_tokens, strict=True)
            if place
        ),
        sum(of_tokens) - difference,
    )


def token_places(subject: Subject, text: str, tokens: Sequence[int]) -> list[tuple[int, int] | None]:
    """For each of the prompt's ``tokens`` the characters of ``text`` that it stands for; None where it is not of the
    text."""
    if subject.tokenizer.chat_template:
        conversation = subject.prompt.conversation(subject.tokenizer)
        before = "".join(conversation.frame[: conversation.frame.index(TEXT)])
        written, options = conversation.fill({TEXT: text, OPTIONS: ""}), {"add_special_tokens": False}
    else:
        before, written, options = "", text, {"split_special_tokens": True}
    try:
        read = subject.tokenizer(written, return_offsets_mapping=True, verbose=False, **options)
    except NotImplementedError:
        raise InputError(f"{subject.tokenizer.name_or_path}: the tokenizer does not say where tokens stand") from None
    if list(read["input_ids"]) != list(tokens):
        raise InputError("gradients: the text says what is a control token elsewhere; take that out of it")
    first = len(before)
    places: list[tuple[int, int] | None] = []
    for start, end in read["offset_mapping"]:
        start, end = max(start - first, 0), min(end - first, len(text))
        places.append((start, end) if start < end else None)
    return places
