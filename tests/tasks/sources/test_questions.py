"""Multiple-choice questions to learn from: what is trained on, what is held out, and that the two stay apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from project import ROOT, make, script

from osler.data.training_data import IGNORED, build_training_data
from osler.data.training_rows import load_training_rows
from osler.errors import InputError
from osler.models.loading import load_base, load_tokenizer, load_tuned
from osler.publishing import card
from osler.publishing.about import QUESTION
from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.sections import BaseSection
from osler.runs.run import Run
from osler.scoring.labels import ChoiceScorer
from osler.storage.files import read_json
from osler.tasks.case import Case
from osler.tasks.task import Task, load_task

WORDS = ["heart", "lung", "liver", "kidney", "brain", "skin", "bone", "blood", "nerve", "muscle", "eye", "ear", "hand"]
Write = Callable[..., Path]


def question(number: int, **changes: Any) -> dict[str, Any]:
    """A question in MedQA's form, unlike those of other numbers."""
    words = [WORDS[(number * step + step * step) % len(WORDS)] + str(number % (5 + step)) for step in range(1, 15)]
    record = {
        "question": f"Case {number}: {' '.join(words)}. Which is it?",
        "options": {letter: f"{letter.lower()} {words[place]} {place}" for place, letter in enumerate("ABCD")},
        "answer_idx": "ABCD"[number % 4],
        "meta_info": "step1",
    }
    return {**record, **changes}


def write(folder: Path, name: str, records: Sequence[Any]) -> None:
    (folder / "data" / "quiz").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "quiz" / name).write_text("".join(f"{json.dumps(record)}\n" for record in records))


def add_task(folder: Path, name: str, source: dict[str, Any], splits: Sequence[str]) -> Path:
    content = {
        "schema": 1,
        "name": name,
        "version": 1,
        "source": {
            "format": "medqa",
            "dataset": "made-up/quiz",
            "revision": "0123456789" * 4,
            "local": "quiz",
            **source,
        },
        "splits": dict.fromkeys(splits, "made-up questions"),
        "scorer": "multiple_choice",
        "labels": list("ABCD"),
        "system": "",
        "prompt": "prompt.jinja",
        "license": "apache-2.0",
    }
    task = folder / "tasks" / name
    task.mkdir(parents=True, exist_ok=True)
    (task / "task.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (task / "prompt.jinja").write_text("{{ text }}\n{{ options }}\nWhich?")
    return task


def files(*splits: str) -> dict[str, Any]:
    return {split: {"hub": f"{split}.jsonl", "local": f"{split}.jsonl"} for split in splits}


@pytest.fixture
def quiz(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of a project that learns quiz: 60 questions to train on, a fifth of them for validation, 12 to test
    on, and a benchmark beside it."""
    recipe = make(tmp_path, tiny_base, task={"name": "quiz"}, train={"max_length": 256, "max_steps": 3})
    content = yaml.safe_load(recipe.read_text())
    content["evaluation"] |= {"splits": ["validation", "test"], "baselines": ["base_model", "majority"]}
    recipe.write_text(yaml.safe_dump(content, sort_keys=False))
    write(tmp_path, "train.jsonl", [question(number) for number in range(60)])
    write(tmp_path, "test.jsonl", [question(number) for number in range(100, 112)])
    write(tmp_path, "other.jsonl", [question(number) for number in range(200, 204)])
    source = {"kind": "questions", "files": files("train", "test"), "validation_share": 0.2, "apart_from": ["other"]}
    add_task(tmp_path, "quiz", source, ["validation", "test"])
    add_task(tmp_path, "other", {"kind": "benchmark", "files": files("other")}, ["other"])
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    return recipe


def loaded(quiz: Path) -> tuple[Recipe, Task]:
    return load_recipe(quiz), load_task(quiz.parents[1] / "tasks" / "quiz")


def rewrite(quiz: Path, **source: Any) -> None:
    path = quiz.parents[1] / "tasks" / "quiz" / "task.yaml"
    content = yaml.safe_load(path.read_text())
    for key, value in source.items():
        (content if key in content else content["source"])[key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


# ── what is learnt ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_share_of_the_published_training_questions_is_held_out_for_choices(quiz: Path) -> None:
    recipe, task = loaded(quiz)
    validation = task.source.split("validation")
    training = load_training_rows(recipe, task).rows
    assert 0 < len(validation) < 24
    assert len(validation) + len(training) == 60
    assert not {case.case_id for case in validation} & {case.case_id for case in training}
    assert len(task.source.split("test")) == 12


def test_what_is_learnt_are_the_tokens_that_are_scored_and_the_loss_is_on_the_letter_alone(quiz: Path) -> None:
    recipe, task = loaded(quiz)
    tokenizer = load_tokenizer(recipe.base)
    data = build_training_data(recipe, task, tokenizer)
    scorer = ChoiceScorer(load_base(recipe.base), tokenizer, task.prompt, letters=True)
    assert data.report.truncated == 0
    for case, example in zip(data.rows, data.examples, strict=True):
        prompt, scored = scorer.encode(case), scorer._layout(tuple(case.options or {}))
        letter = data.completions[0][case.label]
        assert example["input_ids"] == [*prompt, *letter]
        assert example["labels"] == [*[IGNORED] * len(prompt), *letter]
        # The scorer decides between the options by the very token that is learnt.
        chosen = scored.paths[scored.labels.index(case.label)]
        assert scored.choice_tokens[chosen].tolist() == letter[:1]
        assert tokenizer.decode(letter[:1]).strip() == case.label
        written = tokenizer.decode(prompt)
        assert all(f"{option}. {text}" in written for option, text in (case.options or {}).items())


def test_training_questions_that_stand_in_a_held_out_split_or_a_benchmark_are_dropped_and_counted(quiz: Path) -> None:
    def near(number: int) -> dict[str, Any]:
        return question(number, question=question(number)["question"].replace(f"Case {number}", f"Story {number}"))

    leaked = [question(100), near(101), question(200), near(201), question(102, options=question(5)["options"])]
    write(quiz.parents[1], "train.jsonl", [*map(question, range(60)), *leaked])
    rewrite(quiz, validation_share=0.05)
    recipe, task = loaded(quiz)
    rows = load_training_rows(recipe, task)
    assert rows.dropped["text is in test"] == 2  # with other options, too
    assert rows.dropped["text is nearly in test"] == 1
    assert rows.dropped["text is in other, other"] == 1
    assert rows.dropped["text is nearly in other, other"] == 1
    assert all(int(row.case_id) <= 60 for row in (*rows.rows, *task.source.split("validation")))
    report = build_training_data(recipe, task, load_tokenizer(recipe.base)).report
    assert report.provenance["kept_apart"]["test"] == 12
    assert report.contamination.splits["test"].exact.cases == report.contamination.splits["test"].near.cases == 0


def test_a_benchmark_to_be_kept_apart_from_that_is_not_here_is_no_reason_to_train_without(quiz: Path) -> None:
    other = {"kind": "benchmark", "dataset": None, "revision": None}
    other["files"] = {"other": {"hub": None, "local": "gone.jsonl"}}
    add_task(quiz.parents[1], "other", other, ["other"])
    with pytest.raises(InputError, match="other, other: its data is not on this machine"):
        load_training_rows(*loaded(quiz))


def test_a_question_without_all_its_options_is_left_out_and_counted(quiz: Path) -> None:
    odd = [
        question(70, options={"A": "x", "B": " ", "C": "y", "D": "z"}),
        question(71, answer_idx="E"),
        question(72, options={"A": "x", "B": "X", "C": "y", "D": "z"}),
        question(0),
    ]
    write(quiz.parents[1], "train.jsonl", [*map(question, range(60)), *odd])
    dropped = load_training_rows(*loaded(quiz)).dropped
    assert dropped["an option is blank"] == dropped["no right option"] == dropped["two options are the same"] == 1
    assert dropped["stands in the split already"] == 1


# ── as a user does it ────────────────────────────────────────────────────────────────────────────────────────────────


def test_questions_are_trained_on_chosen_by_and_scored_beside_the_baselines(quiz: Path) -> None:
    folder = quiz.parents[1]
    chosen = ["train.metric_for_best_model=accuracy", "train.eval_steps=1", "train.save_steps=1"]
    trained = script(folder, "train", quiz, *chosen, "--output", folder / "run")
    assert trained.returncode == 0, trained.stderr
    run = Run(folder / "run")
    scored = script(folder, "evaluate", run.folder)
    assert scored.returncode == 0, scored.stderr
    records = read_json(run.results_path())["records"]
    assert {record["split"] for record in records} == {"validation", "test"}
    assert set(records[0]["systems"]) == {"tiny-made-up@1.0.0", "base_model", "majority"}
    answers = [json.loads(line) for line in run.prediction_path("quiz", "test", "base_model").read_text().splitlines()]
    assert all(sorted(answer["ranked"]) == list("ABCD") for answer in answers)
    assert all(sum(answer["probabilities"]) == pytest.approx(1) for answer in answers)
    again = script(folder, "evaluate", run.folder, "--benchmark", "other")
    assert again.returncode == 0, again.stderr
    answers_without_osler(run)


def answers_without_osler(run: Run) -> None:
    """The card says what is asked and answered, and its code gives the probabilities that Osler computes."""
    text = card.render(run, "jane/x", "1.0.0", {}, {})
    card.check(text)
    assert "given an examination question with its options, it names the letter of one of them" in text
    assert "It always chooses one of the options that it is shown" in text
    (code,) = card.snippets(text)
    assert "osler" not in code
    local = re.sub(r'hf_hub_download\("jane/x", "data_report.json", .*\)', f'"{run.data_report_path}"', code)
    found: dict[str, Any] = {}
    exec(local.replace('"jane/x"', json.dumps(str(run.adapter_path))), found)
    recipe, tokenizer = run.recipe(), load_tokenizer(run.recipe().base)
    prompt = load_task(run.folder.parent / "tasks" / "quiz").prompt
    scorer = ChoiceScorer(load_tuned(recipe.base, run.adapter_path), tokenizer, prompt, letters=True)
    case = Case("x", QUESTION, "B", options=found["options"])
    assert found["asked"] == scorer.encode(case)
    (answer,) = scorer.answer([found["asked"]], [case])
    expected = dict(zip(answer.ranked, answer.probabilities or (), strict=True))
    assert dict(zip(found["names"], found["probabilities"].tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["evaluation.scorer=label_likelihood"], "evaluation.scorer: quiz has its own, multiple_choice; leave it out"),
        (["evaluation.baselines=[tfidf_svm, majority]"], "evaluation.baselines: tfidf_svm knows no options"),
        (["evaluation.baselines=[base_model_with_labels]"], "base_model_with_labels knows no options"),
        (["head=classifier", "loss=null"], "the cases of quiz have answers of their own"),
    ],
)
def test_what_knows_no_options_is_refused(quiz: Path, overrides: list[str], reason: str) -> None:
    if "loss=null" in overrides:
        content = yaml.safe_load(quiz.read_text())
        del content["loss"]
        content["evaluation"]["baselines"] = ["majority"]
        quiz.write_text(yaml.safe_dump(content))
        overrides = [override for override in overrides if override != "loss=null"]
    with pytest.raises(InputError) as refused:
        load_recipe(quiz, overrides)
    assert reason in str(refused.value).replace(" (override)", "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"files": files("test")}, "source.files: has test; expected train and"),
        ({"files": files("train", "validation", "test")}, "source.files: has train, validation, test; expected train"),
        ({"validation_share": 0.0}, "source.files: has train, test; expected one entry a split: validation, test"),
        ({"scorer": "generate", "labels": []}, "scorer: generate is not for questions to learn from"),
        ({"validation_share": 1}, "source.validation_share: 1"),
    ],
)
def test_a_task_file_that_is_wrong_is_refused(quiz: Path, changes: dict[str, Any], reason: str) -> None:
    rewrite(quiz, **changes)
    with pytest.raises(InputError) as refused:
        loaded(quiz)
    assert reason in str(refused.value)


# ── the shipped tasks ────────────────────────────────────────────────────────────────────────────────────────────────


def medmcqa(**changes: Any) -> dict[str, Any]:
    """A row in the form of MedMCQA on the Hub."""
    row = {"id": "x1", "question": "Where is the heel?", "opa": "Foot", "opb": "Hand", "opc": "Head", "opd": "Back"}
    told = {"cop": 2, "choice_type": "single", "exp": "It is there.", "subject_name": "Anatomy", "topic_name": None}
    return {**row, **told, **changes}


def test_medmcqa_is_read_as_it_is_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "medmcqa").mkdir()
    rows = [medmcqa(), medmcqa(id="x2", cop=-1), medmcqa(id="x3", opd=None), medmcqa(id="x4", question="And the toe?")]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "medmcqa" / "train.parquet")
    validation = [medmcqa(id="v1", question="Where is the ear? Say it.")]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(validation), tmp_path / "medmcqa" / "validation.parquet")
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path))
    read = load_task(ROOT / "tasks" / "medmcqa").source.training(None, 0)
    assert [(case.case_id, case.label, list((case.options or {}).values())) for case in read.rows] == [
        ("x1", "C", ["Foot", "Hand", "Head", "Back"]),
        ("x4", "C", ["Foot", "Hand", "Head", "Back"]),
    ]
    assert read.rows[0].subgroups == {"subject": "Anatomy", "choice_type": "single"}
    assert (read.dropped["no right option"], read.dropped["an option is blank"]) == (1, 1)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist([{key: value for key, value in medmcqa().items() if key != "opb"}]),
        tmp_path / "medmcqa" / "train.parquet",
    )
    with pytest.raises(InputError, match="row 1: no column 'opb'"):
        load_task(ROOT / "tasks" / "medmcqa").source.training(None, 0)


@pytest.mark.parametrize("name", ["medqa_training", "medmcqa"])
def test_the_shipped_tasks_ask_as_the_benchmark_they_are_tested_on(name: str) -> None:
    asked, benchmark = (ROOT / "tasks" / task / "prompt.jinja" for task in (name, "medqa"))
    assert asked.read_bytes() == benchmark.read_bytes()
    one, other = (yaml.safe_load((ROOT / "tasks" / task / "task.yaml").read_text()) for task in (name, "medqa"))
    assert {key: one[key] for key in ("scorer", "labels", "system")} == {
        key: other[key] for key in ("scorer", "labels", "system")
    }


def test_the_test_split_of_medqa_training_is_that_of_medqa() -> None:
    one, other = (
        yaml.safe_load((ROOT / "tasks" / task / "task.yaml").read_text())["source"]
        for task in ("medqa_training", "medqa")
    )
    assert (one["dataset"], one["revision"], one["files"]["test"]) == (
        other["dataset"],
        other["revision"],
        other["files"]["test"],
    )
