"""The files of published benchmarks, read record by record, every one checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from osler.errors import InputError, show
from osler.patients import sex_and_age
from osler.recipe import Problem, check
from osler.storage import sha256_text

LETTERS = "ABCDEFGHIJ"
DECISIONS = {"yes": "A", "no": "B", "maybe": "C"}  # PubMedQA's three answers, and the letters they are shown with
BLANK: tuple[Any, ...] = ("", [], {})


class Record(NamedTuple):
    """One record of a file: its place for error messages, its key or number there, and its columns."""

    place: str
    name: str
    columns: Any

    def refuse(self, text: str) -> NoReturn:
        raise InputError(f"{self.place}: {text}")

    def column(self, name: str, hint: Any) -> Any:
        """A column's value, text stripped. Raises :class:`InputError` where there is none, or one of another type."""
        if not isinstance(self.columns, dict) or name not in self.columns:
            self.refuse(f"no column {name!r}, which the task reads")
        value = self.columns[name]
        try:
            check(value, hint, name)
        except Problem as problem:
            self.refuse(f"{problem.key}: {problem.text}")
        if not isinstance(value, str):
            return value
        if not value.strip():
            self.refuse(f"no text in the column {name!r}, which the task reads")
        return value.strip()

    def inside(self, name: str) -> Record:
        """The mapping in a column, as a record of the same place."""
        return Record(self.place, name, self.column(name, dict))


def read_records(path: Path) -> Iterator[Record]:
    """The records of a ``.jsonl`` file, a ``.parquet`` file, or a ``.json`` file: an object or a list of them.

    Raises :class:`InputError` for a file that is not there, and for a file or a line that is none of these.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".jsonl":
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line.strip():
                yield Record(f"{path}:{number}", f"{number:05d}", _json(line, f"{path}:{number}"))
    elif path.suffix == ".parquet":
        from pyarrow import ArrowInvalid, parquet

        try:
            table = parquet.read_table(path)
        except ArrowInvalid as error:
            raise InputError(f"{path}: not a Parquet file ({error})") from None
        for number, columns in enumerate(table.to_pylist(), 1):
            yield Record(f"{path}: row {number}", f"{number:05d}", columns)
    else:
        content = _json(path.read_bytes(), str(path))
        if isinstance(content, list) and content:
            content = {f"{number:05d}": columns for number, columns in enumerate(content, 1)}
        if not isinstance(content, dict):
            raise InputError(f"{path}: holds {show(content)}; expected a list of records, or an object, key → record")
        for key, columns in content.items():
            yield Record(f"{path}: {key}", key, columns)


def _json(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not JSON ({error})") from None


class Question(NamedTuple):
    """A case before it is checked. ``options`` are pairs of id and text, none where the answer is free text."""

    record: Record
    case_id: str
    text: str
    label: str
    options: list[tuple[str, str]]
    subgroups: dict[str, str]


def medqa(records: Iterator[Record]) -> Iterator[Question]:
    """``question``, ``options`` (letter → text), ``answer_idx`` and ``meta_info``, the step of the examination."""
    for record in records:
        step = record.column("meta_info", str).replace("stfep", "step")  # one case of the published file
        options = list(record.column("options", dict[str, str]).items())
        label = record.column("answer_idx", str)
        yield Question(record, record.name, record.column("question", str), label, options, {"step": step})


def medmcqa(records: Iterator[Record]) -> Iterator[Question]:
    """``id``, ``question``, the options ``opa`` to ``opd`` and ``cop``, the number of the right one, from 0 as on the
    Hub (-1 where it is not told). ``subject_name`` and ``choice_type`` are subgroups; ``exp``, why, is not told.
    """
    for record in records:
        label = dict(enumerate("ABCD")).get(record.column("cop", int), "")
        options = [(letter.upper(), _text_or_blank(record, f"op{letter}")) for letter in "abcd"]
        subgroups = {"subject": record.column("subject_name", str), "choice_type": record.column("choice_type", str)}
        yield Question(record, record.column("id", str), record.column("question", str), label, options, subgroups)


def mmlu(records: Iterator[Record]) -> Iterator[Question]:
    """``subject``, ``question``, ``choices`` and ``answer`` (the number of the right one, from 0), as on the Hub.

    Without ``choices`` it is the form of MedXpertQA's copy: the question ends in ``Answer Choices: (A) … (B) …`` and
    ``label`` is a list of one letter. A case is called after its subject and its number there.
    """
    numbers: Counter[str] = Counter()
    for record in records:
        subject, text = record.column("subject", str), record.column("question", str)
        numbers[subject] += 1
        if "choices" in record.columns:
            options = list(zip(LETTERS, record.column("choices", list[str]), strict=False))
            number = record.column("answer", int)
            label = dict(enumerate(LETTERS)).get(number, str(number))
        else:
            text, _, choices = text.rpartition("\nAnswer Choices: ")
            letters_and_texts = re.split(r"(?:^|\s)\(([A-Z])\)(?=\s|$)", choices)[1:]
            options = list(zip(letters_and_texts[::2], letters_and_texts[1::2], strict=True))
            label = ", ".join(record.column("label", list[str]))
        if not text.strip():
            record.refuse("no question that goes on with 'Answer Choices: '")
        yield Question(record, f"{subject}/{numbers[subject]:03d}", text.strip(), label, options, {"subject": subject})


def pubmedqa(records: Iterator[Record]) -> Iterator[Question]:
    """PubMed id → ``CONTEXTS`` and ``LABELS`` (the abstract's sections), ``QUESTION`` and ``final_decision``."""
    for record in records:
        sections, headings = record.column("CONTEXTS", list[str]), record.column("LABELS", list[str])
        if len(sections) != len(headings):
            record.refuse(f"{len(sections)} CONTEXTS and {len(headings)} LABELS; one belongs to each")
        lines = [f"{heading}: {section}" for heading, section in zip(headings, sections, strict=True)]
        decision = record.column("final_decision", str)
        if decision not in DECISIONS:
            record.refuse(f"final_decision: {decision!r} is not among {', '.join(DECISIONS)}")
        text = "\n".join([*lines, f"QUESTION: {record.column('QUESTION', str)}"])
        options = [(letter, answer) for answer, letter in DECISIONS.items()]
        yield Question(record, f"PMID:{record.name}", text, DECISIONS[decision], options, {})


def agentclinic(records: Iterator[Record]) -> Iterator[Question]:
    """``OSCE_Examination``: everything the actor, the examination and the tests would have said, told at once.

    Left out are the doctor's objective and, in one case, the management. Whether the text names the diagnosis that is
    asked for is a subgroup.
    """
    for record in records:
        examination = record.inside("OSCE_Examination")
        actor = examination.inside("Patient_Actor")
        parts = [actor, examination.inside("Physical_Examination_Findings"), examination.inside("Test_Results")]
        lines = [
            f"{_words(name)}: {_flat(value)}"
            for part in parts
            for name, value in part.columns.items()
            if value not in BLANK
        ]
        text, label = "\n".join(lines), examination.column("Correct_Diagnosis", str)
        subgroups = {"names_diagnosis": "yes" if label.lower() in text.lower() else "no"}
        yield Question(record, record.name, text, label, [], subgroups | sex_and_age(actor.column("Demographics", str)))


def dxbench(records: Iterator[Record]) -> Iterator[Question]:
    """``id``, ``explicit_symptoms`` and ``implicit_symptoms`` (found on asking), ``candidate_diseases``, ``disease``.

    The candidates are sorted by a hash of ``id`` and their own names, so that neither their order in the file, where
    the right one often stands first, nor any other case has a say. ``department`` is a subgroup and not told.
    """
    seen = set()
    for record in records:
        case_id, disease = record.column("id", str), record.column("disease", str)
        if case_id in seen:
            record.refuse(f"id: {case_id!r} is another case already; each case needs its own")
        seen.add(case_id)
        candidates = record.column("candidate_diseases", list[str])
        if len(candidates) != 3:
            record.refuse(f"candidate_diseases: {len(candidates)} of them; expected 3")
        if disease not in candidates:
            record.refuse(f"disease: {disease!r} is not among the candidates {', '.join(candidates)}")
        told, asked = (_flagged(record, name) for name in ("explicit_symptoms", "implicit_symptoms"))
        lines = {
            "Symptoms": [symptom for symptom, flag in told if flag == "True"],
            "On asking": [symptom for symptom, flag in asked if flag == "True"],
            "Absent": [symptom for symptom, flag in (*told, *asked) if flag == "False"],
        }
        if not any(lines.values()):
            record.refuse("no symptoms")
        text = "\n".join(f"{name}: {'; '.join(symptoms)}" for name, symptoms in lines.items() if symptoms)
        shuffled = sorted(candidates, key=lambda name: sha256_text(json.dumps([case_id, name], ensure_ascii=False)))
        options = list(zip(LETTERS, shuffled, strict=False))
        subgroups = {
            "department": record.column("department", str),
            "names_diagnosis": "yes" if disease.lower() in text.lower() else "no",
        }
        yield Question(record, case_id, text, LETTERS[shuffled.index(disease)], options, subgroups)


FORMATS: dict[str, Callable[[Iterator[Record]], Iterator[Question]]] = {
    "agentclinic": agentclinic,
    "dxbench": dxbench,
    "medmcqa": medmcqa,
    "medqa": medqa,
    "mmlu": mmlu,
    "pubmedqa": pubmedqa,
}


def _text_or_blank(record: Record, name: str) -> str:
    blank = name in record.columns and not str(record.columns[name] or "").strip()
    return "" if blank else str(record.column(name, str))


def _flagged(record: Record, name: str) -> list[tuple[str, str]]:
    """DxBench's pairs of a symptom and its flag, checked."""
    pairs = []
    for pair in record.column(name, list):
        match pair:
            case [str(symptom), "True" | "False" as flag] if symptom.strip():
                pairs.append((" ".join(symptom.split()), flag))
            case _:
                record.refuse(f'{name}: {show(pair)} is not allowed; expected [SYMPTOM, "True"] or [SYMPTOM, "False"]')
    return pairs


def _words(name: str) -> str:
    return name.replace("_", " ")


def _flat(value: Any) -> str:
    """A finding, a list of them or a mapping of them, on one line."""
    if isinstance(value, dict):
        return "; ".join(f"{_words(name)}: {_flat(finding)}" for name, finding in value.items() if finding not in BLANK)
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split()).rstrip(".")  # what follows is "; " or the end of the line
