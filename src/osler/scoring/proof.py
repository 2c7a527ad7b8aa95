"""Proof, before a model is scored with, that the scores are its own: those of a call for each label alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from osler.errors import InputError, one_line, show
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import Way, score

WAYS: tuple[Way, ...] = ("shared", "plain")  # the faster one first
# How far a token's mean log-probability may be off. SmolLM2-135M: 1e-5 in float32, on NF4 too, and 0.1 in bfloat16.
BOUND, HALF_PRECISION_BOUND = 1e-4, 0.5
LENGTHS = (7, 12)  # tokens of the prompts that are tried
LONGEST_WINDOW = 1024  # where a model attends no further than that, a prompt longer than its window is tried, too


def prove(model: PreTrainedModel, ways: Sequence[Way] = WAYS) -> Way:
    """The first of ``ways`` that scores random labels after random prompts as the model itself does.

    Says so where it is not the first. Raises :class:`InputError` where it is none.
    """
    prompts, labels = _random_cases(model)
    layout = Layout(LabelTrie(labels), normalised=False)
    lengths = torch.tensor([len(tokens) for tokens in labels.values()])
    expected = torch.tensor([[reference(model, prompt, tokens) for tokens in labels.values()] for prompt in prompts])
    bound = BOUND if model.dtype == torch.float32 else HALF_PRECISION_BOUND
    name, reasons = type(getattr(model, "get_base_model", lambda: model)()).__name__, []
    for way in ways:
        try:
            found = torch.stack(score(model, prompts, [layout] * len(prompts), way))
        except Exception as error:  # whatever a model makes of masks and positions that it was not written for
            reasons.append(f"{way}: {show(one_line(f'{type(error).__name__}: {error}'))}")
            continue
        off = float(((found - expected) / lengths).abs().max())
        if off <= bound:
            if reasons:
                logging.getLogger(__name__).warning(
                    "%s: its labels cannot share one forward pass (%s); each is scored in its own, which takes longer",
                    name,
                    "; ".join(reasons),
                )
            return way
        reasons.append(f"{way}: a token's log-probability is off by {off:.2g}, more than {bound:g}")
    raise InputError(
        f"base.model: {name} does not score labels as it does when each is asked for alone ({'; '.join(reasons)}): "
        "take another base, or attn_implementation: eager"
    )


def reference(model: PreTrainedModel, prompt: Sequence[int], tokens: Sequence[int]) -> float:
    """The log-probability of ``tokens`` after ``prompt``, from a call of the model with nothing but these."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *tokens]]).to(model.device), use_cache=False).logits[0]
    logp = logits[len(prompt) - 1 : -1].float().log_softmax(-1)
    return float(logp[range(len(tokens)), list(tokens)].sum())


def _random_cases(model: PreTrainedModel) -> tuple[list[list[int]], dict[str, list[int]]]:
    """Prompts, and labels that part at their first, second and third token. The same for every model of its shape."""
    config = model.config.get_text_config()
    special = {value for name, value in vars(config).items() if name.endswith("token_id") and isinstance(value, int)}
    # The first half: what comes last may be there to fill up the head, or stand for an image.
    usual = torch.tensor([token for token in range(config.vocab_size // 2) if token not in special])
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> list[int]:
        return usual[torch.randint(len(usual), (n,), generator=generator)].tolist()

    windows = {
        value
        for name, value in vars(config).items()
        if ("window" in name or "chunk" in name) and type(value) is int and 0 < value <= LONGEST_WINDOW
    }
    context = getattr(config, "max_position_embeddings", None)
    lengths = [*LENGTHS, *(n + 5 for n in sorted(windows) if not isinstance(context, int) or n + 10 <= context)]
    a, b, c, *others = usual[torch.randperm(len(usual), generator=generator)[:9]].tolist()
    return [draw(n) for n in lengths], {"1": [a, b, c], "2": [a, b, *others[:2]], "3": [a, others[2]], "4": others[3:]}
