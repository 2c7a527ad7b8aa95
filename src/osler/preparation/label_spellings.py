"""Merge the spellings of one label, as a source writes it, into one label."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from osler.terminology import canonical


def merge_spellings(
    counts: Mapping[str, int], find_label: Callable[[str], str | None] | None = None
) -> dict[str, str | None]:
    """Label in the source → the label that it stands for, or None.

    Args:
        counts: label in the source → number of rows.
        find_label: looks a label up among those of a task. Without a task, labels of one canonical form
            (:func:`osler.terminology.normal_form.canonical`) are one label, in their most frequent spelling.
    """
    trimmed = {label: " ".join(label.split()) for label in counts if label.strip()}
    if find_label is not None:
        return {label: find_label(text) for label, text in trimmed.items()}
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, text in trimmed.items():
        spellings[_form(text)][text] += counts[label]
    # Ties are broken by spelling, so that the order of the rows does not decide.
    chosen = {form: min(counts, key=lambda text: (-counts[text], text)) for form, counts in spellings.items()}
    return {label: chosen[_form(text)] for label, text in trimmed.items()}


def _form(label: str) -> str:
    """The canonical form together with signs: B+ is not B-, <5 is not >5. A label without words is its own form."""
    return " ".join([canonical(label), *re.findall(r"[+<>=≤≥±]|[-−]$", label)]).strip() or label
