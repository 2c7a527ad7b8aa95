"""Tokenises the training rows of a recipe, and reports which rows came in, were left out and went on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osler.data import contamination
from osler.data.balance import balance_weights
from osler.data.mixture import Component, load_components
from osler.errors import InputError, show
from osler.recipe import Recipe
from osler.runs import Contamination, DataReport
from osler.storage import plain, validated
from osler.tasks import Case, Task, TooLong, candidate_tokens, completions, encode_classified

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from osler.models import Images

IGNORED = -100  # the label id of a token no loss is taken on (PyTorch's cross-entropy default)


@dataclass(frozen=True)
class TrainingData:
    """Tokenised rows and ``data_report.json``.

    Attributes:
        rows: in the order they are handed to the trainer.
        examples: parallel to ``rows``: ``input_ids`` and ``labels`` of equal length; labels are ``IGNORED`` on the
            prompt, so the loss is on the completion only. Of a classifier, ``labels`` is one number, the label's index
            among the labels of the task. Of a reranker, ``input_ids`` are the prompt and every candidate one after the
            other, ``lengths`` their lengths, and ``labels`` the place of the right candidate.
        completions: for each task that is learnt, the recipe's own first, label id → token ids, EOS included; none for
            a classifier, which writes nothing.
        task_indices: parallel to ``rows``: an index into ``completions``.
        report: the content of ``data_report.json``.
        row_weights: parallel to ``rows``, how much each counts by the recipe's ``balance:``; None without it.
    """

    rows: list[Case]
    examples: list[dict[str, list[int]]]
    completions: list[dict[str, list[int]]]
    task_indices: list[int]
    report: DataReport
    row_weights: list[float] | None = None

    @property
    def loss_weights(self) -> list[float] | None:
        """``row_weights`` where losses are multiplied by them, and None where rows are drawn by them, or by nothing."""
        reweighted = self.report.balance is not None and self.report.balance.method == "reweight"
        return self.row_weights if reweighted else None

    @property
    def label_indices(self) -> list[int]:
        """Of each row, the index of its label among the labels of all tasks, in the order of ``completions``."""
        panels = ((task, label) for task, panel in enumerate(self.completions) for label in panel)
        index = {task_and_label: n for n, task_and_label in enumerate(panels)}
        return [index[task, row.label] for task, row in zip(self.task_indices, self.rows, strict=True)]


def build_training_data(
    recipe: Recipe,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    images: Images | None = None,
    without: Collection[str] = (),
) -> TrainingData:
    """The training data of ``recipe``. The same recipe and task give the same examples in the same order. ``images`` is
    how the base reads those of the task's cases, None where they have none. Rows of the units in ``without`` are left
    out.

    Raises :class:`~osler.errors.InputError` where ``train.max_length`` has no room for a prompt, where the tokenizer
    has the same tokens for two labels, and where cases of a split that the recipe evaluates stand in the training data
    without a reason in ``allow_overlap``.
    """
    components = [component.without(without) for component in load_components(recipe, task)]
    panels: list[dict[str, list[int]]] = [{} for _ in components]
    if recipe.head is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"{recipe.path}: base.model: the tokenizer of {recipe.base.model} has no token that ends an answer: set"
                " eos_token in tokenizer_config.json of a local copy, and name that as base.model"
            )
        panels = [completions(tokenizer, component.task.labels) for component in components]
        for component, panel in zip(components, panels, strict=True):
            _check_eos(panel, tokenizer)
            _check_distinct(component.task, panel, recipe)
    order = [(index, row) for index, component in enumerate(components) for row in component.rows]
    if len(components) > 1:
        random.Random(f"mixture/{recipe.seed}").shuffle(order)
    rows, task_indices = [row for _, row in order], [index for index, _ in order]
    overlap = _overlap(recipe, task, components, rows)
    contamination.check(overlap, recipe.evaluation.splits, recipe.allow_overlap or {}, str(recipe.path))
    examples, truncated = [], [0] * len(components)
    outputs = {label: index for index, label in enumerate(task.labels)}
    for index, row in order:
        if recipe.stage == "pretrain":
            example, cut = _document(recipe, row, tokenizer)
        elif recipe.head == "reranker":
            example, cut = _prompt_and_candidates(recipe, task, row, tokenizer)
        elif recipe.head is not None:
            example, cut = _text_and_label(recipe, task, row, outputs, tokenizer)
        else:
            example, cut = _prompt_and_answer(recipe, components[index].task, row, panels[index], tokenizer, images)
        examples.append(example)
        truncated[index] += cut
    weights, balance = balance_weights(recipe, rows)
    report = _report(recipe, components, task_indices, examples, truncated, overlap, balance)
    return TrainingData(rows, examples, panels, task_indices, report, weights)


def _max_length(recipe: Recipe) -> int | None:
    length: int | None = recipe.train.get("max_length", 1024)  # SFTConfig's own default
    return length


def _document(recipe: Recipe, row: Case, tokenizer: PreTrainedTokenizerBase) -> tuple[dict[str, list[int]], bool]:
    """A document to pre-train on, with the loss on every token of it, and whether it was cut off."""
    tokens = [*tokenizer(row.text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    kept = tokens[: _max_length(recipe)]
    return {"input_ids": kept, "labels": kept}, len(kept) < len(tokens)


def _text_and_label(
    recipe: Recipe, task: Task, row: Case, outputs: Mapping[str, int], tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, list[int]], bool]:
    """What a classifier reads of a case, the output of its label, and whether the end of its text was cut off."""
    max_length = _max_length(recipe)
    try:
        tokens, cut = encode_classified(task.prompt, tokenizer, row.text, max_length)
    except TooLong as error:
        raise InputError(
            f"{recipe.path}: train.max_length: {max_length} has no room for a case of {task.name}: it has"
            f" {error.tokens} tokens without its text; expected more"
        ) from None
    return {"input_ids": tokens, "labels": [outputs[row.label]]}, cut


def _prompt_and_candidates(
    recipe: Recipe, task: Task, row: Case, tokenizer: PreTrainedTokenizerBase
) -> tuple[dict[str, list[int]], bool]:
    """A case and its candidates, the place of the right one, and whether the end of its text was cut off."""
    options = row.options or {}
    candidates = [candidate_tokens(tokenizer, text) for text in options.values()]
    max_length, longest = _max_length(recipe), max(map(len, candidates))
    try:
        prompt, cut = encode_classified(task.prompt, tokenizer, row.text, max_length and max_length - longest)
    except TooLong as error:
        raise InputError(
            f"{recipe.path}: train.max_length: {max_length} has no room for a case of {task.name}: it has"
            f" {error.tokens} tokens without its text, and a candidate {longest}; expected more"
        ) from None
    lengths = [len(prompt), *map(len, candidates)]
    tokens = [token for part in (prompt, *candidates) for token in part]
    return {"input_ids": tokens, "labels": [list(options).index(row.label)], "lengths": lengths}, cut


def _prompt_and_answer(
    recipe: Recipe,
    task: Task,
    row: Case,
    panel: Mapping[str, list[int]],
    tokenizer: PreTrainedTokenizerBase,
    images: Images | None,
) -> tuple[dict[str, list[int]], bool]:
    """A case with its answer, with the loss on the answer, and whether the end of its text was cut off."""
    max_length, answer = _max_length(recipe), panel[row.label]
    room = None if max_length is None else max_length - len(answer)
    written = images.written(row.image) if images and row.image else None
    try:
        prompt, cut = task.prompt.encode_within(tokenizer, row.text, room, row.options, written)
    except TooLong as error:
        raise InputError(
            f"{recipe.path}: train.max_length: {max_length} has no room for a prompt of {task.name}:"
            f" it has {error.tokens} tokens without its text{' but with its image' if written else ''}, and the answer"
            f" {len(answer)};"
            f" expected {error.tokens + len(answer)} at the very least"
        ) from None
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}, cut


def _overlap(recipe: Recipe, task: Task, components: Sequence[Component], rows: Sequence[Case]) -> Contamination:
    """The overlap of the training rows with every split of the task, and the reasons given for it."""
    splits = {name: task.source.split(name) for name in task.splits}
    cited = {name: publications for name in task.splits if (publications := task.source.publications(name))}
    used = frozenset(
        publication
        for component in components
        for publication in component.task.source.training_publications(component.data)
    )
    return contamination.measure(rows, splits, used, cited, recipe.allow_overlap)


def _check_eos(completions: Mapping[str, Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> None:
    # A model whose answers never end, or whose EOS is masked as padding, is the commonest silent failure there is.
    assert tokenizer.pad_token_id != tokenizer.eos_token_id, f"pad and EOS are both {tokenizer.eos_token!r}"
    for label, tokens in completions.items():
        assert tokens[-1] == tokenizer.eos_token_id, f"{label}: the completion does not end in EOS: {tokens}"


def _check_distinct(task: Task, completions: Mapping[str, Sequence[int]], recipe: Recipe) -> None:
    """Two labels that the base's tokenizer cannot tell apart are one to a model."""
    seen: dict[tuple[int, ...], str] = {}
    for label, tokens in completions.items():
        other = seen.setdefault(tuple(tokens), label)
        if other != label:
            raise InputError(
                f"{recipe.path}: base.model: {recipe.base.model} has the same tokens for two labels of {task.name},"
                f" {show(task.labels[other])} and {show(task.labels[label])}: make them one, or name another base"
            )


def _report(
    recipe: Recipe,
    components: Sequence[Component],
    task_indices: Sequence[int],
    examples: Sequence[Mapping[str, list[int]]],
    truncated: Sequence[int],
    overlap: Contamination,
    balance: Mapping[str, Any] | None,
) -> DataReport:
    """``data_report.json``; ``truncated`` is of each component."""
    own = components[0]
    dropped: Counter[str] = Counter()
    for component in components:
        dropped.update(component.dropped)
    copies = sum(own.augmentation["rows"].values()) if own.augmentation else 0
    content = {
        "schema": 1,
        "task": own.task.name,
        "task_version": own.task.version,
        "panel": own.task.panel,
        "prompt_sha256": own.task.prompt.sha256,
        "rows_in": sum(component.available for component in components) - copies + sum(dropped.values()),
        "dropped": dict(dropped),
        "rows_out": len(examples),
        "truncated": sum(truncated),
        "sources": dict(sorted(Counter(row.source for component in components for row in component.rows).items())),
        "rows_per_label": dict(sorted(Counter(row.label for row in own.rows).items())),
        "labels": dict(own.task.labels),
        "tokens": _tokens(examples) | ({} if recipe.head is None else {"completion": 0}),
        "augmentation": own.augmentation,
        "balance": balance,
        "mixture": {
            "temperature": recipe.mixture.temperature,
            "tasks": {
                component.task.name: _task_report(
                    own,
                    component,
                    [e for i, e in zip(task_indices, examples, strict=True) if i == index],
                    truncated[index],
                )
                for index, component in enumerate(components)
            },
        }
        if recipe.mixture
        else None,
        "provenance": own.task.source.provenance(own.data),
        "contamination": plain(overlap),
    }
    return validated(DataReport, content, "data_report.json")


def _task_report(
    own: Component, component: Component, examples: Sequence[Mapping[str, list[int]]], truncated: int
) -> dict[str, Any]:
    task = component.task
    return {
        "task_version": task.version,
        "panel": task.panel,
        "prompt_sha256": task.prompt.sha256,
        "rows_available": component.available,
        "dropped": component.dropped,
        "rows": len(component.rows),
        "weight": round(len(component.rows) / len(own.rows), 4),
        "truncated": truncated,
        "tokens": _tokens(examples),
        # What the recipe's own task keeps out of training, another task's texts may say all the same.
        "rows_with_held_out_wording": sum(bool(own.task.source.held_out_wordings(row.text)) for row in component.rows),
        "provenance": task.source.provenance(component.data),
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
