"""Proof, before a model is scored with, that the scores are its own: those of a call for each label alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from transformers import PreTrainedModel

from osler.errors import InputError, one_line, show
from osler.models import Images, context_length, in_float32
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import Seen, Way, score

WAYS: tuple[Way, ...] = ("shared", "plain")  # the faster one first
# How far a token's log-probability may be off in float32. SmolLM2-135M: 1e-5, on NF4 weights, too.
BOUND = 1e-4
LENGTHS = (7, 12)  # tokens of the prompts that are tried
RATES = ("rope_theta", "factor")  # of rotary embeddings: no lengths
LONGEST_WINDOW = 1024  # where a model attends no further than that, a prompt longer than its window is tried, too


def prove(model: PreTrainedModel, ways: Sequence[Way] = WAYS, images: Images | None = None) -> Way:
    """The first of ``ways`` that scores random labels after random prompts as the model itself does; and after prompts
    with an image of noise, where it is asked with ``images``.

    It is tried in float32, whatever the model computes in: rounding in half precision moves a token by 0.1, more than
    many a fault. Says so where it is not the first. Raises :class:`InputError` where it is none.
    """
    name = type(getattr(model, "get_base_model", lambda: model)()).__name__
    reasons: list[str] = []
    try:
        with in_float32(model):
            prompts, labels = _random_cases(model)
            seen = Seen(images, [images.noise(n) for n in range(len(prompts))]) if images else None
            if seen is not None:
                shown = zip(prompts, map(seen.images.tokens, seen.of), strict=True)
                prompts = [[*prompt[:3], *tokens, *prompt[3:]] for prompt, tokens in shown]
            alone = [
                [reference(model, prompt, tokens, seen, row) for tokens in labels.values()]
                for row, prompt in enumerate(prompts)
            ]
            for way in ways:
                if (reason := _fault(model, way, prompts, labels, torch.tensor(alone), seen)) is None:
                    if reasons:
                        _say(name, "; ".join(reasons))
                    return way
                reasons.append(f"{way}: {reason}")
    except torch.OutOfMemoryError:
        _say(name, "there is no room to prove that they can, in float32")
        return "plain"
    raise InputError(
        f"base.model: {name} does not score labels as it does when each is asked for alone ({'; '.join(reasons)}): "
        "take another base, or attn_implementation: eager"
    )


def _fault(
    model: PreTrainedModel,
    way: Way,
    prompts: Sequence[Sequence[int]],
    labels: Mapping[str, Sequence[int]],
    alone: torch.Tensor,
    seen: Seen | None,
) -> str | None:
    """How scores differ from those of ``alone``, (prompts, labels); None where they do not."""
    layout = Layout(LabelTrie(labels), normalised=False)
    try:
        found = torch.stack(score(model, prompts, [layout] * len(prompts), way, seen))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model makes of masks and positions that it was not written for
        return show(one_line(f"{type(error).__name__}: {error}"))
    lengths = torch.tensor([len(tokens) for tokens in labels.values()])
    off = float(((found - alone) / lengths).abs().max())
    return None if off <= BOUND else f"a token's log-probability is off by {off:.2g}, more than {BOUND:g}"


def _say(name: str, reason: str) -> None:
    logging.getLogger(__name__).warning(
        "%s: its labels do not share one forward pass (%s); each is scored in its own, which takes longer", name, reason
    )


def reference(
    model: PreTrainedModel, prompt: Sequence[int], tokens: Sequence[int], seen: Seen | None = None, row: int = 0
) -> float:
    """The log-probability of ``tokens`` after ``prompt``, from a call of the model with nothing but these, and with the
    image that is ``seen`` in its ``row``."""
    ids = torch.tensor([[*prompt, *tokens]])
    inputs = {"input_ids": ids, **(seen.images.inputs([seen.of[row]], ids) if seen else {})}
    with torch.inference_mode():
        logits = model(**{name: t.to(model.device) for name, t in inputs.items()}, use_cache=False).logits[0]
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

    # Beyond these a model attends no further, or scales its positions.
    limits = [(name, value) for name, value in vars(config).items() if "window" in name or "chunk" in name]
    limits += dict(getattr(config, "rope_parameters", None) or {}).items()
    windows = {
        value for name, value in limits if name not in RATES and type(value) is int and 0 < value <= LONGEST_WINDOW
    }
    context = context_length(model)
    lengths = [*LENGTHS, *(n + 5 for n in sorted(windows) if context is None or n + 10 <= context)]
    a, b, c, *others = usual[torch.randperm(len(usual), generator=generator)[:9]].tolist()
    return [draw(n) for n in lengths], {"1": [a, b, c], "2": [a, b, *others[:2]], "3": [a, others[2]], "4": others[3:]}
