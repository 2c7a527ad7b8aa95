"""The trackers that keep files: how the run of one is opened, taken up again, and given texts and figures.

What goes wrong is raised as the tracker raises it.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osler.recipe import Recipe
from osler.runs import Run, tuned_name


class Tracker(ABC):
    """One tracker. ``way_out`` is what to do where it cannot be opened."""

    way_out: str

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self._train = recipe.train
        self._folder = run.folder
        self._title = recipe.train.get("run_name") or tuned_name(recipe)

    @abstractmethod
    def open(self, key: str | None) -> str:
        """Open the run of this ``key``, or a new one; returns its key."""

    def attach(self, callback: Any, arguments: Any) -> None:  # noqa: B027, most find the open run themselves
        """Have transformers' ``callback`` write into the open run, where it would make one of its own."""

    @abstractmethod
    def log(self, kind: str, texts: Mapping[str, str], figures: Mapping[str, float]) -> None:
        """Log ``texts`` by the names of their files, as one artefact of a ``kind`` if there are such, and figures."""

    @abstractmethod
    def close(self, failed: bool) -> None:
        """End the run; it may be opened again."""


class WeightsAndBiases(Tracker):
    """Without git and console: a difference to the last commit, or a warning, may quote what is nobody's business."""

    way_out = "`wandb login`, or WANDB_MODE=offline"

    def open(self, key: str | None) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or self._train.get("project") or "osler",
            name=self._title,
            id=key,
            resume="allow" if key else None,
            dir=os.environ.get("WANDB_DIR") or self._folder,
            # What has not been sent by then stays on disk for `wandb sync`; 0, the default, waits for ever.
            settings=wandb.Settings(console="off", disable_git=True, save_code=False, finish_timeout=300),
        )
        return str(self._run.id)

    def log(self, kind: str, texts: Mapping[str, str], figures: Mapping[str, float]) -> None:
        import wandb

        artefact = wandb.Artifact(f"{kind}-{self._run.id}", type=kind)
        for name, text in texts.items():
            with artefact.new_file(name, encoding="utf-8") as file:
                file.write(text)
        self._run.log_artifact(artefact)
        self._run.summary.update(dict(figures))

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class MLflow(Tracker):
    way_out = "set MLFLOW_TRACKING_URI to a server that answers"

    def open(self, key: str | None) -> str:
        # 7, its default, is four minutes of silence where a server does not answer.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        if experiment := os.environ.get("MLFLOW_EXPERIMENT_NAME") or self._train.get("project"):
            mlflow.set_experiment(experiment)
        return str(mlflow.start_run(run_id=key, run_name=self._title).info.run_id)

    def log(self, kind: str, texts: Mapping[str, str], figures: Mapping[str, float]) -> None:
        import mlflow

        for name, text in texts.items():
            mlflow.log_text(text, name)
        mlflow.log_metrics(dict(figures))

    def close(self, failed: bool) -> None:
        import mlflow

        mlflow.end_run("FAILED" if failed else "FINISHED")


class TensorBoard(Tracker):
    """It keeps no files: of the texts it shows those for readers, the recipe and the table of results."""

    way_out = "mend TENSORBOARD_LOGGING_DIR"

    def open(self, key: str | None) -> str:
        from torch.utils.tensorboard import SummaryWriter

        folder = os.environ.get("TENSORBOARD_LOGGING_DIR") or self._folder / "tensorboard"
        self._writer: Any = SummaryWriter(str(Path(folder).expanduser()))
        return "tensorboard"  # its folder is in the run directory, or where the environment says

    def attach(self, callback: Any, arguments: Any) -> None:
        callback.logging_dir = self._writer.log_dir  # in place of one among the checkpoints

    def log(self, kind: str, texts: Mapping[str, str], figures: Mapping[str, float]) -> None:
        for name, text in texts.items():
            if name.endswith((".yaml", ".txt")):
                self._writer.add_text(name, "    " + text.replace("\n", "\n    "))  # in Markdown: shown as it is
        for name, value in figures.items():
            self._writer.add_scalar(name, value)

    def close(self, failed: bool) -> None:
        self._writer.close()


class Trackio(Tracker):
    """transformers opens the run itself, by name, and ends it. So it is opened here once to see that it can be, and
    again for each artefact. The figures of an evaluation are in its artefact alone."""

    way_out = "`hf auth login` for train.trackio_space_id, or leave that out"

    def open(self, key: str | None) -> str:
        self._name = key or f"{self._title}-{secrets.token_hex(3)}"  # the name is the only way back to a run
        self._init("allow")
        self.close(False)
        return self._name

    def _init(self, resume: str) -> None:
        import trackio

        settings = {name: self._train.get(f"trackio_{name}") for name in ("space_id", "bucket_id")}
        trackio.init(self._train.get("project") or "huggingface", self._name, resume=resume, **settings)

    def attach(self, callback: Any, arguments: Any) -> None:
        arguments.run_name = self._name

    def log(self, kind: str, texts: Mapping[str, str], figures: Mapping[str, float]) -> None:
        import trackio

        self._init("allow")
        artefact = trackio.Artifact(re.sub(r"[^\w.-]", "-", f"{kind}-{self._name}"), type=kind)
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                path = Path(folder, name)
                path.write_text(text, encoding="utf-8")
                artefact.add_file(str(path))
            trackio.log_artifact(artefact)
        # No figures: trackio 0.43 would put an empty configuration in place of the one that training wrote.

    def close(self, failed: bool) -> None:
        import trackio

        if trackio.context_vars.current_run.get() is not None:
            trackio.finish()


KEEPERS: Mapping[str, type[Tracker]] = {
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": WeightsAndBiases,
}
"""The trackers of a recipe's ``train.report_to`` that are known here; the others get figures alone."""
