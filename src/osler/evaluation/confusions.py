"""Which labels a system takes for which others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from osler.runs import Prediction

PAIRS = 10  # of labels that are confused
CONFUSED = 8  # labels in the confusion matrix


@dataclass(frozen=True)
class Confusions:
    """The wrong answers of one system.

    Attributes:
        pairs: (label, answer, cases, cases with that label), most frequent first, ``PAIRS`` of them.
        n_pairs: how many different ones there are.
        labels: the ``CONFUSED`` or fewer labels of the most frequent pairs.
        matrix: a row for each of them: how often each of them was the answer, and last, anything else.
    """

    pairs: list[tuple[str, str, int, int]]
    n_pairs: int
    labels: list[str]
    matrix: list[list[int]]

    @property
    def largest(self) -> int:
        """The greatest number off the diagonal."""
        return max(n for row, counts in enumerate(self.matrix) for column, n in enumerate(counts[:-1]) if column != row)


def count_confusions(rows: Sequence[Prediction]) -> Confusions:
    """Count, of the pairs that occur only, how often a label was given for another; ties in alphabetical order."""
    counted = Counter((row.label, row.answer) for row in rows)
    cases = Counter(row.label for row in rows)
    wrong = sorted((-n, label, answer) for (label, answer), n in counted.items() if label != answer)
    labels: list[str] = []
    for _, label, answer in wrong:
        new = [name for name in (label, answer) if name and name not in labels]
        if len(labels) + len(new) > CONFUSED:
            break
        labels += new
    matrix = []
    for label in labels:
        counts = [counted[label, answer] for answer in labels]
        matrix.append([*counts, cases[label] - sum(counts)])
    pairs = [(label, answer, -n, cases[label]) for n, label, answer in wrong[:PAIRS]]
    return Confusions(pairs, len(wrong), labels, matrix)


# What tells subtypes apart in names: a number, a letter, how it is inherited.
_SUBTYPE = re.compile(r"\d+[a-z]?|[ivx]+[a-z]?|[a-z]|type|subtype|autosomal|dominant|recessive|linked|somatic")


def same_but_for_subtype(one: str, other: str) -> bool:
    """Whether two names of diseases have the same words but for what tells subtypes apart."""
    told = [
        [word for word in re.findall(r"[^\W_]+", name.lower()) if not _SUBTYPE.fullmatch(word)] for name in (one, other)
    ]
    return bool(told[0]) and told[0] == told[1]


def count_errors(
    rows: Sequence[Prediction], names: Mapping[str, str], genes: Mapping[str, Collection[str]] = {}
) -> dict[str, int]:
    """Cases by what came of them: right; another subtype of the right disease, by their names; one that the same gene
    causes, where ``genes`` of the labels are known; another disease, with the right one further down the ranking or not
    in it."""
    same_gene = ("another disease of the same gene",) if genes else ()
    kinds = dict.fromkeys(("right", "another subtype", *same_gene, "another disease", "not in the ranking"), 0)
    for row in rows:
        told = [names.get(label, label) for label in (row.label, row.answer)]
        if row.correct:
            kinds["right"] += 1
        elif same_but_for_subtype(*told):
            kinds["another subtype"] += 1
        elif not set(genes.get(row.label, ())).isdisjoint(genes.get(row.answer, ())):
            kinds["another disease of the same gene"] += 1
        else:
            kinds["another disease" if row.parsed and row.label in row.ranked else "not in the ranking"] += 1
    return kinds
