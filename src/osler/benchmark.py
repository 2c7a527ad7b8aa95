"""Published benchmarks: multiple choice questions and free-text diagnoses, for evaluation only, every case checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from osler.errors import InputError
from osler.manifest import sha256_text
from osler.patient import age_band
from osler.recipe import DataSection
from osler.schema import Problem, check
from osler.task import Row, Rows, Texts, hub_file

LETTERS = "ABCDEFGHIJ"
DECISIONS = {"yes": "A", "no": "B", "maybe": "C"}  # PubMedQA's three answers, and the letters they are shown with
YEARS = {"year": 1.0, "month": 1 / 12, "week": 1 / 52, "day": 1 / 365}
BLANK: tuple[Any, ...] = ("", [], {})


# ── task.yaml ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class SplitFile:
    """The file a split is read from: ``hub`` in the dataset on the Hub (null: not there), ``local`` in a local copy.

    ``only`` is a JSON file beside the local one whose keys are the cases of the split. ``sha256`` is the
    :func:`fingerprint` of the split's rows, whichever file they come from.
    """

    hub: str | None
    local: str
    only: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class SourceSection:
    """``source:`` of a benchmark's task.yaml. ``subjects`` are those the task keeps of a file that has more."""

    kind: Literal["benchmark"]
    format: Literal["agentclinic", "medqa", "mmlu", "pubmedqa"]
    dataset: str | None
    revision: str | None
    local: str
    files: dict[str, Any]  # split → SplitFile
    subjects: list[str] | None = None


def _read_section(content: Mapping[str, Any]) -> tuple[SourceSection, dict[str, SplitFile]]:
    """``source:`` of a task.yaml and the files of its splits. Raises :class:`~osler.schema.Problem`."""
    check(content["source"], SourceSection, "source")
    source = SourceSection(**content["source"])
    for split, entry in source.files.items():
        check(entry, SplitFile, f"source.files.{split}")
    files = {split: SplitFile(**entry) for split, entry in source.files.items()}
    if set(files) != set(content["splits"]):
        raise Problem(
            "source.files", f"has {', '.join(files)}; expected one entry a split: {', '.join(content['splits'])}"
        )
    if source.dataset and not re.fullmatch("[0-9a-f]{40}", source.revision or "", re.ASCII):
        raise Problem("source.revision", f"{source.revision} is not allowed; expected the 40 hex digits of a commit")
    for split, file in files.items():
        if file.hub and not source.dataset:
            raise Problem(f"source.files.{split}.hub", f"{file.hub} of which dataset? source.dataset is null")
    scorer: Any = content.get("scorer")
    labels: Any = content.get("labels")
    check(scorer, Literal["multiple_choice", "generate"], "scorer")
    check(labels, list[str], "labels")
    if labels != list(LETTERS[: len(labels)]) or (scorer == "multiple_choice") != (len(labels) > 1):
        raise Problem("labels", f"{labels} is not allowed; expected [A, B, …] for multiple_choice, [] for generate")
    return source, files


# ── the source ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Benchmark(Texts):
    """The published test cases of a benchmark, from the Hub at a pinned revision or from a local copy.

    ``content`` is the task.yaml; raises :class:`~osler.schema.Problem` for what is wrong with it.
    """

    def __init__(self, content: Mapping[str, Any], data_folder: Path | None) -> None:
        self._source, self._files = _read_section(content)
        self.labels = {letter: letter for letter in content["labels"]}
        folder = data_folder / self._source.local if data_folder else None
        self._folder = folder if folder and folder.is_dir() else None

    def training(self, data: DataSection | None, seed: int) -> Rows:
        """Raises :class:`InputError`, always: what was trained on is no benchmark any more."""
        raise InputError(f"{self._source.local}: a benchmark, for evaluation only; train on another task")

    def split(self, name: str) -> list[Row]:
        """The cases of a split, sorted by id, each once; empty where the Hub has none and this machine neither.

        Raises :class:`InputError` naming file and record of a case that is wrong, and where the cases are not the ones
        the task was described with.
        """
        return self._read(name).rows

    def provenance(self) -> dict[str, Any]:
        """The dataset, its revision, the local folder read instead, if one was, and what each split holds and lost."""
        splits = {name: self._read(name) for name in self._files}
        return {
            "dataset": self._source.dataset,
            "revision": self._source.revision,
            "local": str(self._folder) if self._folder else None,
            "splits": {
                name: {"cases": len(read.rows), "dropped": read.dropped, "sha256": fingerprint(read.rows)}
                for name, read in splits.items()
            },
        }

    def _read(self, name: str) -> Rows:
        file = self._files[name]
        path = self._path(file)
        if path is None:
            return Rows([])
        dropped: Counter[str] = Counter()
        records = self._of_task(path, file.only, dropped)
        rows = sorted((self._row(case) for case in FORMATS[self._source.format](records)), key=lambda r: r["case_id"])
        once: dict[str, Row] = {}
        for row in rows:
            once.setdefault(json.dumps([row["text"], row.get("options"), row["label"]]), row)
        kept = list(once.values())
        dropped["stands in the split already"] = len(rows) - len(kept)
        if file.sha256 and (found := fingerprint(kept)) != file.sha256:
            raise InputError(
                f"{path}: {len(kept)} cases with the fingerprint {found[:12]}, not those the task was described with"
                f" ({file.sha256[:12]}); get the file that the task's README names"
            )
        return Rows(kept, dict(dropped))

    def _path(self, file: SplitFile) -> Path | None:
        if self._folder:
            if (self._folder / file.local).is_file():
                return self._folder / file.local
            if file.hub:
                raise InputError(
                    f"{self._folder / file.local}: no such file; the local copy of {self._source.dataset} needs it"
                )
        elif file.hub and self._source.dataset and self._source.revision:
            local = f"{self._source.local}/{file.local}"
            return hub_file(self._source.dataset, self._source.revision, file.hub, local)
        return None

    def _of_task(self, path: Path, only: str | None, dropped: Counter[str]) -> Iterator[Record]:
        """The records of the split and of the task's subjects, the others counted."""
        subjects = self._source.subjects
        wanted = {r.name for r in read_records(self._folder / only)} if self._folder and only else None
        for record in read_records(path):
            if subjects is not None and record.column("subject", str) not in subjects:
                dropped["another subject"] += 1
            elif wanted is not None and record.name not in wanted:
                dropped["another split"] += 1
            else:
                yield record
                if wanted is not None:
                    wanted.remove(record.name)
        if wanted:
            raise InputError(f"{path}: has no record {min(wanted)}, which {only} says is a case of the split")

    def _row(self, case: Case) -> Row:
        row = Row(
            case_id=case.case_id,
            text=case.text,
            label=case.label,
            subgroups=case.subgroups,
            group=None,
            source=self._source.dataset or self._source.local,
        )
        if not self.labels:
            return row
        ids = [option for option, _ in case.options]
        if len(ids) < 2 or ids != list(self.labels)[: len(ids)]:
            case.record.refuse(
                f"the options are {', '.join(ids) or 'none'}; expected {', '.join(self.labels)} in this order,"
                " the last ones may be missing"
            )
        if case.label not in ids:
            case.record.refuse(f"the answer {case.label!r} is not among the options {', '.join(ids)}")
        row["options"] = {option: " ".join(text.split()) for option, text in case.options}
        for option, text in row["options"].items():
            if not text:
                case.record.refuse(f"the option {option} is blank")
        return row


def fingerprint(rows: Sequence[Row]) -> str:
    """Hash of what is asked and what is right, in order; spacing, subgroups and the file it came from do not count."""
    asked = [[r["case_id"], r["text"].split(), [*r.get("options", {}).items()], r["label"]] for r in rows]
    return sha256_text(json.dumps(asked, ensure_ascii=False))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    """The records of a ``.jsonl`` file, a ``.parquet`` file, or a ``.json`` file that holds one object of them.

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
        if not isinstance(content, dict):
            raise InputError(f"{path}: holds a {type(content).__name__}; expected one object, key → record")
        for key, columns in content.items():
            yield Record(f"{path}: {key}", key, columns)


def _json(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error})") from None


# ── formats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Case(NamedTuple):
    """A case before it is checked. ``options`` are pairs of id and text, none where the answer is free text."""

    record: Record
    case_id: str
    text: str
    label: str
    options: list[tuple[str, str]]
    subgroups: dict[str, str]


def medqa(records: Iterator[Record]) -> Iterator[Case]:
    """``question``, ``options`` (letter → text), ``answer_idx`` and ``meta_info``, the step of the examination."""
    for record in records:
        step = record.column("meta_info", str).replace("stfep", "step")  # one case of the published file
        options = list(record.column("options", dict[str, str]).items())
        label = record.column("answer_idx", str)
        yield Case(record, record.name, record.column("question", str), label, options, {"step": step})


def mmlu(records: Iterator[Record]) -> Iterator[Case]:
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
        yield Case(record, f"{subject}/{numbers[subject]:03d}", text.strip(), label, options, {"subject": subject})


def pubmedqa(records: Iterator[Record]) -> Iterator[Case]:
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
        yield Case(record, f"PMID:{record.name}", text, DECISIONS[decision], options, {})


def agentclinic(records: Iterator[Record]) -> Iterator[Case]:
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
        yield Case(record, record.name, text, label, [], subgroups | _person(actor.column("Demographics", str)))


FORMATS: dict[str, Callable[[Iterator[Record]], Iterator[Case]]] = {
    "agentclinic": agentclinic,
    "medqa": medqa,
    "mmlu": mmlu,
    "pubmedqa": pubmedqa,
}


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


def _person(demographics: str) -> dict[str, str]:
    """Sex and age band, as far as words like "35-year-old female" or "newborn" say them."""
    groups = {}
    if found := re.search(r"\b(?:(female|woman|girl)|male|man|boy)\b", demographics, re.IGNORECASE):
        groups["sex"] = "female" if found[1] else "male"
    if found := re.search(r"(\d+)-(year|month|week|day)-old", demographics):
        years = int(found[1]) * YEARS[found[2]]
        groups["age_band"] = age_band(years)
    elif "newborn" in demographics.lower():
        groups["age_band"] = age_band(0)
    return groups
