"""What raters said of each model, summed up: a page, or the same printed by Chromium as a PDF."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import osler
from osler.errors import FailedError, InputError
from osler.feedback import CODES, Quest, StoredPrediction, Verdict, settle
from osler.rendering import render_template
from osler.review.form import CODE_WORDS, QUESTIONS
from osler.statistics import Resamples, agreement, wilson_interval
from osler.storage import check_folder, write_atomically

if TYPE_CHECKING:
    from osler.feedback import store as stores

RESAMPLES, SEED = 2000, 0
SECONDS = 60  # for Chromium to print a page

Judged = tuple[StoredPrediction, tuple[Verdict, ...]]


@dataclass(frozen=True)
class Share:
    """How many of how many, with Wilson's 95% interval; None where there is none of them."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.count, self.of) if self.of else None


@dataclass(frozen=True)
class Mean:
    """The mean of ``n`` ratings with its 95% interval over them."""

    n: int
    value: float
    interval: tuple[float | None, float | None]


@dataclass
class RaterSummary:
    """What one rater said.

    Attributes:
        right: of the answers that they judged, the first diagnosis is right.
        same: of the cases on which they had a diagnosis of their own, the model's first one is the same.
        kappa: of their own diagnoses and the model's first ones; None where they had none.
    """

    name: str
    right: Share
    own: int
    unknown: int
    same: Share
    kappa: agreement.Kappa | None


@dataclass
class ModelSummary:
    """What was said of one version of a model.

    Attributes:
        answers: that the store has of it; ``judged`` of them at least once, ``settled`` with a verdict that holds.
        right: of the settled ones.
        pairs: of raters: their names, and kappas of "right or wrong" and, where both were blinded, of their own
            diagnoses.
        together: Fleiss' kappa of "right or wrong" over the cases with the most common number of raters, that number,
            and how many cases with two raters or more have another one.
        adjudicated: verdicts of adjudicators.
        codes, quest, comments: of all verdicts but an adjudicator's, who has seen the others.
    """

    name: str
    answers: int
    judged: int
    settled: int
    right: Share
    disputed: int
    raters: list[RaterSummary]
    pairs: list[tuple[str, str, agreement.Kappa, agreement.Kappa | None]]
    together: tuple[agreement.Kappa, int, int] | None
    adjudicated: int
    codes: dict[str, Share]
    quest: dict[str, Mean | None]
    comments: list[tuple[str, str]] = field(default_factory=list)


def write_summary(store: stores.Store, path: Path) -> None:
    """Write the summary of a store, as HTML or, where ``path`` ends in .pdf, as PDF.

    Raises:
        InputError: no verdict is there yet; the name ends in something else, or Chromium is not installed.
        FailedError: Chromium does not print it.
    """
    if path.suffix not in (".html", ".pdf"):
        raise InputError(f"--summary {path}: expected a name that ends in .html or .pdf")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path.suffix == ".pdf" and chromium is None:
        raise InputError(f"--summary {path}: Chromium, which prints it, is not installed; take .html and print that")
    check_folder(path.parent)
    models = summarise(store)
    if not models:
        raise InputError(f"{store.place}: nobody has judged an answer yet")
    html = render_template(
        "review/summary.html.jinja",
        models=models,
        place=store.place,
        store=store.id,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=osler.__version__,
        questions=QUESTIONS,
        code_words=CODE_WORDS,
        filters={"share": _share, "kappa": _kappa, "mean": _mean},
    )
    if path.suffix == ".html":
        write_atomically(path, html)
    else:
        assert chromium is not None
        write_atomically(path, _printed(html, chromium))


def _printed(html: str, chromium: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        page, pdf = Path(folder, "summary.html"), Path(folder, "summary.pdf")
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        if os.geteuid() == 0:  # for whom Chromium has no sandbox; the page is ours, and runs no script
            options.append("--no-sandbox")
        command = [chromium, *options, f"--print-to-pdf={pdf}", page.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise FailedError(f"{chromium}: has not printed the summary within {SECONDS} s; take .html") from None
        if done.returncode or not pdf.is_file():
            raise FailedError(f"{chromium}: has not printed the summary (status {done.returncode}); take .html")
        return pdf.read_bytes()


def summarise(store: stores.Store) -> list[ModelSummary]:
    """A summary for each version of a model with a verdict, by name."""
    judged: defaultdict[str, list[Judged]] = defaultdict(list)
    answers: Counter[str] = Counter()
    for prediction, of in store.every():
        name = f"{prediction.model}@{prediction.version}"
        answers[name] += 1
        if of:
            judged[name].append((prediction, of))
    return [_summary(name, answers[name], judged[name]) for name in sorted(judged)]


def _summary(name: str, answers: int, judged: Sequence[Judged]) -> ModelSummary:
    rated = [(prediction, [one for one in of if not one.adjudicated]) for prediction, of in judged]
    given = [one for _, of in rated for one in of]
    settled = [verdict for _, of in judged if (verdict := settle(of)) is not None]
    raters = sorted({one.rater for one in given})
    return ModelSummary(
        name=name,
        answers=answers,
        judged=len(judged),
        settled=len(settled),
        right=Share(sum(one.right for one in settled), len(settled)),
        disputed=len(judged) - len(settled),
        raters=[_rater(rater, rated) for rater in raters],
        pairs=[pair for two in combinations(raters, 2) if (pair := _pair(*two, rated)) is not None],
        together=_together([of for _, of in rated]),
        adjudicated=sum(one.adjudicated for _, of in judged for one in of),
        codes={code: Share(sum(code in one.codes for one in given), len(given)) for code in CODES},
        quest={item: _rating([getattr(one.quest, item) for one in given if one.quest]) for item in Quest.model_fields},
        comments=[(one.prediction, one.comment) for one in given if one.comment],
    )


def _rater(name: str, rated: Sequence[tuple[StoredPrediction, list[Verdict]]]) -> RaterSummary:
    mine = [(prediction, one) for prediction, of in rated for one in of if one.rater == name]
    own = [
        (one.own_label, prediction.diagnoses[0].label)
        for prediction, one in mine
        if one.own_label is not None and prediction.diagnoses
    ]
    return RaterSummary(
        name=name,
        right=Share(sum(one.right for _, one in mine), len(mine)),
        own=sum(one.own_label is not None for _, one in mine),
        unknown=sum(one.blinded and one.own_label is None for _, one in mine),
        same=Share(sum(thought == answered for thought, answered in own), len(own)),
        kappa=agreement.cohen_kappa(*zip(*own, strict=True)) if own else None,
    )


def _pair(
    first: str, second: str, rated: Sequence[tuple[StoredPrediction, list[Verdict]]]
) -> tuple[str, str, agreement.Kappa, agreement.Kappa | None] | None:
    both = []
    for _, of in rated:
        said = {one.rater: one for one in of}
        if first in said and second in said:
            both.append((said[first], said[second]))
    if not both:
        return None
    blinded = [(a.own_label, b.own_label) for a, b in both if a.blinded and b.blinded]
    own = agreement.cohen_kappa(*zip(*blinded, strict=True)) if blinded else None
    return first, second, agreement.cohen_kappa([a.right for a, _ in both], [b.right for _, b in both]), own


def _together(rated: Sequence[Sequence[Verdict]]) -> tuple[agreement.Kappa, int, int] | None:
    numbers = Counter(len(of) for of in rated if len(of) > 1)
    if not numbers:
        return None
    number = max(numbers, key=lambda n: (numbers[n], n))
    kappa = agreement.fleiss_kappa([[one.right for one in of] for of in rated if len(of) == number])
    return kappa, number, numbers.total() - numbers[number]


def _rating(values: Sequence[int | None]) -> Mean | None:
    ratings = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(ratings):
        return None
    low, high, _ = Resamples.draw(len(ratings), RESAMPLES, SEED, None).mean_interval(ratings)
    return Mean(len(ratings), float(ratings.mean()), (low, high))


# ── in words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _share(one: Share) -> str:
    if one.interval is None:
        return "–"
    low, high = one.interval
    return f"{one.count} of {one.of}: {one.count / one.of:.0%} [{low:.0%}, {high:.0%}]"


def _kappa(one: agreement.Kappa | None) -> str:
    if one is None:
        return "–"
    low, high, _ = one.interval
    value = "undefined, all said the same" if one.value is None else f"{one.value:.2f}"
    return f"{value}{'' if low is None else f' [{low:.2f}, {high:.2f}]'}, n = {one.n}"


def _mean(one: Mean | None) -> str:
    if one is None:
        return "–"
    low, high = one.interval
    return f"{one.value:.1f}{'' if low is None else f' [{low:.1f}, {high:.1f}]'}, n = {one.n}"
