"""Describe a prepared dataset: what became of every row, as the content of ``data_report.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import TypedDict

import numpy as np

from osler.data import duplicates
from osler.preparation import mask_leak
from osler.preparation.cleaning_steps import LabelInText, Step
from osler.preparation.label_checks import warn_of_labels
from osler.preparation.label_masking import MASK
from osler.preparation.label_spellings import find_similar
from osler.preparation.mask_leak import MaskLeak
from osler.preparation.row_selection import RowSelection
from osler.preparation.settings import PreparationSettings
from osler.splits import SPLITS

MAX_EXAMPLES = 3  # of each reason
MAX_EXAMPLE_LENGTH = 200  # characters
MAX_CLUSTERS = 10  # in the report, and cases of each


class StepCounts(TypedDict):
    """A cleaning step and the number of rows that it changed and dropped."""

    step: str
    reason: str
    changed: int
    dropped: int


LengthBin = TypedDict("LengthBin", {"from": int, "to": int, "train": int, "validation": int, "test": int})
"""The number of rows with ``from`` to ``to`` words in each split."""


class LargeCluster(TypedDict):
    """A cluster of near-duplicates, and the ids of some of its cases."""

    rows: int
    cases: list[str]


class ClusterCounts(TypedDict):
    """Clusters of two or more near-duplicates, whose Jaccard similarity is at least ``near``."""

    near: float
    clusters: int
    rows: int
    largest: list[LargeCluster]


class SplitCounts(TypedDict):
    """Rows and groups of a split, and the labels that it has no row of."""

    rows: int
    groups: int
    labels_missing: list[str]


class Example(TypedDict):
    """A dropped row. ``text`` is None if it must not be shown."""

    source: str
    text: str | None


class DataReport(TypedDict):
    """The content of ``data_report.json``.

    ``rows_in`` is the sum of ``rows_out`` and all of ``dropped``. ``labels``, ``lengths``, ``subgroups`` and ``splits``
    count the rows that stayed. ``dates`` counts files by what comes first in their dates, the day or the month.
    ``leakage`` counts training rows that were dropped because they are also in a held-out split of the source.
    ``notices`` count what the reader of a clinical format set aside beside rows, or took in doubt. ``spellings`` is
    label → its other spellings in the source → rows; ``similar_labels`` were not joined, but may be one. ``warnings``
    are sentences. ``split_by`` is the rule, and ``shares`` what it aims at (split → share of the groups; None: at
    none). ``files`` maps names to sha256.
    """

    schema: int
    source: str
    license: str | None
    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    notices: dict[str, int]
    steps: list[StepCounts]
    labels_left_in_text: dict[str, int]
    mask_leak: MaskLeak | None
    labels: dict[str, dict[str, int]]
    spellings: dict[str, dict[str, int]]
    similar_labels: list[list[str]]
    warnings: list[str]
    lengths: list[LengthBin]
    clusters: ClusterCounts
    leakage: dict[str, int]
    splits: dict[str, SplitCounts]
    split_by: str
    shares: dict[str, float] | None
    subgroups: dict[str, dict[str, dict[str, int]]]
    identifiers: dict[str, int] | None
    dates: dict[str, int] | None
    examples: dict[str, list[Example]]
    files: dict[str, str]
    key_fingerprint: str | None


def build_report(
    selection: RowSelection,
    source: str,
    settings: PreparationSettings,
    files: Mapping[str, str],
    notices: Mapping[str, int],
    key_fingerprint: str | None,
    day_first: Mapping[str, bool | None],
) -> DataReport:
    """The report on ``selection``. It holds no text of a row unless ``settings.show_text``: then a few of dropped rows,
    cleaned and de-identified."""
    dropped = Counter(str(reason) for reason in selection.dropped if reason)
    dropped.update(row.kind for row in selection.rejected)
    labels = _label_counts(selection)
    leak = _mask_leak(selection)
    source_labels = Counter(map(str, selection.column(selection.raw, "label")[selection.kept]))
    return DataReport(
        schema=1,
        source=source,
        license=settings.license,
        rows_in=len(selection.dropped) + len(selection.rejected),
        rows_out=len(selection.kept),
        dropped=dict(dropped.most_common()),
        notices=dict(notices),
        steps=_step_counts(selection, settings.steps, dropped),
        labels_left_in_text=_labels_left_in_text(selection, settings.steps),
        mask_leak=leak,
        labels=labels,
        spellings=_spellings(selection),
        similar_labels=find_similar(labels),
        warnings=[
            *warn_of_labels(source_labels),
            *_warn_of_missed(_labels_missed_in_text(selection, settings.steps)),
            *_warn_of_leak(leak),
            *_warn_of_groups(selection),
        ],
        lengths=_lengths(selection),
        clusters=_clusters(selection),
        leakage=selection.leakage,
        splits={split: _split_counts(selection, split, labels) for split in SPLITS},
        split_by=describe_rule(selection, settings),
        shares=None if settings.cutoffs or selection.source_split.any() else dict(settings.shares),
        subgroups=_subgroups(selection),
        identifiers=None
        if settings.key is None
        else dict(Counter(line["type"] for line in selection.audit_lines()).most_common()),
        dates=None
        if settings.key is None
        else {
            "day_first": sum(first is True for first in day_first.values()),
            "month_first": sum(first is False for first in day_first.values()),
        },
        examples=_examples(selection, settings),
        files=dict(files),
        key_fingerprint=key_fingerprint,
    )


def _step_counts(selection: RowSelection, steps: Mapping[str, Step], dropped: Mapping[str, int]) -> list[StepCounts]:
    changed: Counter[str] = Counter()
    for names, n in Counter(selection.column(selection.cleaned, "changed")).items():
        changed.update(dict.fromkeys(names.split(","), n))
    return [
        StepCounts(step=name, reason=step.reason, changed=changed[name], dropped=dropped.get(name, 0))
        for name, step in steps.items()
    ]


def _label_counts(selection: RowSelection) -> dict[str, dict[str, int]]:
    """Label → split → rows, the most frequent label first."""
    kept, counts = selection.kept, {}
    for code in np.unique(selection.label_code[kept]):
        rows = Counter(selection.split[kept[selection.label_code[kept] == code]])
        counts[str(selection.labels[code])] = {split: rows[split] for split in SPLITS}
    return dict(sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0])))


def _labels_left_in_text(selection: RowSelection, steps: Mapping[str, Step]) -> dict[str, int]:
    """Label of common words → the number of its texts that contain it."""
    step = steps.get("label_in_text")
    if not isinstance(step, LabelInText):
        return {}
    return _count_texts(selection, step.count_kept)


def _labels_missed_in_text(selection: RowSelection, steps: Mapping[str, Step]) -> dict[str, int]:
    """Label → the number of its texts that still hold all its words after masking."""
    step = steps.get("label_in_text")
    return _count_texts(selection, step.count_missed) if isinstance(step, LabelInText) else {}


def _count_texts(selection: RowSelection, count: Callable[[str, Iterable[str]], int]) -> dict[str, int]:
    kept, counts = selection.kept, {}
    for code, label in enumerate(map(str, selection.labels)):
        counts[label] = count(label, selection.texts(kept[selection.label_code[kept] == code]))
    return {label: n for label, n in counts.items() if n}


def _mask_leak(selection: RowSelection) -> MaskLeak | None:
    kept = selection.kept
    groups, case_ids = (selection.column(selection.raw, name)[kept] for name in ("group", "case_id"))
    own = np.where(groups == "", case_ids, groups)
    labels = selection.labels[selection.label_code[kept]]
    return mask_leak.measure(selection.texts(kept), labels.tolist(), own.tolist())


def _warn_of_missed(missed: Mapping[str, int]) -> list[str]:
    if not missed:
        return []
    n, most = sum(missed.values()), max(missed, key=lambda label: missed[label])
    return [
        f"{n:,} {'text still holds' if n == 1 else 'texts still hold'} all words of the label in one sentence, though"
        f" no name that is masked (most often {most}: {missed[most]:,}), and may tell the answer; read some of them,"
        " and write the labels as the texts do, or take the sentence out"
    ]


def _warn_of_leak(leak: MaskLeak | None) -> list[str]:
    if leak is None or not leak["above_chance"]:
        return []
    low, high = leak["interval"]
    return [
        f"THE MASKS TELL THE LABEL: from the places of {MASK} alone {leak['accuracy']:.0%} [{low:.0%}, {high:.0%}] of"
        f" the labels are guessed, {leak['chance']:.0%} is chance, and a model can learn that instead of the case;"
        " take out the part of the text that names the diagnosis, or set `action: drop` for label_in_text in task.yaml,"
        " and prepare again"
    ]


def _warn_of_groups(selection: RowSelection) -> list[str]:
    if selection.source_split.any() or selection.column(selection.raw, "group")[selection.kept].any():
        return []
    return [
        "no row names its patient, so notes of one patient can be in train and in test, and the test then flatters the"
        " model; name the column of the patients with --group-column, unless each has one note"
    ]


def _spellings(selection: RowSelection) -> dict[str, dict[str, int]]:
    """Label → its other spellings in the source, if it has any → rows."""
    spellings: dict[str, dict[str, int]] = {}
    source_labels, labels = (selection.column(rows, "label") for rows in (selection.raw, selection.cleaned))
    for (source_label, label), n in sorted(Counter(zip(source_labels, labels, strict=True)).items()):
        if label and (other := source_label.strip()) != label:
            others = spellings.setdefault(label, {})
            others[other] = others.get(other, 0) + n
    return dict(sorted(spellings.items()))


def _lengths(selection: RowSelection) -> list[LengthBin]:
    """The first bin ends below 8 words; each of the others is twice as wide as the one before."""
    words = selection.column(selection.cleaned, "words")[selection.kept]
    edges = [0, *(2**power for power in range(3, max(4, int(words.max()).bit_length() + 1)))]
    bins: list[LengthBin] = []
    for low, high in pairwise(edges):
        rows = Counter(selection.split[selection.kept[(low <= words) & (words < high)]])
        counts = {"train": rows["train"], "validation": rows["validation"], "test": rows["test"]}
        bins.append({"from": low, "to": high - 1, **counts})  # type: ignore[typeddict-item]
    return bins


def _clusters(selection: RowSelection) -> ClusterCounts:
    """Near-duplicates among the rows that stayed."""
    _, cluster, rows = np.unique(selection.cluster[selection.kept], return_inverse=True, return_counts=True)
    case_ids = selection.column(selection.raw, "case_id")
    largest = [number for number in np.argsort(-rows, kind="stable")[:MAX_CLUSTERS].tolist() if rows[number] > 1]
    return ClusterCounts(
        near=duplicates.CLUSTER,
        clusters=int((rows > 1).sum()),
        rows=int(rows[rows > 1].sum()),
        largest=[
            LargeCluster(
                rows=int(rows[number]),
                cases=case_ids[selection.kept[cluster == number][:MAX_CLUSTERS]].tolist(),
            )
            for number in largest
        ],
    )


def _split_counts(selection: RowSelection, split: str, labels: Mapping[str, Mapping[str, int]]) -> SplitCounts:
    positions = selection.kept[selection.split[selection.kept] == split]
    groups, case_ids = (selection.column(selection.raw, name)[positions] for name in ("group", "case_id"))
    return SplitCounts(
        rows=len(positions),
        groups=len(set(np.where(groups == "", case_ids, groups))),
        # An empty split was not wanted, so no label is missing in it.
        labels_missing=[label for label, rows in labels.items() if not rows[split]] if len(positions) else [],
    )


def describe_rule(selection: RowSelection, settings: PreparationSettings) -> str:
    """By what rule rows are split: the same words for the same rule, whatever comes of it."""
    if selection.source_split.any():
        return "The splits are those of the source."
    if cutoffs := settings.cutoffs:
        return f"By date: before {cutoffs[0]} train, before {cutoffs[1]} validation, from then on test."
    shares = ", ".join(f"{100 * share:.4g}% {split}" for split, share in settings.shares.items())
    return (
        f"By a hash of the group, or of the case where it has none, which aims at {shares}. What shares a group or is"
        " nearly the same stays together, some groups are moved so that every split has every label, and rows added"
        " later move no row that is here."
    )


def describe_outcome(report: DataReport) -> str:
    """How many groups each split has, a case without one being its own: ``160 groups: train 131 (82%), …``."""
    groups = {split: counts["groups"] for split, counts in report["splits"].items()}
    total = sum(groups.values())
    return f"{total:,} groups: " + ", ".join(f"{split} {n:,} ({n / total:.0%})" for split, n in groups.items())


def _subgroups(selection: RowSelection) -> dict[str, dict[str, dict[str, int]]]:
    """Subgroup → value → split → rows."""
    counts: Counter[tuple[str, str, str]] = Counter()
    kept = selection.kept
    values = selection.column(selection.raw, "subgroups")[kept]
    for (subgroups, split), n in Counter(zip(values, selection.split[kept], strict=True)).items():
        for name, value in json.loads(subgroups).items():
            counts[name, value, split] += n
    table: dict[str, dict[str, dict[str, int]]] = {}
    for name, value in sorted({(name, value) for name, value, _ in counts}):
        table.setdefault(name, {})[value] = {split: counts[name, value, split] for split in SPLITS}
    return table


def _examples(selection: RowSelection, settings: PreparationSettings) -> dict[str, list[Example]]:
    """Reason → some rows, without their texts unless they are to be shown. One that was dropped before it could be
    de-identified never is."""
    examples: dict[str, list[Example]] = {}
    for reason in dict.fromkeys(str(reason) for reason in selection.dropped if reason):
        positions = np.flatnonzero(selection.dropped == reason)[:MAX_EXAMPLES]
        examples[reason] = [
            Example(
                source=raw["source"],
                text=cleaned["text"][:MAX_EXAMPLE_LENGTH]
                if settings.show_text and not (settings.key and cleaned["dropped"])
                else None,
            )
            for raw, cleaned in selection.raw_and_cleaned(positions)
        ]
    for kind in dict.fromkeys(row.kind for row in selection.rejected):
        rejected = [row for row in selection.rejected if row.kind == kind]
        examples[kind] = [Example(source=f"{row.source}: {row.reason}", text=None) for row in rejected[:MAX_EXAMPLES]]
    return examples
