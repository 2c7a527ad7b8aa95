"""A base under a classification head: trained, killed, taken up again, evaluated, published, read without Osler."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from finished import edit_yaml
from project import losses, make_classifier, script
from safetensors.torch import load_file

from osler.data.training_data import build_training_data
from osler.errors import InputError
from osler.models.loading import load_tokenizer, load_tuned
from osler.publishing.about import EXAMPLE
from osler.publishing.card import snippets
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.reproduction.rescoring import verify
from osler.runs.run import Run
from osler.scoring.scorers import scorer_named
from osler.tasks.case import Case
from osler.tasks.task import load_task
from osler.training.classifier_trainer import ClassifierTrainer, build_classifier_trainer, load_untrained

SYSTEM = "tiny-made-up@1.0.0"
KINDS = {
    "encoder": {"lora": None, "train": {"learning_rate": 0.002, "max_steps": 24}},
    "decoder with LoRA": {},
    "decoder with QLoRA": {"base": {"quantization": "nf4"}},
}


def base_of(kind: str, tiny_base: BaseSection, tiny_encoder: BaseSection) -> BaseSection:
    return tiny_encoder if kind == "encoder" else tiny_base


def made(folder: Path, base: BaseSection, monkeypatch: pytest.MonkeyPatch, **sections: Any) -> ClassifierTrainer:
    """The trainer of a small project's recipe, not yet run."""
    path = make_classifier(folder, base, **sections)
    monkeypatch.setenv("OSLER_DATA_DIR", str(folder / "data"))
    recipe = load_recipe(path)
    tokenizer = load_tokenizer(recipe.base)
    data = build_training_data(recipe, load_task(folder / "tasks" / "made_up"), tokenizer)
    (folder / "run").mkdir(exist_ok=True)
    return build_classifier_trainer(recipe, Run(folder / "run"), load_untrained(recipe, data), tokenizer, data)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_is_trained_killed_taken_up_and_evaluated_like_any_model(
    kind: str, tmp_path: Path, tiny_base: BaseSection, tiny_encoder: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_of(kind, tiny_base, tiny_encoder)
    path = make_classifier(tmp_path, base, **KINDS[kind])
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    done = script(tmp_path, "train", path, "--output", straight)
    assert done.returncode == 0, done.stderr
    assert "tokens; --plan --show-text shows them] → Duchenne muscular dystrophy" in done.stdout
    manifest = json.loads((straight / "manifest.json").read_text())
    kind_of = "Bert" if kind == "encoder" else "Llama"
    assert manifest["base"]["architecture"] == f"{kind_of}ForSequenceClassification"
    assert json.loads((straight / "data_report.json").read_text())["tokens"]["completion"] == 0
    logged = list(losses(straight).values())
    assert sum(logged[-3:]) < sum(logged[:3]), "nothing was learnt"

    # Killed after the last checkpoint but one.
    shutil.copytree(straight, killed)
    shutil.rmtree(killed / "checkpoints" / f"checkpoint-{manifest['steps']}")
    shutil.rmtree(killed / "adapter")
    (killed / "manifest.json").unlink()
    again = script(tmp_path, "train", path, "--output", killed)
    assert again.returncode == 0, again.stderr
    assert json.loads((killed / "manifest.json").read_text())["resumed_from_step"] == manifest["steps"] - 2
    expected, resumed = weights(straight / "adapter"), weights(killed / "adapter")
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(weight, resumed[name]) for name, weight in expected.items())

    merged = [] if kind == "encoder" else ["--merged"]
    scored = script(tmp_path, "evaluate", straight, *merged)
    assert scored.returncode == 0, scored.stderr
    assert "newly initialized" not in scored.stderr
    if merged:
        assert "same first answer in 24 of 24" in scored.stdout
    reproduced = script(tmp_path, "reproduce", straight, "--predictions", "--output", tmp_path / "again")
    assert f"{SYSTEM}: 24 of 24 rankings are the same" in reproduced.stdout, reproduced.stderr
    assert reproduced.returncode == 0
    built = script(tmp_path, "publish", straight, "--repo-id", "jane/tiny")
    states = dict(line.split()[:2] for line in built.stdout.splitlines() if len(line.split()) == 2)
    assert (states["weights"], states["evaluation"], states["parity"]) == ("passed", "passed", "passed"), built.stdout
    published = straight / "publication"
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    verify(published, tmp_path / "tasks" / "made_up")  # as it is read after a download
    text = (published / "README.md").read_text()
    assert "pipeline_tag: text-classification" in text
    assert "text-generation" not in text
    codes = snippets(text)
    assert len(codes) == (1 if kind == "encoder" else 2)
    for code in codes:
        read_without_osler(code, published)


def read_without_osler(code: str, published: Path) -> None:
    """The code of the card gives the probabilities that Osler computes of the card's example."""
    assert "osler" not in code
    local = re.sub(r'hf_hub_download\("jane/tiny", "data_report.json", .*\)', f'"{published}/data_report.json"', code)
    assert local != code
    found: dict[str, Any] = {}
    exec(local.replace('"jane/tiny"', json.dumps(str(published))), found)
    recipe, task = Run(published).recipe(), load_task(published / "tasks" / "made_up")
    tokenizer = load_tokenizer(recipe.base)
    scorer = scorer_named("classifier", load_tuned(recipe.base, published), tokenizer, task)
    case = Case(case_id="example", text=EXAMPLE, label="")
    assert found["asked"] == scorer.encode(case)
    (answer,) = scorer.answer([found["asked"]], [case])
    expected = dict(zip(answer.ranked, answer.probabilities or (), strict=True))
    assert dict(zip(found["names"], found["probabilities"].tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_cross_entropy_of_the_labels_smoothed_as_the_recipe_says(
    tmp_path: Path, tiny_encoder: BaseSection, monkeypatch: pytest.MonkeyPatch, smoothing: float
) -> None:
    trainer = made(tmp_path, tiny_encoder, monkeypatch, lora=None, train={"label_smoothing_factor": smoothing})
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    logp = trainer.model(batch["input_ids"], batch["attention_mask"]).logits.log_softmax(-1)
    right = logp[torch.arange(len(logp)), batch["labels"]]
    expected = -((1 - smoothing) * right + smoothing * logp.mean(-1)).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "decoder with LoRA"])
def test_small_batches_accumulated_train_like_a_large_one(
    kind: str, tmp_path: Path, tiny_base: BaseSection, tiny_encoder: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    trajectories = []
    for size, steps in ((8, 1), (2, 4)):
        train = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_steps": 4}
        train |= {"save_strategy": "no", "train_sampling_strategy": "sequential"}
        sections = {"lora": None} if kind == "encoder" else {}
        one = made(tmp_path / str(size), base_of(kind, tiny_base, tiny_encoder), monkeypatch, train=train, **sections)
        for module in one.model.modules():  # dropout is drawn batch by batch
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        one.train()
        trajectories.append([line["loss"] for line in one.state.log_history if "loss" in line])
    assert trajectories[0] == pytest.approx(trajectories[1], abs=2e-3)


def test_a_base_that_does_not_pass_over_padding_is_refused_before_the_first_step(
    tmp_path: Path, tiny_encoder: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = made(tmp_path, tiny_encoder, monkeypatch, lora=None)
    read = trainer.model.bert.forward
    trainer.model.bert.forward = lambda ids, attention_mask, **more: read(ids, torch.ones_like(ids), **more)
    with pytest.raises(InputError, match="does not pass over padding"):
        trainer.train()


def test_other_labels_than_those_trained_on_are_refused_where_they_are_scored(
    tmp_path: Path, tiny_encoder: BaseSection
) -> None:
    path = make_classifier(tmp_path, tiny_encoder, lora=None, train={"max_steps": 2})
    assert script(tmp_path, "train", path, "--output", tmp_path / "run").returncode == 0
    task = tmp_path / "tasks" / "made_up" / "task.yaml"
    edit_yaml(task, labels=list(reversed(json.loads((tmp_path / "run" / "data_report.json").read_text())["labels"])))
    refused = script(tmp_path, "evaluate", tmp_path / "run")
    assert refused.returncode == 2
    assert "are not the 4 that the classifier was trained on, or stand in another order" in refused.stderr


def test_a_benchmark_is_refused(tmp_path: Path, tiny_encoder: BaseSection) -> None:
    path = make_classifier(tmp_path, tiny_encoder, lora=None, train={"max_steps": 2})
    assert script(tmp_path, "train", path, "--output", tmp_path / "run").returncode == 0
    refused = script(tmp_path, "evaluate", tmp_path / "run", "--benchmark", "medqa")
    assert refused.returncode == 2
    assert "is a classifier of its own labels" in refused.stderr


def test_what_an_adapter_would_not_keep_is_refused(
    tmp_path: Path, tiny_encoder: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForMaskedLM

    without = tmp_path / "without pooler"
    shutil.copytree(tiny_encoder.model, without)
    BertForMaskedLM.from_pretrained(tiny_encoder.model).save_pretrained(without)
    with pytest.raises(InputError, match=r"has no bert.pooler.dense: .* write lora.modules_to_save: \[dense"):
        made(tmp_path, BaseSection(model=str(without)), monkeypatch)


def test_rows_of_similar_length_share_batches_in_random_order(
    tmp_path: Path, tiny_encoder: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = made(tmp_path, tiny_encoder, monkeypatch, lora=None, train={"train_sampling_strategy": "group_by_length"})
    widths = [batch["input_ids"].shape[1] for batch in trainer.get_train_dataloader()]
    assert len(widths) == 6
    assert widths != sorted(widths, reverse=True)
