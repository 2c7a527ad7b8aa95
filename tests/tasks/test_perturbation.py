"""A perturbation changes what it says, that much of it, nothing else, and the same every time."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import project
import pytest

from osler.errors import InputError
from osler.patients.patient import Patient
from osler.tasks.case import Case
from osler.tasks.perturbation import (
    IRRELEVANT,
    PATIENT_PERTURBATIONS,
    TEXT_PERTURBATIONS,
    Perturbation,
    flip,
    split_sentences,
    swap_age,
    swap_sex,
)
from osler.tasks.task import Task, load_task

TEXT = (
    "I have had a stiff neck since Monday. My throat hurts, and I am tired all the time."
    " Dr. Miller found no fever. I think it might be chicken pox. Nothing I take for it helps."
)
SENTENCES = split_sentences(TEXT)
STRENGTHS = (0.1, 0.3, 0.5, 0.8, 1.0)


def changed(name: str, strength: float, case_id: str = "case/1", text: str = TEXT, seed: int = 0) -> str:
    return Perturbation(name, strength, seed).text(case_id, text, "chicken pox")


# ── any perturbation ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["typos", "dropped", "reordered", "irrelevant", "negated"])
def test_a_perturbation_depends_on_the_case_the_name_and_the_seed(name: str) -> None:
    cases = [f"case/{n}" for n in range(20)]
    texts = [changed(name, 0.5, case_id) for case_id in cases]
    assert texts == [changed(name, 0.5, case_id) for case_id in cases]
    assert texts != [changed(name, 0.5, case_id, seed=1) for case_id in cases]
    assert len(set(texts)) > 2
    assert TEXT not in texts


def test_typos_are_the_same_on_every_machine() -> None:
    """Written down once: whoever changes how typos are drawn changes published numbers."""
    assert changed("typos", 0.3) == (
        "I hwve had a stiff neck since Monay. My throat hurts, and I am tired all the time."
        " Dr. Milelr found no fever. I think it might be chicken pox. Nothing I tke for it hrlps."
    )


@pytest.mark.parametrize("name", ["sex_swap", "age_swap"])
def test_a_swap_is_all_or_nothing(name: str) -> None:
    Perturbation(name, 1)
    with pytest.raises(InputError, match=f"strength 0.5 of {name}: a swap is all or nothing"):
        Perturbation(name, 0.5)


@pytest.mark.parametrize("strength", [0, -0.1, 1.1, float("nan")])
def test_a_strength_that_is_no_share_is_refused(strength: float) -> None:
    with pytest.raises(InputError, match=f"strength {strength} of typos: expected a share"):
        Perturbation("typos", strength)


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sentences_end_where_a_reader_thinks() -> None:
    assert len(SENTENCES) == 5
    assert SENTENCES[2] == "Dr. Miller found no fever."
    assert " ".join(SENTENCES) == TEXT
    assert split_sentences("Since 3.5 weeks! Why? Fever") == ["Since 3.5 weeks!", "Why?", "Fever"]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_typos_are_in_as_many_long_words_as_asked_and_never_in_the_label(strength: float) -> None:
    words = re.findall(r"\w+", TEXT)
    long = [word for word in words if len(word) >= 4 and word not in ("chicken", "pox")]
    for case in range(50):
        mistyped = re.findall(r"\w+", changed("typos", strength, f"case/{case}"))
        wrong = [(word, typo) for word, typo in zip(words, mistyped, strict=True) if word != typo]
        assert len(wrong) == round(strength * len(long))
        for word, typo in wrong:
            assert word in long
            assert (word[0], word[-1]) == (typo[0], typo[-1])
            swapped = sorted(word) == sorted(typo)
            missed = len(typo) == len(word) - 1
            beside = sum(a != b for a, b in zip(word, typo, strict=False)) == 1 and len(typo) == len(word)
            assert swapped or missed or beside, (word, typo)


def test_what_a_weak_perturbation_changes_a_strong_one_changes_too() -> None:
    words = TEXT.split()
    for case in range(20):
        typos = [changed("typos", s, f"case/{case}").split() for s in STRENGTHS]
        wrong = [{(n, typo) for n, typo in enumerate(text) if typo != words[n]} for text in typos]
        assert all(weak < strong for weak, strong in pairwise(wrong))
        left = [set(split_sentences(changed("dropped", s, f"case/{case}"))) for s in STRENGTHS]
        assert all(strong <= weak for weak, strong in pairwise(left))


@pytest.mark.parametrize(("strength", "left"), [(0.1, 4), (0.4, 3), (0.8, 1), (1.0, 1)])
def test_dropped_sentences_leave_the_others_in_their_order(strength: float, left: int) -> None:
    kept = split_sentences(changed("dropped", strength))
    assert len(kept) == left
    assert kept == [sentence for sentence in SENTENCES if sentence in kept]


def test_a_single_sentence_is_neither_dropped_nor_moved() -> None:
    assert changed("dropped", 1.0, text="My toe is hot.") == "My toe is hot."
    assert changed("reordered", 1.0, text="My toe is hot.") == "My toe is hot."


@pytest.mark.parametrize(("strength", "moved"), [(0.1, 2), (0.6, 3), (1.0, 5)])
def test_reordered_sentences_are_the_same_ones_in_other_places(strength: float, moved: int) -> None:
    told = split_sentences(changed("reordered", strength))
    assert sorted(told) == sorted(SENTENCES)
    assert sum(a != b for a, b in zip(told, SENTENCES, strict=True)) == moved


@pytest.mark.parametrize(("strength", "more"), [(0.1, 1), (0.6, 3), (1.0, 5)])
def test_irrelevant_sentences_are_added_and_nothing_is_lost(strength: float, more: int) -> None:
    told = split_sentences(changed("irrelevant", strength))
    assert [sentence for sentence in told if sentence not in IRRELEVANT] == SENTENCES
    assert len(told) == len(set(told)) == len(SENTENCES) + more


@pytest.mark.parametrize(
    ("sentence", "flipped"),
    [
        ("I have a fever.", "I do not have a fever."),
        ("She has a rash.", "She does not have a rash."),
        ("He had chills.", "He did not have chills."),
        ("I have been coughing.", "I have not been coughing."),
        ("I have lost weight.", "I have not lost weight."),
        ("I've been feeling sick.", "I have not been feeling sick."),
        ("I'm tired.", "I am not tired."),
        ("It's bloody.", "It is not bloody."),
        ("It's been itching.", "It has not been itching."),
        ("There is a lump.", "There is no lump."),
        ("There were seizures.", "There were no seizures."),
        ("My head hurts.", "My head does not hurt."),
        ("I feel dizzy, and my neck is stiff.", "I do not feel dizzy, and my neck is stiff."),
        ("A boy with ataxia.", "A boy without ataxia."),
        ("The patient reports pain.", "The patient does not report pain."),
        # and back
        ("I do not have a fever.", "I do have a fever."),
        ("I don't feel well.", "I do feel well."),
        ("I can't sleep.", "I can sleep."),
        ("He cannot walk.", "He can walk."),
        ("There was no fever or cough.", "There was fever or cough."),
        ("No seizures.", "Seizures."),
        ("She denies chest pain.", "She reports chest pain."),
        ("Urine was negative for blood.", "Urine was positive for blood."),
        ("He has never smoked.", "He has smoked."),
        # nothing to flip
        ("Is it serious?", "Is it serious?"),
        ("Sore throat.", "Sore throat."),
    ],
)
def test_a_negation_is_put_in_or_taken_out(sentence: str, flipped: str) -> None:
    assert flip(sentence) == flipped


def test_negations_are_flipped_in_as_many_sentences_as_asked() -> None:
    for strength, count in ((0.1, 1), (0.6, 2), (1.0, 3)):  # of three that can be
        told = split_sentences(changed("negated", strength))
        differ = [(a, b) for a, b in zip(SENTENCES, told, strict=True) if a != b]
        assert len(differ) == count
        assert all(b == flip(a) for a, b in differ)


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("A 6-year-old girl with ataxia.", "A 6-year-old boy with ataxia."),
        ("A man. He cut himself; his hand bleeds.", "A woman. She cut herself; her hand bleeds."),
        ("Her knee hurts. We saw her on Monday and told her.", "His knee hurts. We saw him on Monday and told him."),
        ("Mrs. Hall is a lady of 80.", "Mr. Hall is a gentleman of 80."),
        ("Male patient whose mother is well.", "Female patient whose mother is well."),
        (
            "A man with MS, a block of the bundle of His and lactate by MRS.",
            "A woman with MS, a block of the bundle of His and lactate by MRS.",
        ),
        # nothing to swap, or nobody of the other sex can have it
        ("I have a headache. The others are well.", "I have a headache. The others are well."),
        ("A woman, 12 weeks pregnant.", "A woman, 12 weeks pregnant."),
        ("A man with an enlarged prostate.", "A man with an enlarged prostate."),
    ],
)
def test_the_words_for_a_sex_are_swapped(text: str, swapped: str) -> None:
    assert swap_sex(text) == swapped


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("A 6-year-old girl with ataxia.", "A 54-year-old woman with ataxia."),
        ("An 8-month-old infant has a fever.", "A 54-year-old adult has a fever."),
        ("A newborn boy.", "A man."),
        ("The child, aged 4, is pale.", "The adult, aged 54, is pale."),
        ("A 44-year-old man and his 4-year-old boy.", "A 9-year-old boy and his 4-year-old boy."),
        ("I am 35 years old.", "I am 9 years old."),
        ("An adult with a cough.", "A child with a cough."),
        ("I have had a cough for 20 years.", "I have had a cough for 20 years."),
    ],
)
def test_a_child_becomes_an_adult_and_an_adult_a_child(text: str, swapped: str) -> None:
    assert swap_age(text, random.Random(0)) == swapped


def test_a_new_age_has_the_article_one_hears() -> None:
    told = {swap_age("Today a 40-year-old man.", random.Random(seed)) for seed in range(100)}
    assert told == {f"Today {'an' if years in (8, 11) else 'a'} {years}-year-old boy." for years in range(3, 13)}


# ── patients ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PATIENT = Patient("case/1", "OMIM:1", present=tuple("ABCDEFGHIJ"), absent=("X", "Y"), sex="female", age=6.0, onset=None)


def done(name: str, strength: float, patient: Patient = PATIENT) -> Patient:
    return Perturbation(name, strength).patient(patient, iter("UVWRST" * 3))


def test_findings_are_dropped_reordered_and_added() -> None:
    dropped = done("dropped", 0.3).present
    assert dropped == tuple(i for i in PATIENT.present if i in dropped)
    assert len(dropped) == 7
    assert len(done("dropped", 1).present) == 1
    reordered = done("reordered", 0.5).present
    assert sorted(reordered) == sorted(PATIENT.present)
    assert sum(a != b for a, b in zip(reordered, PATIENT.present, strict=True)) == 5
    added = done("irrelevant", 0.3).present
    assert tuple(i for i in added if i not in "UVW") == PATIENT.present
    assert sorted(set(added) - set(PATIENT.present)) == ["U", "V", "W"]


def test_findings_change_between_present_and_absent_and_one_stays_present() -> None:
    flipped = done("negated", 0.5)
    assert {*flipped.present, *flipped.absent} == {*PATIENT.present, *PATIENT.absent}
    assert len(set(flipped.present) ^ set(PATIENT.present)) == 6
    everything = done("negated", 1)
    assert (set(everything.present), set(everything.absent)) == (set(PATIENT.absent), set(PATIENT.present))
    lonely = Patient("case/2", "OMIM:1", present=("A", "B"))
    assert len(done("negated", 1, lonely).present) == 1
    assert done("negated", 1, Patient("case/3", "OMIM:1", present=("A",))).present == ("A",)


def test_a_patient_gets_the_other_sex_or_age_and_stays_who_knows_neither() -> None:
    assert done("sex_swap", 1).sex == "male"
    assert 30 <= (done("age_swap", 1).age or 0) <= 70
    assert 3 <= (done("age_swap", 1, Patient("case/2", "OMIM:1", ("A",), age=18.0)).age or 0) <= 12
    unknown = Patient("case/3", "OMIM:1", ("A",))
    assert done("sex_swap", 1, unknown) == done("age_swap", 1, unknown) == unknown
    told = Patient("case/4", "OMIM:1", ("A",), age=50.0, onset="HP:0003596")
    assert done("age_swap", 1, told) == told, "a child whose symptoms began in middle age"


def test_only_words_that_have_another_wording_are_paraphrased() -> None:
    words = {"A": "a", "B": "b", "C": "c", "D": "d"}
    others = {"A": ["alpha"], "B": [], "C": ["gamma", "see"], "D": []}
    half = Perturbation("paraphrased", 0.5).words("case/1", words, others)
    assert sum(half[i] != words[i] for i in words) == 1
    full = Perturbation("paraphrased", 1).words("case/1", words, others)
    assert full == {"A": "alpha", "B": "b", "C": full["C"], "D": "d"}
    assert full["C"] in ("gamma", "see")
    assert Perturbation("dropped", 1).words("case/1", words, others) == words


# ── the cases of a task ──────────────────────────────────────────────────────────────────────────────────────────────


def pairs(loaded: Task, split: str, name: str, strength: float) -> list[tuple[Case, Case]]:
    """Original and perturbed rows of the cases that were changed, after checking what holds for all perturbations."""
    original = {row.case_id: row for row in loaded.source.split(split)}
    perturbed = loaded.source.perturbed(split, Perturbation(name, strength))
    assert len(perturbed.rows) + perturbed.dropped["nothing to change"] == len(original)
    assert perturbed == loaded.source.perturbed(split, Perturbation(name, strength))
    for row in perturbed.rows:
        before = original[row.case_id]
        assert replace(row, text="") == replace(before, text="")
        assert row.text != before.text
    return [(original[row.case_id], row) for row in perturbed.rows]


def words(row: Case) -> Counter[str]:
    return Counter(re.findall(r"\w+", row.text))


def said(row: Case) -> Counter[str]:
    """The words of the findings: without those of the sentences around them, which depend on how many there are."""
    around = {"a", "absent", "also", "and", "evidence", "examination", "has", "no", "of", "or", "presents", "shows"}
    return Counter({w: n for w, n in words(row).items() if w.lower() not in around | {"there", "was", "with"}})


def without_subject(row: Case) -> str:
    return re.sub(r"^An? .*?(newborn(?! (?:boy|girl))|boy|girl|child|man|woman|patient)\b", "", row.text)


@pytest.mark.parametrize(
    ("split", "name", "strength", "holds"),
    [
        ("test", "typos", 0.2, lambda before, after: len(before.text.split()) == len(after.text.split())),
        ("test", "dropped", 0.3, lambda before, after: said(after) < said(before)),
        ("test", "reordered", 0.5, lambda before, after: words(before) == words(after)),
        ("test", "irrelevant", 0.3, lambda before, after: said(before) < said(after)),
        ("test_unseen_wording", "paraphrased", 0.5, lambda before, after: before.text[:9] == after.text[:9]),
        ("simulated", "sex_swap", 1, lambda before, after: swap_sex(before.text) in (after.text, before.text)),
        ("simulated", "age_swap", 1, lambda before, after: without_subject(before) == without_subject(after)),
        ("simulated", "negated", 0.3, lambda before, after: said(before) == said(after)),
    ],
)
def test_a_patient_is_told_as_before_but_for_what_is_perturbed(
    rare_disease: Task, split: str, name: str, strength: float, holds: Callable[[Case, Case], bool]
) -> None:
    told = pairs(rare_disease, split, name, strength)
    assert len(told) > {"simulated": 100}.get(split, 70)
    for before, after in told:
        assert holds(before, after), (before.text, after.text)


def test_a_task_without_synonyms_or_with_a_typo_in_the_name_is_told_what_there_is(
    tmp_path: Path, rare_disease: Task, tiny_base: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rare_disease.source.perturbations == PATIENT_PERTURBATIONS
    with pytest.raises(InputError, match="no perturbation 'tpyos' of this task's cases; there are typos, dropped, "):
        rare_disease.source.perturbed("test", Perturbation("tpyos", 0.1))
    project.make(tmp_path, tiny_base)  # type: ignore[arg-type]
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    complaints = load_task(tmp_path / "tasks" / "made_up")
    assert complaints.source.perturbations == TEXT_PERTURBATIONS
    with pytest.raises(InputError, match="no perturbation 'paraphrased' of this task's cases"):
        complaints.source.perturbed("test", Perturbation("paraphrased", 0.1))
    assert len(pairs(complaints, "test", "typos", 0.5)) == 24
    assert pairs(complaints, "test", "sex_swap", 1) == []
