"""Augmented rows say where they are from, use what training may use, and are what the recipe asked for."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from project import GOLDEN, ROOT, make, make_cohort

from osler.baselines.tfidf_svm import TfidfSvm
from osler.data import back_translation, contamination
from osler.data.duplicates import normalise
from osler.data.training_data import build_training_data
from osler.data.training_rows import load_training_rows
from osler.errors import InputError
from osler.models.loading import load_base, load_tokenizer
from osler.patients.narrative import TEMPLATES
from osler.patients.patient import Patient
from osler.recipe.loading import load_recipe
from osler.recipe.recipe import Recipe
from osler.recipe.sections import BaseSection
from osler.runs.run import Run
from osler.statistics import intervals
from osler.statistics.resampling import resample_counts
from osler.tasks import augmentation
from osler.tasks.augmentation import FURTHER_TEMPLATES, Augmentation, rephrased
from osler.tasks.case import Case
from osler.tasks.perturbation import split_sentences
from osler.tasks.task import Task, load_task
from osler.terminology.hpo import read_ontology
from osler.terminology.mentions import Lexicon
from osler.training.trainer import build_trainer

OF_PATIENTS = {"synonyms": 0.5, "dropout": 0.4, "ancestors": 0.3, "negations": 0.3, "templates": 1.0, "typos": 0.2}
OF_TEXTS = {"dropout": 0.4, "templates": 0.5, "typos": 0.2}
Loaded = tuple[Recipe, Task]


@pytest.fixture
def patients(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """A recipe on made-up patients with ``augment:``, and its task."""
    monkeypatch.delenv("OSLER_DATA_DIR", raising=False)

    def load(folder: str = "patients", hpoa: str = "", seed: int = 0, **augment: Any) -> Loaded:
        data = {"simulated_per_label": 12}
        path = make_cohort(tmp_path / folder, tiny_base, hpoa, data=data, augment=augment, train={"seed": seed})
        monkeypatch.setenv("OSLER_CACHE", str(tmp_path / folder / "cache"))
        return load_recipe(path), load_task(tmp_path / folder / "tasks" / "made_up", "all")

    return load


@pytest.fixture
def complaints(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """A recipe on made-up complaints with ``augment:``, and its task."""

    def load(**augment: Any) -> Loaded:
        path = make(tmp_path, tiny_base, augment=augment)
        monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
        return load_recipe(path), load_task(tmp_path / "tasks" / "made_up")

    return load


def pairs(recipe: Recipe, chosen: Task) -> list[tuple[Case, Case, str]]:
    """Every copy with the row it is of and what it was made by."""
    rows = {row.case_id: row for row in load_training_rows(recipe, chosen).rows}
    found = []
    for case_id, row in rows.items():
        original, _, made_by = case_id.rpartition("#")
        if "+" in row.source:
            found.append((rows[original], row, made_by.rpartition("-")[0]))
    return found


def words(text: str) -> list[str]:
    return normalise(text).split()


# ── the recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_published_recipes_are_is_not_changed_by_a_section_they_do_not_have() -> None:
    expected = sorted((ROOT / "recipes").rglob("*.expected.json"))
    assert expected
    for path in expected:
        recipe = load_recipe(path.with_name(path.name.replace(".expected.json", ".yaml")))
        assert recipe.augment is None
        assert recipe.mixture is None
        assert recipe.sha256 == json.loads(path.read_text())["recipe_sha256"]


def test_an_augmented_recipe_is_another_recipe_and_survives_being_written(
    tmp_path: Path, patients: Callable[..., Loaded]
) -> None:
    recipe, _ = patients(typos=0.2)
    assert recipe.augment is not None
    assert recipe.augment.strengths == {"typos": 0.2}
    assert recipe.augment.copies == 1
    path = recipe.path.with_name("again.yaml")
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe
    without = load_recipe(recipe.path, ["augment=null"])
    assert len({recipe.sha256, without.sha256, load_recipe(recipe.path, ["augment.typos=0.3"]).sha256}) == 3
    assert recipe.run_sha256 != without.run_sha256, "a run of the one is no run of the other"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["augment.typos=0"], "augment.typos (override): 0 is out of range; allowed: above 0 to 1"),
        (["augment.typos=1.5"], "augment.typos (override): 1.5 is out of range; allowed: above 0 to 1"),
        (["augment.typos=true"], "augment.typos (override): true is not allowed; expected a finite number or null"),
        (["augment.typoes=0.1"], "augment.typoes (override): unknown key; did you mean augment.typos?"),
        (["augment.copies=0", "augment.typos=0.1"], "augment.copies (override): 0 is out of range; allowed: 1 to 1000"),
        (["augment.copies=2"], "augment (override): nothing in it has a strength; expected one of synonyms, dropout,"),
        (
            ["augment.ancestors=0.2"],
            "augment.ancestors (override): takes patients as findings of an ontology; the cases",
        ),
        (["augment.synonyms=0.2"], "augment.synonyms (override): finds nothing in the texts of made_up without"),
        (["augment.negations=0.2"], "augment.negations (override): finds nothing in the texts of made_up without"),
        (
            ["augment.back_translation={strength: 0.5, there: {model: org/en-de}}"],
            "augment.back_translation.back (override): missing; expected a mapping",
        ),
        (
            ["augment.back_translation={strength: 0.5, there: {model: org/en-de}, back: {model: org/de-en}}"],
            "augment.back_translation.there.revision (override): missing; expected the 40 hex digits of a commit",
        ),
        (
            ["augment.back_translation={strength: 2, there: {model: org/en-de}, back: {model: org/de-en}}"],
            "augment.back_translation.strength (override): 2 is out of range; allowed: above 0 to 1",
        ),
        (
            ["augment.back_translation={strength: 1, there: {model: a/b, revision: main}, back: {model: a/b}}"],
            'augment.back_translation.there.revision (override): "main" is not allowed; expected the 40 hex digits',
        ),
    ],
)
def test_an_augmentation_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, tiny_base: BaseSection, overrides: list[str], says: str
) -> None:
    path = make(tmp_path, tiny_base)
    with pytest.raises(InputError) as error:
        load_recipe(path, overrides)
    assert str(error.value).startswith(f"{path}: {says}")
    assert "\n" not in str(error.value)


# ── the rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_says_which_row_it_is_of_and_what_was_done_to_it(patients: Callable[..., Loaded]) -> None:
    recipe, chosen = patients(copies=2, **OF_PATIENTS)
    plain = chosen.source.training(recipe.data, recipe.seed).rows
    learnt = load_training_rows(recipe, chosen)
    made = pairs(recipe, chosen)
    ids = [row.case_id for row in learnt.rows]
    assert len(set(ids)) == len(ids) == len(plain) + len(made)
    assert {row.case_id for row in plain} < set(ids)
    for row, copy, name in made:
        assert replace(copy, case_id=row.case_id, text=row.text, source=row.source) == row
        assert copy.source == f"{row.source}+{name}"
        assert words(copy.text) != words(row.text)
    report = learnt.augmentation
    assert report is not None
    assert report["rows"] == {name: sum(name == of for _, _, of in made) for name in OF_PATIENTS}
    assert all(report["rows"].values()), report
    assert len(made) + report["not_made"] == 2 * len(plain)
    assert json.loads(json.dumps(report)) == report


def test_the_same_recipe_gives_the_same_copies_and_another_seed_others(patients: Callable[..., Loaded]) -> None:
    first, again, other = (
        [row.text for row in load_training_rows(*patients(folder, seed=seed, **OF_PATIENTS)).rows]
        for folder, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert first == again
    assert first != other


def test_no_copy_reads_like_a_held_out_case_or_another_training_row(patients: Callable[..., Loaded]) -> None:
    recipe, chosen = patients(copies=3, **OF_PATIENTS)
    # Twelve patients a disease with a few of nine findings: copies do meet one another.
    report = load_training_rows(recipe, chosen).augmentation
    assert report is not None
    reasons = Counter(reason for name in report["refused"].values() for reason in name)
    assert {"nothing to change", "text stands in training already"} <= reasons.keys()
    made = [copy for _, copy, _ in pairs(recipe, chosen)]
    held_out = {split: chosen.source.split(split) for split in chosen.splits}
    found = contamination.measure(made, held_out).splits
    assert not any(overlap.exact.cases or overlap.normalised.cases for overlap in found.values())
    assert len({normalise(row.text) for row in made}) == len(made)


def test_what_test_patients_have_decides_nothing_in_training(patients: Callable[..., Loaded]) -> None:
    hpoa = (GOLDEN / "cohort.hpoa").read_text()
    # Another finding of a test patient of Lamp syndrome, which nobody else with it is said to have.
    other = hpoa.replace("HP:9000032\tPMID:914", "HP:9000021\tPMID:914")
    assert other != hpoa
    first, second = (
        load_training_rows(*patients(folder, text, negations=1.0)).rows
        for folder, text in (("first", hpoa), ("second", other))
    )
    assert first == second


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("dropout", lambda before, after: not Counter(after) - Counter([*before, "and", "with", "has"])),
        ("typos", lambda before, after: len(before) == len(after)),
        ("negations", lambda before, after: len(after) > len(before)),
        ("synonyms", lambda before, after: before[:2] == after[:2]),
    ],
)
def test_a_patient_is_told_as_before_but_for_what_is_augmented(
    patients: Callable[..., Loaded], name: str, holds: Callable[[list[str], list[str]], bool]
) -> None:
    made = pairs(*patients(**{name: 0.4}))
    assert len(made) > 5
    for before, after, _ in made:
        if name == "dropout" and "Examination also" in after.text + before.text:
            continue
        assert holds(words(before.text), words(after.text)), (before.text, after.text)


def test_an_ancestor_is_a_parent_that_says_something(patients: Callable[..., Loaded]) -> None:
    ontology = read_ontology(GOLDEN / "mini.obo")
    patient = Patient("case", "OMIM:900101", ("HP:9000011", "HP:9000022", "HP:9000030"))
    drawn = {augmentation.generalised(patient, ontology, 1.0, random.Random(n)).present for n in range(20)}
    # Humming palms are palms that glow and a humming; a Quillby sign is nothing more general but "any sign".
    assert drawn == {("HP:9000010", "HP:9000011", "HP:9000030"), ("HP:9000010", "HP:9000020", "HP:9000030")}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PATIENTS)
def test_no_held_out_wording_enters_training(rare_disease: Task, name: str) -> None:
    held_out = rare_disease.source.held_out_wordings
    unseen = [row.text for row in rare_disease.source.split("test_unseen_wording")]
    assert sum(bool(held_out(text)) for text in unseen) > 0.9 * len(unseen), "or nothing would be found anywhere"
    path = ROOT / "recipes/smollm2-135m/rare_disease/qlora-v2.yaml"
    recipe = load_recipe(path, ["data.simulated_per_label=6", f"augment.{name}={OF_PATIENTS[name]}"])
    made = pairs(recipe, rare_disease)
    assert len(made) > 100
    for before, after, _ in made:
        assert held_out(after.text) <= held_out(before.text), (before.text, after.text)
    report = load_training_rows(recipe, rare_disease).augmentation
    assert report is not None
    refused = report["refused"].get(name, {}).get("holds a wording that is held out", 0)
    assert refused < 0.05 * len(made), "the guard is for accidents, the augmentation itself uses trainable wordings"


def test_further_templates_are_other_ones_and_hold_no_held_out_wording(rare_disease: Task) -> None:
    assert FURTHER_TEMPLATES.keys() == TEMPLATES.keys()
    for kind, templates in FURTHER_TEMPLATES.items():
        assert set(templates).isdisjoint(TEMPLATES[kind])
        assert not rare_disease.source.held_out_wordings(" ".join(templates).replace("{}", ""))


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

LABELS = {label: label for label in ("lamps", "hums")}
TEXTS: list[Case] = [
    Case(case_id, text, label, source="made up")
    for case_id, label, text in (
        ("0", "lamps", "I am tired. There is glowing skin, and my lantern skin is on both arms. Vocal drone? No."),
        ("1", "hums", "I have been humming at night. It is worse when I sleep. Square footprints too."),
        ("2", "hums", "A backward blink came first. Then came the rest of it."),
    )
]


@pytest.fixture(scope="module")
def told() -> augmentation.TextAugmenter:
    return augmentation.TextAugmenter(TEXTS, LABELS, lambda: Lexicon(read_ontology(GOLDEN / "mini.obo")))


def test_findings_are_found_in_running_text_whole_and_within_a_sentence() -> None:
    lexicon = Lexicon(read_ontology(GOLDEN / "mini.obo"))
    text = "Glowing skin and humming at night; box-feet? Humming. Palms are fine, so is the Quillby sign."
    found = [(text[m.start : m.end], m.hpo_id) for m in lexicon.mentions(text)]
    assert found == [
        ("Glowing skin", "HP:9000010"),
        ("humming at night", "HP:9000021"),
        ("box-feet", "HP:9000032"),
        ("Humming", "HP:9000020"),
        ("Quillby sign", "HP:9000030"),
    ]
    assert lexicon.alternatives("HP:9000010", "glowing skin") == ["skin luminescence", "self-lit skin"]
    assert lexicon.alternatives("HP:9000010", "glowing skin", without="luminescence") == ["self-lit skin"]


def test_synonyms_in_a_text_are_the_findings_in_other_training_wordings(told: augmentation.TextAugmenter) -> None:
    lexicon = Lexicon(read_ontology(GOLDEN / "mini.obo"))
    drawn = {told(TEXTS[0], Augmentation("synonyms", 1.0, 0), f"copy {n}") for n in range(40)}
    assert len(drawn) > 2
    for text in drawn:
        assert text.startswith("I am tired. There is ")
        assert [m.hpo_id for m in lexicon.mentions(text)] == ["HP:9000010", "HP:9000010", "HP:9000020"]
        assert "lantern" not in text, "a held-out wording, which is the row's own, is not put in again"


def test_a_denied_finding_is_one_that_texts_of_the_diagnosis_never_mention(told: augmentation.TextAugmenter) -> None:
    lexicon = Lexicon(read_ontology(GOLDEN / "mini.obo"))
    for row, allowed in ((TEXTS[0], {"HP:9000032", "HP:9000030"}), (TEXTS[2], {"HP:9000010"})):
        for n in range(20):
            text = told(row, Augmentation("negations", 0.3, 0), f"copy {n}")
            added = [s for s in split_sentences(text) if s not in split_sentences(row.text)]
            assert len(added) == 1
            assert {m.hpo_id for m in lexicon.mentions(added[0])} <= allowed, added


def test_phrases_are_exchanged_for_others_and_sentences_without_one_are_framed() -> None:
    text = "I am tired all the time. Nothing helps. I can't sleep."
    drawn = {rephrased(text, 1.0, random.Random(n)) for n in range(60)}
    said = {sentence for other in drawn for sentence in split_sentences(other)}
    assert {"I'm tired all the time.", "I am tired constantly.", "I cannot sleep."} <= said
    assert not said & {"Nothing helps.", "I can't sleep."}, "every sentence is changed at strength 1"
    assert any("Nothing helps." in sentence and len(sentence) > 15 for sentence in said)
    weak = rephrased(text, 0.1, random.Random(0))
    assert sum(a != b for a, b in zip(split_sentences(text), split_sentences(weak), strict=True)) == 1


def test_a_text_is_augmented_by_what_its_task_can(complaints: Callable[..., Loaded]) -> None:
    recipe, chosen = complaints(copies=2, **OF_TEXTS)
    made = pairs(recipe, chosen)
    assert {name for _, _, name in made} == {"templates", "typos"}, "a single sentence is never left out"
    assert len(made) == 48


# ── back-translation ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A random sequence-to-sequence model: it translates into nonsense, the same every time."""
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("translator")
    tokenizer = AutoTokenizer.from_pretrained(tiny_base.model)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = T5Config(
            vocab_size=len(tokenizer),
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=2,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
        T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_back_translation_changes_sentences_the_same_way_every_time(
    complaints: Callable[..., Loaded], translator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(back_translation, "MAX_TOKENS", 8)
    model = {"model": str(translator), "prefix": "to nowhere: "}
    recipe, chosen = complaints(back_translation={"strength": 1.0, "there": model, "back": {**model}})
    made = pairs(recipe, chosen)
    assert made
    assert {name for _, _, name in made} == {"back_translation"}
    assert [copy.text for _, copy, _ in pairs(recipe, chosen)] == [copy.text for _, copy, _ in made]


def test_back_translation_without_its_model_is_skipped_and_the_report_says_so(
    complaints: Callable[..., Loaded], capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"model": "osler/never-there", "revision": "0" * 40}
    recipe, chosen = complaints(typos=0.5, back_translation={"strength": 1.0, "there": model, "back": {**model}})
    report = load_training_rows(recipe, chosen).augmentation
    assert report is not None
    assert report["rows"] == {"typos": 24}
    assert "osler/never-there" in report["skipped"]["back_translation"]
    assert "augment.back_translation: skipped: cannot get the base model osler/never-there" in capsys.readouterr().out


# ── what is made of them ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_report_accounts_for_every_row(complaints: Callable[..., Loaded]) -> None:
    recipe, chosen = complaints(copies=2, typos=0.3)
    report = build_training_data(recipe, chosen, load_tokenizer(recipe.base)).report
    assert report.rows_in == 24
    assert report.rows_out == 24 + report.augmentation.rows["typos"] == 72
    assert report.sources == {"osler/made-up": 24, "osler/made-up+typos": 48}
    assert report.mixture is None
    recipe = load_recipe(recipe.path, ["augment=null"])
    assert build_training_data(recipe, chosen, load_tokenizer(recipe.base)).report.augmentation is None


def test_a_copy_of_a_held_out_case_never_gets_as_far_as_the_contamination_check(
    complaints: Callable[..., Loaded], tmp_path: Path
) -> None:
    recipe, chosen = complaints(copies=4, dropout=0.5)
    data = tmp_path / "data" / "made_up"
    # One sentence left out of the first, a test case is what is left.
    (data / "train.jsonl").write_text(
        '{"complaint": "I cough. I sneeze.", "diagnosis": "Noonan syndrome"}\n'
        '{"complaint": "Nothing else.", "diagnosis": "urinary tract infection"}\n'
    )
    (data / "test.jsonl").write_text('{"complaint": "I  COUGH!", "diagnosis": "Noonan syndrome"}\n')
    built = build_training_data(recipe, chosen, load_tokenizer(recipe.base))
    assert sorted(row.text for row in built.rows) == ["I cough. I sneeze.", "I sneeze.", "Nothing else."]
    assert built.report.augmentation.refused["dropout"]["text is in a held-out split"] > 0
    assert built.report.contamination.splits["test"].normalised.cases == 0


def test_a_baseline_learns_from_the_rows_the_model_learns_from(
    complaints: Callable[..., Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osler.evaluation import prediction

    seen: list[list[str]] = []
    fit = TfidfSvm.fit

    def spy(baseline: TfidfSvm, training: Callable[[], Sequence[Case]]) -> None:
        seen.append([case.case_id for case in training()])
        fit(baseline, training)

    monkeypatch.setattr(TfidfSvm, "fit", spy)
    recipe, chosen = complaints(typos=0.3)
    tokenizer = load_tokenizer(recipe.base)
    models = prediction.Models(tokenizer, {"base_model": lambda: pytest.fail("no model is asked")})
    prediction.Predictor(Run(tmp_path / "run"), recipe, chosen, models).predict(["test"], ["tfidf_svm"])
    assert seen == [[row.case_id for row in build_training_data(recipe, chosen, tokenizer).rows]]
    assert len(seen[0]) == 48


def test_an_augmented_recipe_takes_two_steps_on_a_tiny_model(patients: Callable[..., Loaded], tmp_path: Path) -> None:
    recipe, chosen = patients(typos=0.2, ancestors=0.5)
    recipe = load_recipe(recipe.path, ["train.max_steps=2", "train.save_strategy=no", "train.max_length=512"])
    tokenizer = load_tokenizer(recipe.base)
    made = build_trainer(
        recipe, Run(tmp_path / "run"), load_base(recipe.base), tokenizer, build_training_data(recipe, chosen, tokenizer)
    )
    (tmp_path / "run").mkdir(exist_ok=True)
    made.train()
    losses = [line["loss"] for line in made.state.log_history if "loss" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()


# ── the ablation ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run benchmarks/augmentation.py in this process; its exit status."""
    spec = importlib.util.spec_from_file_location("ablation", ROOT / "benchmarks" / "augmentation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "ablation", module)  # dataclasses look their module up
    spec.loader.exec_module(module)

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["augmentation.py", *map(str, arguments)])
        return int(module.exit_status(module.main))

    return run


def test_an_ablation_compares_on_the_same_cases_and_does_nothing_twice(
    complaints: Callable[..., Loaded],
    tmp_path: Path,
    ablation: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, output = complaints(typos=0.1)[0].path, tmp_path / "ablation"
    arguments = (path, "--output", output, "--augment", "typos=0.5", "dropout=0.5,copies=2", "--seeds", "0", "1")
    assert ablation(*arguments) == 0
    printed = capsys.readouterr().out
    lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("| tfidf_svm")]
    assert [line[1] for line in lines] == ["none", "typos=0.5", "dropout=0.5,copies=2"]
    assert lines[2][3] == "+0.000 [+0.000, +0.000] |", "a single sentence cannot be left out: nothing is augmented"
    files = {file: file.stat().st_mtime_ns for file in output.rglob("*.jsonl")}
    assert len(files) == 6
    assert ablation(*arguments) == 0
    assert capsys.readouterr().out.splitlines() == [line for line in printed.splitlines() if "trained on" not in line]
    assert files == {file: file.stat().st_mtime_ns for file in output.rglob("*.jsonl")}
    assert ablation(path, "--output", output, "--augment", "typos=7") == 2
    assert ablation(path, "--output", output, "--augment", "typos=0.5", "--splits", "tset") == 2


def test_the_interval_over_runs_is_that_over_cases_where_there_is_one_run() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(2, size=(2, 1, 60)).astype(float)
    counts = resample_counts(60, 200, 0)
    assert intervals.paired_difference_over_runs(a, b, counts, np.ones((200, 1))) == pytest.approx(
        intervals.paired_bootstrap_difference(a[0], b[0], counts)
    )
    with pytest.raises(ValueError, match="the same runs and cases"):
        intervals.paired_difference_over_runs(a, b[:, :50], counts, np.ones((200, 1)))


def test_the_interval_over_runs_and_cases_covers_what_it_says() -> None:
    """Three runs whose differences vary by case, by run and by chance."""
    rng = np.random.default_rng(0)
    counts, runs = resample_counts(80, 300, 0), resample_counts(3, 300, 1)
    held = 0
    for _ in range(200):
        seen = 0.05 + rng.normal(0, 0.3, 80) + rng.normal(0, 0.02, (3, 1)) + rng.normal(0, 0.4, (3, 80))
        _, low, high = intervals.paired_difference_over_runs(seen, np.zeros_like(seen), counts, runs)
        held += low <= 0.05 <= high
    assert held / 200 > 0.92
