"""A patient's findings in, the differential out: probabilities and the evidence for each disease."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import softmax

from osler.errors import InputError, show
from osler.patients import Patient, describe
from osler.ranking.candidate_text import candidate_text
from osler.ranking.disease_index import DiseaseIndex, Floats
from osler.ranking.evidence import Evidence, Match, evidence
from osler.ranking.fusion import Fusion, candidates
from osler.ranking.rankers import Rankers
from osler.storage import Contract, FileContract, read_model
from osler.terminology import PHENOTYPIC_ABNORMALITY, Ontology, Recogniser, Vocabulary, findings

FUSION = Path(__file__).with_name("fusion.json")  # scripts/fit_ranking.py writes it
OTHERS = "the weights of the mixture were fitted on diseases of OMIM alone"
READ = "findings in a note are read by a program, which misses or misreads some: check them"
COMPARED = 8  # candidates that a language model is asked about


class Term(Contract):
    """A term of HPO."""

    id: str
    name: str


class Matched(Contract):
    """A finding of the patient, the term that the disease has, and an estimate of the share of its patients who have
    that: counted patients, drawn a little towards a half, or 0.41 where HPO gives no frequency."""

    finding: Term
    term: Term
    share: Annotated[float, Field(ge=0, le=1)]


class Candidate(Contract):
    """A disease, its probability, and its evidence as in :class:`osler.ranking.Evidence`."""

    disease: str
    name: str
    probability: Annotated[float, Field(ge=0, le=1)]
    matched: tuple[Matched, ...]
    matched_more_generally: tuple[Matched, ...]
    unexplained: tuple[Term, ...]
    expected_but_absent: tuple[Matched, ...]
    contradicted: tuple[Term, ...]


class Differential(FileContract):
    """What ``scripts/diagnose.py --json`` prints.

    ``diseases`` of ``vocabularies`` were ranked; ``reranked`` says whether a model compared the first ones. The
    ``candidates`` are best first. Probabilities are of the first ``compared``: ``none_of_these`` is that the disease is
    none of them. ``notes`` say what has to be known of the findings and the ranking.
    """

    annotations: str
    vocabularies: tuple[str, ...]
    diseases: int
    compared: int
    reranked: bool
    present: tuple[Term, ...]
    absent: tuple[Term, ...]
    notes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    none_of_these: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Findings:
    """What is known of a patient: HPO ids, and what had to be done to them, a line each; and the note that they were
    found in, where there is one."""

    present: tuple[str, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...] = ()
    text: str | None = None


@dataclass(frozen=True)
class SecondOpinion:
    """What a model says of the first candidates. log p = ``ranker_weight`` · log p(rankers) + ``model_weight`` · log
    p(model) + constant; of a candidate that it is not asked about, the model thinks as of the one it likes least.

    Attributes:
        ask: the text of a case, and disease → its text (:func:`candidate_text`), to disease → log p.
        candidates: how many it is asked about.
        floor: the least probability that the rankers have a say with.
    """

    ask: Callable[[str, Mapping[str, str]], Mapping[str, float]]
    candidates: int
    ranker_weight: float
    model_weight: float
    floor: float


def read_findings(
    ontology: Ontology, present: Iterable[str], absent: Iterable[str] = (), known: Sequence[str] = ()
) -> Findings:
    """The findings by their current ids. What is no finding is named and left out; so are those that contradict one
    another: a finding that is there, and itself or something that it implies is not.

    ``known`` are notes to begin with. Raises :class:`InputError` where nothing present is left.
    """
    notes = list(known)
    there, not_there = (_current(ontology, ids, notes) for ids in (present, absent))
    against = {(one, other) for one in there for other in not_there if other in ontology.ancestors(one)}
    for one, other in sorted(against):
        implied = "" if one == other else f", which implies {_told(ontology, other)}"
        notes.append(f"{_told(ontology, one)}{implied}: present and absent, left out")
    there = [i for i in there if i not in {one for one, _ in against}]
    not_there = [i for i in not_there if i not in {other for _, other in against}]
    if not there:
        absent = [f"{_told(ontology, other)}: absent" for other in not_there]
        said = f" ({'; '.join([*notes, *absent])})" if notes or absent else ""
        raise InputError(f"no present finding to rank by{said}; name some with --hpo, or in words that HPO knows")
    return Findings(tuple(there), tuple(not_there), tuple(notes))


def find_in_text(text: str, ontology: Ontology, recogniser: Recogniser | None = None) -> Findings:
    """:func:`read_findings` of what ``text`` says of the patient; what it says of relatives is left out and noted.

    ``recogniser`` is that of ``ontology``, which takes a second to make, where more than one text is read.
    """
    found = findings(text, recogniser or Recogniser(ontology))
    others = [one for one in found if one.status in ("relative", "uncertain")]
    kinds = {"relative": "said of a relative", "uncertain": "not said to be there"}
    notes = dict.fromkeys(f"{show(text[one.start : one.end])}: {kinds[one.status]}, left out" for one in others)
    read = read_findings(
        ontology,
        (one.hpo_id for one in found if one.status == "present"),
        (one.hpo_id for one in found if one.status == "absent"),
        [*notes],
    )
    return Findings(read.present, read.absent, (*read.notes, READ), text)


def diagnose(
    rankers: Rankers,
    fusion: Fusion,
    ontology: Ontology,
    found: Findings,
    top: int,
    opinion: SecondOpinion | None = None,
) -> Differential:
    """The ``top`` diseases for these findings. "None of these" is as likely with a second opinion as without."""
    patient = Patient("patient", "", found.present, found.absent)
    ranked = candidates(rankers, patient)
    probabilities = fusion.probabilities(ranked.features)
    index = rankers.index
    if opinion is not None:
        diseases = [index.diseases[row] for row in ranked.rows]
        probabilities[:-1] = _with(opinion, index, ontology, found, patient, diseases, probabilities[:-1])
    order = np.argsort(-probabilities[:-1], kind="stable")[:top]
    vocabularies = tuple(sorted({disease.split(":")[0] for disease in index.diseases}))
    notes = found.notes if vocabularies == ("OMIM",) else (*found.notes, OTHERS)
    return Differential(
        schema=1,
        annotations=index.release,
        vocabularies=vocabularies,
        diseases=len(index.diseases),
        compared=len(ranked.rows),
        reranked=opinion is not None,
        present=terms(ontology, found.present),
        absent=terms(ontology, found.absent),
        notes=notes,
        candidates=tuple(
            _candidate(
                index.diseases[ranked.rows[n]],
                index.names[ranked.rows[n]],
                float(probabilities[n]),
                evidence(index, patient, index.diseases[ranked.rows[n]]),
                ontology,
            )
            for n in order
        ),
        none_of_these=float(probabilities[-1]),
    )


def _with(
    opinion: SecondOpinion,
    index: DiseaseIndex,
    ontology: Ontology,
    found: Findings,
    patient: Patient,
    diseases: Sequence[str],
    p: Floats,
) -> Floats:
    """The probabilities ``p`` of ``diseases``, mixed with what the model says; their sum is as before."""
    vocabulary = Vocabulary(ontology)
    first = [diseases[place] for place in np.argsort(-p, kind="stable")[: opinion.candidates]]
    texts = {disease: candidate_text(index, patient, disease, vocabulary.name) for disease in first}
    said = opinion.ask(found.text or describe(patient, vocabulary, random.Random(0)), texts)
    least = min(said.values())
    model = np.array([said.get(disease, least) for disease in diseases])
    mixed = opinion.ranker_weight * np.log(np.maximum(p / p.sum(), opinion.floor)) + opinion.model_weight * model
    return np.asarray(softmax(mixed) * p.sum())


def propose(rankers: Rankers, fusion: Fusion, patient: Patient, n: int) -> list[str]:
    """The ``n`` most probable diseases, best first. Raises ``ValueError`` as :meth:`Rankers.score`."""
    ranked = candidates(rankers, patient)
    order = np.argsort(-fusion.probabilities(ranked.features)[:-1], kind="stable")[:n]
    return [rankers.index.diseases[ranked.rows[place]] for place in order]


def load_fusion() -> Fusion:
    """The weights that are shipped."""
    return read_model(FUSION, Fusion)


def matched(ontology: Ontology, matches: Sequence[Match]) -> tuple[Matched, ...]:
    """Matches with the names of their terms."""
    return tuple(
        Matched(finding=_term(ontology, one.finding), term=_term(ontology, one.term), share=round(one.share, 4))
        for one in matches
    )


def _candidate(disease: str, name: str, probability: float, found: Evidence, ontology: Ontology) -> Candidate:
    return Candidate(
        disease=disease,
        name=name,
        probability=round(probability, 6),
        matched=matched(ontology, found.matched),
        matched_more_generally=matched(ontology, found.matched_more_generally),
        unexplained=terms(ontology, found.unexplained),
        expected_but_absent=matched(ontology, found.expected_but_absent),
        contradicted=terms(ontology, found.contradicted),
    )


def _current(ontology: Ontology, ids: Iterable[str], notes: list[str]) -> list[str]:
    kept: dict[str, None] = {}
    for hpo_id in ids:
        current = ontology.current(hpo_id)
        if current is None:
            notes.append(f"{show(hpo_id)}: not in HPO {ontology.release}, left out")
        elif current not in ontology.phenotypes or current == PHENOTYPIC_ABNORMALITY:
            notes.append(f"{_told(ontology, current)}: no phenotypic abnormality, left out")
        else:
            if current != hpo_id:
                notes.append(f"{hpo_id}: obsolete, taken as {_told(ontology, current)}")
            kept[current] = None
    return list(kept)


def _told(ontology: Ontology, hpo_id: str) -> str:
    return f"{ontology.terms[hpo_id].name} ({hpo_id})"


def _term(ontology: Ontology, hpo_id: str) -> Term:
    return Term(id=hpo_id, name=ontology.terms[hpo_id].name)


def terms(ontology: Ontology, ids: Sequence[str]) -> tuple[Term, ...]:
    """HPO ids with their names."""
    return tuple(_term(ontology, hpo_id) for hpo_id in ids)
