"""A generated text becomes the diagnoses it gives, in their order; what it rules out or explains is no answer."""

from __future__ import annotations

import time

import pytest

from osler.runs.predictions import Prediction
from osler.scoring.differential import differential, read_answer
from osler.scoring.normaliser import Normaliser
from osler.terminology.diseases import Concept, Terminology
from osler.terminology.normal_form import canonical

LISTS = [
    ("1. Asthma\n2. COPD\n3. Pneumonia", ["Asthma", "COPD", "Pneumonia"]),
    ("1) Asthma\n2) COPD", ["Asthma", "COPD"]),
    ("- Asthma\n- COPD", ["Asthma", "COPD"]),
    ("• Asthma\n• COPD", ["Asthma", "COPD"]),
    ("* **Asthma**\n* **COPD**", ["Asthma", "COPD"]),
    ("**1. Asthma**\n**2. COPD**", ["Asthma", "COPD"]),
    ("### 1. Asthma\nWheeze at night.\n\n### 2. COPD\nA smoker.", ["Asthma", "COPD"]),
    ("a) Asthma\nb) COPD", ["Asthma", "COPD"]),
    ("Diagnosis 1: Asthma\nDiagnosis 2: COPD", ["Asthma", "COPD"]),
    ("1. **Asthma** – wheeze at night, no fever\n2. **COPD** — a smoker", ["Asthma", "COPD"]),
    ("1. Asthma: because of the wheeze\n2. COPD (20%)\n3. Pneumonia - 5%", ["Asthma", "COPD", "Pneumonia"]),
    ("1. Asthma (most likely)\n2. Possible COPD\n3. Asthma", ["Asthma", "COPD"]),
    ("1. Asthma (ICD-10: J45.909)\n2. Kabuki syndrome, OMIM:147920", ["Asthma", "Kabuki syndrome"]),
    (
        "Differential diagnosis:\n\n1. Asthma\n   - wheeze at night\n   - atopy\n2. COPD\n   - smoker",
        ["Asthma", "COPD"],
    ),
    ("Differential diagnosis:\n- Asthma\n  - wheeze at night\n- COPD", ["Asthma", "COPD"]),
    ("Key findings:\n- wheeze\n- cough\n\nDifferential diagnosis:\n- Asthma\n- COPD", ["Asthma", "COPD"]),
    ("1. Asthma\n2. COPD\n\nNext steps:\n1. Spirometry\n2. Chest X-ray", ["Asthma", "COPD"]),
    ("## Diagnosis\nAsthma\n\n## Treatment\nSalbutamol", ["Asthma"]),
    ("1. Asthma\n2. COPD\n3. Not pneumonia", ["Asthma", "COPD"]),
    ("1. Asthma\n2. Pneumonia - ruled out by the clear film\n3. COPD (unlikely)", ["Asthma"]),
    ("1. Asthma\n2. COPD\n\nMost likely diagnosis: COPD", ["COPD", "Asthma"]),
    ("1. Asthma or COPD\n2. Pneumonia", ["Asthma", "COPD", "Pneumonia"]),
]
LINES = [
    ("Asthma", ["Asthma"]),
    ("Asthma.", ["Asthma"]),
    ("Asthma, COPD, pneumonia", ["Asthma", "COPD", "pneumonia"]),
    ("Asthma; COPD; and pneumonia", ["Asthma", "COPD", "pneumonia"]),
    ("Asthma\nCOPD\nPneumonia", ["Asthma", "COPD", "Pneumonia"]),
    ("Asthma - because of the wheeze, which comes at night", ["Asthma"]),
    ("Diagnosis: Asthma", ["Asthma"]),
    ("**Diagnosis:** Asthma", ["Asthma"]),
    ("Final diagnosis: *asthma*", ["asthma"]),
    ("Diagnosis: Asthma because of wheeze, cough and atopy", ["Asthma"]),
    ("Diagnosis: Asthma. The patient wheezes, coughs and sneezes.", ["Asthma"]),
    ("Diagnosis: Asthma\nReasoning: wheeze, no fever\nDifferential: COPD, pneumonia", ["Asthma", "COPD", "pneumonia"]),
    ("Diagnosis: not asthma but COPD", ["COPD"]),
    ("Mucopolysaccharidosis, type I", ["Mucopolysaccharidosis", "type I"]),
]
SENTENCES = [
    ("The most likely diagnosis is asthma.", ["asthma"]),
    ("The diagnosis is most likely asthma.", ["asthma"]),
    ("This is most likely asthma.", ["asthma"]),
    ("The patient most likely has asthma.", ["asthma"]),
    ("Asthma is the most likely diagnosis.", ["Asthma"]),
    ("Most likely asthma, but COPD is possible.", ["asthma", "COPD"]),
    ("COPD is possible, but the most likely diagnosis is asthma.", ["asthma", "COPD"]),
    ("Asthma is less likely. The findings are consistent with COPD.", ["COPD", "Asthma"]),
    ("The picture is consistent with asthma or COPD.", ["asthma", "COPD"]),
    ("The differential diagnosis includes asthma, COPD, and pneumonia.", ["asthma", "COPD", "pneumonia"]),
    ("The wheeze suggests asthma rather than COPD.", ["asthma"]),
    ("This is asthma, not COPD.", ["asthma"]),
    ("This is not asthma. It is COPD.", ["COPD"]),
    ("The clear film rules out pneumonia; the diagnosis is asthma.", ["asthma"]),
    ("There is no evidence of pneumonia. I suspect asthma.", ["asthma"]),
    ("Pneumonia is unlikely, asthma is likely.", ["asthma"]),
    ("A 34-year-old man with wheeze. The most likely diagnosis is asthma because of the wheeze.", ["asthma"]),
    ("<think>Could it be COPD? The diagnosis is COPD.</think>\nAsthma", ["Asthma"]),
    ("The diagnosis is E. coli infection.", ["E. coli infection"]),
]
JSON = [
    ('["Asthma", "COPD"]', ["Asthma", "COPD"]),
    ('```json\n["Asthma", "COPD"]\n```', ["Asthma", "COPD"]),
    ('Here it is: {"diagnoses": [{"name": "Asthma", "reason": "wheeze"}, {"name": "COPD"}]}', ["Asthma", "COPD"]),
    ('{"diagnosis": "Asthma", "differential": ["COPD"], "excluded_diagnoses": ["Pneumonia"]}', ["Asthma", "COPD"]),
    ('{"COPD": 0.2, "Asthma": 0.7}', ["Asthma", "COPD"]),
    ('{"diagnosis": "Asthma [1]", "tests": ["Spirometry"]}', ["Asthma [1]"]),
]
NOTHING = [
    "",
    "…",
    "<think>Could it be asthma? The diagnosis is",
    "I'm sorry, but I cannot make a diagnosis.",
    "Please consult a doctor.",
    "The symptoms are concerning and need further tests.",
    "Unknown",
    "This is not asthma.",
    "Pneumonia has been ruled out.",
    "What other findings does the patient have?",
]


@pytest.mark.parametrize(("text", "diagnoses"), [*LISTS, *LINES, *SENTENCES, *JSON])
def test_the_diagnoses_are_read_in_their_order(text: str, diagnoses: list[str]) -> None:
    assert differential(text) == diagnoses


@pytest.mark.parametrize("text", NOTHING)
def test_a_text_that_gives_no_diagnosis_has_none(text: str) -> None:
    assert differential(text) == []


LABELS = {
    "asthma": "bronchial asthma",
    "copd": "Chronic obstructive pulmonary disease",
    "eds1": "Ehlers-Danlos syndrome, kyphoscoliotic type, 1",
    "list": "Macrocephaly, alopecia, cutis laxa, and scoliosis",
    "srtd": "Short-rib thoracic dysplasia 9 with or without polydactyly",
    "srtd21": "Short-rib thoracic dysplasia 21 without polydactyly",
    "hld8": "Leukodystrophy, hypomyelinating, 8, with or without oligodontia and/or hypogonadotropic hypogonadism",
    "ned": "Neurodevelopmental disorder with hypotonia, language delay, and skeletal defects with or without seizures",
    "mds": "Mitochondrial DNA depletion syndrome 13 (encephalomyopathic type)",
    "alps3": "Autoimmune lymphoproliferative syndrome, type III",
    "c1q": "C1q deficiency 2",
    "3mga": "3-methylglutaconic aciduria, type IX",
    "ment": "Mental retardation with language impairment and with or without autistic features",
}
FRAMES = [
    "{}",
    "Diagnosis: {}",
    "**Diagnosis:** {}.",
    "The most likely diagnosis is {}.",
    "The most likely diagnosis is {}, but pneumonia is possible.",
    "The patient most likely has {} because of the findings.",
    "This is consistent with {}.",
    "{} is the most likely diagnosis.",
    "The differential diagnosis includes {}, pneumonia and scoliosis.",
    "{}, pneumonia, scoliosis",
    "{} (70%)\nPneumonia (20%)",
    "1. **{}** - because of the findings, not pneumonia\n2. Pneumonia",
    "- {}: wheeze, cough\n- Pneumonia",
    '["{}", "Pneumonia"]',
]
RULED_OUT = [
    "This is not {}.",
    "The findings rule out {}.",
    "{} has been ruled out.",
    "{} is unlikely.",
    "1. Pneumonia\n2. {} (ruled out)",
    "The diagnosis is pneumonia rather than {}.",
    '{{"diagnosis": "Pneumonia", "excluded": ["{}"]}}',
]
TERMINOLOGY = Terminology(
    [Concept("J45", ("Asthma", "Bronchial asthma")), Concept("J18", ("Pneumonia",)), Concept("X", ("Scoliosis",))], {}
)


@pytest.fixture(scope="module")
def normaliser() -> Normaliser:
    return Normaliser(LABELS, TERMINOLOGY)


@pytest.mark.parametrize(
    ("text", "ranked"),
    [
        ("Ehlers-Danlos syndrome, kyphoscoliotic type, 1, asthma, COPD", ("eds1", "asthma", "copd")),
        ("Scoliosis and asthma", ("text:scoliosis", "asthma")),
        ("- Asthma, COPD, pneumonia", ("asthma", "copd", "text:pneumonia")),
        ("1. Asthma\n2. Bronchial asthma\n3. COPD", ("asthma", "copd")),
        ("1. Asthma, pneumonia\n2. COPD", ("text:asthma pneumonia", "copd")),  # an item is one diagnosis
    ],
)
def test_an_answer_becomes_labels_each_once(normaliser: Normaliser, text: str, ranked: tuple[str, ...]) -> None:
    assert read_answer(text, normaliser).ranked == ranked


@pytest.mark.parametrize("frame", FRAMES)
def test_a_label_is_read_whole_whatever_stands_around_it(normaliser: Normaliser, frame: str) -> None:
    assert {label: read_answer(frame.format(text), normaliser).ranked[:1] for label, text in LABELS.items()} == {
        label: (label,) for label in LABELS
    }


@pytest.mark.parametrize("frame", RULED_OUT)
def test_what_is_ruled_out_is_no_answer(normaliser: Normaliser, frame: str) -> None:
    for label, text in LABELS.items():
        assert label not in read_answer(frame.format(text), normaliser).ranked


@pytest.mark.parametrize(
    "text", ["Asthma, " * 800, "1. Asthma\n" * 500, "x, y and " * 500, "[{" * 1500, "The patient has " * 500]
)
def test_a_model_that_does_not_stop_is_read_in_a_moment(normaliser: Normaliser, text: str) -> None:
    start = time.process_time()
    assert len(read_answer(text, normaliser).ranked) <= 1
    assert time.process_time() - start < 2


def test_a_diagnosis_that_is_no_label_keeps_its_place(normaliser: Normaliser) -> None:
    answer = read_answer("1. Pneumonia\n2. Ehlers-Danlos syndrome\n3. Asthma", normaliser)
    assert answer.ranked == ("text:pneumonia", f"text:{canonical('Ehlers-Danlos syndrome')}", "asthma")
    assert [match.kind for match in answer.matches] == [None, "ancestor", "synonym"]
    assert answer.matches[1].kind_for("eds1") == "ancestor"


def test_an_answer_fits_into_a_prediction(normaliser: Normaliser) -> None:
    for text, correct in (("Asthma", True), ("COPD", False), ("I cannot say.", False)):
        answer = read_answer(text, normaliser)
        prediction = Prediction(
            "c1", "complaints", "test", "llm", "asthma", answer.ranked, text=text, parsed=answer.parsed
        )
        assert prediction.correct is correct
    assert not read_answer("I cannot say.", normaliser).parsed
