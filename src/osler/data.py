"""Training rows into tokens, with a report of what came in, what was left out and what went on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from osler import contamination
from osler.errors import InputError
from osler.prompt import completions
from osler.recipe import Recipe
from osler.task import Row, Task

IGNORED = -100  # the label id of a token no loss is taken on (PyTorch's cross-entropy default)


@dataclass(frozen=True)
class TrainingData:
    """Tokenised rows and ``data_report.json``.

    ``examples`` holds ``input_ids`` and ``labels`` of equal length; labels are ``IGNORED`` on the prompt, so the loss
    is on the completion only. ``completions`` maps every label id of the panel to its token ids, EOS included.
    """

    rows: list[Row]
    examples: list[dict[str, list[int]]]
    completions: dict[str, list[int]]
    report: dict[str, Any]


def build(recipe: Recipe, task: Task, tokenizer: PreTrainedTokenizerBase) -> TrainingData:
    """The training data of ``recipe``. The same recipe and task give the same examples in the same order.

    Raises :class:`~osler.errors.InputError` where ``train.max_length`` leaves no room for a prompt, and where cases
    of a split the recipe evaluates stand in the training data without a reason in ``allow_overlap``.
    """
    max_length = recipe.train.get("max_length", 1024)  # SFTConfig's own default
    answers = completions(tokenizer, task.labels)
    _check_eos(answers, tokenizer)
    training = task.source.training(recipe.data, recipe.seed)
    if not training.rows:
        raise InputError(f"{task.name}: no training rows are left; dropped: {training.dropped}")
    overlap = _overlap(recipe, task, training.rows)
    contamination.check(overlap, recipe.evaluation.splits, recipe.allow_overlap or {}, str(recipe.path))
    examples, truncated = [], 0
    for row in training.rows:
        answer = answers[row["label"]]
        room = None if max_length is None else max_length - len(answer)
        prompt, cut = task.prompt.encode_within(tokenizer, row["text"], room, row.get("options"))
        truncated += cut
        examples.append({"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer})
    report = _report(task, training.rows, training.dropped, examples, truncated)
    return TrainingData(training.rows, examples, answers, {**report, "contamination": overlap})


def _overlap(recipe: Recipe, task: Task, rows: Sequence[Row]) -> dict[str, Any]:
    """The overlap of the training rows with every split of the task, and the reasons given for it."""
    splits = {name: task.source.split(name) for name in task.splits}
    cited = {name: task.source.publications(name) for name in task.splits}
    learnt = task.source.training_publications(recipe.data)
    report = contamination.contamination(rows, splits, learnt, {name: of for name, of in cited.items() if of})
    return {**report, "allowed": dict(recipe.allow_overlap or {})}


def _check_eos(completions: Mapping[str, Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    # A model whose answers never end, or whose EOS is masked as padding, is the commonest silent failure there is.
    assert tokenizer.pad_token_id != tokenizer.eos_token_id, f"pad and EOS are both {tokenizer.eos_token!r}"
    for label, tokens in completions.items():
        assert tokens[-1] == tokenizer.eos_token_id, f"{label}: the completion does not end in EOS: {tokens}"


def _report(
    task: Task,
    rows: Sequence[Row],
    dropped: Mapping[str, int],
    examples: Sequence[Mapping[str, list[int]]],
    truncated: int,
) -> dict[str, Any]:
    lengths = sorted(len(example["input_ids"]) for example in examples)
    return {
        "schema": 1,
        "task": task.name,
        "task_version": task.version,
        "panel": task.panel,
        "prompt_sha256": task.prompt.sha256,
        "rows_in": len(rows) + sum(dropped.values()),
        "dropped": dict(dropped),
        "rows_out": len(rows),
        "truncated": truncated,
        "sources": dict(sorted(Counter(row["source"] for row in rows).items())),
        "rows_per_label": dict(sorted(Counter(row["label"] for row in rows).items())),
        "labels": dict(task.labels),
        "tokens": {
            "total": sum(lengths),
            "completion": sum(label != IGNORED for example in examples for label in example["labels"]),
            "min": lengths[0],
            "median": lengths[len(lengths) // 2],
            "p95": lengths[int(len(lengths) * 0.95)],
            "max": lengths[-1],
        },
        "provenance": task.source.provenance(),
    }
