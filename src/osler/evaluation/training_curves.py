"""What ``train_log.jsonl`` says of a training, as curves over its steps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from osler.rendering import plots
from osler.runs import Manifest, Selected
from osler.storage import read_text


@dataclass(frozen=True)
class TrainingCurves:
    """Step → training loss; and where a checkpoint was chosen, step → what it was chosen by."""

    losses: dict[int, float]
    chosen: dict[int, float]
    selected: Selected | None

    @classmethod
    def read(cls, log: Path, manifest: Manifest) -> TrainingCurves:
        """The curves of a finished training. Raises :class:`InputError` where ``log`` is no text.

        Where a killed run was taken up again, from its last checkpoint, what it had logged after that is left out; so
        is the half line that a kill may leave.
        """
        selected = manifest.selected
        losses: dict[int, float] = {}
        chosen: dict[int, float] = {}
        last = 0
        for text in read_text(log).splitlines():
            try:
                line = json.loads(text)
                step = int(line["step"])
            except (ValueError, KeyError, TypeError):
                continue
            for curve, figure in ((losses, "loss"), (chosen, f"eval_{selected.metric}" if selected else "")):
                if step < last:
                    for later in [known for known in curve if known >= step]:
                        del curve[later]
                if isinstance(line.get(figure), int | float):  # null: was no finite number
                    curve[step] = line[figure]
            last = step
        return cls(losses, chosen, selected)

    @property
    def caption(self) -> str:
        """What the figure shows, in words."""
        if self.selected is None:
            return "Training loss at each logged step."
        return (
            f"Training loss at each logged step, and {self.metric} on validation at each evaluation. The model is that"
            f" of step {self.selected.step:,}, the best by {self.metric}: {self.selected.value:.3f}."
        )

    @property
    def metric(self) -> str:
        """What a checkpoint was chosen by, in words."""
        return self.selected.metric.replace("_", " ").replace("f1", "F1") if self.selected else ""

    @cached_property
    def figure(self) -> Markup:
        """The curves as an ``<svg>``."""
        title = "Training loss by step" + (f", and {self.metric} on validation" if self.chosen else "")
        kept = self.selected.step if self.selected else None
        return Markup(plots.training("training-plot", title, self.losses, self.chosen, self.metric, kept))
