"""Condensed files of other people's patients, for evaluation alone: JSON lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from osler.errors import InputError, show
from osler.patients.patient import Patient, years
from osler.storage import read_text
from osler.terminology import PHENOTYPIC_ABNORMALITY, Ontology


def read_external(path: Path, ontology: Ontology, known: Collection[str]) -> list[Patient]:
    """The patients in ``path``, in its order. A line has either ``index``, ``source``, ``hpo`` and ``labels``, or
    ``case_id``, ``references``, ``disease``, ``observed`` and ``excluded``; findings and diseases as [id, name].

    Of several ids of a disease the first that is ``known`` is the patient's, and the others are as right. Findings are
    told by their current ids; those that the ontology does not know, and terms that are no phenotypic abnormality, are
    left out. So are patients without a finding, and those of whose disease no id is known.

    Raises:
        InputError: a line is something else; the message names it.
    """
    patients = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            patient = _patient(json.loads(line), ontology, known, path.parent.name)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path}:{number}: not a condensed patient ({error!r})") from None
        if patient.present and patient.disease:
            patients.append(patient)
    if twice := [case_id for case_id, n in Counter(p.case_id for p in patients).items() if n > 1]:
        raise InputError(f"{path}: the case {twice[0]} is there twice")
    return patients


def _list(record: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(record[key], list):
        raise ValueError(f"{key} is {show(record[key])}, expected a list")
    return record[key]


def _patient(record: dict[str, Any], ontology: Ontology, known: Collection[str], name: str) -> Patient:
    if "hpo" in record:
        case_id, observed, excluded = f"{name}/{record['source']}/{record['index']}", _list(record, "hpo"), []
        ids, publications = list(_list(record, "labels")), ()
        sex, age = None, None
    else:
        case_id, observed, excluded = (
            f"{name}/{record['case_id']}",
            _list(record, "observed"),
            _list(record, "excluded"),
        )
        ids, publications = [disease for disease, _ in _list(record, "disease")], tuple(_list(record, "references"))
        sex = str(record.get("sex") or "").lower()
        age = ((record.get("age") or {}).get("age") or {}).get("iso8601duration")
    right = [disease for disease in dict.fromkeys(ids) if disease in known]
    return Patient(
        case_id=case_id,
        disease=right[0] if right else "",
        equivalent=tuple(right[1:]),
        present=tuple(dict.fromkeys(_current(observed, ontology))),
        absent=tuple(dict.fromkeys(_current(excluded, ontology))),
        sex=sex if sex in ("male", "female") else None,
        age=years(age),
        publications=publications,
    )


def _current(findings: list[list[str]], ontology: Ontology) -> Iterator[str]:
    for hpo_id, _ in findings:
        current = ontology.current(hpo_id)
        if current in ontology.phenotypes and current != PHENOTYPIC_ABNORMALITY:
            yield current
