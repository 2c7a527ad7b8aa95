"""What a training run writes and shows while it goes on: its log, checkpoints and progress bar."""

from __future__ import annotations

import json
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import ProgressCallback

from osler.runs import Run, mark_complete
from osler.storage import write_json

ELAPSED = "elapsed.json"  # in a checkpoint: the seconds trained so far


class Progress(TrainerCallback):
    """Writes ``train_log.jsonl``, and marks a checkpoint as whole once all of it is on disk."""

    def __init__(self, run: Run, started: float) -> None:
        self._run = run
        self._started = started

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Append one line a log event. A resumed run's lines follow those of the first: the step orders them."""
        if state.is_world_process_zero:
            with self._run.train_log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called after everything of a checkpoint is on disk."""
        if state.is_world_process_zero:
            checkpoint = self._run.checkpoints_path / f"checkpoint-{state.global_step}"
            write_json(checkpoint / ELAPSED, {"train_seconds": time.monotonic() - self._started})
            mark_complete(checkpoint)


class Bar(ProgressCallback):
    """The library's progress bar with the loss beside it, and not a line of figures every few steps: those are in
    ``train_log.jsonl``."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        """Show the newest loss."""
        bar: Any = self.training_bar  # None off the main process
        if bar is not None and "loss" in (logs or {}):
            bar.set_postfix_str(f"loss {float(logs['loss']):.2f}", refresh=False)
