"""Several processes train as one does: gradients added up over them, shards of a model, checkpoints of either."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import run_script
from project import ROOT, environment, losses, make, make_classifier, script, script_in_two_processes
from safetensors.torch import load_file

from osler.recipe.sections import BaseSection

FOUR = ("train.per_device_train_batch_size=2", "train.gradient_accumulation_steps=4")
TWO = ("train.per_device_train_batch_size=2", "train.gradient_accumulation_steps=2")
NF4 = {"base": {"quantization": "nf4"}}
HALF = {"base": {"quantization": "nf4", "dtype": "bfloat16"}, "train": {"bf16": True}}


SHARDS = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}


def in_two_processes(folder: Path, *arguments: str | Path, sharded: bool = False) -> list[str]:
    """Run scripts/train.py as two processes; all they said, rank by rank."""
    target, variables = (run_sharded_on_a_cpu, SHARDS) if sharded else (run_script, {})
    ranks = script_in_two_processes(folder, "train", *arguments, target=target, **variables)
    assert [rank.returncode for rank in ranks] == [0, 0], ranks[0].stderr[-2000:]
    return [rank.stdout + rank.stderr for rank in ranks]


def run_sharded_on_a_cpu(*arguments: Any) -> None:
    """As ``run_script``, with FSDP2 over gloo: torch has it, and accelerate 1.15 passes over it on a CPU, silently."""
    from accelerate import state
    from accelerate.utils import DistributedType

    original = state.AcceleratorState.__init__

    def init(self: Any, *positional: Any, fsdp_plugin: Any = None, **named: Any) -> None:
        original(self, *positional, fsdp_plugin=fsdp_plugin, **named)
        self.distributed_type = DistributedType.FSDP
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
        state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    state.AcceleratorState.__init__ = init  # type: ignore[method-assign]
    run_script(*arguments)


def weights(run: Path) -> dict[str, torch.Tensor]:
    (path,) = (run / "adapter").glob("*.safetensors")
    return load_file(path)


def off(one: Path, other: Path) -> tuple[float, float]:
    """How far two runs are apart: at most in a loss, and at most in a weight."""
    assert losses(one).keys() == losses(other).keys()
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    apart = [abs(losses(one)[step] - losses(other)[step]) for step in losses(one)]
    return max(apart), max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections", [{}, NF4, {"lora": None, "train": {"learning_rate": 1e-3}}], ids=["lora", "qlora", "full"]
)
def test_two_processes_checkpointing_and_a_resumed_run_train_as_one_process_does(
    tmp_path: Path, tiny_base: BaseSection, sections: dict
) -> None:
    path = make(tmp_path, tiny_base, **sections)
    for name, change in (("one", ()), ("recomputed", ("train.activation_checkpointing=true",))):
        assert script(tmp_path, "train", path, *FOUR, *change, "--output", name).returncode == 0
    in_two_processes(tmp_path, path, *TWO, "--output", "two")
    in_two_processes(tmp_path, path, *TWO, "--output", "shards", sharded=True)
    for name in ("recomputed", "two", "shards"):
        assert max(off(tmp_path / "one", tmp_path / name)) < 1e-5, name
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["processes"] == 2

    for file in ("manifest.json", "checkpoints/checkpoint-6/complete.json"):  # as a kill after step 5 leaves it
        (tmp_path / "shards" / file).unlink()
    said = in_two_processes(tmp_path, path, *TWO, "--output", "shards", sharded=True)
    assert "checkpoint-6: was not saved to its end: deleted; training goes on from checkpoint-4" in said[0]
    assert max(off(tmp_path / "one", tmp_path / "shards")) < 1e-5


@pytest.mark.parametrize("method", ["reweight", "sample"])
def test_two_processes_balance_rows_as_one_does(tmp_path: Path, tiny_base: BaseSection, method: str) -> None:
    path = make(tmp_path, tiny_base, balance={"by": "label", "method": method})
    data = tmp_path / "data" / "made_up" / "train.jsonl"
    rows = data.read_text().splitlines(keepends=True)
    data.write_text("".join([*rows[:16], *rows[16::4], *rows[:6]]))  # some labels have more rows than others
    assert script(tmp_path, "train", path, *FOUR, "--output", "one").returncode == 0
    in_two_processes(tmp_path, path, *TWO, "--output", "two")
    assert max(off(tmp_path / "one", tmp_path / "two")) < 1e-5


def test_shards_in_bfloat16_train_as_one_process_does_but_for_rounding(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make_classifier(tmp_path, tiny_base, **HALF)
    assert script(tmp_path, "train", path, *FOUR, "--output", "one").returncode == 0
    in_two_processes(tmp_path, path, *TWO, "--output", "shards", sharded=True)
    assert off(tmp_path / "one", tmp_path / "shards")[0] < 5e-3


def test_shards_keep_the_checkpoint_that_answers_best(tmp_path: Path, tiny_base: BaseSection) -> None:
    """transformers 5.23 alone may wait for ever here: one process loads the best checkpoint, and the other does not."""
    import yaml

    train = {"metric_for_best_model": "log_loss", "eval_steps": 2, "save_steps": 2, "max_steps": 4}
    path = make(tmp_path, tiny_base, train=train, evaluation={"splits": ["validation"], "baselines": ["majority"]})
    task = tmp_path / "tasks" / "made_up" / "task.yaml"
    content = yaml.safe_load(task.read_text())
    content["source"]["validation_share"] = 0.3
    content["splits"]["validation"] = "rows of the training file"
    task.write_text(yaml.safe_dump(content, sort_keys=False))
    in_two_processes(tmp_path, path, "--output", "two")
    in_two_processes(tmp_path, path, "--output", "shards", sharded=True)
    selected = [json.loads((tmp_path / run / "manifest.json").read_text())["selected"] for run in ("two", "shards")]
    assert selected[0] == pytest.approx(selected[1], abs=1e-5)
    assert off(tmp_path / "two", tmp_path / "shards")[1] < 1e-5


def test_going_on_with_another_number_of_processes_says_what_changes(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    in_two_processes(tmp_path, path, "--output", "run")
    for file in ("manifest.json", "checkpoints/checkpoint-6/complete.json"):
        (tmp_path / "run" / file).unlink()
    done = script(tmp_path, "train", path, "--output", "run")
    assert "run/checkpoints/checkpoint-4: was trained by 2 processes, and goes on in 1" in done.stdout
    assert "0.5 times as many rows" in done.stdout
    assert done.returncode == 0, done.stderr[-1000:]


@pytest.mark.slow
def test_the_launcher_starts_as_many_processes_as_the_configuration_says(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path = make(tmp_path, tiny_base, train={"max_steps": 1})
    command = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / "ddp.yaml")]
    command += [str(ROOT / "scripts" / "train.py"), str(path), "--output", "run"]
    run = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=200
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["processes"] == 2


def test_a_precision_that_only_the_launcher_knows_of_is_refused(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    done = script(tmp_path, "train", path, "--output", "run", ACCELERATE_MIXED_PRECISION="bf16")
    assert done.returncode == 2
    assert "accelerate's configuration says mixed_precision: bf16, of which the recipe knows nothing" in done.stderr
    assert not (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.slow
def test_what_is_made_before_the_first_step_is_made_together(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base, train={"max_steps": 2, "save_steps": 1})
    assert script(tmp_path, "train", path, "--output", "sft").returncode == 0
    assert script(tmp_path, "evaluate", "sft", "--merged").returncode == 0
    stage = ("base.model=sft/merged", "loss={name: completion}", "preferences={folds: 2, confidence: 0.01}")
    in_two_processes(tmp_path, path, *stage, "--output", "preferred")
    counted = json.loads((tmp_path / "preferred" / "manifest.json").read_text())["preferences"]
    assert 0 < counted["pairs"] <= counted["wrong"] <= counted["rows"] == 24

    head = ("head=classifier", "loss={name: cross_entropy}", "evaluation.scorer=classifier")
    taught = (*head, "evaluation.baselines=[majority]", "teacher={systems: [tfidf_svm]}")
    said = in_two_processes(tmp_path, path, *taught, "--output", "taught")
    assert ["teacher     tfidf_svm" in of_rank for of_rank in said] == [True, False]
