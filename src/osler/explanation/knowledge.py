"""What is known beside a model: HPO, its annotations of diseases, and published patients."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from osler.errors import InputError
from osler.explanation.contracts import ForAndAgainst
from osler.explanation.neighbours import Neighbours, Person
from osler.patients import Patient, phenopacket_store
from osler.ranking import DiseaseIndex, Findings, evidence, find_in_text, matched, terms
from osler.recipe import Recipe, TaskFile, find_tasks, read_task
from osler.runs import Run
from osler.storage import data_folder, wheels
from osler.terminology import Ontology, Recogniser, read_annotations, read_ontology

STORE = Path("phenopacket_store") / "cases.jsonl.gz"  # below OSLER_DATA_DIR, where a task names no other
EXPECTED = 0.5  # of a diagnosis's texts that name a finding, or patients that have it


@dataclass(frozen=True)
class Knowledge:
    """What explanations are made with, besides the model.

    Attributes:
        ontology, recogniser: HPO, and what finds its findings in a text; None where the task names no HPO.
        index: the diseases of HPO's annotations; None where the task's labels are none.
        published: patients of Phenopacket Store; None where the store is not on this machine.
        trained: rows that the model learnt from, where they are texts and on this machine.
        missing: why something of it is not there, a line each.
    """

    ontology: Ontology | None = None
    recogniser: Recogniser | None = None
    index: DiseaseIndex | None = None
    published: Neighbours | None = None
    trained: Neighbours | None = None
    missing: tuple[str, ...] = ()
    _common: dict[str, list[str]] = field(default_factory=dict)

    def read(self, text: str) -> Findings | None:
        """The findings of a text; None where it names none that is present."""
        if self.ontology is None:
            return None
        try:
            return find_in_text(text, self.ontology, self.recogniser)
        except InputError:
            return None

    def for_and_against(self, found: Findings, label: str, name: str) -> ForAndAgainst | None:
        """What HPO's annotations say of one answer; None where they have no such disease."""
        if self.index is None or self.ontology is None or label not in self.index.row:
            return None
        of = evidence(self.index, Patient("asked", "", found.present, found.absent), label)
        return ForAndAgainst(
            label=label,
            name=name,
            matched=matched(self.ontology, of.matched),
            matched_more_generally=matched(self.ontology, of.matched_more_generally),
            unexplained=terms(self.ontology, of.unexplained),
            expected_but_absent=matched(self.ontology, of.expected_but_absent),
            contradicted=terms(self.ontology, of.contradicted),
        )

    def profile(self, label: str) -> Sequence[str]:
        """The findings that are usual with a diagnosis, the commonest first: by HPO's annotations, or by the training
        rows where these are texts; none where nothing is known."""
        if self.index is not None and label in self.index.row:
            start, end = self.index.annotated.indptr[self.index.row[label] :][:2]
            shares = zip(self.index.annotated.data[start:end], self.index.annotated.indices[start:end], strict=True)
            return [self.index.terms[column] for share, column in sorted(shares, reverse=True) if share >= EXPECTED]
        if self.trained is None:
            return []
        if not self._common:
            counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
            for person in self.trained.people:
                counts[person.patient.disease].update(person.patient.present)
            self._common.update({name: [i for i, _ in of.most_common(5)] for name, of in counts.items()})
        return self._common.get(label, [])


def load(run: Run) -> Knowledge:
    """What there is for the labels of ``run``; takes some seconds. What cannot be had is ``missing``, with why."""
    recipe = run.recipe()
    task = read_task(find_tasks(run.folder) / recipe.task.name)
    files = files_of(task)
    if files is None:
        return Knowledge(missing=("findings: the task names no file of HPO, so clauses of the text were left out",))
    try:
        ontology_file, annotations_file = wheels.fetch_many([file or files[0] for file in files])
        ontology = read_ontology(ontology_file)
    except InputError as error:
        return Knowledge(missing=(f"findings: {error}",))
    missing = []
    labels = run.read_panel().labels
    vocabularies = sorted({label.split(":")[0] for label in labels if ":" in label})
    index = None
    if files[1] is None or not vocabularies:
        missing.append("for and against: the labels are no diseases of HPO's annotations")
    else:
        index = DiseaseIndex.build(ontology, read_annotations(annotations_file, ontology), vocabularies)
    published = None
    try:
        published = _published(ontology, run, labels, Path(getattr(task.source, "store", STORE)))
    except InputError as error:
        missing.append(f"published patients: {error}")
    return Knowledge(ontology, Recogniser(ontology), index, published, None, tuple(missing))


def training_rows(run: Run, recipe: Recipe, known: Knowledge) -> Neighbours:
    """The rows that the model of ``run`` learnt from, as the findings that their texts name; takes seconds, or minutes.

    Raises :class:`InputError` where there is no ontology to read them with, the task's rows are no texts, or they are
    not on this machine.
    """
    from osler.data import load_training_rows
    from osler.tasks import load_task

    folder = find_tasks(run.folder) / recipe.task.name
    if known.ontology is None:
        raise InputError("training rows: no file of HPO says which findings their texts name")
    if read_task(folder).source.trains_on != "texts":
        raise InputError("training rows: they are told from patients of HPO's files; the published ones are shown")
    rows = load_training_rows(recipe, load_task(folder, recipe.task.panel)).rows
    people = []
    for row in rows:
        if "#" not in row.case_id and (found := known.read(row.text)):
            patient = Patient(row.case_id, row.label, found.present, found.absent)
            people.append(Person(patient, True))
    return Neighbours.build(known.ontology, people, run.read_panel().labels)


def files_of(task: TaskFile) -> tuple[str, str | None] | None:
    """HPO's ontology and annotations, as the task names them; None where it names no HPO."""
    section = task.source if hasattr(task.source, "ontology") else task.terminology
    ontology = getattr(section, "ontology", None)
    return (ontology, getattr(section, "annotations", None)) if ontology else None


def _published(ontology: Ontology, run: Run, labels: Mapping[str, str], file: Path) -> Neighbours:
    folder = data_folder()
    if folder is None or not (path := folder / file).is_file():
        raise InputError(f"{file} is not on this machine; scripts/fetch_phenopackets.py fetches it")
    store = phenopacket_store.read_patients(path, ontology)
    used = _training_publications(run)
    people = [Person(p, None if used is None else not used.isdisjoint(p.publications)) for p in store.patients]
    return Neighbours.build(ontology, people, {**store.diseases, **labels})


def _training_publications(run: Run) -> frozenset[str] | None:
    """Those that the run's data report names; None where it says nothing of publications."""
    named = run.read_data_report().provenance.get("training_publications")
    return frozenset(map(str, named)) if isinstance(named, Iterable) and not isinstance(named, str) else None
