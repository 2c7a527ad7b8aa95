"""External benchmarks: every case is checked, is asked once, and is the case the published numbers are about."""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from project import ROOT
from scipy.stats import chisquare

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.tasks.case import Case
from osler.tasks.sources import benchmark
from osler.tasks.sources.benchmark import fingerprint
from osler.tasks.task import Task, load_task

SHARED = Path(os.environ.get("OSLER_DATA_DIR") or ROOT.parent / "shared" / "data")
BENCHMARKS = ("agentclinic_medqa", "dxbench", "medqa", "mmlu_medical", "pubmedqa")

# ── made-up ones ─────────────────────────────────────────────────────────────────────────────────────────────────────

CONTENT: dict[str, Any] = {
    "schema": 1,
    "name": "quiz",
    "version": 1,
    "source": {
        "kind": "benchmark",
        "format": "medqa",
        "dataset": "made-up/quiz",
        "revision": "0123456789" * 4,
        "local": "quiz",
        "files": {"test": {"hub": "questions.jsonl", "local": "test.jsonl"}},
    },
    "splits": {"test": "made-up questions"},
    "scorer": "multiple_choice",
    "labels": ["A", "B", "C"],
    "system": "",
    "prompt": "prompt.jinja",
}
Make = Callable[..., Task]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write a task and the user's copy of its files (lists are JSONL, else JSON), and load it.

    Keywords change ``CONTENT``, those of its ``source`` first.
    """

    def make(written: dict[str, Any], /, **changes: Any) -> Task:
        content = copy.deepcopy(CONTENT)
        for key, value in changes.items():
            (content["source"] if key in (*content["source"], "subjects") else content)[key] = value
        (tmp_path / "task").mkdir(exist_ok=True)
        (tmp_path / "task" / "task.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        (tmp_path / "task" / "prompt.jinja").write_text("{{ text }}\n{{ options }}\nWhich?")
        (tmp_path / "data").mkdir(exist_ok=True)
        for name, records in written.items():
            (tmp_path / "data" / "quiz").mkdir(exist_ok=True)
            lines = [r if isinstance(r, str) else json.dumps(r) for r in records] if isinstance(records, list) else []
            text = "".join(f"{line}\n" for line in lines) or json.dumps(records)
            (tmp_path / "data" / "quiz" / name).write_text(text)
        monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
        return load_task(tmp_path / "task")

    return make


def question(**changes: Any) -> dict[str, Any]:
    """A record in MedQA's form; a change to None removes the column."""
    record = {
        "question": "A red toe. What is it?",
        "options": {"A": "Gout", "B": "Frostbite", "C": "A stubbed toe"},
        "answer_idx": "A",
        "answer": "Gout",
        "meta_info": "step1",
        "metamap_phrases": ["red toe"],
    }
    return {key: value for key, value in {**record, **changes}.items() if value is not None}


def refusal(loaded: Task, split: str = "test") -> str:
    with pytest.raises(InputError) as error:
        loaded.source.split(split)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_question_is_read_with_its_options_in_order_and_the_right_letter(make: Make) -> None:
    loaded = make({"test.jsonl": [question(), "", question(question="  A cold toe.\nAnd now? ", answer_idx="B")]})
    assert (loaded.scorer, dict(loaded.labels)) == ("multiple_choice", {"A": "A", "B": "B", "C": "C"})
    options = {"A": "Gout", "B": "Frostbite", "C": "A stubbed toe"}
    row = Case(
        case_id="00001",
        text="A red toe. What is it?",
        label="A",
        subgroups={"step": "step1"},
        group=None,
        source="made-up/quiz",
        options=options,
    )
    assert loaded.source.split("test") == [
        row,
        replace(row, case_id="00003", text="A cold toe.\nAnd now?", label="B"),
    ]
    assert list(loaded.source.split("test")[0].options) == ["A", "B", "C"]


def test_the_model_reads_question_and_options(make: Make) -> None:
    loaded = make({"test.jsonl": [question(options={"A": " Gout \n", "B": "Frost  bite"})]})
    (row,) = loaded.source.split("test")
    assert loaded.prompt.messages(row.text, row.options)[-1]["content"] == (
        "A red toe. What is it?\nA. Gout\nB. Frost bite\nWhich?"
    )


def test_a_question_may_have_fewer_options_than_the_others(make: Make) -> None:
    loaded = make({"test.jsonl": [question(options={"A": "Gout", "B": "Frostbite"})]})
    assert [list(row.options) for row in loaded.source.split("test")] == [["A", "B"]]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param("question,answer", "not JSON (", id="no JSON"),
        pytest.param(["A red toe."], "no column 'meta_info', which the task reads", id="a list"),
        pytest.param(question(question=None), "no column 'question', which the task reads", id="no question"),
        pytest.param(question(question=" "), "no text in the column 'question', which the task reads", id="blank"),
        pytest.param(question(options=None), "no column 'options', which the task reads", id="no options"),
        pytest.param(question(options=["Gout", "Frostbite"]), "options: ", id="options without letters"),
        pytest.param(question(options={"A": "Gout", "B": 7}), "options: ", id="an option that is no text"),
        pytest.param(question(options={"A": "Gout", "B": " "}), "the option B is blank", id="a blank option"),
        pytest.param(question(options={"A": "Gout"}), "the options are A; expected A, B, C in", id="one option"),
        pytest.param(question(options={"A": "1", "C": "2"}), "the options are A, C; expected A, B, C in", id="a gap"),
        pytest.param(question(options={"B": "1", "A": "2"}), "the options are B, A; expected A, B, C in", id="order"),
        pytest.param(
            question(options=dict.fromkeys("ABCD", "x")),
            "the options are A, B, C, D; expected A, B, C in",
            id="too many",
        ),
        pytest.param(question(answer_idx="D"), "the answer 'D' is not among the options A, B, C", id="no such option"),
        pytest.param(question(answer_idx="Gout"), "the answer 'Gout' is not among the options A, B, C", id="its text"),
        pytest.param(question(answer_idx=0), "answer_idx: 0 is not allowed; expected text", id="a number"),
        pytest.param(question(answer_idx=None), "no column 'answer_idx', which the task reads", id="no answer"),
    ],
)
def test_a_question_that_is_wrong_is_named_by_file_and_row(make: Make, tmp_path: Path, bad: Any, message: str) -> None:
    loaded = make({"test.jsonl": [question(), bad]})
    assert refusal(loaded).startswith(f"{tmp_path / 'data' / 'quiz' / 'test.jsonl'}:2: {message}")


def test_nothing_is_trained_on_a_benchmark(make: Make) -> None:
    loaded = make({"test.jsonl": [question()]})
    with pytest.raises(InputError, match=r"^quiz: a benchmark, for evaluation only; train on another task$"):
        loaded.source.training(None, seed=0)


def test_a_recipe_that_trains_on_a_benchmark_is_refused_before_anything_is_read(make: Make, tmp_path: Path) -> None:
    make({})
    (tmp_path / "tasks").mkdir()
    (tmp_path / "task").rename(tmp_path / "tasks" / "quiz")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "schema: 1\nname: quiz\nversion: 1.0.0\n"
        f"base: {{model: org/name, revision: {'a' * 40}}}\n"
        "task: {name: quiz, version: 1}\nevaluation: {splits: [test]}\n"
    )
    with pytest.raises(InputError) as error:
        load_recipe(path)
    assert str(error.value) == (f'{path}: task.name: "quiz" is a benchmark, for evaluation only; train on another task')


def test_other_cases_than_those_the_task_was_described_with_are_refused(make: Make) -> None:
    def pinned(sha256: str) -> dict[str, Any]:
        return {"test": {"hub": "questions.jsonl", "local": "test.jsonl", "sha256": sha256}}

    sha256 = fingerprint(make({"test.jsonl": [question()]}).source.split("test"))
    for same in (question(), question(question=" A red  toe.\nWhat is it? ", meta_info="step 1")):
        assert len(make({"test.jsonl": [same]}, files=pinned(sha256)).source.split("test")) == 1
    for other in (
        [question(question="A red thumb. What is it?")],
        [question(answer_idx="B")],
        [question(options={"A": "Gout", "B": "Frostbite"})],
        [question(), question(question="A second one?")],
    ):
        message = refusal(make({"test.jsonl": other}, files=pinned(sha256)))
        assert f"{len(other)} cases with the fingerprint " in message
        assert f"({sha256[:12]}); get the file that the task's README names" in message


def test_a_case_that_stands_there_twice_is_asked_once_and_counted(make: Make) -> None:
    again = [question(), question(answer_idx="B"), question(), question(options={"A": "Gout", "B": "Shoes"})]
    source = make({"test.jsonl": again}).source
    assert [row.case_id for row in source.split("test")] == ["00001", "00002", "00004"]
    held = source.provenance(None)["splits"]["test"]
    assert (held["cases"], held["dropped"]) == (3, {"stands in the split already": 1})
    assert held["sha256"] == fingerprint(source.split("test"))


# ── where the files are ──────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_copy_and_offline_the_way_out_is_named(make: Make) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1", "see conftest.py"
    message = refusal(make({}))
    assert message.startswith(f"made-up/quiz@{'0123456789' * 4}: questions.jsonl ")
    assert message.endswith("set OSLER_DATA_DIR to a folder that has quiz/test.jsonl")


def test_a_copy_without_its_file_is_named(make: Make, tmp_path: Path) -> None:
    message = refusal(make({"other.jsonl": [question()]}))
    assert message.startswith(f"{tmp_path / 'data' / 'quiz' / 'test.jsonl'}: no such file; ")


@pytest.mark.parametrize("copied", [True, False])
def test_a_split_that_is_neither_on_the_hub_nor_here_is_empty(make: Make, copied: bool) -> None:
    files = {"test": {"hub": None, "local": "more.jsonl"}}
    loaded = make({"other.jsonl": [question()]} if copied else {}, files=files, dataset=None, revision=None)
    assert loaded.source.split("test") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revision": "main"}, 'source.revision: "main" is not allowed; expected the 40 hex digits of a commit'),
        ({"revision": None}, "source.revision: null is not allowed; expected the 40 hex digits of a commit"),
        ({"dataset": None}, "source.files.test.hub: questions.jsonl of which dataset? source.dataset is null"),
        ({"format": "medQA"}, 'source.format: "medQA" is not allowed; expected one of agentclinic, dxbench, medmcqa, '),
        ({"files": {"test": {"hub": None}}}, "source.files.test.local: missing"),
        ({"files": {"test": {"hub": None, "local": "a", "sha": "b"}}}, "source.files.test.sha: unknown key"),
        ({"splits": {"tset": "misspelt"}}, "source.files: has test; expected one entry a split: tset"),
        ({"scorer": "label_trie"}, 'scorer: "label_trie" is not allowed; expected one of multiple_choice, generate'),
        ({"labels": ["A", "C"]}, "labels: [A, C] is not allowed; expected [A, B, …] for multiple_choice"),
        ({"labels": []}, "labels: [] is not allowed"),
        ({"scorer": "generate"}, "labels: [A, B, C] is not allowed; expected [A, B, …] for multiple_choice, []"),
    ],
)
def test_a_task_file_that_is_wrong_is_refused(make: Make, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        make({}, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'task' / 'task.yaml'}: {message}")


# ── the other formats ────────────────────────────────────────────────────────────────────────────────────────────────

CHOICES = [
    ("anatomy", "Where is the heel?", ["In the foot (heel)", "In the hand", "(none)"], 0),
    ("clinical", "What is a fever?\nThink.", ["Heat", "Cold", "A cough"], 2),
    ("surgery", "Where is the knife?", ["Here", "There", "Gone"], 1),
    ("medicine", "Where is the toe?", ["Hand", "Foot", "Head"], 1),
    ("medicine", "What is a fever?\nThink.", ["Heat", "Cold", "A cough"], 2),
    ("medicine", "What is a fever?\nThink.", ["Heat", "Cold", "A sneeze"], 0),
]
SUBJECTS = {"format": "mmlu", "subjects": ["anatomy", "clinical", "medicine"]}


def carrying(subject: str, stem: str, choices: list[str], answer: int) -> dict[str, Any]:
    """A question that carries its choices, as MedXpertQA's copy of MMLU has them."""
    shown = " ".join(f"({letter}) {choice}" for letter, choice in zip("ABC", choices, strict=True))
    return {"question": f"{stem}\nAnswer Choices: {shown}", "label": ["ABC"[answer]], "subject": subject}


def test_choices_are_taken_out_of_the_question_that_carries_them(make: Make) -> None:
    source = make({"test.jsonl": [carrying(*choice) for choice in CHOICES]}, **SUBJECTS).source
    rows = source.split("test")
    assert [(row.case_id, row.label, row.subgroups["subject"]) for row in rows] == [
        ("anatomy/001", "A", "anatomy"),
        ("clinical/001", "C", "clinical"),
        ("medicine/001", "B", "medicine"),
        ("medicine/003", "A", "medicine"),
    ]
    assert rows[1].text == "What is a fever?\nThink."
    assert rows[1].options == {"A": "Heat", "B": "Cold", "C": "A cough"}
    # What is asked in two subjects is asked once, in the first of them.
    dropped = {"another subject": 1, "stands in the split already": 1}
    assert source.provenance(None)["splits"]["test"]["dropped"] == dropped


def test_the_hub_s_file_gives_the_same_cases_as_the_copy(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = ("subject", "question", "choices", "answer")
    table = pyarrow.Table.from_pylist([dict(zip(columns, choice, strict=True)) for choice in CHOICES])
    pyarrow.parquet.write_table(table, tmp_path / "hub.parquet")
    monkeypatch.setattr(benchmark, "hub_file", lambda *asked: tmp_path / "hub.parquet")
    from_hub = make({}, **SUBJECTS).source.split("test")
    from_copy = make({"test.jsonl": [carrying(*choice) for choice in CHOICES]}, **SUBJECTS).source.split("test")
    assert from_hub == from_copy
    assert len(from_hub) == 4


def test_a_hub_file_that_was_cut_off_is_named(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub.parquet").write_bytes(b"PAR1 and no more")
    monkeypatch.setattr(benchmark, "hub_file", lambda *asked: tmp_path / "hub.parquet")
    assert refusal(make({}, **SUBJECTS)).startswith(f"{tmp_path / 'hub.parquet'}: not a Parquet file (")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "Where is the heel?"}, "no question that goes on with 'Answer Choices: '"),
        (
            {"question": "Where?\nAnswer Choices: (A) here (B) or (B) there"},
            "the options are A, B, B; expected A, B, C",
        ),
        ({"question": "\nAnswer Choices: (A) here (B) there"}, "no question that goes on with 'Answer Choices: '"),
        ({"label": ["A", "B"]}, "the answer 'A, B' is not among the options A, B, C"),
        ({"label": "A"}, 'label: "A" is not allowed; expected a list of text'),
        ({"subject": 7}, "subject: 7 is not allowed; expected text (quote it)"),
        ({"choices": ["here", "there"], "answer": 2}, "the answer 'C' is not among the options A, B"),
        ({"choices": ["here", "there"], "answer": -1}, "the answer '-1' is not among the options A, B"),
        ({"choices": ["here", "there"]}, "no column 'answer', which the task reads"),
    ],
)
def test_choices_that_are_wrong_are_named_by_file_and_row(
    make: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    loaded = make({"test.jsonl": [{**carrying(*CHOICES[0]), **changes}]}, **SUBJECTS)
    assert refusal(loaded).startswith(f"{tmp_path / 'data' / 'quiz' / 'test.jsonl'}:1: {message}")


STUDY = {
    "QUESTION": "Do shoes help?",
    "CONTEXTS": ["Toes hurt.", "Half of them hurt less."],
    "LABELS": ["BACKGROUND", "RESULTS"],
    "final_decision": "maybe",
    "LONG_ANSWER": "Shoes may help.",
}
STUDIES = {"20": STUDY, "3": {**STUDY, "QUESTION": "Do hats help?", "final_decision": "no"}, "100": STUDY}
OFFICIAL = {
    "format": "pubmedqa",
    "files": {"test": {"hub": "test_set.json", "local": "all.json", "only": "test.json"}},
}


def test_an_abstract_is_read_without_its_conclusion_and_only_the_official_test_is(make: Make) -> None:
    source = make({"all.json": STUDIES, "test.json": {"3": "no", "20": "maybe"}}, **OFFICIAL).source
    first, second = source.split("test")
    assert (first.case_id, first.label, first.options) == (
        "PMID:20",
        "C",
        {"A": "yes", "B": "no", "C": "maybe"},
    )
    assert first.text == "BACKGROUND: Toes hurt.\nRESULTS: Half of them hurt less.\nQUESTION: Do shoes help?"
    assert (second.case_id, second.label) == ("PMID:3", "B")
    dropped = {"another split": 1, "stands in the split already": 0}
    assert source.provenance(None)["splits"]["test"]["dropped"] == dropped


def test_the_hub_s_test_file_gives_the_same_cases_as_the_copy_of_all(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_set.json").write_text(json.dumps({"3": STUDIES["3"], "20": STUDY}))
    monkeypatch.setattr(benchmark, "hub_file", lambda *asked: tmp_path / "test_set.json")
    from_hub = make({}, **OFFICIAL).source.split("test")
    assert from_hub == make({"all.json": STUDIES, "test.json": {"20": 0, "3": 0}}, **OFFICIAL).source.split("test")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"all.json": {"3": {**STUDY, "final_decision": "perhaps"}}},
            "all.json: 3: final_decision: 'perhaps' is not among",
        ),
        ({"all.json": {"3": {**STUDY, "LABELS": ["RESULTS"]}}}, "all.json: 3: 2 CONTEXTS and 1 LABELS; one belongs to"),
        ({"all.json": {"3": {**STUDY, "CONTEXTS": "Toes."}}}, "all.json: 3: CONTEXTS: "),
        ({"all.json": {"3": "no"}}, "all.json: 3: no column 'CONTEXTS', which the task reads"),
        ({"all.json": {"20": STUDY}}, "all.json: has no record 3, which test.json says is a case of the split"),
        ({"all.json": [STUDY, STUDY]}, "all.json: not JSON ("),
        ({"all.json": [[]]}, "all.json: holds []; expected a list of records, or an object, key → record"),
        (
            {"all.json": STUDIES, "test.json": [[]]},
            "test.json: holds []; expected a list of records, or an object, key → record",
        ),
    ],
)
def test_a_study_that_is_wrong_is_named_by_file_and_id(
    make: Make, tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    loaded = make({"test.json": {"3": "no"}, **files}, **OFFICIAL)
    assert refusal(loaded).startswith(f"{tmp_path / 'data' / 'quiz'}/{message}")


def test_a_copy_without_the_list_of_its_test_cases_is_named(make: Make, tmp_path: Path) -> None:
    message = refusal(make({"all.json": STUDIES}, **OFFICIAL))
    assert message == f"{tmp_path / 'data' / 'quiz' / 'test.json'}: no such file"


EXAMINATION = {
    "Objective_for_Doctor": "Find out why the toe is red.",
    "Patient_Actor": {
        "Demographics": "53-year-old man accompanied by his wife",
        "History": "A red toe since\nyesterday.",
        "Symptoms": {"Primary_Symptom": "Red toe", "Secondary_Symptoms": ["Pain", "Heat"]},
        "Past_Medical_History": "",
        "Review_of_Systems": [],
    },
    "Physical_Examination_Findings": {"Vital_Signs": {"Temperature": "37 °C.", "Fever": False, "Others": []}},
    "Test_Results": {"Blood": {"Uric_acid": {"Serum": "High"}}},
    "Correct_Diagnosis": "Gout",
    "Management_and_Follow_Up": {"Referral": "Rheumatology"},
}
FREE = {"format": "agentclinic", "scorer": "generate", "labels": []}


def test_a_vignette_is_told_at_once_and_answered_in_free_text(make: Make) -> None:
    loaded = make({"test.jsonl": [{"OSCE_Examination": EXAMINATION}]}, **FREE)
    assert (loaded.scorer, dict(loaded.labels)) == ("generate", {})
    (row,) = loaded.source.split("test")
    assert row.text.splitlines() == [
        "Demographics: 53-year-old man accompanied by his wife",
        "History: A red toe since yesterday",
        "Symptoms: Primary Symptom: Red toe; Secondary Symptoms: Pain, Heat",
        "Vital Signs: Temperature: 37 °C; Fever: no",
        "Blood: Uric acid: Serum: High",
    ]
    assert row.options is None
    assert (row.case_id, row.label) == ("00001", "Gout")
    assert row.subgroups == {"sex": "male", "age_band": "40-64", "names_diagnosis": "no"}


@pytest.mark.parametrize(
    ("demographics", "person"),
    [
        ("35-year-old female", {"sex": "female", "age_band": "18-39"}),
        ("17-year-old boy", {"sex": "male", "age_band": "5-17"}),
        ("18-year-old Woman", {"sex": "female", "age_band": "18-39"}),
        ("65-year-old white man", {"sex": "male", "age_band": "65+"}),
        ("18-month-old girl", {"sex": "female", "age_band": "0-4"}),
        ("2-day-old male infant", {"sex": "male", "age_band": "0-4"}),
        ("72-month-old child", {"age_band": "5-17"}),
        ("Newborn, born at 33 weeks of gestation", {"age_band": "0-4"}),
        ("A college student from Germany", {}),
    ],
)
def test_sex_and_age_are_taken_from_the_demographics(make: Make, demographics: str, person: dict[str, str]) -> None:
    examination = copy.deepcopy(EXAMINATION)
    examination["Patient_Actor"]["Demographics"] = demographics  # type: ignore[index]
    (row,) = make({"test.jsonl": [{"OSCE_Examination": examination}]}, **FREE).source.split("test")
    assert row.subgroups == {**person, "names_diagnosis": "no"}


def test_a_vignette_that_names_its_diagnosis_is_marked(make: Make) -> None:
    told = {**EXAMINATION, "Test_Results": {"Imaging": "Looks like GOUT."}}
    (row,) = make({"test.jsonl": [{"OSCE_Examination": told}]}, **FREE).source.split("test")
    assert row.subgroups["names_diagnosis"] == "yes"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Correct_Diagnosis": " "}, "no text in the column 'Correct_Diagnosis', which the task reads"),
        ({"Test_Results": "normal"}, "Test_Results: "),
        ({"Patient_Actor": {}}, "no column 'Demographics', which the task reads"),
    ],
)
def test_a_vignette_that_is_wrong_is_named_by_file_and_row(
    make: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    loaded = make({"test.jsonl": [{"OSCE_Examination": {**EXAMINATION, **changes}}]}, **FREE)
    assert refusal(loaded).startswith(f"{tmp_path / 'data' / 'quiz' / 'test.jsonl'}:1: {message}")


DIALOGUE = {
    "id": "DxBench_7",
    "department": "Orthopedics",
    "explicit_symptoms": [["Red toe", "True"], [" Hot\ntoe ", "True"]],
    "implicit_symptoms": [["Fever", "False"], ["Pain", "True"]],
    "candidate_diseases": ["Gout", "Frostbite", "A stubbed toe"],
    "disease": "Gout",
}


def dialogues(make: Make, *records: Any) -> Task:
    """A task of DxBench's form, whose file holds a list."""
    files = {"test": {"hub": None, "local": "test.json"}}
    return make({"test.json": [json.dumps(records)]}, format="dxbench", files=files, dataset=None, revision=None)


def test_a_dialogue_is_told_with_what_is_there_and_what_is_not_but_not_with_its_department(make: Make) -> None:
    (row,) = dialogues(make, DIALOGUE).source.split("test")
    assert row.text == "Symptoms: Red toe; Hot toe\nOn asking: Pain\nAbsent: Fever"
    assert row.case_id == "DxBench_7"
    assert row.options is not None
    assert row.options[row.label] == "Gout"
    assert sorted(row.options.values()) == ["A stubbed toe", "Frostbite", "Gout"]
    assert row.subgroups == {"department": "Orthopedics", "names_diagnosis": "no"}


def test_the_order_of_candidates_follows_from_their_case_alone(make: Make) -> None:
    def order(*records: dict[str, Any]) -> list[str]:
        rows = dialogues(make, *records).source.split("test")
        return next(list((row.options or {}).values()) for row in rows if row.case_id == "DxBench_7")

    other = {**DIALOGUE, "id": "DxBench_1", "disease": "Frostbite"}
    turned = {**DIALOGUE, "candidate_diseases": DIALOGUE["candidate_diseases"][::-1]}
    # Written out, because published numbers were measured with it.
    assert order(DIALOGUE) == order(other, DIALOGUE) == order(turned) == ["Frostbite", "A stubbed toe", "Gout"]


def test_a_dialogue_that_stands_there_twice_is_asked_once_whatever_the_order_of_its_candidates(make: Make) -> None:
    again = [{**DIALOGUE, "id": f"DxBench_{number}"} for number in range(20)]
    source = dialogues(make, *again).source
    assert len(source.split("test")) == 1
    assert source.provenance(None)["splits"]["test"]["dropped"] == {"stands in the split already": 19}


def test_a_dialogue_with_two_candidates_of_one_name_has_no_right_letter_and_is_counted(make: Make) -> None:
    twice = {**DIALOGUE, "id": "DxBench_8", "candidate_diseases": ["Gout", "gout", "Frostbite"]}
    source = dialogues(make, DIALOGUE, twice).source
    assert [row.case_id for row in source.split("test")] == ["DxBench_7"]
    dropped = {"stands in the split already": 0, "two options are the same": 1}
    assert source.provenance(None)["splits"]["test"]["dropped"] == dropped


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"disease": "Fever"}, "disease: 'Fever' is not among the candidates Gout, Frostbite, A stubbed toe"),
        ({"candidate_diseases": ["Gout", "Frostbite"]}, "candidate_diseases: 2 of them; expected 3"),
        ({"candidate_diseases": "Gout"}, 'candidate_diseases: "Gout" is not allowed; expected a list of text'),
        ({"implicit_symptoms": [["Pain", "Maybe"]]}, 'implicit_symptoms: ["Pain", "Maybe"] is not allowed; expected ['),
        ({"explicit_symptoms": [["Pain", True]]}, 'explicit_symptoms: ["Pain", true] is not allowed; expected ['),
        ({"explicit_symptoms": [[" ", "True"]]}, 'explicit_symptoms: [" ", "True"] is not allowed; expected ['),
        ({"explicit_symptoms": ["Pain"]}, 'explicit_symptoms: "Pain" is not allowed; expected ['),
        ({"explicit_symptoms": [], "implicit_symptoms": []}, "no symptoms"),
        ({"id": "DxBench_7"}, "id: 'DxBench_7' is another case already; each case needs its own"),
        ({"department": None}, "department: null is not allowed; expected text"),
    ],
)
def test_a_dialogue_that_is_wrong_is_named_by_file_and_number(
    make: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    loaded = dialogues(make, DIALOGUE, {**DIALOGUE, "id": "DxBench_8", **changes})
    assert refusal(loaded).startswith(f"{tmp_path / 'data' / 'quiz' / 'test.json'}: 00002: {message}")


# ── the shipped ones ─────────────────────────────────────────────────────────────────────────────────────────────────


def shipped(name: str, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A shipped benchmark, read from the local copy of its data."""
    folder = yaml.safe_load((ROOT / "tasks" / name / "task.yaml").read_text())["source"]["local"]
    if not (SHARED / folder).is_dir():
        pytest.skip(f"{SHARED} has no {folder}")
    monkeypatch.setenv("OSLER_DATA_DIR", str(SHARED))
    return load_task(ROOT / "tasks" / name)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_shipped_benchmark_names_its_data_prompt_and_licence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSLER_DATA_DIR", raising=False)
    content = yaml.safe_load((ROOT / "tasks" / name / "task.yaml").read_text())
    readme = (ROOT / "tasks" / name / "README.md").read_text()
    loaded = load_task(ROOT / "tasks" / name)
    assert (loaded.name, content["license"] != "") == (name, True)
    assert all(file["sha256"] for file in content["source"]["files"].values())
    assert (content["source"]["dataset"] or content["source"]["files"]["test"]["local"]) in readme
    options = dict.fromkeys(loaded.labels, "an option") or None
    assert "A toe." in loaded.prompt.messages("A toe.", options)[-1]["content"]


# Split → cases, most frequent label and how often, as the READMEs have them.
SIZES = {
    ("agentclinic_medqa", "test"): (107, 2, "0.019"),
    ("agentclinic_medqa", "extended"): (214, 3, "0.014"),
    ("dxbench", "test"): (1061, 381, "0.359"),
    ("medqa", "test"): (1273, 353, "0.277"),
    ("mmlu_medical", "test"): (1011, 321, "0.318"),
    ("pubmedqa", "test"): (500, 276, "0.552"),
}


@pytest.mark.parametrize(("name", "split"), SIZES)
def test_a_shipped_benchmark_has_the_cases_its_readme_says(
    name: str, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = shipped(name, monkeypatch)
    rows = loaded.source.split(split)
    cases, most, share = SIZES[name, split]
    assert len(rows) == len({row.case_id for row in rows}) == cases
    assert Counter(row.label for row in rows).most_common(1)[0][1] == most
    assert f"{most / cases:.3f}" == share
    line = next(x for x in (ROOT / "tasks" / name / "README.md").read_text().splitlines() if f"| `{split}` |" in x)
    assert f"{cases:,}" in line
    assert share in line
    assert f"{cases:,}" in loaded.splits[split]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_question_of_a_shipped_benchmark_can_be_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = shipped(name, monkeypatch)
    for row in loaded.source.split("test"):
        asked = loaded.prompt.messages(row.text, row.options)[-1]["content"]
        assert "Answer Choices" not in asked
        for option, text in (row.options or {}).items():
            assert f"\n{option}. {text}\n" in asked
        assert (row.options is not None) == (loaded.scorer == "multiple_choice")


def test_mmlu_s_78_questions_of_two_subjects_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = shipped("mmlu_medical", monkeypatch).source
    assert source.provenance(None)["splits"]["test"]["dropped"] == {"stands in the split already": 78}
    subjects = Counter(row.subgroups["subject"] for row in source.split("test"))
    assert (subjects["clinical_knowledge"], subjects["college_medicine"]) == (265, 173 - 78)


def test_pubmedqa_s_test_is_half_of_what_is_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    held = shipped("pubmedqa", monkeypatch).source.provenance(None)["splits"]["test"]
    assert (held["cases"], held["dropped"]["another split"]) == (500, 500)


def test_agentclinic_s_extended_cases_contain_those_of_test_and_28_name_their_diagnosis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = shipped("agentclinic_medqa", monkeypatch).source
    test, extended = source.split("test"), source.split("extended")
    assert extended[:107] == test
    assert Counter(row.subgroups["names_diagnosis"] for row in extended)["yes"] == 28
    assert Counter(row.subgroups["names_diagnosis"] for row in test)["yes"] == 15
    sexes = Counter(row.subgroups.get("sex") for row in extended)
    assert sexes == {"female": 92, "male": 115, None: 7}
    assert all("age_band" in row.subgroups for row in extended)


def test_dxbench_s_answers_stand_in_every_place_alike_and_85_unclear_cases_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = shipped("dxbench", monkeypatch).source
    rows = source.split("test")
    dropped = {"stands in the split already": 2, "two options are the same": 85}
    assert source.provenance(None)["splits"]["test"]["dropped"] == dropped
    places = Counter(row.label for row in rows)
    assert set(places) == set("ABC")
    assert chisquare(list(places.values())).pvalue > 0.05
    assert Counter(row.subgroups["names_diagnosis"] for row in rows)["yes"] == 90
