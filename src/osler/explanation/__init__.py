"""Why a model answers as it does: what carried an answer, who is like the patient, and how faithful that is."""

from osler.explanation import ablation, faithfulness, knowledge
from osler.explanation.contracts import (
    Counterfactual,
    Edit,
    Explanation,
    ForAndAgainst,
    SimilarPatient,
    UnitWeight,
    WordWeight,
)
from osler.explanation.explain import MOST, QUICK, Explainer
from osler.explanation.subject import Subject

__all__ = [
    "MOST",
    "QUICK",
    "Counterfactual",
    "Edit",
    "Explainer",
    "Explanation",
    "ForAndAgainst",
    "SimilarPatient",
    "Subject",
    "UnitWeight",
    "WordWeight",
    "ablation",
    "faithfulness",
    "knowledge",
]
