"""A model's own logits at the positions asked for, and nowhere else."""

from __future__ import annotations

from typing import Any

import torch

from osler.errors import InputError

HEAD = "score"  # what transformers calls the head of a decoder for sequence classification


def outputs_of_head(model: torch.nn.Module, **inputs: Any) -> torch.Tensor:
    """What the head of a decoder for sequence classification gives at every position, (batch, length, outputs).

    The model itself keeps those of one position. Raises :class:`InputError` where it has no head that is applied to
    every position, as encoders have not.
    """
    heads = [module for name, module in model.named_modules() if name.rpartition(".")[2] == HEAD]
    found: list[torch.Tensor] = []

    def keep(_: torch.nn.Module, __: Any, output: torch.Tensor) -> None:
        found.append(output)

    hook = heads[0].register_forward_hook(keep) if heads else None
    try:
        model(**inputs)
    finally:
        if hook is not None:
            hook.remove()
    if not found or found[0].dim() != 3:
        raise InputError(f"base.model: {type(model).__name__} has no head that reads every position; take a decoder")
    return found[0]


def logits_at(
    model: torch.nn.Module, head: torch.nn.Module | None, rows: torch.Tensor, columns: torch.Tensor, **inputs: Any
) -> torch.Tensor:
    """The logits of a causal language model at some positions of a batch, (positions, vocabulary).

    The model computes them itself, with whatever it does after its head: a scale, a bias, a cap. Its head only gets to
    see the hidden states of these positions, because the vocabulary's logits everywhere would cost more than the model.

    Args:
        model: what is called with ``inputs``; it may be wrapped, by PEFT or for several devices.
        head: the model's ``get_output_embeddings()``. A model that has none, or does not call it, computes all logits.
        rows: of the batch, (positions,).
        columns: of the sequences, (positions,).
        inputs: of the model's ``forward``, without labels.
    """
    narrowed = []

    def narrow(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden, *rest = arguments
        if hidden.dim() != 3:  # several predictions a position: ProphetNet's
            return arguments
        narrowed.append(True)
        return hidden[rows.to(hidden.device), columns.to(hidden.device)][None], *rest

    hook = head.register_forward_pre_hook(narrow) if head is not None else None
    try:
        logits: torch.Tensor = model(**inputs).logits
    finally:
        if hook is not None:
            hook.remove()
    return logits[0] if narrowed else logits[rows.to(logits.device), columns.to(logits.device)]
