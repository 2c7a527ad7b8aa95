"""Every Mendelian disease ranked for a patient's findings, with a probability and the evidence for each."""

from osler.ranking.candidate_text import candidate_text
from osler.ranking.diagnosis import (
    COMPARED,
    FUSION,
    Candidate,
    Differential,
    Findings,
    Matched,
    SecondOpinion,
    Term,
    diagnose,
    find_in_text,
    load_fusion,
    matched,
    propose,
    read_findings,
    terms,
)
from osler.ranking.disease_index import VOCABULARIES, DiseaseIndex
from osler.ranking.equivalents import read_equivalents
from osler.ranking.evidence import Evidence, Match, evidence
from osler.ranking.examples import example, examples, few_of_each
from osler.ranking.fusion import Example, Fusion, candidates, candidates_by, fit
from osler.ranking.knowledge import load_rankers
from osler.ranking.pages import check_page, render_lines, render_page
from osler.ranking.rankers import RANKERS, Rankers, ranks, z_scores

__all__ = [
    "COMPARED",
    "FUSION",
    "RANKERS",
    "VOCABULARIES",
    "Candidate",
    "Differential",
    "DiseaseIndex",
    "Evidence",
    "Example",
    "Findings",
    "Fusion",
    "Match",
    "Matched",
    "Rankers",
    "SecondOpinion",
    "Term",
    "candidate_text",
    "candidates",
    "candidates_by",
    "check_page",
    "diagnose",
    "evidence",
    "example",
    "examples",
    "few_of_each",
    "find_in_text",
    "fit",
    "load_fusion",
    "load_rankers",
    "matched",
    "propose",
    "ranks",
    "read_equivalents",
    "read_findings",
    "render_lines",
    "render_page",
    "terms",
    "z_scores",
]
