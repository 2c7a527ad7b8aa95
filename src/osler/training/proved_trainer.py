"""TRL's trainer, which before its first step holds the loss against what the model says."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from trl import SFTTrainer

from osler.data import IGNORED
from osler.errors import InputError, one_line
from osler.models import PIXELS, TYPES, in_float32
from osler.scoring import BOUND

# How far the loss of a sharded model may be off, which can be computed in no other precision than its own: rounding in
# bfloat16 moves a token of SmolLM2-135M by 0.1.
HALF_PRECISION_BOUND = 0.5
OWN_COLUMNS = ("label_index", "row", "weight")  # of the examples, which TRL would take out as unused
ANOTHER = "take another base, or another of loss: label_trie and completion"


class ProvedTrainer(SFTTrainer):
    """``SFTTrainer`` that holds its loss, before the first step, against what the model says.

    It does so as late as that because only then the model is as it is trained: in shards, or on several devices.
    """

    _proved = False

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """As TRL's. Raises :class:`InputError` where the loss is not that of the model's own logits."""
        if not self._proved:
            self._proved = True
            self._prove(model, inputs)
        return self._loss(model, inputs, return_outputs, num_items_in_batch)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        self._signature_columns = [*columns, *(name for name in OWN_COLUMNS if name not in columns)]  # type: ignore[assignment]

    def _loss(self, model: torch.nn.Module, inputs: dict[str, Any], *arguments: Any) -> Any:
        return super().compute_loss(model, inputs, *arguments)

    def _loss_of_logits(self, logits: torch.Tensor, row: dict[str, torch.Tensor]) -> torch.Tensor:
        """The loss of ``row``, a batch of one, from the model's logits at all its positions, (length, vocabulary)."""
        config: Any = self.args
        labels = row["labels"][0, 1:]
        asked = labels != IGNORED
        logp = logits[:-1][asked].log_softmax(-1).gather(-1, labels[asked, None])
        return -(logp * logp.exp() if config.loss_type == "dft" else logp).mean()

    @property
    def _whole(self) -> Any:
        """The model as it was before anything was wrapped around it."""
        return self.accelerator.unwrap_model(self.model)

    @torch.no_grad()
    def _prove(self, model: torch.nn.Module, inputs: dict[str, Any]) -> None:
        """Compare the loss of the batch's shortest row, or last document, with that of the model's answer to it alone.

        Every process calls the model twice, because a call is collective where the model is sharded.
        """
        if self.label_smoother is not None:
            return  # TRL then takes the loss of the model's own logits
        if "attention_mask" in inputs:
            lengths = inputs["attention_mask"].sum(1)
            shortest, length = int(lengths.argmin()), int(lengths.min())
            rows, start = {name: value[[shortest, shortest]] for name, value in inputs.items()}, 0  # still a batch
        else:  # documents packed into one row, of which the last is taken, behind all that it must not see
            start = int((inputs["position_ids"][0] == 0).nonzero().max())
            length = inputs["input_ids"].shape[1]
            rows = {**inputs, "labels": inputs["labels"].clone()}
            rows["labels"][:, : start + 1] = IGNORED
        alone: dict[str, torch.Tensor] = {
            name: rows[name][:1] for name in ("input_ids", "labels", "label_index") if name in rows
        }
        alone |= {name: alone[name][:, start:length] for name in ("input_ids", "labels")}
        shown = {name: rows[name][:1] for name in (*PIXELS, TYPES) if name in rows}
        shown |= {name: tensor[:, :length] for name, tensor in shown.items() if name == TYPES}
        name = type(self._whole).__name__
        training, with_auxiliary, self.aux_loss_enabled = model.training, self.aux_loss_enabled, False
        model.eval()  # dropout differs from one call to the next
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        bound = HALF_PRECISION_BOUND if sharded else BOUND
        try:
            with nullcontext() if sharded else in_float32(self._whole):
                logits = model(input_ids=alone["input_ids"], **shown, use_cache=False).logits[0].float()
                off = abs(float(self._loss(model, rows) - self._loss_of_logits(logits, alone)))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model makes of a batch, and TRL of a model, that it was not written for
            raise InputError(
                f"base.model: no loss can be taken of {name} ({one_line(str(error))}); {ANOTHER}"
            ) from error
        finally:
            model.train(training)
            self.aux_loss_enabled = with_auxiliary
            self._metrics["eval"].clear()
        if not off <= bound:
            raise InputError(
                f"base.model: the loss of {name} is off by {off:.2g} (more than {bound:g}) from what it says of a row"
                f" alone, so training would teach it something else; {ANOTHER}"
            )
