"""A description names the patient's findings: in words that training may use or, for a test, in words it may not."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pytest
from project import ROOT

from osler.errors import InputError
from osler.patients.narrative import MAX_ABSENT, MAX_PRESENT, ONSET_PHRASES, describe, subject
from osler.patients.patient import Patient
from osler.recipe.strict_yaml import read_yaml
from osler.storage import wheels
from osler.terminology.hpo import PHENOTYPIC_ABNORMALITY, Ontology, Term, read_ontology
from osler.terminology.vocabulary import Vocabulary

MINI = ROOT / "tests" / "golden" / "mini.obo"


@pytest.fixture(scope="module")
def mini() -> Vocabulary:
    return Vocabulary(read_ontology(MINI))


@pytest.fixture(scope="module")
def ontology() -> Ontology:
    """The real one."""
    spec = read_yaml(ROOT / "tasks" / "rare_disease" / "task.yaml")["source"]["ontology"]
    try:
        return read_ontology(wheels.fetch(spec))
    except InputError as error:
        pytest.skip(f"the ontology is not here and cannot be fetched: {error}")


@pytest.fixture(scope="module")
def vocabulary(ontology: Ontology) -> Vocabulary:
    return Vocabulary(ontology)


def words(wording: str) -> str:
    """Lower-case words with a space around each, so that ``in`` finds whole words only."""
    return " ".join(["", *re.findall(r"\w+", wording.lower()), ""])


def runs(wording: str) -> Iterator[str]:
    """Every run of whole words inside ``wording``, itself included."""
    each = words(wording).split()
    return (words(" ".join(each[i:j])) for i in range(len(each)) for j in range(i + 1, len(each) + 1))


def written(wordings: Iterable[str]) -> set[str]:
    """The wordings without capitals and hyphens, which make no difference to who reads them."""
    return {" ".join(wording.lower().replace("-", " ").split()) for wording in wordings}


def patient(present: Sequence[str], absent: Sequence[str] = (), **facts: object) -> Patient:
    return replace(Patient("case", "OMIM:900001", tuple(present), tuple(absent)), **facts)


# ── which wordings training may use ──────────────────────────────────────────────────────────────────────────────────


def test_the_division_of_wordings_is_the_same_on_every_machine(mini: Vocabulary) -> None:
    # Golden: a change here changes what "unseen wording" means in every published number.
    assert mini.held_out == {
        "HP:0000118": [],
        "HP:9000010": ["lantern skin"],
        "HP:9000011": ["lit hands", 'hands like "lamps"'],
        "HP:9000012": ["night-bright feet", "plantar luminescence"],
        "HP:9000020": ["vocal drone"],
        "HP:9000021": ["buzzing in bed"],
        "HP:9000022": ["singing hands"],
        "HP:9000030": ["backward blink"],
        "HP:9000031": ["odd wave graph"],
        "HP:9000032": [],
    }
    assert mini.held_out_wording("HP:9000012") == "night-bright feet"
    assert mini.held_out_wording("HP:9000032") is None


def test_every_wording_is_either_trained_on_or_held_out(mini: Vocabulary) -> None:
    assert mini.trainable["HP:9000012"] == ["glowing soles", "lit feet", "feet that shine", "lamp feet"]
    assert mini.trainable["HP:9000032"] == ["square footprints", "box feet"]


def test_a_wording_that_is_another_terms_name_means_that_term_only(mini: Vocabulary) -> None:
    # mini.obo lists "Humming at night", the name of HP:9000021, as a synonym of HP:9000022, too.
    assert "humming at night" in mini.trainable["HP:9000021"]
    assert "humming at night" not in mini.trainable["HP:9000022"] + mini.held_out["HP:9000022"]


def with_terms(*terms: Term) -> Ontology:
    ontology = read_ontology(MINI)
    return Ontology(ontology.release, {**ontology.terms, **{term.id: term for term in terms}}, ontology.merged)


def test_a_wording_held_out_for_one_term_is_trained_on_for_no_other() -> None:
    # mini.obo holds "Singing hands" out for HP:9000022. As a single wording its hash would make it a trainable one.
    new = Term("HP:9000050", "Musical limb", (PHENOTYPIC_ABNORMALITY,), ("Singing-Hands",))
    vocabulary = Vocabulary(with_terms(new))
    assert vocabulary.trainable[new.id] == ["musical limb"], "however it is written"
    other = replace(new, wordings=("Ringing hands",))
    assert Vocabulary(with_terms(other)).trainable[new.id] == ["musical limb", "ringing hands"]


def test_a_wording_that_contains_a_held_out_one_is_not_trained_on(mini: Vocabulary) -> None:
    assert mini.held_out["HP:9000022"] == ["singing hands"]
    new = Term("HP:9000050", "Musical limb", (PHENOTYPIC_ABNORMALITY,), ("Singing hands at dusk",))
    vocabulary = Vocabulary(with_terms(new))
    assert vocabulary.trainable[new.id] == ["musical limb"]
    assert vocabulary.held_out[new.id] == []


def test_a_wording_inside_some_terms_name_is_not_held_out(mini: Vocabulary) -> None:
    new = Term("HP:9000050", "Softly singing hands", (PHENOTYPIC_ABNORMALITY,), ())
    assert "singing hands" in mini.held_out["HP:9000022"]
    divided = Vocabulary(with_terms(new)).held_out
    assert "singing hands" not in divided["HP:9000022"], "whoever trains on the name trains on it"


def test_new_terms_do_not_move_the_division_of_old_ones(mini: Vocabulary) -> None:
    new = Term("HP:9000050", "Lurid mane", (PHENOTYPIC_ABNORMALITY,), ("Neon hair", "Loud locks", "Sunny scalp"))
    divided = Vocabulary(with_terms(new)).held_out
    assert divided.pop("HP:9000050")
    assert divided == mini.held_out


def test_about_forty_percent_of_all_wordings_are_held_out(vocabulary: Vocabulary) -> None:
    held_out = sum(map(len, vocabulary.held_out.values()))
    trainable = sum(len(wordings) - 1 for wordings in vocabulary.trainable.values())  # without the name
    assert held_out + trainable > 15_000
    assert 0.38 < held_out / (held_out + trainable) < 0.43


def test_every_term_keeps_its_name_and_no_name_is_held_out(ontology: Ontology, vocabulary: Vocabulary) -> None:
    names = written(ontology.terms[i].name for i in ontology.phenotypes)
    assert not names & written(w for wordings in vocabulary.held_out.values() for w in wordings)
    for hpo_id, wordings in vocabulary.trainable.items():
        assert wordings[0].lower() == ontology.terms[hpo_id].name.lower()


def test_no_wording_is_trained_on_and_held_out(vocabulary: Vocabulary) -> None:
    trained = written(w for wordings in vocabulary.trainable.values() for w in wordings)
    assert not trained & written(w for wordings in vocabulary.held_out.values() for w in wordings)


def test_no_held_out_wording_stands_inside_a_trained_one(vocabulary: Vocabulary) -> None:
    held_out = {words(w) for wordings in vocabulary.held_out.values() for w in wordings}
    trained = {w for wordings in vocabulary.trainable.values() for w in wordings}
    inside = [f"{run!r} in {wording!r}" for wording in sorted(trained) for run in runs(wording) if run in held_out]
    assert not inside, f"{len(inside)} wordings, such as {inside[:5]}"


def test_capitals_stay_where_a_name_or_an_abbreviation_has_them(mini: Vocabulary, vocabulary: Vocabulary) -> None:
    assert mini.name["HP:9000030"] == "Quillby sign"
    assert mini.name["HP:9000031"] == "EWG oddness"
    assert mini.name["HP:9000012"] == "glowing soles"
    assert vocabulary.name["HP:0003487"] == "Babinski sign"
    assert vocabulary.name["HP:0001305"] == "Dandy-Walker malformation"
    assert vocabulary.name["HP:0001250"] == "seizure"


@pytest.mark.parametrize(
    ("hpo_id", "name"),
    [
        ("HP:0030880", "Raynaud phenomenon"),
        ("HP:0010316", "Ebstein anomaly of the tricuspid valve"),
        ("HP:0012189", "Hodgkin lymphoma"),
        ("HP:0009737", "Lisch nodules"),
        ("HP:0012191", "B-cell lymphoma"),
    ],
)
def test_capitals_stay_where_an_eponym_only_ever_comes_first(vocabulary: Vocabulary, hpo_id: str, name: str) -> None:
    assert vocabulary.name[hpo_id] == name


# ── descriptions ─────────────────────────────────────────────────────────────────────────────────────────────────────

TEMPLATES = re.compile(
    r"An? (?:newborn|\d+-month-old|\d+-year-old|female|male)?(?: ?(?:boy|girl|child|man|woman|patient))?"
    r"(?: with | presents with | has |\. Findings: )(?P<present>[§, ]|and)+"
    r"(?:\. Examination also shows (?:[§, ]|and)+)?\."
    r"(?: (?:Onset|First signs|Symptoms began) [a-z ]+\.)?"
    r"(?: (?:There was no|No|No evidence of|Absent:) (?P<absent>[§, ]|or)+\.)?"
)


def without(text: str, wordings: Iterable[str]) -> str:
    """``text`` with every one of ``wordings`` in it replaced by §, the longest first."""
    for wording in sorted(set(wordings), key=len, reverse=True):
        text = re.sub(rf"(?<![\w§]){re.escape(wording)}(?!\w)", "§", text)
    return text


def random_patients(ontology: Ontology, number: int) -> Iterable[Patient]:
    rng = random.Random(7)
    phenotypes = sorted(ontology.phenotypes - {PHENOTYPIC_ABNORMALITY})
    for n in range(number):
        chosen = rng.sample(phenotypes, rng.randint(1, 25) + 6)
        yield Patient(
            case_id=str(n),
            disease="OMIM:900001",
            present=tuple(chosen[6:]),
            absent=tuple(chosen[: rng.randint(0, 6)]),
            sex=rng.choice(("female", "male", None)),
            age=rng.choice((None, rng.uniform(0, 2), rng.uniform(0, 90))),
            onset=rng.choice((None, *ONSET_PHRASES)),
        )


def test_a_training_text_has_no_words_but_the_trainable_ones_of_its_findings(
    ontology: Ontology, vocabulary: Vocabulary
) -> None:
    for case in random_patients(ontology, 1500):
        text = describe(case, vocabulary, random.Random(case.case_id), varied=True)
        allowed = [w for i in (*case.present, *case.absent) for w in vocabulary.trainable[i]]
        assert TEMPLATES.fullmatch(without(text, allowed)), (text, without(text, allowed))


@pytest.mark.parametrize("unseen", [False, True], ids=["HPO's terms", "unseen wording"])
def test_a_test_text_has_no_words_but_names_or_where_there_is_one_the_held_out_wording(
    ontology: Ontology, vocabulary: Vocabulary, unseen: bool
) -> None:
    reworded = 0
    for case in random_patients(ontology, 1000):
        text = describe(case, vocabulary, random.Random(case.case_id), unseen=unseen)
        said = [
            (unseen and vocabulary.held_out_wording(i)) or vocabulary.name[i] for i in (*case.present, *case.absent)
        ]
        assert TEMPLATES.fullmatch(without(text, said)), (text, without(text, said))
        reworded += sum(vocabulary.held_out_wording(i) is not None for i in case.present)
    assert reworded > 1000, "or the test would say nothing about held-out wording"


def test_the_same_patient_in_both_wordings_differs_in_nothing_but_the_wording(mini: Vocabulary) -> None:
    case = patient(["HP:9000010", "HP:9000032"], sex="female", age=30)
    texts = [describe(case, mini, random.Random(3), unseen=unseen) for unseen in (False, True)]
    assert texts[0].replace("glowing skin", "lantern skin") == texts[1]
    assert texts[0] != texts[1]


def test_training_words_a_finding_by_its_name_half_of_the_time(mini: Vocabulary) -> None:
    case = patient(["HP:9000012"])
    texts = [describe(case, mini, random.Random(seed), varied=True) for seed in range(2000)]
    counts = {w: sum(w in text for text in texts) for w in mini.trainable["HP:9000012"]}
    assert sum(counts.values()) == 2000
    assert 900 < counts.pop("glowing soles") < 1100
    assert all(270 < count < 400 for count in counts.values()), counts


def test_a_text_depends_on_the_case_and_the_seed_alone(mini: Vocabulary) -> None:
    case = patient(["HP:9000010", "HP:9000012", "HP:9000020", "HP:9000030"], ["HP:9000032"])
    assert describe(case, mini, random.Random("a")) == describe(case, mini, random.Random("a"))
    assert len({describe(case, mini, random.Random(seed)) for seed in range(20)}) > 10


def test_an_absent_finding_is_never_said_to_be_present(mini: Vocabulary) -> None:
    case = patient(["HP:9000010", "HP:9000030"], ["HP:9000032", "HP:9000031"])
    for seed in range(50):
        present, denial, absent = re.split(
            r"(There was no |No evidence of |No |Absent: )", describe(case, mini, random.Random(seed))
        )
        assert denial
        assert sorted(absent.removesuffix(".").split(" or ")) == ["EWG oddness", "square footprints"]
        assert "glowing skin" in present
        assert "Quillby sign" in present
        assert "footprints" not in present


def test_nothing_is_denied_where_nothing_is_known_to_be_absent(mini: Vocabulary) -> None:
    texts = [describe(patient(["HP:9000010"]), mini, random.Random(seed)) for seed in range(50)]
    assert not any(re.search(r"\b(no|No|Absent)\b", text) for text in texts)


def test_a_text_names_at_most_twenty_present_and_four_absent_findings(
    ontology: Ontology, vocabulary: Vocabulary
) -> None:
    assert (MAX_PRESENT, MAX_ABSENT) == (20, 4)
    # Names without commas, so that the sentence can be counted.
    plain = [i for i in sorted(ontology.phenotypes) if re.fullmatch(r"[a-z]{5,} [a-z]{5,}", vocabulary.name[i])]
    plain = [i for i in plain if not re.search(r"\b(?:and|or)\b", vocabulary.name[i])][:90]
    case = patient(plain[:60], plain[60:])
    for seed in range(30):
        text = describe(case, vocabulary, random.Random(seed))
        assert sum(vocabulary.name[i] in text for i in case.present) == 20
        assert sum(vocabulary.name[i] in text for i in case.absent) == 4


def test_two_findings_of_one_wording_are_said_once(mini: Vocabulary) -> None:
    text = describe(patient(["HP:9000010", "HP:9000010"]), mini, random.Random(0))
    assert text.count("glowing skin") == 1


def test_an_onset_is_a_sentence_of_its_own(mini: Vocabulary) -> None:
    text = describe(patient(["HP:9000010"], onset="HP:0003577"), mini, random.Random(0))
    assert re.search(r"\. (Onset|First signs|Symptoms began) at birth\.$", text)
    unspoken = describe(patient(["HP:9000010"], onset="HP:0003674"), mini, random.Random(0))
    assert "birth" not in unspoken


@pytest.mark.parametrize(
    ("sex", "age", "expected"),
    [
        ("female", 0.0, "A newborn girl"),
        ("male", 0.05, "A newborn boy"),
        (None, 0.0, "A newborn"),
        ("male", 1 / 12, "A 1-month-old boy"),
        ("male", 7 / 12, "A 7-month-old boy"),
        (None, 8 / 12, "An 8-month-old child"),
        ("female", 11 / 12, "An 11-month-old girl"),
        ("female", 1.5, "An 18-month-old girl"),
        ("male", 2.0, "A 2-year-old boy"),
        ("male", 8.9, "An 8-year-old boy"),
        (None, 11.0, "An 11-year-old child"),
        ("female", 17.99, "A 17-year-old girl"),
        ("female", 18.0, "An 18-year-old woman"),
        ("male", 40.0, "A 40-year-old man"),
        (None, 40.0, "A 40-year-old patient"),
        ("male", 81.0, "An 81-year-old man"),
        ("male", 90.0, "A 90-year-old man"),
        ("female", None, "A female patient"),
        ("male", None, "A male patient"),
        (None, None, "A patient"),
    ],
)
def test_a_patient_is_introduced_by_age_and_sex(sex: str | None, age: float | None, expected: str) -> None:
    assert subject(sex, age) == expected


def test_a_description_opens_with_the_patient(mini: Vocabulary) -> None:
    text = describe(patient(["HP:9000010"], sex="male", age=8), mini, random.Random(0))
    assert text.startswith("An 8-year-old boy")
