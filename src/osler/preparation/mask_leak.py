"""Measure what masks give away: how well their presence and place alone tell the label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from osler.preparation.label_masking import MASK
from osler.statistics import intervals, resample_counts, resampling

FOLDS = 5
MAX_ROWS = 5000  # that are looked at: enough for an interval of two hundredths
RESAMPLES = 1000
SEED = 0


class MaskLeak(TypedDict):
    """How well a classifier tells the label when all it sees of a text is where its masks stand.

    ``accuracy`` is the mean over ``labels`` of the share of their rows that are told right (balanced accuracy), cross-
    validated so that no group is in two folds, with its 95% ``interval``. ``chance`` is what it is without any leak.
    """

    rows: int
    masked_rows: int
    labels: int
    accuracy: float
    interval: tuple[float, float]
    chance: float
    above_chance: bool


def measure(texts: Iterable[str], labels: Sequence[str], groups: Sequence[str]) -> MaskLeak | None:
    """The leak of the masks in ``texts``; None if there is no mask, or fewer than two labels have ``FOLDS`` groups.

    Args:
        texts, labels, groups: parallel, one a row.
    """
    places = np.array([_places(text) for text in texts])
    if not len(places) or not places[:, 0].any():
        return None
    _, label = np.unique(labels, return_inverse=True)
    _, group = np.unique(groups, return_inverse=True)
    enough = np.bincount(np.unique(np.stack([label, group]), axis=1)[0]) >= FOLDS
    rows = np.flatnonzero(enough[label])
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MAX_ROWS, replace=False))
    _, label = np.unique(label[rows], return_inverse=True)
    _, group = np.unique(group[rows], return_inverse=True)
    n_labels = int(label.max(initial=-1)) + 1
    if n_labels < 2:
        return None
    told = _cross_validate(places[rows], label, group)
    names = list(map(str, label))
    counts = resample_counts(len(rows), RESAMPLES, SEED, group)
    replicates = resampling.resampled_label_metrics(names, list(map(str, told)), counts)["balanced_accuracy"]
    accuracy = float(np.mean([(told == label)[label == number].mean() for number in range(n_labels)]))
    low, high = intervals.normal_interval(accuracy, replicates, intervals.effective_groups(group))
    return MaskLeak(
        rows=len(rows),
        masked_rows=int((places[rows, 0] > 0).sum()),
        labels=n_labels,
        accuracy=round(accuracy, 4),
        interval=(round(low, 4), round(high, 4)),
        chance=round(1 / n_labels, 4),
        above_chance=low > 1 / n_labels,
    )


def _places(text: str) -> list[float]:
    """The number of masks, and of the first and the last: how far into the text it stands (0 to 1), and the number of
    words before and behind it in its sentence; -1 if there is none.

    Nothing here tells how long the text is: that is no fault of the masks.
    """
    sentences = [sentence.split() for sentence in re.split("[.:;!?\n]", text)]
    places = []
    before = 0
    for words in sentences:
        masks = [number for number, word in enumerate(words) if MASK in word]
        places += [(before + number, number, len(words) - 1 - number) for number in masks]
        before += len(words)
    if not places:
        return [0.0] + [-1.0] * 6
    return [len(places), *(x for place, *near in (places[0], places[-1]) for x in (place / before, *near))]


def _cross_validate(
    places: npt.NDArray[np.float64], label: npt.NDArray[np.int64], group: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The label that a tree grown on the other folds tells for each row."""
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.tree import DecisionTreeClassifier

    told = np.empty_like(label)
    for others, held_out in StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED).split(places, label, group):
        tree = DecisionTreeClassifier(min_samples_leaf=5, class_weight="balanced", random_state=SEED)
        told[held_out] = tree.fit(places[others], label[others]).predict(places[held_out])
    return told
