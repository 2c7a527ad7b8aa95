"""In which order training rows come, and which come at all: batches of similar length, groups drawn alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler, WeightedRandomSampler
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler


class ShuffledBatches(LengthGroupedSampler):
    """Batches of rows of similar length, in random order.

    The library's order runs from the longest to the shortest rows of every fifty batches: what a row is about goes with
    its length, so the gradient drifts with it, and the same tokens teach less (``docs/decisions/training.md``).
    """

    def __iter__(self) -> Iterator[int]:
        indices = list(super().__iter__())
        batches = [indices[i : i + self.batch_size] for i in range(0, len(indices), self.batch_size)]
        whole = len(indices) // self.batch_size  # a last batch that is not full stays last, or all others would shift
        order = [*torch.randperm(whole, generator=self.generator).tolist(), *range(whole, len(batches))]
        return (index for batch in order for index in batches[batch])


def with_shuffled_batches(sampler: Any) -> Any:
    """:class:`ShuffledBatches` in place of a sampler by length; any other as it is."""
    if isinstance(sampler, LengthGroupedSampler):
        return ShuffledBatches(sampler.batch_size, lengths=sampler.lengths)
    return sampler


class BalancedRows(Sampler[int]):
    """As many rows a pass as there are, drawn with replacement by their ``weights``; in batches of similar length where
    ``ordered`` would make such.

    A pass follows from the seed and its number alone: every process draws the same, and so does a run that goes on.
    """

    def __init__(self, ordered: Any, weights: Sequence[float], trainer: Trainer) -> None:
        self._ordered, self._weights, self._trainer = ordered, weights, trainer

    def __len__(self) -> int:
        return len(self._weights)

    def __iter__(self) -> Iterator[int]:
        finished = math.floor(self._trainer.state.epoch or 0)
        generator = torch.Generator().manual_seed(self._trainer.args.seed + 1_000_003 * finished)
        drawn = list(WeightedRandomSampler(self._weights, len(self._weights), generator=generator))
        if not isinstance(self._ordered, LengthGroupedSampler):
            return iter(drawn)
        lengths = [self._ordered.lengths[row] for row in drawn]
        batches = ShuffledBatches(self._ordered.batch_size, lengths=lengths, generator=generator)
        return (drawn[place] for place in batches)


def draw_balanced(trainer: Trainer, weights: Sequence[float]) -> None:
    """Have ``trainer`` take its rows by their ``weights``, whichever kind of trainer it is."""
    ordered = trainer._get_train_sampler

    def sampler(train_dataset: Any = None) -> BalancedRows:
        return BalancedRows(ordered(train_dataset), weights, trainer)

    trainer._get_train_sampler = sampler  # type: ignore[method-assign]
