"""Describes a training run before it starts: rows, lengths, one example, parameters, memory, time."""

from __future__ import annotations

import math
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, Trainer

from osler.data import IGNORED, TrainingData
from osler.models import idle_accelerators
from osler.recipe import Recipe
from osler.runs import DataReport
from osler.training import planner
from osler.training.hardware import A_GPU, HARDWARE, matrix_flops

# Of a matrix product's speed, what a whole training step reaches: attention, norms and LoRA's small products take the
# rest. Measured on two CPU cores with SmolLM2-135M; a GPU run replaces this estimate by its progress bar soon enough.
STEP_EFFICIENCY = 0.55
SLOWEST = 1e9  # operations a second, which every machine reaches: a training this small is not worth a timing


def describe(recipe: Recipe, trainer: Trainer, data: TrainingData, show_text: bool) -> str:
    """The plan as text, a dozen lines. A case is quoted only if ``show_text``: it may be of a patient."""
    model: Any = trainer.model
    config: Any = trainer.args
    tokenizer: Any = trainer.processing_class
    report, tokens = data.report, data.report.tokens
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = parameters(model)
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps * trainer.accelerator.num_processes
    dataset: Any = trainer.train_dataset  # packed, as many rows as fit share one
    rows = len(dataset)
    steps = config.max_steps if config.max_steps > 0 else math.ceil(rows / batch) * config.num_train_epochs
    passes = steps * batch / rows if config.max_steps > 0 else config.num_train_epochs
    times = f"{passes:,.2g}" if passes < 1 else f"{round(passes, 2):,g}"
    decided = ", by max_steps" if config.max_steps > 0 else ""
    idle = idle_accelerators(config.device)
    weight = model.get_input_embeddings().weight
    duration = _duration(total, passes * tokens.total, weight.device, weight.dtype)
    writes = tokens.completion > 0  # a classifier does not
    first = data.examples[0]
    compares = "lengths" in first  # a reranker does
    shown = masked if writes else compared if compares else classified
    example = shown(first, tokenizer, show_text) + ("" if writes or compares else f" → {data.rows[0].label}")
    taken = "what stands between ⟦ and ⟧" if writes else "the candidate behind →" if compares else "the label behind →"
    lines = [
        f"rows        {report.rows_in:,} in, {report.rows_out:,} out"
        + "".join(f", {n:,} dropped ({reason})" for reason, n in report.dropped.items() if n)
        + f"; {len(report.labels)} labels; "
        + ", ".join(f"{n:,} from {source}" for source, n in report.sources.items()),
        f"tokens      {tokens.total:,} a pass, {f'{tokens.completion:,} of them answers' if writes else 'no answers'};"
        f" a row: {tokens.min} to {tokens.max}, median {tokens.median}; {report.truncated} rows truncated",
        *_changed_rows(report),
        *_histogram([len(example["input_ids"]) for example in data.examples]),
        f"steps       {math.ceil(steps):,}, {batch} {'row' if batch == 1 else 'rows'} each"
        f" ({times} {'pass' if passes == 1 else 'passes'}{decided})",
        f"device      {config.device}" + (f"; {idle}" if idle else ""),
        f"parameters  {trainable:,} trainable of {total:,} ({trainable / total:.2%})",
        f"memory      {_memory(recipe, config.device, tokens.max)}",
        f"time        {duration} (from a matrix product timed just now)",
        f"example     the loss is taken on {taken}",
        *(f"            {line}" for line in example.splitlines()),
    ]
    return "\n".join(lines)


def masked(example: dict[str, list[int]], tokenizer: PreTrainedTokenizerBase, show_text: bool) -> str:
    """One example decoded, special tokens included, with the tokens the loss is taken on between ``⟦`` and ``⟧``.

    Without ``show_text``, all but an answer is only counted: ``[214 tokens …]⟦influenza<|im_end|>⟧``.
    """
    text = ""
    tokens = zip(example["input_ids"], example["labels"], strict=True)
    for learnt, part in groupby(tokens, key=lambda token: token[1] != IGNORED):
        ids = [token for token, _ in part]
        if show_text or (learnt and len(ids) < len(example["labels"])):  # a document is all learnt
            content = "".join(str(tokenizer.decode([token])) for token in ids)
        else:
            content = f"[{len(ids)} tokens; --plan --show-text shows them]"
        text += f"⟦{content}⟧" if learnt else content
    return text


def classified(example: dict[str, list[int]], tokenizer: PreTrainedTokenizerBase, show_text: bool) -> str:
    """What a classifier reads of one example, decoded; without ``show_text`` it is only counted."""
    ids = example["input_ids"]
    return str(tokenizer.decode(ids)) if show_text else f"[{len(ids)} tokens; --plan --show-text shows them]"


def compared(example: dict[str, list[int]], tokenizer: PreTrainedTokenizerBase, show_text: bool) -> str:
    """What a reranker reads of one example, decoded: the prompt, and below it a line a candidate, ``→`` before the
    right one; without ``show_text`` they are only counted."""
    starts = [0, *accumulate(example["lengths"])]
    prompt, *candidates = (example["input_ids"][start:end] for start, end in pairwise(starts))
    if not show_text:
        return f"[{len(prompt)} tokens; --plan --show-text shows them] and {len(candidates)} candidates"
    marks = ("→" if n == example["labels"][0] else " " for n in range(len(candidates)))
    told = (f"{mark} {tokenizer.decode(ids)}" for mark, ids in zip(marks, candidates, strict=True))
    return "\n".join([str(tokenizer.decode(prompt)), *told])


def parameters(model: Any) -> int:
    """The number of parameters, with packed 4-bit weights counted as what they stand for."""
    return sum(
        parameter.quant_state.shape.numel() if hasattr(parameter, "quant_state") else parameter.numel()
        for parameter in model.parameters()
    )


def _memory(recipe: Recipe, device: torch.device, length: int) -> str:
    """What a step on rows of ``length`` tokens takes of ``device``, as ``scripts/plan.py`` counts it."""
    on_cpu = device.type == "cpu"
    try:
        step, _ = planner.measure(recipe, length, on_cpu)
    except Exception:  # whatever an architecture does that asks for numbers, training goes on without this line
        return "not estimated"
    return f"about {planner.needed(step, HARDWARE['cpu'] if on_cpu else A_GPU) / 1e9:.1f} GB"


def _changed_rows(report: DataReport) -> list[str]:
    lines = []
    if augmentation := report.augmentation:
        lines.append("augmented   " + ", ".join(f"{n:,} rows by {name}" for name, n in augmentation.rows.items()))
    if balance := report.balance:
        weights = [group.weight for group in balance.groups.values()]
        done = "their losses are weighted" if balance.method == "reweight" else "they are drawn, with replacement,"
        lines.append(
            f"balanced    {len(weights):,} groups by {balance.by}: {done} {min(weights):.2g} to {max(weights):.2g}"
            f" times; {balance.rows_without:,} rows tell none"
        )
    if mixture := report.mixture:
        tasks = [f"{name} {t.rows:,} rows, {t.tokens.total:,} tokens" for name, t in mixture.tasks.items()]
        lines.append("mixture     " + "; ".join(tasks))
    return lines


def _histogram(lengths: list[int], bins: int = 8, width: int = 40) -> list[str]:
    low, high = min(lengths), max(lengths) + 1
    edges = [low + (high - low) * i // bins for i in range(bins + 1)]
    counts = [sum(a <= n < b for n in lengths) for a, b in pairwise(edges)]
    return [
        f"            {a:>5}–{b - 1:<5} {'█' * round(width * n / max(counts)):<{width}} {n:,}"
        for (a, b), n in zip(pairwise(edges), counts, strict=True)
        if b > a
    ]


def _duration(total: int, tokens: float, device: torch.device, dtype: torch.dtype) -> str:
    """How long training takes; and what to override on a CPU that would do it faster in float32."""
    if _operations(total, tokens) < SLOWEST * STEP_EFFICIENCY * 60:
        return "less than a minute"
    minutes = _minutes(total, tokens, device, dtype)
    text = "less than a minute" if minutes < 1 else f"about {math.ceil(minutes)} minutes"
    if device.type == "cpu" and dtype != torch.float32 and minutes >= 1:
        in_float32 = _minutes(total, tokens, device, torch.float32)
        if in_float32 < minutes:
            text += f", {math.ceil(in_float32)} with base.dtype=float32 train.bf16=false: this CPU is faster in float32"
    return text


def _minutes(total: int, tokens: float, device: torch.device, dtype: torch.dtype) -> float:
    return _operations(total, tokens) / (matrix_flops(device, dtype) * STEP_EFFICIENCY) / 60


def _operations(total: int, tokens: float) -> float:
    """Forward and backward through frozen weights cost about 4 FLOPs a parameter and token."""
    return 4 * total * tokens
