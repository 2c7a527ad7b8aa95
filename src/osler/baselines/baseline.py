"""What all baselines have in common: each is fitted once on a task, then ranks labels for its cases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from osler.recipe import DataSection
from osler.runs import Prediction, Run
from osler.tasks import Case, Task, told_as


class Ranking(NamedTuple):
    """``labels`` are best first, ``probabilities`` parallel to them; None where a baseline gives none."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...] | None = None

    @classmethod
    def by_score(
        cls, labels: Sequence[str], scores: npt.NDArray[Any], log_probabilities: npt.NDArray[np.float64] | None = None
    ) -> Ranking:
        """``labels`` by falling score, shape (labels,); ties stay in the order given.

        ``log_probabilities``: natural logarithms, parallel to ``scores`` and never falling where these rise.
        """
        order = np.argsort(-scores, kind="stable")
        probabilities = None if log_probabilities is None else tuple(np.exp(log_probabilities[order]).tolist())
        return cls(tuple(str(labels[i]) for i in order), probabilities)

    @classmethod
    def by_log_probability(cls, labels: Sequence[str], log_probabilities: npt.NDArray[np.float64]) -> Ranking:
        """:meth:`by_score` of natural logarithms of probabilities, and the probabilities."""
        return cls.by_score(labels, log_probabilities, log_probabilities)


@dataclass
class Baseline(ABC):
    """A baseline of a recipe.

    To add one, add ``osler/baselines/<name>.py`` with its class (``tfidf_svm`` → ``TfidfSvm``), and its name to
    ``Baseline`` in ``osler/recipe/sections.py``.

    Attributes:
        name: what recipes call it.
        task: whose cases it ranks labels for; knows the panel, and the patients behind the cases where there are some.
        run: the run that compares with it, where one that is slow to fit keeps what it learnt.
        seed: the recipe's.
        data: which patients are learnt from, as in the recipe; None where it does not say.
    """

    name: str
    task: Task
    run: Run
    seed: int
    data: DataSection | None

    @abstractmethod
    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Learn. ``training`` gives the training cases; it may be slow, and is called only if they are needed.

        Raises :class:`~osler.errors.InputError` where they are too few.
        """

    @abstractmethod
    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """The labels for each of ``cases``, which are of ``split``; there is at least one case."""

    def predict(self, cases: Sequence[Case], split: str) -> list[Prediction]:
        """One prediction a case, in the order of ``cases``."""
        rankings = self.rank(cases, split)
        return [
            Prediction(
                case_id=case.case_id,
                task=self.task.name,
                split=split,
                system=self.name,
                label=case.label,
                ranked=ranked,
                probabilities=probabilities,
                subgroups=dict(case.subgroups),
                group=case.group,
                case_sha256=case.sha256,
            )
            for case, ranking in zip(cases, rankings, strict=True)
            for ranked, probabilities in [told_as(case, *ranking)]
        ]


def load_baseline(name: str, task: Task, run: Run, seed: int, data: DataSection | None) -> Baseline:
    """The baseline that recipes call ``name``, not fitted yet. Imports the libraries it needs."""
    module = import_module(f"osler.baselines.{name}")
    kind = getattr(module, "".join(map(str.capitalize, name.split("_"))))
    baseline: Baseline = kind(name, task, run, seed, data)
    return baseline
