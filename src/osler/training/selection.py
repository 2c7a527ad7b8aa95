"""Which checkpoint is kept: the one that answers ``validation`` best, by the scorer that scores the finished run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import IntervalStrategy

from osler.errors import InputError
from osler.models import Images, without_autocast
from osler.recipe import Recipe
from osler.scoring import Answer, scorer_named
from osler.statistics import resampling
from osler.tasks import Case, Task

SPLIT = "validation"
FLOOR = 1e-12  # of a probability in the log loss
BATCH = 8  # cases


def select_checkpoint(
    recipe: Recipe, trainer: Trainer, task: Task, tokenizer: PreTrainedTokenizerBase, images: Images | None = None
) -> None:
    """Have ``trainer`` answer ``validation`` every ``train.eval_steps``, end after ``patience`` evaluations that bring
    nothing, and keep the best by ``train.metric_for_best_model``. Nothing where the recipe names no metric.

    Every process answers every case: whoever trains a model in shards has to call it together.

    Raises :class:`InputError` where there are no cases.
    """
    metric = recipe.train.get("metric_for_best_model")
    if metric is None:
        return
    cases = task.source.split(SPLIT)
    if not cases:
        raise InputError(
            f"{recipe.path}: train.metric_for_best_model: {task.name} has no case of {SPLIT} here to choose by; bring"
            " its data, or leave it out"
        )
    name = task.scorer or recipe.evaluation.scorer
    scorer: list[Any] = []  # made at the first evaluation: it proves the model as it is then

    def evaluate(*_: Any, **__: Any) -> dict[str, float]:
        whole: Any = trainer.accelerator.unwrap_model(trainer.model)
        training = whole.training
        whole.eval()
        with without_autocast(whole):
            if not scorer:
                scorer.append(scorer_named(name, whole, tokenizer, task, images=images))
            answers: list[Answer] = []
            for start in range(0, len(cases), BATCH):
                batch = cases[start : start + BATCH]
                answers += scorer[0].answer([scorer[0].encode(case) for case in batch], batch)
        whole.train(training)
        if trainer.is_fsdp_enabled:
            # Trainer asks in each process whether the best checkpoint's folder is there before it makes it, so one may
            # load it at the end and another not, and both wait for ever (transformers 5.23).
            folder = Path(str(trainer.args.output_dir), f"checkpoint-{trainer.state.global_step}")
            folder.mkdir(parents=True, exist_ok=True)
        figures = {f"eval_{key}": value for key, value in measures(cases, answers).items()}
        trainer.log(figures)
        trainer.control = trainer.callback_handler.on_evaluate(trainer.args, trainer.state, trainer.control, figures)
        return figures

    # Set once the trainer is built: it would ask for a dataset to take a loss of.
    arguments: Any = trainer.args
    arguments.eval_strategy, arguments.eval_steps = IntervalStrategy.STEPS, recipe.train["eval_steps"]
    arguments.greater_is_better, arguments.load_best_model_at_end = metric != "log_loss", True
    trainer.evaluate = evaluate  # type: ignore[method-assign]
    if recipe.patience is not None:
        trainer.add_callback(Patience(f"eval_{metric}", arguments.greater_is_better, recipe.patience))


def measures(cases: Sequence[Case], answers: Sequence[Answer]) -> dict[str, float]:
    """``accuracy``, ``macro_f1`` and, where the answers have probabilities, ``log_loss`` in nats."""
    labels = [case.label for case in cases]
    said = [answer.ranked[0] if answer.ranked else "" for answer in answers]
    once = np.ones((1, len(cases)))
    found = {
        "accuracy": float(np.mean([one == other for one, other in zip(said, labels, strict=True)])),
        "macro_f1": float(resampling.resampled_label_metrics(labels, said, once)["macro_f1"][0]),
    }
    if all(answer.probabilities is not None for answer in answers):
        given = [dict(zip(answer.ranked, answer.probabilities or (), strict=True)) for answer in answers]
        losses = [-math.log(max(of.get(label, 0.0), FLOOR)) for of, label in zip(given, labels, strict=True)]
        found["log_loss"] = float(np.mean(losses))
    return found


class Patience(TrainerCallback):
    """Ends training after ``patience`` evaluations in a row that are no better than the best before. What it needs to
    know is in the trainer's log, which a resumed run has, too."""

    def __init__(self, figure: str, greater_is_better: bool, patience: int) -> None:
        self._figure, self._sign, self._patience = figure, 1 if greater_is_better else -1, patience

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look at the evaluations so far."""
        values = [self._sign * line[self._figure] for line in state.log_history if self._figure in line]
        if values and len(values) - 1 - int(np.argmax(values)) >= self._patience:
            control.should_training_stop = True
