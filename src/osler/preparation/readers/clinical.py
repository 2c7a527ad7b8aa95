"""Rows of clinical formats: a patient described in sentences, the diagnosis, the group and the date.

The label of a diagnosis is its code with one name for people, whatever words the code came with in each row, and
whichever of several codings stands first. So labels are known only when all rows have been read; until then, the rows
wait in a temporary file.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from osler.patients import Patient, age_band, write_sentences
from osler.preparation.readers.record import Columns, Notice, RawRow, RejectedRow

# `label` joins `diagnosis` and `diagnosis_id`. To use only one of them, name it as the label column.
COLUMNS: tuple[str, ...] = ("case_id", "text", "label", "diagnosis", "diagnosis_id", "group", "date", "sex", "age_band")
DEFAULT_COLUMNS = Columns("text", "label", case_id="case_id", group="group", date="date", subgroups=("sex", "age_band"))
# Of the systems in which equally many diagnoses are coded, the first one here gives the labels.
SYSTEMS = (
    "http://snomed.info/sct",
    "http://hl7.org/fhir/sid/icd-10-cm",
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm",
    "http://hl7.org/fhir/sid/icd-10",
    "OMIM",
    "MONDO",
    "ORPHA",
)


class Coding(NamedTuple):
    """A code of a diagnosis in a system (a URL, or the prefix of a CURIE), and its name there."""

    system: str | None
    code: str
    name: str | None


class Case(NamedTuple):
    """A row whose label is not known yet. ``words`` say the diagnosis apart from its codings."""

    source: str
    columns: Mapping[str, Any]
    codings: Sequence[Coding]
    words: str | None


def make_case(
    source: str,
    patient: Patient,
    wordings: Mapping[str, str],
    codings: Sequence[Coding],
    words: str | None,
    group: str | None,
    day: str | None,
) -> Case:
    """A row of ``COLUMNS`` apart from those of the diagnosis.

    Args:
        wordings: HPO id → wording, for every finding of the patient. The same case id always gives the same sentences.
            Without a present finding the text is None.
        codings: the codes of the one diagnosis.
        words: the diagnosis in words, for where no coding has a name.
        group: what a split must not divide.
        day: ISO 8601 date.
    """
    text = write_sentences(patient, wordings, random.Random(patient.case_id)) if patient.present else None
    columns = {
        "case_id": patient.case_id,
        "text": text,
        "group": group,
        "date": day,
        "sex": patient.sex,
        "age_band": None if patient.age is None else age_band(patient.age),
    }
    return Case(source, columns, codings, words)


def label_cases(cases: Iterable[Case | RejectedRow | Notice]) -> Iterator[RawRow | RejectedRow | Notice]:
    """The rows of ``cases`` with their diagnoses, after everything else, and notices of how they were labelled.

    Of several codings, that of the system counts in which most cases are coded (of equal ones, the first of
    ``SYSTEMS``). A code has the name that most of its rows give it. The label is ``name (code)``.
    """
    names = _Names()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as waiting:
        for case in cases:
            if isinstance(case, Case):
                names.add(case)
                waiting.write(json.dumps(case) + "\n")
            else:
                yield case
        waiting.seek(0)
        notices: Counter[str] = Counter()
        for line in waiting:
            source, columns, codings, words = json.loads(line)
            labelled = names.label(columns, [Coding(*coding) for coding in codings], words, notices)
            yield RawRow(source, labelled, code=labelled["diagnosis_id"])
    yield from (Notice(text, number) for text, number in notices.most_common())


class _Names:
    """How often systems, codes and their names are used."""

    def __init__(self) -> None:
        self._systems: Counter[str | None] = Counter()
        self._codes: Counter[tuple[str | None, str]] = Counter()
        self._names: defaultdict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)
        self._words: defaultdict[tuple[str | None, str], Counter[str]] = defaultdict(Counter)

    def add(self, case: Case) -> None:
        self._systems.update({coding.system for coding in case.codings})
        self._codes.update({coding[:2] for coding in case.codings})
        for system, code, name in case.codings:
            if name:
                self._names[system, code][name] += 1
            if case.words:
                self._words[system, code][case.words] += 1

    def label(
        self, columns: Mapping[str, Any], codings: Sequence[Coding], words: str | None, notices: Counter[str]
    ) -> dict[str, Any]:
        """``columns`` with those of the diagnosis. What was done is counted in ``notices``."""
        name, code = words, None
        if codings:
            system, code, own_name = min(codings, key=self._rank)
            counts = self._names.get((system, code)) or self._words.get((system, code)) or Counter[str]()
            # Of equally frequent ones the longest, which says most; the order of the rows never decides.
            name = min(counts, key=lambda name: (-counts[name], -len(name), name), default=None)
            notices[f"diagnoses are labelled by their codes in {system or 'a system without a name'}"] += 1
            if own_name and own_name != name:
                notices["diagnoses have the name that most rows give to their code, not their own"] += 1
        elif words:
            notices["diagnoses have no code and are labelled by their words"] += 1
        label = f"{name} ({code})" if name and code else name or code
        labelled = {**columns, "label": label, "diagnosis": name, "diagnosis_id": code}
        return {column: labelled[column] for column in COLUMNS}

    def _rank(self, coding: Coding) -> tuple[int, int, str, int, str]:
        system, code, _ = coding
        place = SYSTEMS.index(system) if system in SYSTEMS else len(SYSTEMS)
        return -self._systems[system], place, system or "", -self._codes[system, code], code
