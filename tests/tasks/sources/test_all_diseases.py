"""Every disease is a candidate; what is tested was learnt from nobody of the same publication."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import individual, make_differential, script, write_store

from osler.errors import InputError
from osler.evaluation import second_opinion
from osler.models import load_tokenizer, load_tuned
from osler.publishing import card
from osler.publishing.about import EXAMPLE
from osler.ranking import DiseaseIndex, Findings, Rankers, diagnose, load_fusion
from osler.recipe.sections import BaseSection
from osler.runs import Run
from osler.scoring import RerankerScorer
from osler.storage import sha256_file
from osler.tasks import AllDiseases, Case, load_prompt, load_task

LAMP, HUM, QUILLBY = "OMIM:900101", "OMIM:900102", "OMIM:900103"
OF = {
    LAMP: ["HP:9000010", "HP:9000011", "HP:9000012", "HP:9000022", "HP:9000032"],
    HUM: ["HP:9000020", "HP:9000021", "HP:9000022", "HP:9000031"],
    QUILLBY: ["HP:9000030", "HP:9000031", "HP:9000032"],
}


def patients() -> list[dict[str, Any]]:
    """Of each disease 14 publications with two patients; the first is one that HPO counts, one disease is unknown."""
    draw, cases = random.Random(0), []
    for place, (disease, findings) in enumerate(OF.items()):
        for n in range(14):
            publication = f"PMID:9{place + 1}1" if n == 0 else f"PMID:{8000 + 100 * place + n}"
            for twin in range(2):
                observed = [[hpo_id, ""] for hpo_id in draw.sample(findings, 3)]
                cases.append(
                    individual(
                        case_id=f"{publication.replace(':', '_')}_{twin}",
                        references=[publication],
                        disease_id=disease,
                        disease=disease,
                        observed=observed,
                    )
                )
    return [*cases, individual(case_id="new", references=["PMID:1"], disease_id="OMIM:999999", disease="New")]


@pytest.fixture
def folder(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_differential(tmp_path, tiny_base, patients())
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def source_of(folder: Path) -> AllDiseases:
    source = load_task(folder / "tasks" / "made_up").source
    assert isinstance(source, AllDiseases)
    return source


def test_every_disease_of_omim_is_a_candidate_and_a_publication_is_in_one_part(folder: Path) -> None:
    source = source_of(folder)
    assert list(source.labels) == [LAMP, HUM, QUILLBY]
    parts = [{case.group for case in source.split(split)} for split in ("validation", "phenopackets")]
    parts.append({source.unit(patient) for patient in source.training_patients()})
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))
    report = source.provenance(None)
    assert report["held_out_and_training"] == []
    assert report["left_out"]["its disease has no finding in HPO's annotations"] == 1


def test_who_hpo_counts_is_neither_learnt_from_nor_chosen_on_and_a_subgroup_of_the_test(folder: Path) -> None:
    source = source_of(folder)
    counted = {"PMID:911", "PMID:921", "PMID:931"}
    assert not any(counted & {*patient.publications} for patient in source.training_patients())
    assert not any(case.group in counted for case in source.split("validation"))
    for case in source.split("phenopackets"):
        assert case.subgroups["hpoa"] == ("counts it" if case.group in counted else "new publication")


def test_a_case_has_the_proposed_candidates_in_words_and_a_training_row_the_right_one_among_them(folder: Path) -> None:
    source = source_of(folder)
    case = source.split("validation")[0]
    assert case.options is not None
    assert set(case.options) == {LAMP, HUM, QUILLBY}
    assert case.options[LAMP].startswith("Lamp syndrome: ")
    assert " +" in case.options[case.label], "what the patient has is marked"
    for row in source.training(None, seed=0).rows:
        assert row.label in (row.options or {})


def test_a_family_is_told_of_by_two_in_each_telling(folder: Path) -> None:
    one = source_of(folder).training_patients()[0]
    findings, references = [[hpo_id, ""] for hpo_id in one.present], [*one.publications]
    family = [
        individual(case_id=str(n), references=references, disease_id=one.disease, observed=findings) for n in range(9)
    ]
    others = [patient for patient in patients() if patient["references"] != references]
    write_store(folder / "data" / "store" / "cases.jsonl.gz", *others, *family)
    source = source_of(folder)
    own = {p.case_id for p in source.training_patients() if p.publications == one.publications}
    assert len(own) == 9
    rows = source.training(source.default_data, seed=0).rows
    assert sum(row.case_id.removesuffix("#0") in own for row in rows) == 2
    told = source.training(replace(source.default_data, tellings=4), seed=0).rows
    assert len({row.case_id.split("#")[0] for row in told} & own) > 2


def test_the_annotations_own_patients_are_ranked_without_themselves(folder: Path) -> None:
    source = source_of(folder)
    held_out = {publication for case in source.split("hpoa") for publication in [case.group]}
    known = source.known_at("hpoa")
    assert held_out
    assert not any(held_out & row.references for rows in known.rows.values() for row in rows)
    assert source.known_at("phenopackets").rows.keys() >= known.rows.keys()


def test_external_patients_count_for_any_of_their_ids(folder: Path, tmp_path: Path) -> None:
    lines = [
        {"index": 0, "source": "X", "hpo": [["HP:9000011", ""]], "labels": ["ORPHA:1", HUM, LAMP], "label_names": []},
        {"index": 1, "source": "X", "hpo": [["HP:0000005", ""]], "labels": [LAMP], "label_names": []},
        {"index": 2, "source": "X", "hpo": [["HP:9000011", ""]], "labels": ["ORPHA:1"], "label_names": []},
    ]
    path = folder / "data" / "theirs" / "cases.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"]["external"] = {"theirs": {"path": "theirs/cases.jsonl", "sha256": sha256_file(path)}}
    content["splits"]["theirs"] = "others"
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    (case,) = source_of(folder).split("theirs")
    assert (case.label, case.equivalent) == (HUM, (LAMP,))
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(InputError, match=r"which task\.yaml names"):
        source_of(folder).split("theirs")


def test_without_the_store_there_is_nothing_to_train_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSLER_DATA_DIR")
    source = source_of(folder)
    assert source.split("phenopackets") == []
    assert source.split("hpoa"), "HPO's own patients are in the annotations"
    with pytest.raises(InputError, match=r"scripts/fetch_phenopackets\.py"):
        source.training(None, seed=0)


@pytest.mark.slow
def test_a_reranker_is_trained_and_evaluated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = folder / "recipes" / "tiny.yaml"
    content = yaml.safe_load(recipe.read_text())
    content["train"]["bf16"] = True  # as most are trained
    recipe.write_text(yaml.safe_dump(content))
    done = script(folder, "train", recipe, OSLER_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    done = script(folder, "evaluate", "runs/tiny-made-up/1.0.0", OSLER_CACHE=str(folder / "cache"))
    assert done.returncode == 0, done.stderr
    file = folder / "runs/tiny-made-up/1.0.0/predictions/made_up-phenopackets-tiny-made-up@1.0.0.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(sorted(row["ranked"]) == [LAMP, HUM, QUILLBY] for row in rows)
    fused = [json.loads(line) for line in file.with_name("made_up-phenopackets-fused.jsonl").read_text().splitlines()]

    # What scripts/diagnose.py --run says of a patient is what was scored.
    source, opinion = source_of(folder), second_opinion.load(Run(folder / "runs/tiny-made-up/1.0.0"))
    ontology, _ = source.knowledge(None)
    rankers = Rankers(DiseaseIndex.build(ontology, source.known_at("phenopackets")))
    cases = {case.case_id: case for case in source.split("phenopackets")}
    for answer in fused[:4]:
        patient = source.patients("phenopackets")[answer["case_id"]]
        found = Findings(patient.present, patient.absent, text=cases[answer["case_id"]].text)
        told = diagnose(rankers, load_fusion(), ontology, found, 3, opinion)
        probabilities = {one.disease: one.probability / (1 - told.none_of_these) for one in told.candidates}
        expected = dict(zip(answer["ranked"], answer["probabilities"], strict=True))
        assert probabilities == pytest.approx(expected, abs=2e-4)

    monkeypatch.setattr("osler.models.context_length", lambda model: 40)
    short = second_opinion.load(Run(folder / "runs/tiny-made-up/1.0.0"))
    assert short.ask("glowing palms " * 50, {LAMP: "Lamp", HUM: "Hum"}).keys() == {LAMP, HUM}
    assert "the model reads 40 tokens: the end of the note is cut off" in caplog.text

    # The card's code, without Osler, gives the candidates the scores that the scorer gives them.
    run = Run(folder / "runs/tiny-made-up/1.0.0")
    text = card.render(run, "jane/x", "1.0.0", {}, {})
    card.check(text)
    (code,) = card.snippets(text)
    found: dict[str, Any] = {}
    exec(code.replace('"jane/x"', json.dumps(str(run.adapter_path))), found)
    case = Case("ada", EXAMPLE, "", options={text: text for text in found["candidates"]})
    tokenizer, prompt = load_tokenizer(run.recipe().base), load_prompt(folder / "tasks" / "made_up")
    scorer = RerankerScorer(load_tuned(run.recipe().base, run.adapter_path), tokenizer, prompt)
    assert found["asked"] == scorer.encode(case)
    (answer,) = scorer.answer([found["asked"]], [case])
    expected = dict(zip(answer.ranked, answer.probabilities or (), strict=True))
    assert dict(zip(found["candidates"], found["probabilities"].tolist(), strict=True)) == pytest.approx(
        expected, abs=1e-5
    )
    listed = script(folder, "publish", run.folder, "--repo-id", "jane/x", OSLER_CACHE=str(folder / "cache"))
    assert "adapter_model.safetensors" in listed.stdout, listed.stderr


def test_a_head_that_does_not_go_with_the_task_is_refused(folder: Path) -> None:
    recipe = folder / "recipes" / "tiny.yaml"
    for override, said in (("head=classifier", "expected reranker"), ("head=null", "write head: reranker")):
        refused = script(folder, "train", recipe, override, "--output", folder / "run")
        assert refused.returncode == 2
        assert said in refused.stderr
