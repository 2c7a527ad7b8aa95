"""Two spellings of a diagnosis have one form; two diagnoses never do."""

from __future__ import annotations

import pytest

from osler.terminology.normal_form import ABBREVIATIONS, canonical, normal_form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sjögren’s syndrome", "SJOGREN SYNDROME"),
        ("β-thalassaemia", "beta thalassemia"),
        ("Guillain–Barré syndrome", "Guillain-Barre syndrome"),
        ("Parkinsons disease", "Parkinson's disease"),
        ("oesophageal tumours", "esophageal tumor"),
        ("gastro-oesophageal reflux", "gastroesophageal reflux"),
        ("generalised epilepsy", "generalized epilepsy"),
        ("leucodystrophy", "leukodystrophy"),
        ("allergies", "allergy"),
        ("an ulcer of the stomach", "stomach ulcer"),
        ("diabetes type 2", "Type II diabetes mellitus"),
        ("copd", "Chronic obstructive pulmonary disease (COPD)"),
        ("CMT2A2A", "Charcot-Marie-Tooth disease, type 2A2A"),
        ("MPS IVA", "mucopolysaccharidosis type 4a"),
        ("Alzheimer disease-4", "Alzheimer disease type 4"),
        ("Epileptic encephalopathy, early infantile, 13", "Early infantile epileptic encephalopathy 13"),
        ("non-Hodgkin lymphoma", "Non Hodgkin's lymphoma"),
        ("Hydrocephalus secondary to haemorrhage", "hydrocephalus due to hemorrhage"),
    ],
)
def test_another_spelling_is_the_same(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hepatitis A", "Hepatitis B"),
        ("Vitamin D deficiency", "Vitamin A deficiency"),
        ("Mitochondrial complex II deficiency, nuclear type 4", "Mitochondrial complex IV deficiency, nuclear type 2"),
        ("Congenital disorder of glycosylation, type Ii", "Congenital disorder of glycosylation, type II"),
        ("3-methylglutaconic aciduria, type IX", "9-methylglutaconic aciduria, type III"),
        ("Hypertension due to kidney disease", "Kidney disease due to hypertension"),
        ("Migraine with aura", "Migraine without aura"),
        ("dysplasia with or without polydactyly", "dysplasia with polydactyly"),
        ("B cell-negative, NK cell-positive", "B cell-positive, NK cell-negative"),
        ("Diabetes (type 2)", "Diabetes"),
        ("Leukemia (CLL)", "Leukemia"),
        ("Diabetes insipidus", "Diabetes"),
        ("hyperthyroidism", "hypothyroidism"),
        ("Alzheimer disease 1, type 3", "Alzheimer disease 13"),
    ],
)
def test_another_disease_is_not(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mental retardation, X-linked 94", "X-linked intellectual disability 94"),
        ("Early infantile epileptic encephalopathy 13", "DEE13"),
        ("renal failure", "failure of the kidney"),
        ("pancreatic cancer", "cancer of the pancreas"),
    ],
)
def test_renamed_diseases_are_the_same_in_other_words(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)
    assert canonical(one) == canonical(other)


def test_only_the_numbered_series_was_renamed() -> None:
    assert canonical("Early infantile epileptic encephalopathy") != canonical("DEE")


@pytest.mark.parametrize("abbreviation", ABBREVIATIONS)
def test_an_abbreviation_is_its_words(abbreviation: str) -> None:
    words = ABBREVIATIONS[abbreviation]
    assert normal_form(abbreviation) == normal_form(words) == normal_form(f"{words} ({abbreviation})")
    assert normal_form(abbreviation.lower()) == normal_form(words)


@pytest.mark.parametrize("text", ["", " ", "…", "()", "?!"])
def test_a_text_without_a_word_has_the_empty_form(text: str) -> None:
    assert normal_form(text) == canonical(text) == ""


def test_the_form_of_a_form_is_itself_for_plain_words() -> None:
    assert normal_form(normal_form("Lung squamous cell carcinoma")) == normal_form("Lung squamous cell carcinoma")
