"""Several tasks in one run: as many rows of each as asked for, each asked and scored as its own task is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from project import SIGNS, make, script

from osler.data import mixture
from osler.data.training_data import TrainingData, build_training_data
from osler.errors import InputError
from osler.models.loading import load_base, load_tokenizer
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection, MixedTask, MixtureSection
from osler.runs.data_report import DataReport
from osler.runs.run import Run
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.tasks.task import load_task
from osler.training.trainer import LabelTrieTrainer, build_trainer

OTHER = {"Noonan syndrome": "a broad neck", "Costello syndrome": "loose skin"}  # one label is of both tasks
Make = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Make:
    """The small project with a second task, ``rasopathies``, of ``rows`` rows, and a recipe with ``mixture:``."""

    def made(rows: int = 10, temperature: float | None = None, **rasopathies: Any) -> Path:
        mixed = {"tasks": {"rasopathies": {"version": 1, **rasopathies}}, "temperature": temperature}
        path = make(tmp_path, tiny_base, mixture=mixed)
        monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
        content = yaml.safe_load((tmp_path / "tasks" / "made_up" / "task.yaml").read_text())
        content |= {"name": "rasopathies", "labels": sorted(OTHER)}
        content["source"]["local"] = "rasopathies"
        for folder in ("tasks", "data"):
            (tmp_path / folder / "rasopathies").mkdir()
        (tmp_path / "tasks" / "rasopathies" / "task.yaml").write_text(yaml.safe_dump(content))
        (tmp_path / "tasks" / "rasopathies" / "prompt.jinja").write_text("{{ text }}\nWhich rasopathy?")
        for name in ("train", "test"):
            labels = [sorted(OTHER)[n % 2] for n in range(rows)]
            lines = [
                json.dumps({"complaint": f"Case {n} of {name}: {OTHER[label]}.", "diagnosis": label}) + "\n"
                for n, label in enumerate(labels)
            ]
            (tmp_path / "data" / "rasopathies" / f"{name}.jsonl").write_text("".join(lines))
        return path

    return made


def built(path: Path, *overrides: str) -> TrainingData:
    recipe = load_recipe(path, overrides)
    chosen = load_task(path.parents[1] / "tasks" / "made_up")
    return build_training_data(recipe, chosen, load_tokenizer(recipe.base))


def made(path: Path, *overrides: str) -> LabelTrieTrainer:
    recipe = load_recipe(path, overrides)
    run = Run(path.parents[1] / "run")
    return build_trainer(recipe, run, load_base(recipe.base), load_tokenizer(recipe.base), built(path, *overrides))


# ── the recipe ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mixture_survives_being_written(project: Make) -> None:
    path = project(weight=0.5)
    recipe = load_recipe(path)
    assert recipe.mixture == MixtureSection({"rasopathies": MixedTask(version=1, weight=0.5)})
    again = path.with_name("again.yaml")
    again.write_text(recipe.to_yaml())
    assert load_recipe(again) == recipe
    assert load_recipe(path, ["mixture=null"]).sha256 != recipe.sha256


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["mixture.tasks={}"], "mixture.tasks (override): names no task; expected one or more beside task:"),
        (
            ["mixture.tasks=[rasopathies]"],
            'mixture.tasks (override): ["rasopathies"] is not allowed; expected a mapping',
        ),
        (
            ["mixture.tasks={made_up: {version: 1, weight: 1}}"],
            "mixture.tasks.made_up (override): is task: already, and in the mixture without being named here",
        ),
        (
            ["mixture.tasks={rasopathy: {version: 1, weight: 1}}"],
            'mixture.tasks.rasopathy (override): "rasopathy" is not a task in',
        ),
        (["mixture.tasks.rasopathies.version=2"], "mixture.tasks.rasopathies.version (override): 2 is not the version"),
        (
            ["mixture.tasks.rasopathies.weigth=2"],
            "mixture.tasks.rasopathies.weigth (override): unknown key; did you mean",
        ),
        (["mixture.tasks.rasopathies.weight=0"], "mixture.tasks.rasopathies.weight (override): 0 is out of range"),
        (["mixture.tasks.rasopathies.weight=null"], "mixture.tasks.rasopathies.weight (override): missing; every task"),
        (["mixture.temperature=2"], "mixture.tasks.rasopathies.weight: not together with mixture.temperature"),
        (["mixture.temperature=0.5"], "mixture.temperature (override): 0.5 is out of range; allowed: >= 1"),
        (["mixture.tasks.rasopathies.panel=small"], "mixture.tasks.rasopathies.panel (override): "),
        (
            ["mixture.tasks.rasopathies.data={simulated_per_label: 5}"],
            "mixture.tasks.rasopathies.data (override): only for tasks with `source: {kind: simulated}` or",
        ),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused_in_one_line(project: Make, overrides: list[str], says: str) -> None:
    path = project(weight=0.5)
    with pytest.raises(InputError) as error:
        load_recipe(path, overrides)
    assert str(error.value).startswith(f"{path}: {says}")
    assert "\n" not in str(error.value)


# ── how much of each ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("temperature", "weights", "rows"),
    [
        (None, (0.5, 2.0), [50, 200]),
        (1, (None, None), [400, 25]),  # every row of every task once
        (2, (None, None), [200, 50]),  # square roots: 20 and 5 for the 10 of the task itself
        (1000, (None, None), [100, 100]),
    ],
)
def test_the_rows_of_a_pass_follow_weights_or_temperature(
    temperature: float | None, weights: tuple[float | None, ...], rows: list[int]
) -> None:
    tasks = {str(n): MixedTask(version=1, weight=weight) for n, weight in enumerate(weights)}
    assert mixture.rows_per_epoch(MixtureSection(tasks, temperature), 100, [400, 25]) == rows


@pytest.mark.parametrize(("weight", "rows", "most"), [(0.25, 6, 1), (1.0, 24, 3), (2.5, 60, 6)])
def test_rows_are_taken_equally_often_and_each_time_has_an_id_of_its_own(
    project: Make, weight: float, rows: int, most: int
) -> None:
    data = built(project(weight=weight))
    ids = [row.case_id for row in data.rows]
    assert len(set(ids)) == len(ids)
    others = [row.case_id.partition("#")[0] for row in data.rows if row.case_id.startswith("rasopathies/")]
    assert len(others) == rows
    times = Counter(others).values()
    assert max(times) == most
    assert max(times) - min(times) <= 1
    assert len(times) == min(rows, 10)
    assert Counter(data.task_indices) == {0: 24, 1: rows}
    firsts = data.task_indices[:12]
    assert 0 < sum(firsts) < 12, "the tasks are mixed, not one after the other"


def test_the_same_recipe_mixes_the_same_rows_and_another_seed_others(project: Make) -> None:
    path = project(weight=0.25)
    first, again, other = ([row.case_id for row in built(path, f"train.seed={n}").rows] for n in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_weight_too_small_for_a_single_row_is_refused(project: Make) -> None:
    with pytest.raises(InputError, match=r"^mixture.tasks.rasopathies: not one of its 10 rows in an epoch; raise its"):
        built(project(weight=0.01))


def test_what_is_held_out_of_the_task_itself_enters_by_no_other_task(project: Make, tmp_path: Path) -> None:
    path = project(weight=1.0)
    test = json.loads((tmp_path / "data" / "made_up" / "test.jsonl").read_text().splitlines()[0])
    with (tmp_path / "data" / "rasopathies" / "train.jsonl").open("a") as file:
        file.write(json.dumps({"complaint": test["complaint"].upper(), "diagnosis": "Costello syndrome"}) + "\n")
    report = built(path).report
    assert report.mixture.tasks["rasopathies"].dropped == {"text is held out of made_up": 1}
    assert report.contamination.splits["test"].normalised.cases == 0
    assert report.rows_in == 24 + 11


# ── what is learnt ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_row_is_asked_with_the_prompt_of_its_task(project: Make) -> None:
    path = project(weight=0.5)
    data, tokenizer = built(path), load_tokenizer(load_recipe(path).base)
    for row, of, example in zip(data.rows, data.task_indices, data.examples, strict=True):
        said = tokenizer.decode(example["input_ids"])
        assert row.text in said
        assert ("Which rasopathy?" in said, "Diagnosis?" in said) == (of == 1, of == 0)
        assert data.completions[of][row.label] == [label for label in example["labels"] if label != -100]


def test_rows_and_tokens_of_each_task_are_reported(project: Make) -> None:
    data = built(project(temperature=2.0))
    report = data.report.mixture
    assert report.temperature == 2.0
    assert list(report.tasks) == ["made_up", "rasopathies"]
    rasopathies = report.tasks["rasopathies"]
    assert (rasopathies.rows_available, rasopathies.rows) == (10, round((24 * 10) ** 0.5))
    tokens = Counter[int]()
    for of, example in zip(data.task_indices, data.examples, strict=True):
        tokens[of] += len(example["input_ids"])
    assert [of.tokens.total for of in report.tasks.values()] == [tokens[0], tokens[1]]
    assert data.report.tokens.total == tokens.total()
    assert data.report.rows_out == 24 + rasopathies.rows
    assert set(data.report.rows_per_label) == set(SIGNS), "labels are those of the task itself"
    assert DataReport.model_validate_json(data.report.model_dump_json(by_alias=True)) == data.report


def test_a_label_of_two_tasks_is_decided_among_the_labels_of_its_own(project: Make) -> None:
    """Minus the log-probability that the scorer of the row's task gives its label, shared or not."""
    path = project(weight=1.0)
    made_up = made(path, "loss.completion_weight=0", "train.per_device_train_batch_size=16")
    batch = next(iter(made_up.get_train_dataloader()))
    made_up.model.eval()
    loss = made_up.compute_loss(made_up.model, dict(batch))
    tries = [LabelTrie(completions) for completions in built(path).completions]
    expected, shared = 0.0, set()
    labels_of_tasks = [(task, label) for task, trie in enumerate(tries) for label in trie.labels]
    for ids, labels, index in zip(batch["input_ids"], batch["labels"], batch["label_index"].tolist(), strict=True):
        answered = (labels != -100).nonzero().flatten()
        task, label = labels_of_tasks[index]
        trie, prompt = tries[task], ids[: int(answered[0])].tolist()
        assert list(trie.sequences[label]) == labels[answered].tolist()
        shared |= {task} if label == "Noonan syndrome" else set()
        (logp,) = score(made_up.model, [prompt], [Layout(trie, True)], "shared")
        expected -= float(logp[trie.labels.index(label)])
    assert shared == {0, 1}, "the batch holds the shared label of both tasks, or it would show nothing"
    assert loss.item() == pytest.approx(expected / len(batch["labels"]), abs=1e-4)


@pytest.mark.parametrize("loss", ["label_trie", "completion"])
def test_a_mixed_recipe_takes_two_steps_on_a_tiny_model(project: Make, tmp_path: Path, loss: str) -> None:
    weight = 0.1 if loss == "label_trie" else "null"
    overrides = [f"loss.name={loss}", f"loss.completion_weight={weight}", "train.save_strategy=no", "train.max_steps=2"]
    torch.manual_seed(0)
    made_up = made(project(weight=1.0), *overrides)
    (tmp_path / "run").mkdir(exist_ok=True)
    made_up.train()
    losses = [line["loss"] for line in made_up.state.log_history if "loss" in line]
    assert len(losses) == 2
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_a_mixed_run_trains_and_is_evaluated_on_the_task_itself(project: Make, tmp_path: Path) -> None:
    path = project(weight=0.5)
    trained = script(tmp_path, "train", path)
    assert trained.returncode == 0, trained.stderr
    assert "mixture     made_up 24 rows" in trained.stdout
    run = tmp_path / "runs" / "tiny-made-up" / "1.0.0"
    manifest = json.loads((run / "manifest.json").read_text())
    report = json.loads((run / "data_report.json").read_text())
    assert manifest["mixture"]["rasopathies"]["rows"] == 12
    assert sum(of["tokens"] for of in manifest["mixture"].values()) == manifest["tokens_a_pass"]
    assert manifest["augmentation"] is None
    assert report["mixture"]["tasks"]["rasopathies"]["weight"] == 0.5
    evaluated = script(tmp_path, "evaluate", run)
    assert evaluated.returncode == 0, evaluated.stderr
    (record,) = json.loads((run / "results.json").read_text())["records"]
    assert (record["task"], record["n"]) == ("made_up", 24)
