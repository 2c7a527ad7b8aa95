"""``report.html``: the results on one page that needs no network, for those who would rather look than read JSON.

Needs no model and no torch. Everything on it is from ``results.json``, the prediction files it was made from, and what
stands beside it: ``data_report.json`` and ``robustness.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

import osler
from osler.errors import InputError
from osler.evaluation import summary
from osler.evaluation.answers import Answers, Splits, read_splits
from osler.evaluation.confusions import Confusions, count_confusions
from osler.evaluation.measurement import prediction_columns
from osler.evaluation.results import MIN_SUBGROUP, VALIDATION, compared_system
from osler.rendering import cell, difference, p_value, plots, render_template
from osler.runs import (
    Calibration,
    DataReport,
    Estimate,
    PerturbedRecord,
    Prediction,
    Record,
    Reliability,
    Results,
    Robustness,
    Subgroups,
    System,
)
from osler.statistics import Floats, calibration
from osler.storage import check_folder, read_model, write_atomically

if TYPE_CHECKING:
    from osler.tasks import Source


CASES = 20  # of the headline split, to browse
TOP = 5  # labels of a case's ranking that are shown
POINTS = 200  # of a curve
LEVEL = 0.05  # an adjusted p value below it is called a difference


def report_path(output: Path) -> Path:
    """The report's file: ``results.json`` → ``report.html``, ``results-partial.json`` → ``report-partial.html``.

    Any other name keeps its stem.
    """
    stem = re.sub(r"^results(?=-|$)", "report", output.stem)
    return output.with_name(f"{stem}.html")


def check_output(output: Path, files: Sequence[Path]) -> None:
    """Raise :class:`~osler.errors.InputError` where results of ``files`` cannot be written to ``output``, or one of
    those, or what the report reads beside ``output``, would be overwritten by the results or the report."""
    if output.suffix != ".json":
        raise InputError(f"--output {output}: results are JSON; name a file that ends in .json")
    if output.is_dir():
        raise InputError(f"--output {output}: is a folder; name a file in it, such as {output / 'results.json'}")
    check_folder(output.parent)
    for path in (output, report_path(output)):
        for file in (*files, *companion_paths(output).values()):
            if path.exists() and file.exists() and path.samefile(file):
                raise InputError(
                    f"--output {output}: {path} would overwrite {file}, which it is made from; name another"
                )


def companion_paths(output: Path) -> dict[str, Path]:
    """What the report shows besides ``results.json``, where it is there: name → file in the same folder."""
    return {name: output.with_name(f"{name}.json") for name in ("data_report", "robustness")}


def write(
    output: Path,
    results: Results,
    files: Sequence[Path],
    texts: Mapping[str, Mapping[str, str]] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write the report beside ``output``, all or nothing; returns its path.

    Args:
        output: where ``results`` were written. Of ``data_report.json`` and ``robustness.json`` in the same folder, what
            there is goes into the report.
        results: what :func:`osler.evaluation.results.score` returned.
        files: the prediction files it was given.
        texts: split → case id → text of the case; where it is None, cases are shown without.
        labels: label → name; where it is None, those of ``data_report.json``.

    Raises:
        InputError: a file cannot be read.
    """
    data_report, robustness = companion_paths(output).values()
    page = render(
        results,
        read_splits(files),
        texts or {},
        labels,
        read_model(data_report, DataReport) if data_report.is_file() else None,
        read_model(robustness, Robustness) if robustness.is_file() else None,
    )
    path = report_path(output)
    write_atomically(path, page)
    return path


def render(
    results: Results,
    splits: Splits,
    texts: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, str] | None = None,
    data_report: DataReport | None = None,
    robustness: Robustness | None = None,
) -> str:
    """The page; the same arguments give the same bytes.

    ``data_report`` and ``robustness`` are of one run: what they say is shown for the task that ``data_report`` names.
    """
    sections = [
        Section(f"split-{number}", record, splits[record.task, record.split])
        for number, record in enumerate(results.records, 1)
    ]
    headline = headline_section(sections)
    trained = headline.record.task if data_report is None else data_report.task
    own = trained == headline.record.task
    names = labels or (data_report.labels if data_report and own else {})
    filters = {
        "name": lambda label: names.get(label, label) or "(no answer)",
        "metric": lambda metric: _apart(cell(metric)),
        "difference": lambda row: _apart(difference(row)),
        "p_value": lambda value: p_value(value).removeprefix("p ").removeprefix("= "),
        "perturbation": perturbation_label,
    }
    return render_template(
        "evaluation/report.html.jinja",
        filters,
        version=osler.__version__,
        results=results,
        headline=headline,
        sections=sections,
        panel=data_report.panel if data_report and own else None,
        panel_size=len(names) or len(headline.labels),
        cases=cases(headline, texts.get(headline.record.split, {})),
        known=names,
        overlapping={s.record.split: s.record.contamination for s in sections if s.record.contamination},
        robustness=robustness if own else None,
        robustness_plot=_robustness_plot(headline.tuned, robustness) if robustness else None,
        tables=summary,
        min_subgroup=MIN_SUBGROUP,
        validation=VALIDATION,
        level=LEVEL,
    )


def case_texts(source: Source, splits: Iterable[str]) -> dict[str, dict[str, str]]:
    """Split → case id → the case's text, the options of a question below it."""
    return {
        split: {
            row.case_id: "\n".join([row.text, *(f"{o}. {text}" for o, text in (row.options or {}).items())])
            for row in source.split(split)
        }
        for split in splits
    }


class Section:
    """One task and split on the page: its record of ``results.json`` and what is read from the predictions."""

    def __init__(self, id: str, record: Record, answers: Mapping[str, Answers]) -> None:
        self.id, self.record, self.answers = id, record, answers
        self.comparisons = {row.b: row for row in record.comparisons}
        compared = record.comparisons[0].a if self.comparisons else None
        self.tuned = compared_system(record.systems, compared)
        self.systems: dict[str, System] = {self.tuned: record.systems[self.tuned], **record.systems}
        self.system = self.systems[self.tuned]
        self.rows = answers[self.tuned].rows
        self.labels = {row.label for row in self.rows}.union(*(row.ranked for row in self.rows))
        self.titles = summary.column_titles(record)

    @property
    def best_other(self) -> str | None:
        """The most accurate of the systems that the tuned one is compared with."""
        accuracy = {name: self.systems[name].metrics["accuracy"].value for name in self.comparisons}
        return max(accuracy, key=accuracy.__getitem__, default=None)

    def compared(self, sign: int) -> list[str]:
        """The systems that the tuned one is ahead of (1), behind (-1), or that no difference to is shown of (0)."""
        shown = {
            name: int(np.sign(row.difference)) if row.p_adjusted < LEVEL else 0
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
        rows = [(name, system.metrics["accuracy"]) for name, system in self.systems.items()]
        title = f"Accuracy of {len(rows)} systems on {self.record.split}, with 95% intervals"
        return Markup(plots.forest(f"{self.id}-accuracy", title, rows))

    @cached_property
    def reliability(self) -> Markup | None:
        """The tuned model's reliability diagram; None where it gives no probabilities."""
        bins = reliability_tables(self.system.calibration)
        title = f"Reliability diagram of {self.tuned} on {self.record.split}"
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
                confidences = calibration.temper(columns["probabilities"], calibrated.temperature).max(axis=1)
            if (abstention := calibrated.abstention) and abstention.coverage and abstention.accuracy:
                thresholds[name] = abstention.coverage.value, abstention.accuracy.value
            curves[name] = selective_curve(confidences, np.array([row.correct for row in rows]))
        if not curves:
            return None
        title = f"Accuracy against coverage on {self.record.split}"
        return Markup(plots.coverage(f"{self.id}-coverage", title, curves, thresholds, list(self.systems)))

    @cached_property
    def subgroups(self) -> Markup | None:
        """The forest plot of the tuned model's subgroups; None where none is large enough."""
        rows = subgroup_rows(self.system.subgroups)
        title = f"Accuracy of {self.tuned} in subgroups of {self.record.split}, with 95% intervals"
        overall = self.system.metrics["accuracy"].value
        return Markup(plots.forest(f"{self.id}-subgroups", title, rows, overall)) if rows else None

    @property
    def suppressed(self) -> list[str]:
        """The subgroups too small to be given an accuracy."""
        return [
            f"{attribute.replace('_', ' ')} {value} (n = {group.n})"
            for attribute, record in self.system.subgroups.items()
            for value, group in sorted(record.values.items(), key=lambda item: _natural(item[0]))
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
            for value, group in sorted(record.values.items(), key=lambda item: _natural(item[0]))
            if group.accuracy
        ]
        rows += [(attribute.replace("_", " "), None), *accuracies] if accuracies else []
    return rows


def headline_section(sections: Sequence[Section]) -> Section:
    """The split the page opens with: ``test`` where there is one, else the first that nothing was chosen on."""
    splits = [section.record.split for section in sections]
    if "test" in splits:
        return sections[splits.index("test")]
    return next((section for section in sections if section.record.split != VALIDATION), sections[0])


@dataclass(frozen=True)
class WrongAnswer:
    """A case to browse: ``right`` are the other systems that answered it rightly, ``rank`` is that of its label."""

    prediction: Prediction
    confidence: float | None
    text: str | None
    rank: int | None
    right: list[str]

    @property
    def top(self) -> list[tuple[str, float | None]]:
        """The first labels of the ranking, and their probabilities where there are some."""
        ranked = self.prediction.ranked[:TOP]
        return list(zip(ranked, self.prediction.probabilities or [None] * len(ranked), strict=False))


def cases(section: Section, texts: Mapping[str, str]) -> list[WrongAnswer]:
    """``CASES`` cases of the tuned model: wrong ones, the most confident first, then right ones, the least confident.

    Where it gives no probabilities the order among wrong ones, and among right ones, is that of their ids.
    """

    def confidence(row: Prediction) -> float | None:
        return row.probabilities[0] if row.parsed and row.probabilities else None

    def order(row: Prediction) -> tuple[bool, float, str]:
        sure = confidence(row) or 0.0
        return row.correct, sure if row.correct else -sure, row.case_id

    browsed = []
    for row in sorted(section.rows, key=order)[:CASES]:
        place = section.rows.index(row)
        browsed.append(
            WrongAnswer(
                row,
                confidence(row),
                texts.get(row.case_id),
                row.ranked.index(row.label) + 1 if row.label in row.ranked else None,
                [
                    name
                    for name in section.systems
                    if name != section.tuned and section.answers[name].rows[place].correct
                ],
            )
        )
    return browsed


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


def _robustness_plot(tuned: str, robustness: Robustness) -> Markup | None:
    rows = []
    for record in robustness.records.get(tuned, ()):
        shares = (record.original_accuracy, record.accuracy, record.top_1_flip_rate)
        if known := [share for share in shares if share is not None]:
            rows.append((perturbation_label(record), known))
    title = f"Accuracy and flip rate of {tuned} on perturbed cases of {robustness.split}, with 95% intervals"
    return Markup(plots.robustness("robustness-plot", title, rows)) if rows else None


def perturbation_label(record: PerturbedRecord) -> str:
    """What was done to the cases, in words."""
    name = record.perturbation.replace("_", " ")
    strength = "" if name.endswith("swap") else f", {record.strength:.0%}"
    seed = f", seed {record.seed}" if record.seed else ""
    return f"{name}{strength}{seed} (n = {record.n})"


def _apart(number: str) -> Markup:
    """``0.308 [0.216, 0.417]`` with the interval as an element of its own, to be put below the number."""
    return Markup(re.sub(r"\[[^][]*]", r'<span class="interval">\g<0></span>', str(escape(number))))


def _natural(value: str) -> list[Any]:
    """Sorts 5-17 before 18-64."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", value)]
