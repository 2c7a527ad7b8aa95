"""What each cleaning step does to a row, and what a task file may say about them."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from osler.preparation.cleaning import CleanedRow, Cleaning
from osler.preparation.cleaning_steps import DEFAULT_STEPS, LabelInText, Language, parse_steps
from osler.preparation.label_masking import SYMPTOMS, LabelNames, holds_words
from osler.recipe.type_check import Problem


def clean(text: str | None, label: str | None = "migraine", *only: dict) -> CleanedRow:
    chosen = [{"reason": "a test", **step} for step in only] or list(DEFAULT_STEPS)
    return Cleaning(parse_steps(chosen, "cleaning"), {"migraine": "migraine", "Migraine ": "migraine"}).clean(
        text, label
    )


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ("encoding", "The patient has MÃ©niÃ¨re's disease", "The patient has Ménière's disease"),
        ("encoding", "cafe\u0301 au lait spots", "café au lait spots"),
        ("encoding", "temperature 39 °C, “hot”, ﬁbrosis, > 2 µg", "temperature 39 °C, “hot”, fibrosis, > 2 µg"),
        ("html", "<p>fever &amp; cough<br/>since <b>Mon</b>day</p>", " fever & cough since Monday "),
        ("html", "<style>p {color: red}</style>pain<!-- a note -->", " pain "),
        ("html", "CRP <5, pain > 3 days, p<b and <2 cm", "CRP <5, pain > 3 days, p<b and <2 cm"),
        *(
            ("html", comparison, comparison)
            for comparison in (
                "Temp <b and HR >100, then fever",
                "pO2 <i and pCO2 >45",
                "K<P 3.0 mmol, Na>150",
                "Smith <small son> asthma",
            )
        ),
        ("html", """<td nowrap width=50 class='x y'>fever<a href="a?b=c" title="">s</A ><br />""", " fever s  "),
        ("control_characters", "fe\x00ver\u200b and\ufeff chills\n", "fever and chills\n"),
        ("control_characters", "température 38 °C", "température 38 °C"),
        ("whitespace", "  fever \t and\u00a0chills\r\n\r\n  since Monday ", "fever and chills\nsince Monday"),
        (
            "label_in_text",
            "She has Migraines, as her mother had migraine.",
            "She has [diagnosis], as her mother had [diagnosis].",
        ),
        ("label_in_text", "An antimigraine drug.", "An antimigraine drug."),
    ],
)
def test_a_step_changes_what_it_should_and_nothing_else(step: str, before: str, after: str) -> None:
    row = clean(before, "migraine", {"step": step})
    assert row.text == after
    assert row.dropped is None
    assert row.changed == ((step,) if before != after else ())


@pytest.mark.parametrize(
    ("text", "label", "why"),
    [
        (None, "migraine", "missing"),
        (" \u00a0\n", "migraine", "missing"),
        ("\x00\x01", "migraine", "missing"),
        ("Headache since Monday morning.", None, "unlabelled"),
        ("Headache since Monday morning.", "  ", "unlabelled"),
        ("Headache since Monday morning.", "none of the labels", "unlabelled"),
        ("Bad headache.", "migraine", "length"),
        ("word " * 1001, "migraine", "length"),
        ("Der Patient klagt seit gestern über starke Kopfschmerzen und Übelkeit.", "migraine", "language"),
        ("Headache since Monday morning.", "Migraine ", None),
        ("Microcephaly; hypotonia; seizures; nystagmus; ataxia; dysarthria; areflexia", "migraine", None),
        ("urea creatinine sodium potassium calcium phosphate albumin", "migraine", None),
    ],
)
def test_what_nothing_can_be_learnt_from_is_dropped_by_name(
    text: str | None, label: str | None, why: str | None
) -> None:
    assert clean(text, label).dropped == why


def test_a_row_whose_text_holds_the_answer_can_be_dropped_instead() -> None:
    drop = {"step": "label_in_text", "action": "drop"}
    assert clean("A migraine again.", "migraine", drop).dropped == "label_in_text"
    assert clean("A headache again.", "migraine", drop).dropped is None


def test_steps_are_taken_in_the_order_of_the_file_and_all_that_changed_a_row_are_named() -> None:
    row = clean("<p>Headache,   MÃ©niÃ¨re said</p>", "Migraine ")
    assert row.text == "Headache, Ménière said"
    assert row.changed == ("labels", "encoding", "html", "whitespace")


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        ([{"step": "encodng", "reason": "x"}], "cleaning.0.step", "did you mean encoding?"),
        ([{"step": "html"}], "cleaning.0.reason", "missing"),
        ([{"step": "html", "reason": " "}], "cleaning.0.reason", "say why"),
        (
            [{"step": "length", "reason": "x", "min_word": 3}],
            "cleaning.0.min_word",
            "did you mean cleaning.0.min_words?",
        ),
        ([{"step": "length", "reason": "x", "min_words": 0}], "cleaning.0.min_words", "at least 1"),
        ([{"step": "length", "reason": "x", "max_words": True}], "cleaning.0.max_words", "an integer"),
        ([{"step": "language", "reason": "x", "probability": 2}], "cleaning.0.probability", "at most 1"),
        ([{"step": "label_in_text", "reason": "x", "action": "hide"}], "cleaning.0.action", "mask, drop"),
        ([{"step": "html", "reason": "x"}, {"step": "html", "reason": "x"}], "cleaning.1.step", "twice"),
        (["html"], "cleaning.0", "a mapping"),
        ({"html": None}, "cleaning", "a list"),
    ],
)
def test_a_mistake_in_a_task_file_is_named(content: object, key: str, says: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_steps(content, "cleaning")
    assert caught.value.key == key
    assert says in caught.value.text


def test_a_language_that_shares_its_probability_with_its_kin_is_dropped() -> None:
    arabic = "مريض يعاني من صداع وحمى شديدة منذ 3 أيام ثم ألم في الظهر والرقبة"
    assert Language("x")(arabic, "", LabelNames([])) is None


def masked(text: str, *labels: str, **settings: Any) -> str | None:
    return LabelInText("x", **settings)(text, labels[0], LabelNames(labels))


@pytest.mark.parametrize(
    ("label", "text", "after"),
    [
        ("pain", "Back pain and chest pain for a week.", None),
        ("no", "No fever, no cough.", None),
        ("Seizures", "Two seizures this morning.", None),
        ("Dyspnoea", "Dyspnoea on stairs.", None),
        ("Cough (R05)", "A dry cough.", None),
        ("high fever", "A high fever since Monday.", None),
        ("Grade II", "A grade II burn.", None),
        ("back pain", "Known back pain, back-pain again.", "Known [diagnosis], [diagnosis] again."),
        ("gout", "A known gout.", "A known [diagnosis]."),
        ("Hypertension", "On tablets for hypertension.", "On tablets for [diagnosis]."),
        ("Painful bladder syndrome", "Painful bladder syndrome.", "[diagnosis]."),
    ],
)
def test_a_label_of_common_words_is_not_masked_and_a_diagnosis_is(label: str, text: str, after: str | None) -> None:
    step = LabelInText("x")
    assert masked(text, label) == (after or text)
    assert masked(text, label, action="drop") == (None if after else text)
    assert step.count_kept(label, [text, "Nothing of it."]) == (0 if after else 1)
    assert "[diagnosis]" in (masked(text, label, keep_common=False) or "")


def test_every_label_of_the_task_is_masked_in_every_row() -> None:
    labels = {name: name for name in ("Hypertension", "Type 1 diabetes", "Diabetes", "viêm tụy", "肺炎", "मलेरिया")}
    cleaning = Cleaning(parse_steps([{"step": "label_in_text", "reason": "x"}], "cleaning"), labels)
    text = "Past: hypertension, type-1 diabetes, DIABETES; viêm tủy, viêm tụy; 患者肺炎; मलेरिया, मलारया."
    after = "Past: [diagnosis], [diagnosis], [diagnosis]; viêm tủy, [diagnosis]; 患者[diagnosis]; [diagnosis], मलारया."
    assert [cleaning.clean(text, label).text for label in labels] == [after] * len(labels)


@pytest.mark.parametrize(
    "label",
    [
        "heart_attack", "HeartAttack", "0_heart_attack", "i21_9_heart_attack", "I21 - Heart attack",
        "I21.9 Heart attack", "22298006 Heart attack", "22298006 | Heart attack", "OMIM:608446 heart attack",
        "[I21.9] Heart attack",
        "ICD-10 I21.9: heart attack", "BA41 - Heart attack", "1. Heart attack", "Heart attack [I21.9]",
        "Heart_attack_(I21.9)", "Heart attack - I21.9",
    ],
)  # fmt: skip
def test_a_label_as_an_export_writes_it_is_masked(label: str) -> None:
    text = "Impression: heart attack. Old notes: dx_heart_attack."
    assert masked(text, label) == "Impression: [diagnosis]. Old notes: dx_[diagnosis]."
    assert masked(text, label, action="drop") is None


@pytest.mark.parametrize(
    "label", ["B12 deficiency", "21-hydroxylase deficiency", "22q11.2 deficiency", "p53_deficiency"]
)
def test_a_number_that_is_part_of_the_name_is_no_code(label: str) -> None:
    text = "Iron deficiency."
    assert masked(text, label) == text
    assert masked(f"Known {label}.", label) == "Known [diagnosis]."


def test_capitals_within_a_name_are_found_as_written_and_apart() -> None:
    labels = ["McArdle disease", "HIVInfection", "HighFever"]
    text = "McArdle disease, HIVInfection, HIV infection, high fever."
    assert masked(text, *labels) == "[diagnosis], [diagnosis], [diagnosis], high fever."


@pytest.mark.parametrize(
    ("label", "text", "holds"),
    [
        ("urinary tract infection", "An infection of the urinary tract.", True),
        ("QX77 Migraines with aura", "A migraine, aura before it.", True),
        ("Type 2 diabetes", "Type 1 diabetes.", False),
        ("hepatitis B", "Viral hepatitis.", False),
        ("heart failure", "The heart is normal. Renal failure.", False),
        ("AS", "As said.", False),
        ("38.1", "38.1 degrees.", False),
    ],
)
def test_all_words_of_a_label_in_one_sentence_may_tell_it(label: str, text: str, holds: bool) -> None:
    assert holds_words(label, text) == holds


@pytest.mark.parametrize("keep_common", [True, False])
def test_numbers_single_letters_and_signs_are_never_masked(keep_common: bool) -> None:
    text = "As planned: 38.1 °C, 1 day, grade B, 2 of 10, ER+; is as a 😀."
    assert (
        masked(text, "1", "0", "2", "-1", "A", "B", "C", "+", "😀", "AS", "T", "38.1", keep_common=keep_common) == text
    )


def test_an_abbreviation_is_found_in_capitals_only() -> None:
    assert masked("As said, AS and all of ALL.", "AS", "ALL") == "As said, [diagnosis] and all of [diagnosis]."
    assert masked("As said, all of it.", "as", "all") == "As said, all of it."


def test_thousands_of_labels_cost_little() -> None:
    names = LabelNames([f"syndrome{n} of disease{n}" for n in range(20_000)])
    text = "A syndrome7 of disease7, and otherwise well. " * 50
    started = time.perf_counter()
    for _ in range(20):
        names.mask(text, keep_common=True)
    assert time.perf_counter() - started < 1


def test_a_common_word_is_one_that_icd10cm_files_under_symptoms() -> None:
    import simple_icd_10_cm as icd

    codes = [code for code in dict.fromkeys(icd.get_all_codes()) if re.match(r"R[0-6]\d", code) and "-" not in code]
    said = {w for code in codes for t in (icd.get_description(code), *icd.get_inclusion_term(code)) for w in words(t)}
    assert [word for word in SYMPTOMS.split() if word not in said] == []


def words(text: str) -> set[str]:
    found = set(re.findall("[a-z]+", text.lower()))
    return found | {word.removesuffix("s") for word in found}
