"""What a recipe needs is counted from its base's configuration alone, and what is said of it is what was counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from families import of_its_class, shrunk
from project import ROOT, script
from transformers import AutoConfig, LlamaConfig

from osler.errors import InputError
from osler.models import base_config
from osler.recipe import Recipe, load_recipe
from osler.storage import read_json
from osler.training import device_check, fake_step, hardware, planner
from osler.training.hardware import GIB, Hardware

# Parameters as the families' own pages on the Hub give them.
PUBLISHED = {
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 4_300_079_472,
    "gpt-oss-20b": 20_914_757_184,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "phi-4-mini": 3_836_021_760,
    "qwen3-8b": 8_190_735_360,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "smollm3-3b": 3_075_098_624,
    "smolvlm-256m": 256_484_928,
}
RECIPE = ROOT / "recipes" / "smollm2-360m" / "phenopackets" / "qlora-v1.yaml"
SMALL = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    tie_word_embeddings=False,
)


# The longest row of recipes that were run on a CPU, one of each kind; what it took at most is in its expected file. The
# planner knows nothing of what differential's data takes beside the training (rankers of 8,357 diseases).
LONGEST = {
    "all-minilm-l6-v2/phenopackets/encoder-v1": 256,
    "smollm2-135m/phenopackets/lora-v1": 256,
    "smollm2-135m/phenopackets/qlora-v1": 256,
    "smollm2-135m/rare_disease/qlora-large-v2": 256,
    "smollm2-135m/symptom_to_diagnosis/qlora-v1": 86,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_configuration_has_the_parameters_of_its_model(name: str) -> None:
    config = AutoConfig.from_pretrained(ROOT / "recipes" / name)
    with torch.device("meta"):
        model = of_its_class(config).from_config(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", LONGEST)
def test_what_is_planned_on_a_cpu_is_what_its_runs_took(name: str) -> None:
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    expected = read_json(ROOT / "recipes" / f"{name}.expected.json")
    (measured,) = [of for key, of in _all(expected) if key == "peak_memory_gb"][:1]
    step, _ = planner.measure(recipe, LONGEST[name])
    assert planner.needed(step, hardware.HARDWARE["cpu"]) / 1e9 == pytest.approx(measured, rel=0.15)


def _all(content: Any) -> list[tuple[str, Any]]:
    """Every key of nested mappings with its value."""
    if not isinstance(content, dict):
        return []
    return [pair for key, value in content.items() for pair in ((key, value), *_all(value))]


def recipe_of(*overrides: str) -> Recipe:
    two = ["train.per_device_train_batch_size=2"]
    return load_recipe(RECIPE, [*([] if any("batch_size" in one for one in overrides) else two), *overrides])


def test_every_part_is_counted() -> None:
    step = fake_step.run(recipe_of(), SMALL, outputs=10, length=32)
    linear = 2 * (4 * 64 * 64 + 3 * 64 * 96)
    rank = 16
    adapters = 2 * rank * (4 * (64 + 64) + 3 * (64 + 96))
    head = 64 * 10
    embedded = 512 * 64 + 5 * 64  # and the norms
    assert step.trainable == adapters + head
    assert step.parameters == linear + embedded + adapters + 2 * head  # PEFT keeps the head it began with
    assert step.weights == pytest.approx(0.5 * linear + 2 * (embedded + head), rel=0.01)
    assert step.constants == pytest.approx(linear / 64, rel=0.1)
    assert step.optimizer == 8 * step.trainable
    assert step.gradients == step.adapters == 4 * step.trainable
    # Forward through everything, backward to what is read and, of what is trained, to the weights.
    assert step.flops == pytest.approx(2 * 32 * (4 * linear + 6 * adapters), rel=0.15)


@pytest.mark.parametrize(
    ("override", "part", "smaller"),
    [
        ("train.activation_checkpointing=true", "activations", True),
        ("train.optim=adamw_8bit", "optimizer", True),
        ("base.quantization=null", "weights", False),
        ("train.per_device_train_batch_size=8", "activations", False),
        ("lora.r=32", "adapters", False),
    ],
)
def test_a_setting_changes_what_it_should(override: str, part: str, smaller: bool) -> None:
    before, after = (fake_step.run(recipe_of(*more), SMALL, 10, 64) for more in ([], [override]))
    assert (getattr(after, part) < getattr(before, part)) == smaller
    assert getattr(after, part) != getattr(before, part)


def test_twice_the_rows_are_twice_the_activations() -> None:
    two, four = (
        fake_step.run(recipe_of(f"train.per_device_train_batch_size={n}"), SMALL, 10, 64).activations for n in (2, 4)
    )
    assert four == pytest.approx(2 * two, rel=0.1)


def test_the_configuration_of_another_base_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "recipes" / "smollm2-360m"
    shutil.copytree(RECIPE.parent, folder / "phenopackets")
    written = json.loads((RECIPE.parents[1] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | {"_name_or_path": "somebody/else"}))
    shutil.copytree(ROOT / "tasks" / "phenopackets", tmp_path / "tasks" / "phenopackets")
    with pytest.raises(InputError, match=r"cannot get config\.json of HuggingFaceTB/SmolLM2-360M-Instruct"):
        base_config(load_recipe(folder / "phenopackets" / "qlora-v1.yaml", []))


def test_the_one_change_is_named_that_makes_it_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, float] = {}

    def measure(recipe: Recipe) -> tuple[Any, int]:
        key = "one" if recipe.train["per_device_train_batch_size"] == 1 else "all"
        return Sized(sizes[key]), 32

    class Sized:
        def __init__(self, total: float) -> None:
            self.total = total

    monkeypatch.setattr(planner, "measure", measure)
    device = Hardware(8 * GIB, None)
    sizes = {"all": 12 * GIB, "one": 4 * GIB}
    assert planner.advice(RECIPE, [], device).startswith(
        "train.per_device_train_batch_size=1 train.gradient_accumulation_steps=16 makes it fit (5.0 GiB)"
    )
    sizes = {"all": 30 * GIB, "one": 30 * GIB}
    assert planner.advice(RECIPE, [], device) == "no single change makes it fit; a100-40 holds it as it is"


def test_the_script_says_what_fits_where() -> None:
    done = script(ROOT, "plan", RECIPE, "--hardware", "rtx4090")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("smollm2-360m-phenopackets-qlora@1.0.0: ")
    assert done.stdout.endswith("rtx4090: it fits\n")
    assert script(ROOT, "plan", RECIPE, "--hardware", "abacus").returncode == 2


def test_a_large_base_is_not_trained_on_a_cpu_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    large = ROOT / "recipes" / "qwen3-4b" / "phenopackets" / "qlora-v1.yaml"
    with pytest.raises(InputError, match=r"4\.0 billion parameters.*recipes/smollm2-135m/phenopackets/.* runs here"):
        hardware.check_here(load_recipe(large, []))
    hardware.check_here(load_recipe(large, ["train.use_cpu=true"]))
    hardware.check_here(load_recipe(RECIPE, []))


@pytest.mark.parametrize("overrides", [[], ["base.quantization=null", "lora=null", "base.dtype=float32"]])
def test_a_device_is_tried_on_a_random_model(overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (device_check, planner):
        monkeypatch.setattr(module, "base_config", lambda recipe: SMALL)
    recipe = recipe_of("train.max_length=32", *overrides)
    checked = device_check.check(recipe, planner.measure(recipe)[0], torch.device("cpu"), 2)
    assert checked.error is None
    assert len(checked.losses) == 4
    assert checked.resumed
    assert checked.tokens_a_second
    assert checked.planned_gib is not None


@pytest.mark.parametrize(
    ("recipe", "pictures"), [("smolvlm-256m/drawn_discs/lora-v1", 17), ("medgemma-4b/drawn_discs/qlora-v1", 1)]
)
def test_a_step_counts_what_the_vision_tower_computes(
    recipe: str, pictures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = load_recipe(
        ROOT / "recipes" / f"{recipe}.yaml",
        ["train.per_device_train_batch_size=1", "train.activation_checkpointing=false"],
    )
    written = shrunk(read_json(ROOT / "recipes" / recipe.partition("/")[0] / "config.json"), 512)
    config = AutoConfig.for_model(written.pop("model_type"), **written)
    with_images = fake_step.run(asked, config, None, 32)
    monkeypatch.setattr(fake_step, "_seen", lambda *_: None)
    texts = fake_step.run(asked, config, None, 32)
    vision = config.vision_config
    width, patches = vision.hidden_size, (vision.image_size // vision.patch_size) ** 2
    # Of each patch: four products in attention and two in the MLP, and attention with all patches. Nothing backwards.
    each = 2 * (4 * width**2 + 2 * width * vision.intermediate_size) + 4 * patches * width
    expected = pictures * patches * vision.num_hidden_layers * each
    assert with_images.flops - texts.flops == pytest.approx(expected, rel=0.2)  # and cutting pictures into patches
