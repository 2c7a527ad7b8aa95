"""Patients as lists of findings: published ones, simulated ones, and both told in sentences."""

from osler.patients.disease_profile import PRIOR, profile
from osler.patients.narrative import MAX_ABSENT, ONSETS, TEMPLATES, article, describe, mentioned, sentences, worded
from osler.patients.patient import Patient, age_band, years, years_between
from osler.patients.published import clean, panel, phenopackets, small_publications, training_annotations
from osler.patients.simulator import OTHER_SEX, Simulator

__all__ = [
    "MAX_ABSENT",
    "ONSETS",
    "OTHER_SEX",
    "PRIOR",
    "TEMPLATES",
    "Patient",
    "Simulator",
    "age_band",
    "article",
    "clean",
    "describe",
    "mentioned",
    "panel",
    "phenopacket_store",
    "phenopackets",
    "profile",
    "sentences",
    "small_publications",
    "training_annotations",
    "worded",
    "years",
    "years_between",
]
