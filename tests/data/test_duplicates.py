"""Nearly the same texts are found and put together, others are not, and what leaks across a split is named by row."""

from __future__ import annotations

import json
import os
import random
import time
from difflib import SequenceMatcher
from functools import cache, partial
from heapq import nlargest
from itertools import pairwise
from pathlib import Path

import numpy as np
import project
import pytest
from datasets import Dataset

from osler.data import duplicates
from osler.data.duplicates import Match, banding, clusters, jaccard, leakage, normalise, shingles
from osler.errors import InputError

DATA = Path(os.environ.get("OSLER_DATA_DIR") or project.ROOT.parent / "shared" / "data") / "symptom_to_diagnosis"
VOCABULARY = [
    a + b + c for a in ("ba", "di", "fu", "ko", "le") for b in "mnrst" for c in ("ax", "em", "il", "ot", "us")
]


def said(rng: random.Random, words: int = 30) -> list[str]:
    return rng.choices(VOCABULARY, k=words)


def variants(n: int, seed: int = 0) -> list[str]:
    """Texts of which half have copies with up to six words of thirty changed, in no order."""
    rng = random.Random(seed)
    texts: list[str] = []
    while len(texts) < n:
        words = said(rng)
        texts.append(" ".join(words))
        for _ in range(rng.choice((0, 0, 1, 3))):
            for _ in range(rng.randint(0, 3)):
                words[rng.randrange(30)] = rng.choice(VOCABULARY)
            texts.append(" ".join(words))
    rng.shuffle(texts)
    return texts


@cache
def shingled(text: str) -> frozenset[bytes]:
    return frozenset(shingles(normalise(text)))


def similarity(a: str, b: str) -> float:
    return jaccard(shingled(a), shingled(b))


def by_comparing_all(texts: list[str], threshold: float) -> list[int]:
    """The cluster of every text, from every pair there is."""
    cluster = list(range(len(texts)))
    for b in range(len(texts)):
        for a in range(b):
            if cluster[a] != cluster[b] and similarity(texts[a], texts[b]) >= threshold:
                smaller, larger = sorted((cluster[a], cluster[b]))
                cluster = [smaller if c == larger else c for c in cluster]
    return cluster


# ── clusters ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Follow-up, done.", "follow up done", True),
        ("- Fever\n- Cough", "fever; cough", True),
        ("ER+ PR-", "ER- PR+", False),
        ("CRP <5", "CRP >5", False),
        ("viêm tủy", "viêm tụy", False),
        ("ป่า", "ป้า", False),
        ("TSH ↑", "TSH ↓", False),
    ],
)
def test_texts_that_differ_in_a_sign_or_a_tone_are_not_the_same(one: str, other: str, same: bool) -> None:
    assert (normalise(one) == normalise(other)) == same


def test_case_spacing_and_punctuation_make_no_other_text() -> None:
    texts = ["A hot toe.", "Half a headache", "a  HOT toe!", "A cold nose.", "A hot-toe"]
    assert clusters(texts).tolist() == [0, 1, 0, 3, 0]


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_clusters_are_those_of_comparing_every_pair(threshold: float) -> None:
    texts = variants(300)
    expected = by_comparing_all(texts, threshold)
    assert clusters(texts, threshold).tolist() == expected
    assert 100 < len(set(expected)) < 280


def test_a_chain_of_similar_texts_is_one_cluster_though_its_ends_differ() -> None:
    rng = random.Random(0)
    words = said(rng, 40)
    texts = [" ".join(words)]
    for position in range(40):
        words[position] = rng.choice(VOCABULARY)
        texts.append(" ".join(words))
    assert similarity(texts[0], texts[-1]) < 0.3
    assert clusters(texts).tolist() == [0] * 41


def test_nothing_below_the_threshold_is_called_similar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if MinHash proposed every pair."""
    monkeypatch.setattr(duplicates, "_may_be_similar", lambda sketch, left, right, threshold: left == left)
    monkeypatch.setattr(duplicates, "banding", lambda threshold: (20, 1))
    texts = variants(80)
    assert clusters(texts).tolist() == by_comparing_all(texts, 0.8)


def test_more_processes_and_a_column_on_disk_give_the_same_clusters(tmp_path: Path) -> None:
    texts = variants(1500)
    alone = clusters(texts, processes=1)
    assert clusters(texts, processes=2).tolist() == alone.tolist()
    Dataset.from_dict({"text": texts}).save_to_disk(tmp_path)
    assert clusters(Dataset.load_from_disk(tmp_path)["text"], processes=1).tolist() == alone.tolist()
    assert alone.dtype == np.int64


def test_copies_of_one_text_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(a: set[bytes], b: set[bytes]) -> float:
        raise AssertionError("two texts of the same words were compared")

    monkeypatch.setattr(duplicates, "jaccard", compared)
    started = time.process_time()
    assert not clusters(["The same complaint of a hot toe, again and again."] * 50_000, processes=1).any()
    assert time.process_time() - started < 5  # 0.02 ms each; sketching them all would take 10 s and more


def test_thousands_of_texts_that_are_all_alike_do_not_compare_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(0)
    words = said(rng, 60)
    texts = [" ".join([*words, str(number)]) for number in range(2000)]
    pairs = 0

    def counted(a: set[bytes], b: set[bytes]) -> float:
        nonlocal pairs
        pairs += 1
        return jaccard(a, b)

    monkeypatch.setattr(duplicates, "jaccard", counted)
    assert not clusters(texts).any()
    assert 0 < pairs < 10 * len(texts)


def test_near_duplicates_among_texts_that_all_share_their_boilerplate_are_found() -> None:
    """Most differ from every other in a quarter of their words; only a copy with a word more is nearly the same."""
    rng = random.Random(0)
    same = said(rng, 40)
    texts = [" ".join([*said(rng, 15), *same]) for _ in range(300)]
    texts += [f"{text} {rng.choice(VOCABULARY)}" for text in texts[:100]]
    assert min(similarity(a, b) for a, b in pairwise(texts[:300])) > 0.55
    assert clusters(texts, processes=1).tolist() == by_comparing_all(texts, 0.8)


def test_no_texts_and_empty_texts() -> None:
    assert clusters([]).tolist() == []
    assert clusters(["", "a", "...", "b"]).tolist() == [0, 1, 0, 3]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.95, 0.99])
def test_bands_let_few_pairs_at_the_threshold_slip(threshold: float) -> None:
    bands, rows = banding(threshold)
    assert (1 - threshold**rows) ** bands <= duplicates.MISSED
    assert bands * rows < 1200


@pytest.mark.parametrize("threshold", [0, 0.49, 1, 80])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match=f"similarity threshold {threshold}: expected 0.5 to below 1"):
        clusters(["a"], threshold)


# ── leakage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_leaking_rows_are_named_on_both_sides_with_the_most_similar_of_the_other() -> None:
    rng = random.Random(0)
    text, other = " ".join(said(rng)), " ".join(said(rng))
    close, closer = text.rsplit(" ", 2)[0], text.rsplit(" ", 1)[0]
    found = leakage([other, close, text.upper(), close, "nothing"], ["something", closer, text, text + "!"])
    assert similarity(close, closer) > similarity(text, closer) > 0.7
    assert found.training == {
        1: Match(1, similarity(close, closer), False),
        2: Match(2, 1.0, True),
        3: Match(1, similarity(close, closer), False),
    }
    assert found.held_out == {
        1: Match(1, similarity(close, closer), False),
        2: Match(2, 1.0, True),
        3: Match(2, 1.0, True),
    }


def test_leakage_is_that_of_comparing_every_pair() -> None:
    texts = variants(300, seed=1)
    training, held_out = texts[:200], texts[200:300]
    pairs = {(i, j): similarity(a, b) for i, a in enumerate(training) for j, b in enumerate(held_out)}
    found = leakage(training, held_out)
    assert set(found.training) == {i for (i, _), s in pairs.items() if s >= 0.7}
    assert set(found.held_out) == {j for (_, j), s in pairs.items() if s >= 0.7}
    for i, match in found.training.items():
        assert match.similarity == pytest.approx(max(pairs[i, j] for j in range(100)))
    assert 20 < len(found.held_out) < 80


def test_leakage_with_an_empty_side_is_none() -> None:
    assert leakage([], ["a"]) == leakage(["a"], []) == ({}, {})


# ── symptom_to_diagnosis ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def published() -> tuple[list[str], list[str]]:
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not here")
    files = [(DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("train", "test")]
    train, test = ([json.loads(line)["input_text"] for line in lines] for lines in files)
    return train, test


def test_symptom_to_diagnosis_has_four_training_rows_twice(published: tuple[list[str], list[str]]) -> None:
    train, _ = published
    first: dict[str, int] = {}
    again = [(first.setdefault(normalise(text), row), row) for row, text in enumerate(train)]
    found = clusters(train)
    assert sum(row != earlier for earlier, row in again) == 4
    assert all(found[row] == found[earlier] for earlier, row in again)
    assert len(set(found.tolist())) == 835


def test_one_test_row_of_symptom_to_diagnosis_is_in_training_and_nine_are_nearly(
    published: tuple[list[str], list[str]],
) -> None:
    """More than 0.9 similar are nine by difflib's ratio of what is said in small letters. One is 0.64 by Jaccard."""
    train, test = published

    def ratio(a: str, b: str) -> float:
        return SequenceMatcher(None, a.lower(), b.lower(), autojunk=False).ratio()

    nine = set()
    for row, text in enumerate(test):
        nearest = nlargest(6, train, partial(similarity, text))
        if max(ratio(near, text) for near in nearest) > 0.9:
            nine.add(row)
    assert len(nine) == 9
    found = leakage(train, test)
    assert sum(match.exact for match in found.held_out.values()) == 1
    assert (len(found.held_out), len(nine & found.held_out.keys())) == (14, 8)
    assert nine <= leakage(train, test, 0.6).held_out.keys()
    assert leakage([text for row, text in enumerate(train) if row not in found.training], test) == ({}, {})
