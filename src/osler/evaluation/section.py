"""One task and split of the report: its record of ``results.json``, and what is read from the prediction files."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from osler.evaluation import summary
from osler.evaluation.answers import Answers, group_numbers
from osler.evaluation.confusions import Confusions, count_confusions, count_errors
from osler.evaluation.fusion import VALIDATION
from osler.evaluation.label_rates import LabelRates, label_rates
from osler.evaluation.measurement import prediction_columns, proportion
from osler.evaluation.results import MIN_SUBGROUP, compared_system
from osler.rendering import plots
from osler.runs import Calibration, Estimate, Prediction, Record, Reliability, Subgroups, System
from osler.statistics import Floats, calibration

POINTS = 200  # of a curve
DEPTHS = (1, 3, 5, 10, 20, 50)  # answers that a reader may look through
MANY = 100  # labels, from which on it matters how far down a list the right one stands


class Section:
    """One task and split on the page.

    Args:
        id: of the section, unique on the page.
        record: its record of ``results.json``.
        answers: system → what it answered.
        shown: system → what it is called on the page.
        panel: the number of labels there are to choose from; None where only the predictions tell.
        description: what its cases are; None where that is not known.
        names: label → name.
        genes: label → the genes that cause it.
    """

    def __init__(
        self,
        id: str,
        record: Record,
        answers: Mapping[str, Answers],
        shown: Mapping[str, str],
        panel: int | None = None,
        description: str | None = None,
        names: Mapping[str, str] = {},
        genes: Mapping[str, Collection[str]] = {},
    ) -> None:
        self.id, self.record, self.answers, self.description = id, record, answers, description
        self.names, self.genes = names, genes
        self.shown, self.panel = {name: shown.get(name, name) for name in record.systems}, panel
        compared = record.comparisons[0].a if record.comparisons else None
        self.tuned = compared_system(record.systems, compared)
        self.comparisons = record.against(self.tuned)
        self.systems: dict[str, System] = {self.tuned: record.systems[self.tuned], **record.systems}
        self.system = self.systems[self.tuned]
        self.rows = answers[self.tuned].rows
        self.labels = {row.label for row in self.rows}.union(*(row.ranked for row in self.rows))
        self.titles = summary.column_titles(record)
        # In a sentence: a name stands as it is, a description with its article.
        self.who = self.tuned if self.shown[self.tuned] == self.tuned else f"the {self.shown[self.tuned]}"

    @property
    def choices(self) -> int | None:
        """How many labels there are to choose from; None where that is not known, as of free text."""
        if self.panel:
            return self.panel
        listed = {len(row.ranked) for row in self.rows if row.probabilities is not None}
        return len(self.labels) if listed == {len(self.labels)} else None

    @property
    def chance(self) -> dict[str, float]:
        """What guessing would score; empty where it is not known among how many labels."""
        return summary.guessing(self.choices) if self.choices else {}

    @property
    def best_other(self) -> str | None:
        """The most accurate of the systems that the tuned one is compared with."""
        accuracy = {name: self.systems[name].metrics["accuracy"].value for name in self.comparisons}
        return max(accuracy, key=accuracy.__getitem__, default=None)

    def compared(self, sign: int) -> list[str]:
        """The systems that the tuned one is ahead of (1), behind (-1), or that no difference to is shown of (0)."""
        shown = {
            name: int(np.sign(row.difference)) if row.p_adjusted < summary.LEVEL else 0
            for name, row in self.comparisons.items()
        }
        return [name for name, direction in shown.items() if direction == sign]

    @property
    def metrics(self) -> list[str]:
        """Every metric that some system has, sorted."""
        return sorted(set().union(*(system.metrics for system in self.systems.values())))

    @cached_property
    def accuracies(self) -> Markup:
        """The accuracy of every system."""
        rows = [(self.shown[name], system.metrics["accuracy"]) for name, system in self.systems.items()]
        title = f"Accuracy of {len(rows)} systems on {self.record.split}, with 95% intervals"
        return Markup(plots.forest(f"{self.id}-accuracy", title, rows))

    @cached_property
    def reliability(self) -> Markup | None:
        """The tuned model's reliability diagram; None where it gives no probabilities."""
        bins = reliability_tables(self.system.calibration)
        title = f"Reliability diagram of {self.who} on {self.record.split}"
        return Markup(plots.reliability(f"{self.id}-reliability", title, bins)) if bins else None

    @cached_property
    def coverage(self) -> Markup | None:
        """The accuracy-coverage curves; None where no system gives probabilities."""
        curves, thresholds = {}, {}
        for name, system in self.systems.items():
            calibrated, rows = system.calibration, self.answers[name].rows
            columns = prediction_columns(rows)
            if "confidences" not in columns:
                continue
            confidences = columns["confidences"]
            if calibrated.temperature is not None:
                probabilities, named = columns["probabilities"], columns["named"]
                confidences = calibration.temper(probabilities, calibrated.temperature, named, calibrated.named).max(
                    axis=1
                )
            if (abstention := calibrated.abstention) and abstention.coverage and abstention.accuracy:
                thresholds[self.shown[name]] = abstention.coverage.value, abstention.accuracy.value
            curves[self.shown[name]] = selective_curve(confidences, np.array([row.correct for row in rows]))
        if not curves:
            return None
        title = f"Accuracy against coverage on {self.record.split}"
        return Markup(
            plots.coverage(
                f"{self.id}-coverage", title, curves, thresholds, [self.shown[name] for name in self.systems]
            )
        )

    @cached_property
    def recall(self) -> Markup | None:
        """Of each system the share of cases whose label is among its first k; None where there are few labels."""
        if (self.choices or len(self.labels)) < MANY:
            return None
        groups = group_numbers(self.answers)
        series = {}
        for name in self.systems:
            rows = self.answers[name].rows
            longest = max(len(row.ranked) for row in rows)
            places = np.array([_place(row) for row in rows])
            series[self.shown[name]] = [
                (float(k), Estimate(**proportion(places <= k, groups))) for k in DEPTHS if k <= longest
            ]
        panel = plots.Panel("answers looked at (k)", "recall at k", series)
        return Markup(plots.lines(f"{self.id}-recall", f"Recall at k on {self.record.split}", [[panel]]))

    @cached_property
    def positions(self) -> list[Position]:
        """Where the tuned model puts the right label, by subgroup; only of subgroups large enough to be told."""
        places = np.array([_place(row) for row in self.rows])
        found = [Position("all cases", "", len(places), self._shares(places))]
        for attribute in sorted(set().union(*(row.subgroups for row in self.rows))):
            values = np.array([row.subgroups.get(attribute) for row in self.rows], dtype=object)
            for value in sorted({value for value in values if value is not None}, key=natural):
                if (n := int((among := values == value).sum())) >= MIN_SUBGROUP:
                    found.append(Position(attribute.replace("_", " "), value, n, self._shares(places[among])))
        return found

    @cached_property
    def errors(self) -> dict[str, dict[str, int]]:
        """System → :func:`count_errors`."""
        rows = {shown: self.answers[name].rows for name, shown in self.shown.items()}
        return {shown: count_errors(of, self.names, self.genes) for shown, of in rows.items()}

    @property
    def depths(self) -> list[int]:
        """The k of :attr:`positions`: those that the tuned model's rankings reach."""
        longest = max(len(row.ranked) for row in self.rows)
        return [k for k in DEPTHS if k <= longest]

    def _shares(self, places: Floats) -> list[float]:
        return [float((places <= k).mean()) for k in self.depths]

    @cached_property
    def subgroups(self) -> Markup | None:
        """The forest plot of the tuned model's subgroups; None where none is large enough."""
        rows = subgroup_rows(self.system.subgroups)
        title = f"Accuracy of {self.who} in subgroups of {self.record.split}, with 95% intervals"
        overall = self.system.metrics["accuracy"].value
        return Markup(plots.forest(f"{self.id}-subgroups", title, rows, overall)) if rows else None

    @property
    def suppressed(self) -> list[str]:
        """The subgroups too small to be given an accuracy."""
        return [
            f"{attribute.replace('_', ' ')} {value} (n = {group.n})"
            for attribute, record in self.system.subgroups.items()
            for value, group in sorted(record.values.items(), key=lambda item: natural(item[0]))
            if not group.accuracy
        ]

    @property
    def widest(self) -> tuple[str, Subgroups] | None:
        """The attribute whose subgroups differ most, and its record."""
        gaps = [(record.gap.value, name, record) for name, record in self.system.subgroups.items() if record.gap]
        return max(gaps, key=lambda item: item[0])[1:] if gaps else None

    @cached_property
    def confusions(self) -> Confusions:
        """What the tuned model takes for what."""
        return count_confusions(self.rows)

    @cached_property
    def label_rates(self) -> list[LabelRates]:
        """How well the tuned model finds each label, and how far its answer can be believed."""
        return label_rates(self.rows, group_numbers(self.answers))


@dataclass(frozen=True)
class Position:
    """The cases with one ``value`` of an ``attribute``: the shares of them whose label is among the first of
    ``Section.depths`` answers."""

    attribute: str
    value: str
    n: int
    shares: list[float]


def _place(row: Prediction) -> float:
    """The place of the right label in a ranking, from 1; infinite where it is not there."""
    return row.ranked.index(row.label) + 1 if row.parsed and row.label in row.ranked else math.inf


_WHEN = {"before": "as given", "after": "after temperature"}


def reliability_tables(calibrated: Calibration) -> dict[str, tuple[Reliability, ...]]:
    """Heading → reliability table, of a system's ``calibration``; empty where it gives no probabilities."""
    measured = {title: getattr(calibrated, when) for when, title in _WHEN.items()}
    return {title: measures.reliability for title, measures in measured.items() if measures is not None}


def subgroup_rows(subgroups: Mapping[str, Subgroups]) -> list[tuple[str, Estimate | None]]:
    """Each attribute of a system's ``subgroups`` as a heading, and the accuracies below it that are given."""
    rows: list[tuple[str, Estimate | None]] = []
    for attribute, record in subgroups.items():
        accuracies = [
            (f"{value}, n = {group.n}", group.accuracy)
            for value, group in sorted(record.values.items(), key=lambda item: natural(item[0]))
            if group.accuracy
        ]
        rows += [(attribute.replace("_", " "), None), *accuracies] if accuracies else []
    return rows


def headline_record(records: Sequence[Record]) -> Record:
    """The record the page opens with: of ``test`` where there is one, else of the first split that nothing was chosen
    on."""
    splits = [record.split for record in records]
    if "test" in splits:
        return records[splits.index("test")]
    return next((record for record in records if record.split != VALIDATION), records[0])


def selective_curve(confidences: Floats, correct: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Coverage and accuracy at each confidence to answer from, most confident first; at most ``POINTS`` of them.

    Cases of one confidence are answered together. It begins where ``MIN_ANSWERED`` cases are answered, or all.
    """
    levels, tie = np.unique(-confidences, return_inverse=True)
    answered = np.bincount(tie, minlength=len(levels)).cumsum()
    accuracy = np.bincount(tie, correct).cumsum() / answered
    first = int(np.searchsorted(answered, min(calibration.MIN_ANSWERED, len(correct))))
    points = np.unique(np.linspace(first, len(levels) - 1, POINTS).round().astype(int))
    return answered[points] / len(correct), accuracy[points]


def natural(value: str) -> list[Any]:
    """Sorts 5-17 before 18-64."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", value)]
