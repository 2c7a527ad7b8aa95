"""Training as users run it: from the command line, killed in the middle, taken up again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kill_points import kill_points
from plain_trie import decisions
from project import GOLDEN, ROOT, environment, kill_at_first_checkpoint, losses, make, script
from record_losses import LOSSES
from safetensors.torch import load_file

from osler.data.training_data import build_training_data
from osler.models.loading import load_base, load_tokenizer
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs import checkpoints
from osler.runs.run import Run
from osler.scoring.label_trie import LabelTrie, Layout
from osler.scoring.passes import score
from osler.storage.files import model_fingerprint
from osler.tasks.task import load_task
from osler.training.label_trie_loss import LabelTrieLoss
from osler.training.sampling import ShuffledBatches
from osler.training.trainer import LabelTrieTrainer, build_trainer

QUANTIZED = {"base": {"quantization": "nf4"}}
GOLDEN = GOLDEN / "losses.json"


def adapter(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapter" / "adapter_model.safetensors")


def made(folder: Path, tiny: BaseSection, monkeypatch: pytest.MonkeyPatch, **sections: dict) -> LabelTrieTrainer:
    """The trainer of a small project's recipe, not yet run."""
    path = make(folder, tiny, **sections)
    monkeypatch.setenv("OSLER_DATA_DIR", str(folder / "data"))
    recipe = load_recipe(path)
    tokenizer = load_tokenizer(recipe.base)
    data = build_training_data(recipe, load_task(folder / "tasks" / "made_up"), tokenizer)
    return build_trainer(recipe, Run(folder / "run"), load_base(recipe.base), tokenizer, data)


@pytest.mark.parametrize("sections", [{}, QUANTIZED], ids=["lora", "qlora"])
def test_a_run_leaves_behind_what_the_next_stages_need(tmp_path: Path, tiny_base: BaseSection, sections: dict) -> None:
    path = make(tmp_path, tiny_base, **sections)
    done = script(tmp_path, "train", path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "tiny-made-up" / "1.0.0"
    assert {p.name for p in run.iterdir()} == {
        "recipe.yaml",
        "manifest.json",
        "data_report.json",
        "panel.json",
        "train_log.jsonl",
        ".lock",
        "checkpoints",
        "adapter",
    }
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["recipe"]["sha256"] == load_recipe(run / "recipe.yaml").sha256
    assert manifest["recipe"]["run_sha256"] == load_recipe(path).run_sha256
    assert manifest["adapter_sha256"] == model_fingerprint(run / "adapter")
    assert manifest["steps"] == 6
    assert manifest["base"]["architecture"] == "LlamaForCausalLM"
    assert manifest["base"]["parameters"] == sum(p.numel() for p in load_base(tiny_base).parameters())
    assert manifest["rows_in"] == manifest["rows_out"] == 24
    assert not [p for p in run.rglob("*") if p.suffix in (".bin", ".pkl") and p.parent.name == "adapter"]
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["lora_alpha"]) == (tiny_base.model, 8)
    # The plan shows where the loss is taken: on the answer and the token that ends it, nowhere else.
    assert "⟦Duchenne muscular dystrophy<|im_end|>⟧" in done.stdout
    assert "Patient " not in done.stdout, "no text of a patient is printed"
    assert "24 in, 24 out" in done.stdout
    # Figures are in train_log.jsonl; who waits sees a bar and the loss.
    assert "grad_norm" not in done.stdout + done.stderr
    assert ", loss " in done.stderr
    assert "grad_norm" in (run / "train_log.jsonl").read_text()
    for noise in ("gemm_4bit", "is_gradient_checkpointing"):
        assert noise not in done.stderr

    again = script(tmp_path, "train", path)
    assert again.returncode == 0
    assert "trained already" in again.stdout
    script(tmp_path, "train", path, "evaluation.baselines=[majority]", "--output", run)
    assert load_recipe(run / "recipe.yaml").evaluation.baselines == ("majority",)


def test_showing_the_plan_writes_nothing(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    # The first training row, which is of a patient, is quoted only on request; and overrides may follow options.
    for options, quoted in ((["--plan"], False), (["--plan", "--show-text"], True)):
        planned = script(tmp_path, "train", path, *options, "train.num_train_epochs=1")
        assert planned.returncode == 0, planned.stderr
        assert "⟦Duchenne muscular dystrophy<|im_end|>⟧" in planned.stdout
        assert ("Patient 0 has" in planned.stdout) == quoted
        assert "6, 4 rows each (1 pass, by max_steps)" in planned.stdout
        assert "device      cpu" in planned.stdout
        assert not (tmp_path / "runs").exists()


def test_a_wrong_row_ends_in_one_line_and_leaves_nothing_behind(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    with (tmp_path / "data" / "made_up" / "train.jsonl").open("a") as file:
        file.write('{"complaint": "Cough.", "diagnosis": "lumbago"}\n')
    refused = script(tmp_path, "train", path)
    assert refused.returncode == 2
    assert "train.jsonl:25: the label 'lumbago' is not among" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("foo", 'no module is called "foo"'),
        ("[q_proj, foo]", 'no module is called "foo"'),
    ],
)
def test_an_adapter_for_layers_there_are_not_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, tiny_base: BaseSection, value: str, said: str
) -> None:
    path = make(tmp_path, tiny_base)
    refused = script(tmp_path, "train", path, f"lora.target_modules={value}", "--output", tmp_path / "run")
    assert refused.returncode == 2, refused.stderr
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert refused.stderr.startswith(f"error: {path}: lora.target_modules: ")
    assert said in refused.stderr
    assert "are down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_an_output_that_is_a_file_is_refused_before_torch_is_imported(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    (tmp_path / "README.md").write_text("Read me.")
    code = "import sys, runpy; sys.argv = ['train.py', sys.argv[1], '--output', 'README.md']\n"
    code += f"try: runpy.run_path({str(ROOT / 'scripts' / 'train.py')!r}, run_name='__main__')\n"
    code += "except SystemExit as end: assert end.code == 2\nassert 'torch' not in sys.modules"
    command = [sys.executable, "-c", code, str(path)]
    refused = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert refused.returncode == 0, refused.stderr
    assert refused.stderr == "error: README.md: README.md is not a folder; name another place\n"


def test_predictions_of_an_earlier_training_are_not_taken_for_those_of_a_new_one(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path, run = make(tmp_path, tiny_base, train={"max_steps": 1, "save_strategy": "no"}), tmp_path / "run"
    assert script(tmp_path, "train", path, "--output", run).returncode == 0
    (run / "predictions").mkdir()
    (run / "predictions" / "old.jsonl").write_text("old")
    (run / "manifest.json").unlink()
    again = script(tmp_path, "train", path, "--output", run)
    assert again.returncode == 0, again.stderr
    assert f"predictions and results of an earlier training are in {run / 'earlier-1'} now" in again.stdout
    assert not (run / "predictions").exists()
    assert (run / "earlier-1" / "predictions" / "old.jsonl").read_text() == "old"


def test_an_overridden_recipe_needs_a_folder_of_its_own(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    refused = script(tmp_path, "train", path, "train.learning_rate=0.5")
    assert refused.returncode == 2
    assert "--output" in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_the_run_directory_of_another_recipe_is_refused_and_left_alone(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base)
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(load_recipe(path, ["train.seed=7"]).to_yaml())
    before = (run / "recipe.yaml").read_text()
    refused = script(tmp_path, "train", path, "--output", run)
    assert refused.returncode == 2
    assert "another recipe" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert (run / "recipe.yaml").read_text() == before
    assert len(list(run.iterdir())) == 1


@pytest.mark.slow
def test_wherever_training_is_killed_the_same_command_ends_as_if_nothing_had_happened(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    points = {
        "while a later checkpoint is being saved": 3,
        "between the last checkpoint and the adapter": 8,
        "while the adapter is being saved": 8,
        "between the adapter and the manifest": 8,
    }
    for row in kill_points(tmp_path, tiny_base, points):
        assert (row.resumed_from_step, row.steps, row.differing) == (points[row.point], 8, ()), row


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, tiny_base: BaseSection) -> None:
    path = make(tmp_path, tiny_base, train={"max_steps": 40, "save_steps": 5}, **QUANTIZED)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert script(tmp_path, "train", path, "--output", straight).returncode == 0

    kill_at_first_checkpoint(killed, tmp_path, "train", path, "--output", killed)
    assert not (killed / "manifest.json").exists(), "the run ended before it could be killed"
    whole, _ = checkpoints.newest_whole(killed / "checkpoints")
    assert whole is not None
    checkpoints.mark_complete(whole, 1000, checkpoints.read(whole).learnt_from, 1)
    # What a kill during saving leaves behind: a folder that looks like a checkpoint and is not whole.
    (killed / "checkpoints" / "checkpoint-39").mkdir()
    (killed / "checkpoints" / "checkpoint-39" / "adapter_model.safetensors").write_bytes(b"cut off")

    resumed = script(tmp_path, "train", path, "--output", killed)
    assert resumed.returncode == 0, resumed.stderr
    assert f"checkpoint-39: was not saved to its end: deleted; training goes on from {whole.name}\n" in resumed.stdout
    manifest = json.loads((killed / "manifest.json").read_text())
    assert manifest["resumed_from_step"] in range(5, 40, 5)
    assert 1000 < manifest["train_seconds"] < 1200, "the time before the kill counts"
    assert losses(killed) == losses(straight)
    for name, weight in adapter(straight).items():
        assert torch.equal(weight, adapter(killed)[name]), name


@pytest.mark.parametrize("settings", [{}, {"save_strategy": "epoch", "max_steps": 1}])
def test_weights_that_are_no_numbers_any_more_are_not_saved_and_the_last_good_checkpoint_is_named(
    tmp_path: Path, tiny_base: BaseSection, settings: dict
) -> None:
    path, run = make(tmp_path, tiny_base, train={"learning_rate": 1e30, "save_steps": 1, **settings}), tmp_path / "run"
    failed = script(tmp_path, "train", path, "--output", run)
    assert failed.returncode == 1, failed.stderr
    last = failed.stderr.splitlines()[-1]
    assert last.startswith(f"error: {run}: training failed at step ")
    assert "Lower train.learning_rate (1e+30)" in last
    blamed = re.search(r"(first batch with such a loss|last batch) is of step (\d+) \(rows ([^)]+)\)", last)
    assert blamed, last
    assert int(blamed[2]) <= 2
    assert len(set(blamed[3].split(", "))) == 4
    kept = checkpoints.newest_whole(run / "checkpoints")[0]
    assert f"the last checkpoint with finite weights is {kept or 'none'}. " in last
    assert "Traceback" not in failed.stderr
    assert not (run / "manifest.json").exists()
    assert not (run / "adapter").exists()
    assert not kept or all(weight.isfinite().all() for weight in load_file(kept / "adapter_model.safetensors").values())
    for line in (run / "train_log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("more", [[], ["train.max_steps=-1"]], ids=["steps", "epochs"])
def test_a_batch_that_the_rows_do_not_fill_is_refused_where_it_would_be_dropped(
    tmp_path: Path, tiny_base: BaseSection, more: list[str]
) -> None:
    path = make(tmp_path, tiny_base, train={"dataloader_drop_last": True, "per_device_train_batch_size": 64})
    refused = script(tmp_path, "train", path, *more, "--output", tmp_path / "run")
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.splitlines()[-1] == (
        f"error: {path}: train.dataloader_drop_last: not one batch is full, so there is no step: 24 rows, 1 × 64 in a"
        " batch; lower train.per_device_train_batch_size"
    )
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_second_training_in_the_same_folder_is_refused_and_the_first_one_left_alone(
    tmp_path: Path, tiny_base: BaseSection
) -> None:
    path, run = make(tmp_path, tiny_base), Run(tmp_path / "run")
    with run.locked("training"):
        refused = script(tmp_path, "train", path, "--output", run.folder)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.splitlines()[-1].startswith(f"error: {run.folder}: process {os.getpid()} on ")
    assert [there.name for there in run.folder.iterdir()] == [".lock"]


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_the_run_can_be_taken_up(tmp_path: Path, tiny_base: BaseSection) -> None:
    path, run = make(tmp_path, tiny_base), tmp_path / "run"
    # The adapter and the optimizer's state are more than 30 kB.
    full = script(tmp_path, "train", path, "--output", run, free=30_000)
    assert full.returncode == 2, full.stderr[-2000:]
    assert "no room" in full.stderr
    assert "Traceback" not in full.stderr
    assert not (run / "manifest.json").exists()
    assert script(tmp_path, "train", path, "--output", run).returncode == 0


@pytest.mark.parametrize("sections", [{}, QUANTIZED], ids=["lora", "qlora"])
def test_the_loss_is_minus_the_log_probability_the_scorer_gives_the_label(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch, sections: dict
) -> None:
    made_up = made(tmp_path, tiny_base, monkeypatch, loss={"name": "label_trie", "completion_weight": 0.0}, **sections)
    batch = next(iter(made_up.get_train_dataloader()))
    made_up.model.eval()
    loss = made_up.compute_loss(made_up.model, dict(batch))
    chosen = load_task(tmp_path / "tasks" / "made_up")
    tokenizer = made_up.processing_class
    trie = LabelTrie({text: [*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in chosen.labels})
    gold = [tuple(row[row != -100].tolist()) for row in batch["labels"]]
    labels = [trie.labels[list(trie.sequences.values()).index(tokens)] for tokens in gold]
    prompts = [
        ids[: int((row != -100).nonzero()[0])].tolist()
        for ids, row in zip(batch["input_ids"], batch["labels"], strict=True)
    ]
    logp = torch.stack(score(made_up.model, prompts, [Layout(trie, True)] * len(prompts), "shared"))
    expected = -sum(float(logp[i, trie.labels.index(label)]) for i, label in enumerate(labels)) / len(labels)
    assert loss.item() == pytest.approx(expected, abs=1e-4)


EOS = 2
# Labels of different lengths, a task that shares one of them, and a task of a single label, which needs no decision.
PANELS = {
    "first": {"a": [10, 20, 30, EOS], "b": [10, 20, 40, EOS], "c": [10, 50, EOS], "d": [60, EOS]},
    "second": {"a": [10, 20, 30, EOS], "e": [70, 10, EOS], "f": [70, EOS], "g": [70, 10, 20, 30, 40, EOS]},
    "third": {"only": [10, 20, EOS]},
}


@pytest.mark.parametrize("tasks", [["first"], ["first", "second"], ["third", "first", "second"], ["third"]])
def test_the_loss_of_a_batch_is_that_of_its_decisions_one_by_one(tasks: list[str]) -> None:
    torch.manual_seed(0)
    cases = [(task, label) for task in tasks for label in PANELS[task]]
    order = torch.randperm(len(cases))
    states = torch.randn(len(cases), 12, 16, requires_grad=True)
    weight = torch.randn(80, 16, requires_grad=True)
    ends = torch.randint(0, 6, (len(cases),))
    trie_loss = LabelTrieLoss([LabelTrie(PANELS[task]) for task in tasks])
    rows, columns = trie_loss.positions(ends, order)
    batched = trie_loss(states[rows, columns] @ weight.T, order)
    loss, right, decided = torch.zeros(()), 0, 0
    for row, n in enumerate(order.tolist()):
        task, label = cases[n]
        for depth, children, chosen in decisions(PANELS[task], label):
            logits = weight[children] @ states[row, ends[row] + depth]
            loss = loss - logits.log_softmax(-1)[chosen]
            right += int(logits.argmax()) == chosen
            decided += 1
    assert batched[0].item() == pytest.approx(loss.item(), abs=1e-4)
    assert (batched[1], batched[2]) == (right, decided)
    if decided:
        gradients = torch.autograd.grad(batched[0], (states, weight))
        for gradient, expected in zip(gradients, torch.autograd.grad(loss, (states, weight)), strict=True):
            assert torch.allclose(gradient, expected, atol=1e-5)


def test_the_loss_never_waits_for_the_device() -> None:
    loss = LabelTrieLoss([LabelTrie(panel) for panel in PANELS.values()]).to("meta")  # where no value can be read
    integers = torch.zeros(8, dtype=torch.long, device="meta")
    rows, _ = loss.positions(integers, integers)
    logits = torch.empty(len(rows), 80, device="meta")
    assert [result.shape for result in loss(logits, integers)] == [torch.Size()] * 3


def test_four_small_batches_accumulated_train_like_a_large_one(
    tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    trajectories = []
    for size, steps in ((8, 1), (2, 4)):
        train = {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": steps,
            "max_steps": 4,
            "save_strategy": "no",
            "train_sampling_strategy": "sequential",
        }
        loss = {"name": "label_trie", "completion_weight": 0.0}
        one = made(tmp_path / str(size), tiny_base, monkeypatch, train=train, loss=loss)
        (tmp_path / str(size) / "run").mkdir(exist_ok=True)
        one.train()
        trajectories.append([line["loss"] for line in one.state.log_history if "loss" in line])
    assert trajectories[0] == pytest.approx(trajectories[1], abs=2e-3)


@pytest.mark.parametrize("loss", ["label_trie", "completion"])
def test_losses_follow_the_stored_trajectory(tmp_path: Path, tiny_base: BaseSection, loss: str) -> None:
    path = make(tmp_path, tiny_base, train={"max_steps": 20, "save_strategy": "no"}, loss=LOSSES[loss])
    assert script(tmp_path, "train", path, "--output", tmp_path / "run").returncode == 0
    found = list(losses(tmp_path / "run").values())
    stored = json.loads(GOLDEN.read_text())[loss]
    assert len(found) == len(stored)
    assert max(abs(a - b) for a, b in zip(found, stored, strict=True)) < 5e-3
    assert sum(found[-5:]) < 0.95 * sum(found[:5]), "nothing was learnt"


def test_batches_of_similar_rows_come_in_random_order() -> None:
    lengths = [10 + (37 * n) % 90 for n in range(403)]
    torch.manual_seed(0)
    order = list(ShuffledBatches(4, lengths=lengths))
    assert sorted(order) == list(range(403)), "every row once"
    batches = [[lengths[i] for i in order[n : n + 4]] for n in range(0, 400, 4)]
    padding = sum(4 * max(batch) - sum(batch) for batch in batches) / sum(4 * max(batch) for batch in batches)
    assert padding < 0.1
    longest = torch.tensor([float(max(batch)) for batch in batches])
    neighbours = torch.corrcoef(torch.stack([longest[:-1], longest[1:]]))[0, 1]
    assert abs(neighbours) < 0.3, "in the library's order they are all but the same"
