"""A model is trained on the answer and its end, after the very prompt it is evaluated with; a report counts it all."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import jinja2
import project
import pytest
from transformers import PreTrainedTokenizerBase

from osler.data.training_data import IGNORED, TrainingData, build_training_data
from osler.errors import InputError
from osler.models.loading import load_base, load_tokenizer
from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.sections import BaseSection
from osler.recipe.task_file import find_tasks
from osler.runs.data_report import DataReport
from osler.scoring.labels import LabelScorer
from osler.tasks.task import Task, load_task

Loaded = tuple[Recipe, Task, PreTrainedTokenizerBase]


@pytest.fixture
def load(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """The small project's recipe with overrides, its task and its tokenizer."""
    path = project.make(tmp_path, tiny_base, rows=20)
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))

    def loaded(*overrides: str) -> Loaded:
        chosen = load_recipe(path, overrides)
        folder = find_tasks(path) / chosen.task.name
        return chosen, load_task(folder), load_tokenizer(chosen.base)

    return loaded


def prompt_of(example: dict[str, list[int]]) -> list[int]:
    return example["input_ids"][: example["labels"].count(IGNORED)]


def answer_of(example: dict[str, list[int]]) -> list[int]:
    return [label for label in example["labels"] if label != IGNORED]


def test_the_loss_is_on_the_answer_and_its_end_only(load: Callable[..., Loaded]) -> None:
    chosen, complaints, tokenizer = load()
    data = build_training_data(chosen, complaints, tokenizer)
    assert len(data.examples) == len(data.rows) == 20
    for row, example in zip(data.rows, data.examples, strict=True):
        prompt, answer = prompt_of(example), answer_of(example)
        assert example["input_ids"] == prompt + answer
        assert example["labels"] == [IGNORED] * len(prompt) + answer
        assert tokenizer.decode(answer[:-1]) == complaints.labels[row.label]
        assert answer[-1] == tokenizer.eos_token_id
        assert answer == data.completions[0][row.label]
        assert row.text in tokenizer.decode(prompt)


def test_a_model_is_evaluated_with_the_tokens_it_was_trained_with(load: Callable[..., Loaded]) -> None:
    chosen, complaints, tokenizer = load()
    data = build_training_data(chosen, complaints, tokenizer)
    scorer = LabelScorer(load_base(chosen.base), tokenizer, complaints.prompt, complaints.labels, normalised=True)
    assert [scorer.encode(row) for row in data.rows] == [prompt_of(example) for example in data.examples]


def test_the_same_recipe_gives_the_same_examples_in_the_same_order(load: Callable[..., Loaded]) -> None:
    first, second = (build_training_data(*load()) for _ in range(2))
    assert (first.examples, first.rows, first.report) == (second.examples, second.rows, second.report)


def test_a_long_text_is_cut_and_counted_and_its_answer_stays_whole(load: Callable[..., Loaded]) -> None:
    whole = build_training_data(*load())
    assert whole.report.truncated == 0
    lengths = [len(example["input_ids"]) for example in whole.examples]
    limit = sorted(lengths)[len(lengths) // 2]
    cut = build_training_data(*load(f"train.max_length={limit}"))
    assert 0 < cut.report.truncated == sum(length > limit for length in lengths) < len(lengths)
    assert max(len(example["input_ids"]) for example in cut.examples) <= limit
    assert [answer_of(example) for example in cut.examples] == [answer_of(example) for example in whole.examples]
    for example, uncut, length in zip(cut.examples, whole.examples, lengths, strict=True):
        assert (example == uncut) == (length <= limit)


def test_without_a_max_length_nothing_is_cut(load: Callable[..., Loaded]) -> None:
    assert build_training_data(*load("train.max_length=null")).examples == build_training_data(*load()).examples


@pytest.mark.parametrize("max_length", [1, 20], ids=["shorter than an answer", "shorter than the question"])
def test_a_max_length_without_room_for_the_question_is_refused(
    load: Callable[..., Loaded], tmp_path: Path, max_length: int
) -> None:
    with pytest.raises(InputError) as error:
        build_training_data(*load(f"train.max_length={max_length}"))
    path = tmp_path / "recipes" / "tiny.yaml"
    assert str(error.value).startswith(f"{path}: train.max_length: {max_length} has no room for a prompt of made_up: ")
    assert "\n" not in str(error.value)


def test_a_misspelt_variable_in_the_prompt_stops_the_training(load: Callable[..., Loaded], tmp_path: Path) -> None:
    (tmp_path / "tasks" / "made_up" / "prompt.jinja").write_text("{{ txt }}\nDiagnosis?")
    with pytest.raises((InputError, jinja2.UndefinedError), match="txt"):
        build_training_data(*load())


def test_padding_that_is_also_the_end_is_refused(load: Callable[..., Loaded]) -> None:
    chosen, complaints, tokenizer = load()
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(AssertionError, match=r"pad and EOS are both '<\|im_end\|>'"):
        build_training_data(chosen, complaints, tokenizer)


def test_a_base_whose_answers_would_never_end_is_refused(load: Callable[..., Loaded]) -> None:
    chosen, complaints, tokenizer = load()
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="has no token that ends an answer: set eos_token in tokenizer_config"):
        build_training_data(chosen, complaints, tokenizer)


def built_with_repeats(load: Callable[..., Loaded], folder: Path) -> TrainingData:
    """Of 24 training rows one stands in test and three stand there twice."""
    train, test = (folder / "data" / "made_up" / f"{split}.jsonl" for split in ("train", "test"))
    lines = train.read_text().splitlines()
    train.write_text("\n".join([*lines, *lines[:3], test.read_text().splitlines()[0]]) + "\n")
    return build_training_data(*load())


def test_every_row_that_came_in_went_on_or_is_accounted_for(load: Callable[..., Loaded], tmp_path: Path) -> None:
    data = built_with_repeats(load, tmp_path)
    report = data.report
    assert report.rows_in == 24
    assert report.dropped == {"text is in a held-out split": 1, "text stands in training already": 3}
    assert report.rows_out == len(data.rows) == len(data.examples) == 20
    assert report.rows_in == report.rows_out + sum(report.dropped.values())
    assert report.sources == {"osler/made-up": 20}
    assert report.rows_per_label == Counter(row.label for row in data.rows)
    assert sum(report.rows_per_label.values()) == 20


def test_the_report_counts_the_tokens_trained_on(load: Callable[..., Loaded]) -> None:
    data = build_training_data(*load())
    lengths = [len(example["input_ids"]) for example in data.examples]
    tokens = data.report.tokens
    assert tokens.total == sum(lengths)
    assert tokens.completion == sum(len(answer_of(example)) for example in data.examples)
    assert (tokens.min, tokens.max) == (min(lengths), max(lengths))
    assert tokens.min <= tokens.median <= tokens.p95 <= tokens.max


def test_the_report_says_what_was_asked_of_which_data(load: Callable[..., Loaded]) -> None:
    chosen, complaints, tokenizer = load()
    report = build_training_data(chosen, complaints, tokenizer).report
    assert (report.schema_number, report.task, report.task_version, report.panel) == (1, "made_up", 1, None)
    assert report.prompt_sha256 == complaints.prompt.sha256
    assert report.labels == dict(complaints.labels)
    assert report.provenance == complaints.source.provenance(None)
    assert DataReport.model_validate_json(report.model_dump_json(by_alias=True)) == report


def test_training_data_that_is_empty_is_refused(load: Callable[..., Loaded], tmp_path: Path) -> None:
    data = tmp_path / "data" / "made_up"
    (data / "train.jsonl").write_text((data / "test.jsonl").read_text())  # the wrong file
    with pytest.raises(InputError, match=r"^made_up: no training rows are left; .*'text is in a held-out split': 20"):
        build_training_data(*load())


def test_labels_that_the_tokenizer_cannot_tell_apart_are_named(
    load: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_tokens(tokenizer: PreTrainedTokenizerBase, labels: Mapping[str, str]) -> dict[str, list[int]]:
        return {label: [5, tokenizer.eos_token_id] for label in labels}

    monkeypatch.setattr("osler.data.training_data.completions", same_tokens)
    with pytest.raises(InputError, match="has the same tokens for two labels of made_up, "):
        build_training_data(*load())
