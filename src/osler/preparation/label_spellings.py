"""Join the spellings of one label, as a source writes it, into one label; find labels that may be spellings of one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from osler.terminology import canonical, spelling, tidy

MIN_LETTERS = 6  # of a word in which a letter may be mistyped; shorter words are one letter from many others


def merge_spellings(
    counts: Mapping[str, int], find_label: Callable[[str], str | None] | None = None
) -> dict[str, str | None]:
    """Label in the source → the label that it stands for, or None.

    Args:
        counts: label in the source → number of rows.
        find_label: looks a label up among those of a task. Without a task, labels that differ only in case, spacing
            and compatible characters (:func:`osler.terminology.spelling.spelling`) are one label, in their most
            frequent spelling.
    """
    written = {label: tidy(label) for label in counts if tidy(label)}
    if find_label is not None:
        return {label: find_label(text) for label, text in written.items()}
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, text in written.items():
        spellings[spelling(text)][text] += counts[label]
    # Ties are broken by spelling, so that the order of the rows does not decide.
    chosen = {form: min(counts, key=lambda text: (-counts[text], text)) for form, counts in spellings.items()}
    return {label: chosen[spelling(text)] for label, text in written.items()}


def find_similar(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that may be one diagnosis: of one canonical form, or with a letter more, less or another.

    Only people can tell: *ileus* and *ileum* are a letter apart.
    """
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for label in labels:
        for form in (canonical(label), spelling(label)):
            for key in _mistyped(form):
                alike[key].add(label)
    group_of: dict[str, frozenset[str]] = {}
    for same in alike.values():
        if len(same) > 1:
            group = frozenset(same).union(*(group_of.get(label, ()) for label in same))
            group_of |= dict.fromkeys(group, group)
    return sorted(sorted(group) for group in set(group_of.values()))


def _mistyped(form: str) -> Iterator[str]:
    """``form``, and ``form`` without each letter of its longer words. What is mistyped has one of them in common."""
    yield form
    for word in re.finditer(rf"[^\W\d_]{{{MIN_LETTERS},}}", form):
        for place in range(*word.span()):
            yield form[:place] + form[place + 1 :]
