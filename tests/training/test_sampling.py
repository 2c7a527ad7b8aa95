"""Which rows a pass takes, and in which order."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from project import make, make_classifier, script
from safetensors.torch import load_file
from transformers.trainer_pt_utils import LengthGroupedSampler

from osler.recipe.sections import BaseSection
from osler.scoring.label_trie import LabelTrie
from osler.training.label_trie_loss import LabelTrieLoss
from osler.training.sampling import BalancedRows
from osler.training.trainer import weighted_mean_loss

LENGTHS = [10 + 7 * n % 40 for n in range(1000)]
WEIGHTS = [1000 / (2 * 900)] * 900 + [1000 / (2 * 100)] * 100  # two groups


def drawn(epoch: float, seed: int = 0, ordered: Any = None) -> list[int]:
    trainer: Any = SimpleNamespace(state=SimpleNamespace(epoch=epoch), args=SimpleNamespace(seed=seed))
    return list(BalancedRows(ordered, WEIGHTS, trainer))


@pytest.mark.parametrize("ordered", [None, LengthGroupedSampler(4, lengths=LENGTHS)])
def test_groups_are_drawn_alike_and_a_pass_follows_from_its_number(ordered: Any) -> None:
    rows = drawn(1.0, ordered=ordered)
    assert len(rows) == 1000
    assert sum(row >= 900 for row in rows) == pytest.approx(500, abs=60)
    torch.manual_seed(7)  # nor does it hang on what else was drawn
    assert drawn(1.0, ordered=ordered) == drawn(1.5, ordered=ordered) == rows
    assert Counter(drawn(2.0, ordered=ordered)) != Counter(rows) != Counter(drawn(1.0, 1, ordered))


def test_drawn_rows_of_similar_length_share_a_batch() -> None:
    rows = drawn(0.0, ordered=LengthGroupedSampler(4, lengths=LENGTHS))
    batches = [[LENGTHS[row] for row in rows[n : n + 4]] for n in range(0, 1000, 4)]
    assert sum(max(batch) - min(batch) for batch in batches) / len(batches) < 3


def test_a_row_that_weighs_twice_counts_as_two_rows() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(3, 5, generator=draw), torch.tensor([0, 1, 4])
    twice = torch.tensor([0, 0, 1, 2])
    weights = torch.tensor([2.0, 1.0, 1.0])
    found = weighted_mean_loss(logits, labels, weights, 0.1)
    assert found * 3 == pytest.approx(float(weighted_mean_loss(logits[twice], labels[twice], None, 0.1)) * 4)

    loss = LabelTrieLoss([LabelTrie({"a": [1, 2], "b": [1, 3], "c": [2, 3]})])
    places = loss.positions(torch.zeros(3, dtype=torch.long), torch.arange(3))[0]
    at = torch.randn(len(places), 8, generator=draw)
    alone = [float(loss(at[places == row], torch.tensor([row]))[0]) for row in range(3)]
    assert float(loss(at, torch.arange(3), weights)[0]) == pytest.approx(2 * alone[0] + alone[1] + alone[2])


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    (path,) = (run / "adapter").glob("*.safetensors")
    return load_file(path)


@pytest.mark.parametrize("kind", ["classifier", "language model"])
@pytest.mark.parametrize("method", ["reweight", "sample"])
def test_a_balanced_run_that_was_killed_goes_on_as_if_nothing_had_happened(
    kind: str, method: str, tmp_path: Path, tiny_base: BaseSection
) -> None:
    train: dict[str, Any] = {"max_steps": 12, "save_steps": 2}  # two passes of six
    if method == "sample":
        train["train_sampling_strategy"] = "group_by_length"
    sections = {"balance": {"by": "label", "method": method}, "train": train}
    made = make_classifier if kind == "classifier" else make
    path = made(tmp_path, tiny_base, rows=48, **sections)
    data = tmp_path / "data" / "made_up" / "train.jsonl"
    rows = data.read_text().splitlines(keepends=True)
    data.write_text("".join([*rows[:16], *rows[16::4]]))  # 12 rows of one label, 4 of each other
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    done = script(tmp_path, "train", path, "--output", straight)
    assert done.returncode == 0, done.stderr
    assert "balanced    4 groups by label" in done.stdout
    manifest = json.loads((straight / "manifest.json").read_text())
    report = json.loads((straight / "data_report.json").read_text())
    assert manifest["balance"] == report["balance"]
    assert manifest["balance"]["method"] == method
    assert sum(group["rows"] for group in manifest["balance"]["groups"].values()) == manifest["rows_out"]

    shutil.copytree(straight, killed)
    shutil.rmtree(killed / "checkpoints" / "checkpoint-12")
    shutil.rmtree(killed / "adapter")
    (killed / "manifest.json").unlink()
    again = script(tmp_path, "train", path, "--output", killed)
    assert again.returncode == 0, again.stderr
    expected, resumed = weights_of(straight), weights_of(killed)
    assert all(torch.equal(weight, resumed[name]) for name, weight in expected.items())
