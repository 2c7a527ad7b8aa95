"""Which rows the last steps were made on, so that a training that fails can name them."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from transformers import Trainer

from osler.data import TrainingData

REMEMBERED = 256  # micro-batches; there is a line in the log, after which all are forgotten, every ten steps or so
NAMED = 16  # rows of a batch


class Batches:
    """The micro-batches of this process since :meth:`forget` and the last one before, each with its step and loss;
    nothing is read from the device before a training fails."""

    def __init__(self, trainer: Trainer, data: TrainingData) -> None:
        self._data = data
        self._made: deque[tuple[int, torch.Tensor, dict[str, Any]]] = deque(maxlen=REMEMBERED)
        made = trainer.training_step

        def training_step(model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> torch.Tensor:
            read = {name: inputs.get(name) for name in ("input_ids", "attention_mask")}
            loss = made(model, inputs, *rest, **named)
            self._made.append((trainer.state.global_step + 1, loss, read))
            return loss

        trainer.training_step = training_step  # type: ignore[method-assign]

    def forget(self) -> None:
        """Every loss so far was finite; what the last step made of the weights, no loss has shown yet."""
        while len(self._made) > 1:
            self._made.popleft()

    def blamed(self) -> str:
        """The first of them whose loss is not finite, or the last where all are: its step and the ids of its rows."""
        if not self._made:
            return ""
        bad = next((one for one in self._made if not one[1].isfinite().all()), None)
        step, _, read = bad or self._made[-1]
        which = "the first batch with such a loss" if bad else "the last batch"
        ids = self._ids(read)
        rows = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
        return f"; {which} is of step {step:,}" + (f" (rows {rows})" if ids else "")

    def _ids(self, read: dict[str, Any]) -> list[str]:
        """Of the rows of a batch, by their tokens; of packed rows, and of pairs to prefer from, none."""
        ids, mask = read["input_ids"], read["attention_mask"]
        if ids is None or mask is None:
            return []
        known = {
            tuple(example["input_ids"]): row.case_id
            for example, row in zip(self._data.examples, self._data.rows, strict=False)
        }
        tokens = (tuple(row[kept.bool()].tolist()) for row, kept in zip(ids, mask, strict=True))
        return [known[of] for of in tokens if of in known]
