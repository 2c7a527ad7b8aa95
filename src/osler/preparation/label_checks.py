"""Labels of an export that may not be what a model should learn. They are said, and never changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from osler.terminology import spelling

MAX_NAMED = 3  # labels in a warning
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_NO_LABEL = frozenset(
    ("?", "-", ".", "n/a", "na", "nan", "nil", "none", "null", "missing", "unknown", "unlabeled", "unlabelled", "tbd")
)
# Between diagnoses in one cell. The others also stand within names, so there every part has to be a label, too.
_ALWAYS, _SOMETIMES = re.compile(r"[|\n]"), re.compile(r"[;,/&+]| and ")


def warn_of_labels(counts: Mapping[str, int]) -> list[str]:
    """What a user should look at before a model learns these labels, a sentence each.

    Args:
        counts: label as it is in the source → number of rows.
    """
    warnings = []
    if several := _name_several(counts):
        warnings.append(
            f"{_rows(several, counts, 'names', 'name')} several diagnoses in one cell ({_some(several)}), and each"
            " combination is learnt as a diagnosis of its own; write one diagnosis a row, or leave these rows out"
        )
    if numbers := [label for label in counts if _NUMBER.fullmatch(label.strip())]:
        hidden = "; -1 often marks a label that is hidden or missing: leave such rows out" if "-1" in numbers else ""
        warnings.append(
            f"{_rows(numbers, counts, 'has', 'have')} a number for a label ({_some(numbers)}), and a model will answer"
            f" with it; write the name of the diagnosis{hidden}"
        )
    if unsaid := [label for label in counts if spelling(label) in _NO_LABEL]:
        warnings.append(
            f"{_rows(unsaid, counts, 'has', 'have')} a label that may say that there is none ({_some(unsaid)}), and it"
            " is learnt as a diagnosis; leave these rows out, or empty the cell"
        )
    return warnings


def _name_several(counts: Iterable[str]) -> list[str]:
    labels = {spelling(label) for label in counts}
    found = []
    for label in counts:
        parts = [part for part in _ALWAYS.split(label.strip()) if part.strip()]
        listed = [spelling(part) for part in _SOMETIMES.split(" ".join(label.split()))]
        if len(parts) > 1 or (len(listed) > 1 and labels.issuperset(listed)):
            found.append(label)
    return found


def _rows(labels: Iterable[str], counts: Mapping[str, int], one: str, more: str) -> str:
    """The number of rows, with the verb for one or for more."""
    n = sum(counts[label] for label in labels)
    return f"1 row {one}" if n == 1 else f"{n:,} rows {more}"


def _some(labels: Iterable[str]) -> str:
    """The most telling few: shortest first."""
    named = [" ".join(label.split()) for label in sorted(labels, key=lambda label: (len(label), label))]
    return ", ".join(named[:MAX_NAMED]) + (f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else "")
