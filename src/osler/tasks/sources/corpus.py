"""What the ontology knows as text, for continued pre-training: one document a phenotype, one a disease.

Nothing in it tells what is held out: test and validation patients are taken out of the annotations before
(:func:`training_annotations`), and a wording that training may not use stands in no document, neither as a synonym nor
inside a definition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from osler.patients import disease_panel, held_out_publications, training_annotations
from osler.recipe import CorpusSource, DataSection
from osler.storage import stable_unit, wheels
from osler.tasks.case import Case, Cases
from osler.tasks.source import TextSource
from osler.terminology import Annotation, Annotations, Ontology, Vocabulary, read_annotations, read_ontology

FINDINGS = 40  # of a disease, the best supported ones: a document longer than a context would be cut anyway


def documents(
    ontology: Ontology, annotations: Annotations, vocabulary: Vocabulary, diseases: Collection[str] | None = None
) -> dict[str, str]:
    """HPO or disease id → its document, in the order of a hash of the id: any part of it is a sample of all.

    With ``diseases``, only theirs, and those of the findings they are annotated with and of what these are kinds of.
    """
    if diseases is not None:
        annotations = replace(annotations, rows={d: rows for d, rows in annotations.rows.items() if d in diseases})
    phenotypes = ontology.phenotypes
    if diseases is not None:
        annotated = {row.hpo_id for rows in annotations.rows.values() for row in rows}
        phenotypes &= annotated.union(*(ontology.ancestors(hpo_id) for hpo_id in annotated))
    texts = dict(_phenotypes(phenotypes, ontology, vocabulary)) | dict(_diseases(annotations, vocabulary))
    return dict(sorted(texts.items(), key=lambda item: stable_unit(item[0])))


def _phenotypes(phenotypes: Collection[str], ontology: Ontology, vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    for hpo_id in phenotypes:
        term = ontology.terms[hpo_id]
        name, *others = vocabulary.trainable[hpo_id]
        sentences = [f"{_upper_first(name)}{f', also called {_enumerated(others)},' if others else ''} is a finding."]
        parents = [vocabulary.name[parent] for parent in term.parents if parent in vocabulary.name]
        if parents:
            sentences.append(f"It is a kind of {_enumerated(parents)}.")
        # An OBO definition is quoted, and its sources stand behind it in brackets.
        defined = re.match(r'"((?:[^"\\]|\\.)*)"', term.definition)
        for sentence in re.split(r"(?<=[.!?])\s+", defined[1] if defined else ""):
            if sentence and not vocabulary.held_out_in(sentence):
                sentences.append(sentence)
        yield hpo_id, " ".join(sentences)


def _diseases(annotations: Annotations, vocabulary: Vocabulary) -> Iterator[tuple[str, str]]:
    for disease, rows in annotations.rows.items():
        present = [row for row in rows if row.hpo_id in vocabulary.name and not row.negated]
        present.sort(key=lambda row: (-_patients(row), -(_share(row) or 0), row.hpo_id))
        absent = [vocabulary.name[row.hpo_id] for row in rows if row.negated and row.hpo_id in vocabulary.name]
        if present:
            findings = "; ".join(dict.fromkeys(_finding(row, vocabulary.name) for row in present[:FINDINGS]))
            text = f"Patients with {annotations.names[disease]} have these findings. {_upper_first(findings)}."
            if absent:
                text += f" Not among them: {'; '.join(dict.fromkeys(absent))}."
            yield disease, text


def _finding(row: Annotation, names: Mapping[str, str]) -> str:
    share = _share(row)
    return names[row.hpo_id] + ("" if share is None else f" in {share:.0%}")


def _share(row: Annotation) -> float | None:
    return row.counts[0] / row.counts[1] if row.counts and row.counts[1] else row.share


def _patients(row: Annotation) -> int:
    return row.counts[1] if row.counts else 0


def _enumerated(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


class Corpus(TextSource):
    """The documents as training rows without labels: ``source: {kind: corpus, ontology, annotations}`` of a task.

    Args:
        section: the section ``source``: where HPO's two files are from.
        min_patients: of the panel of :func:`panel` whose documents are wanted; None for all there are.
    """

    labels: Mapping[str, str] = {}

    def __init__(self, section: CorpusSource, min_patients: int | None) -> None:
        ontology_file, annotations_file = wheels.fetch_many([section.ontology, section.annotations])
        ontology = read_ontology(ontology_file)
        annotations = read_annotations(annotations_file, ontology)
        # Of the largest panel, as rare_disease holds them out.
        held_out = held_out_publications(disease_panel(annotations, 1))
        self._documents = documents(
            ontology,
            training_annotations(annotations, held_out),
            Vocabulary(ontology),
            None if min_patients is None else disease_panel(annotations, min_patients),
        )
        self._provenance = {
            "releases": {"hp.obo": ontology.release, "phenotype.hpoa": annotations.release},
            "held_out_publications": len(held_out),
        }

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """Every document; its label is empty."""
        return Cases(
            [
                Case(case_id=name, text=text, label="", subgroups={}, group=None, source="hpo")
                for name, text in self._documents.items()
            ]
        )

    def split(self, name: str) -> list[Case]:
        """There are none: what pre-training is good for shows in what is trained after it."""
        return []

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """The releases, and how many publications were held out."""
        return self._provenance
