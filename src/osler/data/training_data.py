"""Training rows into tokens, with a report of what came in, what was left out and what went on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osler.data import contamination
from osler.data.mixture import Part, parts
from osler.errors import InputError
from osler.recipe import Recipe
from osler.runs import Contamination, DataReport
from osler.storage import plain, validated
from osler.tasks import Case, Task, TooLong, completions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label id of a token no loss is taken on (PyTorch's cross-entropy default)


@dataclass(frozen=True)
class TrainingData:
    """Tokenised rows and ``data_report.json``.

    ``examples`` holds ``input_ids`` and ``labels`` of equal length; labels are ``IGNORED`` on the prompt, so the loss
    is on the completion only. ``completions`` maps, for each task that is learnt, every label id of its panel to its
    token ids, EOS included; ``task_indices`` says which of the tasks each example is of. The recipe's own comes first.
    """

    rows: list[Case]
    examples: list[dict[str, list[int]]]
    completions: list[dict[str, list[int]]]
    task_indices: list[int]
    report: DataReport

    @property
    def label_indices(self) -> list[int]:
        """Of each row, the index of its label among the labels of all tasks, in the order of ``completions``."""
        panels = ((task, label) for task, panel in enumerate(self.completions) for label in panel)
        index = {task_and_label: n for n, task_and_label in enumerate(panels)}
        return [index[task, row.label] for task, row in zip(self.task_indices, self.rows, strict=True)]


def build_training_data(recipe: Recipe, task: Task, tokenizer: PreTrainedTokenizerBase) -> TrainingData:
    """The training data of ``recipe``. The same recipe and task give the same examples in the same order.

    Raises :class:`~osler.errors.InputError` where ``train.max_length`` has no room for a prompt, and where cases
    of a split the recipe evaluates stand in the training data without a reason in ``allow_overlap``.
    """
    max_length = recipe.train.get("max_length", 1024)  # SFTConfig's own default
    learnt = parts(recipe, task)
    answers = [completions(tokenizer, part.task.labels) for part in learnt]
    for of_task in answers:
        _check_eos(of_task, tokenizer)
    order = [(number, row) for number, part in enumerate(learnt) for row in part.rows]
    if len(learnt) > 1:
        random.Random(f"mixture/{recipe.seed}").shuffle(order)
    rows, task_of = [row for _, row in order], [number for number, _ in order]
    overlap = _overlap(recipe, task, learnt, rows)
    contamination.check(overlap, recipe.evaluation.splits, str(recipe.path))
    examples, truncated = [], [0] * len(learnt)
    for number, row in order:
        if recipe.stage == "pretrain":  # the loss is on every token of a document
            tokens = [*tokenizer(row.text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            truncated[number] += max_length is not None and len(tokens) > max_length
            examples.append({"input_ids": tokens[:max_length], "labels": tokens[:max_length]})
            continue
        answer = answers[number][row.label]
        room = None if max_length is None else max_length - len(answer)
        try:
            prompt, cut = learnt[number].task.prompt.encode_within(tokenizer, row.text, room, row.options)
        except TooLong as error:
            raise InputError(
                f"{recipe.path}: train.max_length: {max_length} has no room for a prompt of {learnt[number].task.name}:"
                f" it has {error.tokens} tokens without its text, and the answer {len(answer)};"
                f" expected {error.tokens + len(answer)} at the very least"
            ) from None
        truncated[number] += cut
        examples.append({"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer})
    content = {**_report(recipe, learnt, task_of, examples, truncated), "contamination": plain(overlap)}
    return TrainingData(rows, examples, answers, task_of, validated(DataReport, content, "data_report.json"))


def _overlap(recipe: Recipe, task: Task, learnt: Sequence[Part], rows: Sequence[Case]) -> Contamination:
    """The overlap of the training rows with every split of the task, and the reasons given for it."""
    splits = {name: task.source.split(name) for name in task.splits}
    cited = {name: task.source.publications(name) for name in task.splits}
    used = frozenset(name for part in learnt for name in part.task.source.training_publications(part.data))
    publications = {name: by_case for name, by_case in cited.items() if by_case}
    return contamination.contamination(rows, splits, used, publications, recipe.allow_overlap)


def _check_eos(completions: Mapping[str, Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    # A model whose answers never end, or whose EOS is masked as padding, is the commonest silent failure there is.
    assert tokenizer.pad_token_id != tokenizer.eos_token_id, f"pad and EOS are both {tokenizer.eos_token!r}"
    for label, tokens in completions.items():
        assert tokens[-1] == tokenizer.eos_token_id, f"{label}: the completion does not end in EOS: {tokens}"


def _report(
    recipe: Recipe,
    learnt: Sequence[Part],
    task_of: Sequence[int],
    examples: Sequence[Mapping[str, list[int]]],
    truncated: Sequence[int],
) -> dict[str, Any]:
    own, *mixed = learnt
    tokens = [_tokens([e for e, of in zip(examples, task_of, strict=True) if of == n]) for n in range(len(learnt))]
    dropped: Counter[str] = Counter()
    for part in learnt:
        dropped.update(part.dropped)
    copies = sum(own.augmentation["rows"].values()) if own.augmentation else 0
    return {
        "schema": 1,
        "task": own.task.name,
        "task_version": own.task.version,
        "panel": own.task.panel,
        "prompt_sha256": own.task.prompt.sha256,
        "rows_in": sum(part.available for part in learnt) - copies + sum(dropped.values()),
        "dropped": dict(dropped),
        "rows_out": len(examples),
        "truncated": sum(truncated),
        "sources": dict(sorted(Counter(row.source for part in learnt for row in part.rows).items())),
        "rows_per_label": dict(sorted(Counter(row.label for row in own.rows).items())),
        "labels": dict(own.task.labels),
        "tokens": _tokens(examples),
        "augmentation": own.augmentation,
        "mixture": {
            "temperature": recipe.mixture.temperature if recipe.mixture else None,
            "tasks": {
                part.task.name: _task_report(own, part, tokens[number], truncated[number])
                for number, part in enumerate(learnt)
            },
        }
        if mixed
        else None,
        "provenance": own.task.source.provenance(),
    }


def _task_report(own: Part, part: Part, tokens: Mapping[str, int], truncated: int) -> dict[str, Any]:
    task = part.task
    return {
        "task_version": task.version,
        "panel": task.panel,
        "prompt_sha256": task.prompt.sha256,
        "rows_available": part.available,
        "dropped": part.dropped,
        "rows": len(part.rows),
        "weight": round(len(part.rows) / len(own.rows), 4),
        "truncated": truncated,
        "tokens": tokens,
        # What the recipe's own task keeps out of training, another task's texts may say all the same.
        "rows_with_held_out_wording": sum(bool(own.task.source.held_out_wordings(row.text)) for row in part.rows),
        "provenance": task.source.provenance(),
    }


def _tokens(examples: Sequence[Mapping[str, list[int]]]) -> dict[str, int]:
    lengths = sorted(len(example["input_ids"]) for example in examples)
    return {
        "total": sum(lengths),
        "completion": sum(label != IGNORED for example in examples for label in example["labels"]),
        "min": lengths[0],
        "median": lengths[len(lengths) // 2],
        "p95": lengths[int(len(lengths) * 0.95)],
        "max": lengths[-1],
    }
