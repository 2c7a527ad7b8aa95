"""``report.html``: the results on one page that needs no network, for those who would rather look than read JSON.

Needs no model and no torch. Everything on it is from ``results.json``, the prediction files it was made from, and what
stands beside it: ``data_report.json``, ``robustness.json``, ``explanation.json``, ``exports.json``,
``manifest.json`` and ``train_log.jsonl``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from markupsafe import Markup

import osler
from osler.errors import InputError
from osler.evaluation import summary
from osler.evaluation.answers import Splits, read_splits
from osler.evaluation.fusion import VALIDATION
from osler.evaluation.results import MIN_SUBGROUP
from osler.evaluation.section import Section, headline_record
from osler.evaluation.systems import known_systems
from osler.evaluation.training_curves import TrainingCurves
from osler.rendering import cell, difference, interval_apart, order_curves, p_value, plots, render_template
from osler.runs import DataReport, Exports, Faithfulness, Manifest, PerturbedRecord, Prediction, Results, Robustness
from osler.storage import check_folder, read_model, write_atomically

if TYPE_CHECKING:
    from osler.tasks import Source


CASES = 20  # of the headline split, to browse
TOP = 5  # labels of a case's ranking that are shown


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
    names = ("data_report", "robustness", "explanation", "exports", "manifest")
    files = (*(f"{name}.json" for name in names), "train_log.jsonl")
    return {Path(name).stem: output.with_name(name) for name in files}


def write(
    output: Path,
    results: Results,
    files: Sequence[Path],
    texts: Mapping[str, Mapping[str, str]] | None = None,
    labels: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    genes: Mapping[str, Collection[str]] = {},
) -> Path:
    """Write :func:`page` beside ``output``, all or nothing; returns its path. Raises as that does."""
    path = report_path(output)
    write_atomically(path, page(output, results, files, texts, labels, descriptions, genes))
    return path


def page(
    output: Path,
    results: Results,
    files: Sequence[Path],
    texts: Mapping[str, Mapping[str, str]] | None = None,
    labels: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    genes: Mapping[str, Collection[str]] = {},
    browsed: int = CASES,
) -> str:
    """The report of ``results``.

    Args:
        output: where ``results`` were written. Of ``data_report.json``, ``robustness.json``, ``explanation.json``,
            ``exports.json``, ``manifest.json`` and ``train_log.jsonl`` in the same folder, what there is goes into the
            report.
        results: what :func:`osler.evaluation.results.score` returned.
        files: the prediction files it was given.
        texts: split → case id → text of the case; where it is None, cases are shown without.
        labels: label → name; where it is None, those of ``data_report.json``.
        descriptions: split → what its cases are; where it is None, the page says that it is not known.
        genes: label → the genes that cause it, where they are known.
        browsed: how many cases are shown one by one.

    Raises:
        InputError: a file cannot be read.
    """
    data_report, robustness, explanation, exports, manifest, log = companion_paths(output).values()
    trained = manifest.is_file() and log.is_file()
    return render(
        results,
        read_splits(files),
        texts or {},
        labels,
        descriptions or {},
        genes,
        read_model(data_report, DataReport) if data_report.is_file() else None,
        read_model(robustness, Robustness) if robustness.is_file() else None,
        _of_these_weights(explanation, Faithfulness, results),
        _of_these_weights(exports, Exports, results),
        TrainingCurves.read(log, read_model(manifest, Manifest)) if trained else None,
        browsed,
    )


Measured = TypeVar("Measured", Exports, Faithfulness)


def _of_these_weights(path: Path, kind: type[Measured], results: Results) -> Measured | None:
    """What a file says; None where there is none, or it is of other weights than were scored."""
    measured = read_model(path, kind) if path.is_file() else None
    if measured is not None and measured.weights_sha256 not in (results.weights_sha256 or {}).values():
        print(f"{path}: of another training, so it is not shown; make it again")
        return None
    return measured


def render(
    results: Results,
    splits: Splits,
    texts: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, str] | None,
    descriptions: Mapping[str, str],
    genes: Mapping[str, Collection[str]] = {},
    data_report: DataReport | None = None,
    robustness: Robustness | None = None,
    faithfulness: Faithfulness | None = None,
    exports: Exports | None = None,
    curves: TrainingCurves | None = None,
    browsed: int = CASES,
) -> str:
    """The page; the same arguments give the same bytes.

    ``data_report``, ``robustness``, ``faithfulness``, ``exports`` and ``curves`` are of one run: what they say is shown
    for the task that ``data_report`` names.
    """
    opening, known = headline_record(results.records), known_systems(results)
    shown = {name: system.title for name, system in known.items()}
    own = data_report is None or data_report.task == opening.task
    names = labels or (data_report.labels if data_report and own else {})
    sections = [
        Section(
            f"split-{number}",
            record,
            splits[record.task, record.split],
            shown,
            len(names) if record.task == opening.task else None,
            descriptions.get(record.split) if record.task == opening.task else None,
            names,
            genes,
        )
        for number, record in enumerate(results.records, 1)
    ]
    headline = next(section for section in sections if section.record is opening)
    filters: dict[str, Callable[[Any], Any]] = {
        "name": lambda label: names.get(label, label) or "(no answer)",
        "system": lambda name: shown.get(name, name),
        "metric": lambda metric: interval_apart(cell(metric)),
        "difference": lambda row: interval_apart(difference(row)),
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
        cases=cases(headline, texts.get(headline.record.split, {}), browsed),
        names=names,
        known_systems=known,
        overlapping={s.record.split: s.record.contamination for s in sections if s.record.contamination},
        own=own,
        robustness=robustness if own else None,
        faithfulness=faithfulness if own else None,
        order_curves=_order_curves(faithfulness) if faithfulness else None,
        exports=exports if own else None,
        robustness_plot=_robustness_plot(headline, robustness) if robustness else None,
        curves=curves if own and curves and curves.losses else None,
        tables=summary,
        min_subgroup=MIN_SUBGROUP,
        validation=VALIDATION,
        level=summary.LEVEL,
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


def cases(section: Section, texts: Mapping[str, str], most: int = CASES) -> list[WrongAnswer]:
    """``most`` cases of the tuned model: wrong ones, the most confident first, then right ones, the least confident.

    Where it gives no probabilities the order among wrong ones, and among right ones, is that of their ids.
    """

    def confidence(row: Prediction) -> float | None:
        return row.probabilities[0] if row.parsed and row.probabilities else None

    def order(row: Prediction) -> tuple[bool, float, str]:
        sure = confidence(row) or 0.0
        return row.correct, sure if row.correct else -sure, row.case_id

    browsed = []
    for row in sorted(section.rows, key=order)[:most]:
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


def _robustness_plot(headline: Section, robustness: Robustness) -> Markup | None:
    rows = []
    for record in robustness.records.get(headline.tuned, ()):
        shares = (record.original_accuracy, record.accuracy, record.top_1_flip_rate)
        if known := [share for share in shares if share is not None]:
            rows.append((perturbation_label(record), known))
    title = f"Accuracy and flip rate of {headline.who} on perturbed cases of {robustness.split}, with 95% intervals"
    return Markup(plots.robustness("robustness-plot", title, rows)) if rows else None


def _order_curves(measured: Faithfulness) -> Markup:
    curves = {name.replace("_", " "): (of.deletion_curve, of.insertion_curve) for name, of in measured.methods.items()}
    title = f"The probability of the first answer while parts of the texts of {measured.split} are left out or put back"
    return Markup(order_curves.draw("order-curves", title, curves))


def perturbation_label(record: PerturbedRecord) -> str:
    """What was done to the cases, in words."""
    name = record.perturbation.replace("_", " ")
    strength = "" if name.endswith("swap") else f", {record.strength:.0%}"
    seed = f", seed {record.seed}" if record.seed else ""
    return f"{name}{strength}{seed} (n = {record.n})"
