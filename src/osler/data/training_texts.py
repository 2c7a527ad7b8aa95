"""What training texts are like, told without quoting one, and how far another text is from them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from osler.data.training_data import IGNORED, TrainingData
from osler.runs import Panel, TrainingTexts
from osler.storage import plain, validated
from osler.tasks import Case, Task

# A word in the texts of fewer patients or publications may be somebody's name; it is the least group that HIPAA's
# expert determinations commonly ask for, too.
MIN_UNITS = 5
SHARE = 0.99  # of the training rows are within what is usual

_WORD = re.compile(r"[^\W\d_]+")


def unknown_share(text: str, words: Collection[str]) -> float:
    """The share of the words of ``text``, each counted once, that are not among ``words``; 0 where it has none."""
    own = _words(text)
    return len(own.difference(words)) / len(own) if own else 0.0


def describe_texts(rows: Sequence[Case], lengths: Sequence[int]) -> TrainingTexts:
    """What the texts of ``rows`` are like, whose prompts have ``lengths`` tokens."""
    units: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        for word in _words(row.text):
            units[word].add(row.unit)
    words = {word for word, of in units.items() if len(of) >= MIN_UNITS}
    shares = [unknown_share(row.text, words) for row in rows]
    return TrainingTexts(
        words=tuple(sorted(words)),
        min_units=MIN_UNITS,
        tokens=int(np.quantile(lengths, SHARE, method="higher")),
        unknown_share=round(float(np.quantile(shares, SHARE, method="higher")), 4),
    )


def describe_panel(task: Task, data: TrainingData) -> Panel:
    """``panel.json``: the labels of ``task``, and what its rows among the training rows are like."""
    own = [n for n, index in enumerate(data.task_indices) if index == 0]
    lengths = [_prompt_length(data.examples[n]) for n in own]
    texts = describe_texts([data.rows[n] for n in own], lengths) if own else None
    content = {"schema": 1, "labels": dict(task.labels), "texts": texts and plain(texts)}
    return validated(Panel, content, "panel.json")


def _prompt_length(example: Mapping[str, Sequence[int]]) -> int:
    """The tokens of an example that are asked, not answered."""
    if "lengths" in example:  # of a reranker
        return example["lengths"][0]
    tokens, labels = example["input_ids"], example["labels"]
    return labels.count(IGNORED) if len(labels) == len(tokens) else len(tokens)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
