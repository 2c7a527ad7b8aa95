"""Patients as lists of findings: published and simulated ones, and their descriptions in sentences."""

from osler.patients.disease_profile import PSEUDOCOUNTS, pool_annotations
from osler.patients.external import read_external
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
from osler.patients.patient import Patient, age_band, sex_and_age, years, years_between
from osler.patients.phenopacket import find_diagnosis
from osler.patients.published import (
    Group,
    count_subtracted,
    disease_panel,
    held_out_publications,
    published_patients,
    training_annotations,
)
from osler.patients.simulator import EXCLUDED_BY_SEX, Simulator

__all__ = [
    "EXCLUDED_BY_SEX",
    "MAX_ABSENT",
    "ONSET_PHRASES",
    "PSEUDOCOUNTS",
    "TEMPLATES",
    "Group",
    "Patient",
    "Simulator",
    "age_band",
    "choose_wordings",
    "count_subtracted",
    "describe",
    "disease_panel",
    "find_diagnosis",
    "held_out_publications",
    "indefinite_article",
    "phenopacket_store",
    "pool_annotations",
    "published_patients",
    "read_external",
    "select_findings",
    "sex_and_age",
    "training_annotations",
    "write_sentences",
    "years",
    "years_between",
]
