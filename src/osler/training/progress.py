"""What a training run writes and shows while it goes on, its log, checkpoints and progress bar, and when it ends."""

from __future__ import annotations

import json
import math
import signal
import time
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import ProgressCallback

from osler.errors import FailedError
from osler.runs import Run, checkpoints
from osler.storage import SigtermNoted
from osler.training.batches import Batches


class NothingLeft(Exception):
    """The checkpoint that training goes on from was saved after its last step."""


class Progress(TrainerCallback):
    """Writes ``train_log.jsonl``, and marks a checkpoint as whole once all of it is on disk."""

    def __init__(self, run: Run, started: float, learnt_from: str) -> None:
        self._run = run
        self._started = started
        self._learnt_from = learnt_from

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Raise :class:`NothingLeft` where it is so: transformers 5.23 asks only after a step whether it was the last.

        By now the checkpoint's weights are in the model.
        """
        if state.global_step >= state.max_steps:
            raise NothingLeft

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Append one line a log event. A resumed run's lines follow those of the first: the step orders them."""
        if state.is_world_process_zero:
            figures = {name: value if math.isfinite(value) else None for name, value in (logs or {}).items()}
            with self._run.train_log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **figures}) + "\n")

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called after everything that this process has in a checkpoint is on disk."""
        PartialState().wait_for_everyone()  # each process saves its own random state
        if state.is_world_process_zero:
            checkpoint = self._run.checkpoints_path / f"checkpoint-{state.global_step}"
            processes = PartialState().num_processes
            checkpoints.mark_complete(checkpoint, time.monotonic() - self._started, self._learnt_from, processes)


class Terminated(SigtermNoted, TrainerCallback):
    """On SIGTERM has a checkpoint written after the step that is being made, and training end there. A second SIGTERM
    ends the process at once."""

    def _note(self, *_: object) -> None:
        super()._note()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint and the end, in every process where one of them got the signal."""
        alone = PartialState().num_processes == 1
        self.asked = self.asked if alone else not _everywhere(torch.tensor(not self.asked))
        if self.asked:
            control.should_save = control.should_training_stop = True


class Finite(TrainerCallback):
    """Ends training once a loss or a trained weight is no finite number: before such weights are saved."""

    def __init__(self, run: Run, learning_rate: float, batches: Batches) -> None:
        self._run = run
        self._learning_rate = learning_rate
        self._batches = batches

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Look at the weights before they are saved, and as often as there is a line in the log."""
        if control.should_save or control.should_log or control.should_training_stop:
            self._check_weights(model, state)

    def on_epoch_end(
        self, args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """As :meth:`on_step_end`: some recipes save after each epoch."""
        if control.should_save:
            self._check_weights(model, state)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Look at the loss, which is the mean over all processes."""
        for name in ("loss", "train_loss"):
            if not math.isfinite((logs or {}).get(name, 0)):
                raise self.failed(state.global_step, f"the loss is {logs[name]}")
        if "loss" in (logs or {}):
            self._batches.forget()

    def check_last_update(self, trainer: Trainer) -> None:
        """Look at the loss with the weights as they are: no step has yet seen what the last one made of them.

        A collective call, as a training step is. Raises :class:`FailedError`.
        """
        batch = next(iter(trainer.get_train_dataloader()))
        model: Any = trainer.model
        loss, _, _ = trainer.prediction_step(model, batch, prediction_loss_only=True)
        if loss is None or not _everywhere(loss.isfinite()):
            raise self.failed(trainer.state.global_step, f"with the weights there are now, the loss is {loss}")

    def failed(self, step: int, reason: str) -> FailedError:
        """The error that ends a training after ``step`` for ``reason``, with the way out."""
        last = checkpoints.newest_whole(self._run.checkpoints_path)[0]
        return FailedError(
            f"{self._run.folder}: training failed at step {step:,}: {reason}{self._batches.blamed()}; the last"
            f" checkpoint with finite weights is {last or 'none'}. Lower train.learning_rate ({self._learning_rate:g})"
            " and train with an --output of its own"
        )

    def _check_weights(self, model: Any, state: TrainerState) -> None:
        trained = [weight.detach() for weight in model.parameters() if weight.requires_grad]
        # Of a sharded model, each process looks at its own part.
        parts = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in trained]
        if not _everywhere(torch.stack([part.isfinite().all() for part in parts]).all()):
            raise self.failed(state.global_step, "among the trained weights are NaN or infinite ones")


def _everywhere(holds: torch.Tensor) -> bool:
    """Whether ``holds``, a boolean scalar, is true in every process. A collective call."""
    return bool(gather(holds.int().reshape(1).to(PartialState().device)).all())


class Bar(ProgressCallback):
    """The library's progress bar with the loss beside it, and not a line of figures every few steps: those are in
    ``train_log.jsonl``."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Show the newest loss."""
        bar: Any = self.training_bar  # None off the main process
        if bar is not None and "loss" in (logs or {}):
            bar.set_postfix_str(f"loss {float(logs['loss']):.2f}", refresh=False)

    def close(self) -> None:
        """End the bar's line, so that what is printed next has one of its own; a finished training has done so."""
        bar: Any = self.training_bar  # None off the main process
        if bar is not None:
            bar.close()
