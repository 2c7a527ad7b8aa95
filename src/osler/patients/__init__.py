"""Patients as lists of findings: published and simulated ones, and their descriptions in sentences."""

from osler.patients.disease_profile import PSEUDOCOUNTS, pool_annotations
from osler.patients.narrative import (
    MAX_ABSENT,
    ONSET_PHRASES,
    TEMPLATES,
    choose_wordings,
    describe,
    indefinite_article,
    select_findings,
    write_sentences,
)
from osler.patients.patient import Patient, age_band, years, years_between
from osler.patients.phenopacket import find_diagnosis
from osler.patients.published import (
    disease_panel,
    publication_disjoint,
    small_publications,
    training_annotations,
)
from osler.patients.simulator import EXCLUDED_BY_SEX, Simulator

__all__ = [
    "EXCLUDED_BY_SEX",
    "MAX_ABSENT",
    "ONSET_PHRASES",
    "PSEUDOCOUNTS",
    "TEMPLATES",
    "Patient",
    "Simulator",
    "age_band",
    "choose_wordings",
    "describe",
    "disease_panel",
    "find_diagnosis",
    "indefinite_article",
    "phenopacket_store",
    "pool_annotations",
    "publication_disjoint",
    "select_findings",
    "small_publications",
    "training_annotations",
    "write_sentences",
    "years",
    "years_between",
]
