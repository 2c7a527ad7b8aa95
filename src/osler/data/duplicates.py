"""Finds near-duplicates: clusters of them, and those that stand on both sides of a split.

Two texts are as similar as the Jaccard similarity of their ``SHINGLE``-byte shingles, once case, spacing and
punctuation are gone. Texts of the same words are found by a hash. For the others MinHash proposes the pairs (Leskovec
et al., Mining of Massive Datasets, sections 3.3 and 3.4), and the two texts of each are compared: nothing is called
similar that is not.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from rensa import RMinHash
from tqdm import tqdm

from osler.errors import InputError

SHINGLE = 5  # bytes (in English: characters), as the book advises for short texts, section 3.2
NEAR = 0.7  # two words of twenty changed (docs/decisions/data.md)
CLUSTER = 0.8  # one word of twenty
SEED = 1  # of the permutations
MISSED = 0.005  # of the pairs exactly at the threshold; of more similar ones far fewer
REPRESENTATIVES = 32  # of one bucket that a text of it is compared with
BATCH = 1000  # texts or pairs handed to a process at once
ALONE = 5000  # texts or fewer are not worth a second process


class Match(NamedTuple):
    """The most similar row of the other side, their Jaccard similarity, and whether their words are the same."""

    row: int
    similarity: float
    exact: bool


class Leakage(NamedTuple):
    """Training row → its most similar held-out row, and held-out row → its most similar training row."""

    training: dict[int, Match]
    held_out: dict[int, Match]


class Fingerprints(NamedTuple):
    """What is kept of each text to find those it is like."""

    words: np.ndarray  # uint64, (texts,): a hash of the normal form; two of a million agree by chance once in 4e7 runs
    bands: np.ndarray  # uint32, (texts, bands): a hash of the minima of each band
    sketch: np.ndarray  # uint8, (texts, minima): the last byte of each, to see which pairs need not be read again


class _Punctuation(dict[int, str]):
    """Every character that tells nothing → a space. Accents, tones and signs do tell: ``ER+``, ``<5``, ``♀``."""

    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if unicodedata.category(chr(code))[0] in "LMNS" else " "
        return self[code]


_PUNCTUATION = _Punctuation()
_MINUS = re.compile(r"(?<=[^\W_])-(?![^\W_])|(?<![^\W_])-(?=\d)")  # of ER- and -1, not of follow-up


def normalise(text: str) -> str:
    """The words and signs of ``text`` in small letters, one space between them, no punctuation."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_MINUS.sub("\N{MINUS SIGN}", text).translate(_PUNCTUATION).split())


def shingles(text: str) -> set[bytes]:
    """Every run of ``SHINGLE`` bytes (in English: characters) of ``text``; all of it where it is shorter."""
    encoded = text.encode()
    return {encoded[start : start + SHINGLE] for start in range(max(1, len(encoded) - SHINGLE + 1))}


def jaccard(a: Set[bytes], b: Set[bytes]) -> float:
    """Size of the intersection over size of the union of two sets that are not both empty."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def sketch(shingles: Set[bytes], permutations: int) -> RMinHash:
    """The MinHash of a set of shingles: ``permutations`` minima of 32 bits, the same in every process."""
    minhash = RMinHash(permutations, SEED)
    minhash.update(shingles)
    return minhash


def banding(threshold: float) -> tuple[int, int]:
    """Number of bands and of minima in each, such that all but ``MISSED`` of the pairs at ``threshold`` share a band.

    A pair of similarity s shares one with probability 1 - (1 - s^rows)^bands (the book, section 3.4). At 0.8: 47 bands
    of 10 rows, and 0.05 at 0.5, 0.0003 at 0.3.

    Raises:
        InputError: ``threshold`` is too low or too high for near-duplicates.
    """
    if not 0.5 <= threshold < 1:
        raise InputError(f"similarity threshold {threshold}: expected 0.5 to below 1; 0.8 is one word of twenty")
    rows = min(25, round(math.log(0.1) / math.log(threshold)))
    return math.ceil(math.log(MISSED) / math.log1p(-(threshold**rows))), rows


def clusters(texts: Sequence[str], threshold: float = CLUSTER, processes: int | None = None) -> np.ndarray:
    """The cluster of every text, int64 of shape (texts,): the smallest row index of the texts it is nearly the same as.

    Two texts are in one cluster if a chain of texts joins them, each at least ``threshold`` similar to the next. Every
    link of a chain was compared exactly; a cluster has no member by estimate. A link is missed only where

    * MinHash proposes the pair in no band: ``MISSED`` of the pairs at the threshold, fewer of more similar ones; or its
      estimate of their similarity is four standard deviations below the threshold (3 in 100,000 of them); or
    * the two meet only in buckets of more than ``REPRESENTATIVES`` + 1 texts. There, so that thousands of similar texts
      do not cost millions of comparisons, each text is compared with at most so many representatives: the first of the
      bucket, and each next one that no representative before it shares a cluster with.

    Texts of the same words are found by their hash, always share a cluster, and cost next to nothing.

    Args:
        texts: read from front to back in slices, then singly where two may be similar; a list, or a column of
            `datasets` that stays on disk.
        threshold: Jaccard similarity, from 0.5 to below 1.
        processes: by default one a core, and this one alone for ``ALONE`` texts or fewer.

    Time grows with the texts and the pairs of them that may be similar, memory by about 700 bytes a text (at 0.8).

    Raises:
        InputError: as :func:`banding`.
    """
    bands, rows = banding(threshold)
    with _workers(processes, len(texts)) as run:
        prints = _fingerprints(texts, bands, rows, run)
        return _join(prints, np.arange(len(texts)), texts.__getitem__, threshold, run)


def fingerprints(texts: Sequence[str]) -> Fingerprints:
    """What :func:`clusters_of` needs of a part of the texts, made in this process."""
    return _fingerprints(texts, *banding(CLUSTER), map)


def clusters_of(prints: Fingerprints, rows: np.ndarray, text: Callable[[int], str]) -> np.ndarray:
    """As :func:`clusters`, of texts whose fingerprints are there: for each of ``rows`` the smallest row of its cluster.

    Args:
        prints: of all texts, in memory or mapped from a file (``bands`` is read a column at a time).
        rows: which of them count, ascending.
        text: gives the text of a row.
    """
    with _workers(None, len(rows)) as run:
        return _join(prints, rows, text, CLUSTER, run)


def _join(
    prints: Fingerprints,
    rows: np.ndarray,
    text: Callable[[int], str],
    threshold: float,
    run: Callable[..., Iterator[Any]],
) -> np.ndarray:
    # Never a later row, so that the root of a tree is its smallest row.
    parents = np.arange(len(prints.words))
    parents[rows] = rows[_first_alike(prints.words[rows])]
    for left, right in _candidates(prints, np.unique(parents[rows]), threshold, parents):
        similar = _similarities(left, right, text, run) >= threshold
        for pair in zip(left[similar].tolist(), right[similar].tolist(), strict=True):
            smaller, larger = sorted(_root(parents, row) for row in pair)
            parents[larger] = smaller
    return _roots(parents, rows)


def leakage(
    training: Sequence[str], held_out: Sequence[str], threshold: float = NEAR, processes: int | None = None
) -> Leakage:
    """The training texts that are at least ``threshold`` similar to a held-out one, and the other way round.

    Arguments, and what may be missed, are those of :func:`clusters`; the representatives of a large bucket are the
    first of its held-out texts. :mod:`osler.data.contamination` reports the overlap of a recipe's splits; this names
    the rows to drop, for any number of texts.

    Raises:
        InputError: as :func:`banding`.
    """
    bands, rows = banding(threshold)
    n = len(held_out)  # rows are counted through: the held-out ones, then those of training
    total = n + len(training)

    def text(row: int) -> str:
        return held_out[row] if row < n else training[row - n]

    with _workers(processes, total) as run:
        sides = [_fingerprints(texts, bands, rows, run) for texts in (held_out, training)]
        prints = Fingerprints(*(np.concatenate(parts) for parts in zip(*sides, strict=True)))
        first = np.concatenate([_first_alike(sides[0].words), n + _first_alike(sides[1].words)])
        pairs = [left * total + right for left, right in _across(prints, np.unique(first), threshold, n)]
        left, right = np.divmod(np.unique(np.concatenate([np.empty(0, np.int64), *pairs])), total)
        similarity = _similarities(left, right, text, run)
    near = similarity >= threshold
    same = np.intersect1d(sides[0].words, sides[1].words, return_indices=True)[1:]
    best: dict[int, Match] = {}
    for held, trained in zip(*(positions.tolist() for positions in same), strict=True):
        best[held], best[n + trained] = Match(trained, 1.0, True), Match(held, 1.0, True)
    for held, trained, s in zip(left[near].tolist(), right[near].tolist(), similarity[near].tolist(), strict=True):
        for row, other in ((held, trained - n), (trained, held)):
            if row not in best or s > best[row].similarity:
                best[row] = Match(other, s, False)
    matches = {row: best[alike] for row, alike in enumerate(first.tolist()) if alike in best}
    return Leakage(
        training={row - n: match for row, match in matches.items() if row >= n},
        held_out={row: match for row, match in matches.items() if row < n},
    )


@contextmanager
def _workers(processes: int | None, texts: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A ``map`` over as many processes as are asked for; results are in order, and tasks are not read far ahead."""
    count = processes or (1 if texts <= ALONE else os.cpu_count() or 1)
    if count == 1:
        yield map
    else:
        with multiprocessing.Pool(count) as pool:
            yield pool.imap


def _fingerprints(texts: Sequence[str], bands: int, rows: int, run: Callable[..., Iterator[Any]]) -> Fingerprints:
    n = len(texts)
    prints = Fingerprints(
        np.empty(n, np.uint64), np.empty((n, bands), np.uint32), np.empty((n, bands * rows), np.uint8)
    )
    slices = [slice(start, start + BATCH) for start in range(0, n, BATCH)]
    batches = (list(texts[part]) for part in slices)
    with tqdm(total=n, desc="sketching", unit=" texts", disable=None) as bar:
        for part, batch in zip(slices, run(partial(_fingerprint, bands=bands, rows=rows), batches), strict=True):
            for whole, own in zip(prints, batch, strict=True):
                whole[part] = own
            bar.update(len(batch.words))
    return prints


def _fingerprint(texts: Sequence[str], bands: int, rows: int) -> Fingerprints:
    normal = [normalise(text) for text in texts]
    distinct = {words: position for position, words in enumerate(dict.fromkeys(normal))}
    # One set at a time: rensa's calls for many start threads of their own, which a forked process would wait for.
    sketches = [sketch(shingles(words), bands * rows).digest() for words in distinct]
    minima = np.array(sketches, np.uint32)
    digests = b"".join(hashlib.blake2b(words.encode(), digest_size=8).digest() for words in distinct)
    # Multiply-shift: two different bands get the same key in 2^-32 of cases (Thorup, High Speed Hashing for Integers
    # and Strings, section 3.3), and then the texts are compared in vain.
    factors = np.random.RandomState(0).randint(2**64, size=rows, dtype=np.uint64)
    keys = (minima.reshape(-1, bands, rows) * factors).sum(axis=2) >> np.uint64(32)
    own = [distinct[words] for words in normal]
    return Fingerprints(
        words=np.frombuffer(digests, np.uint64)[own],
        bands=keys.astype(np.uint32)[own],
        sketch=minima.astype(np.uint8)[own],
    )


def _candidates(
    prints: Fingerprints, rows: np.ndarray, threshold: float, parents: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of ``rows`` (ascending) that share a bucket, are not in one tree of ``parents`` and may be similar.

    Each comes with its representative on the left, which is the smaller row. What the caller unites in ``parents``
    before it asks for more decides what it is given.
    """
    for band in tqdm(range(prints.bands.shape[1]), desc="comparing", unit=" bands", disable=None):
        keys = prints.bands[:, band]
        order = rows[np.argsort(keys[rows], kind="stable")]
        starts = np.flatnonzero(np.append(True, keys[order[1:]] != keys[order[:-1]]))
        sizes = np.diff(np.append(starts, len(order)))
        crowded = np.repeat(sizes > REPRESENTATIVES + 1, sizes)
        bucket = np.repeat(starts, sizes)
        waiting = np.flatnonzero(np.repeat(sizes > 1, sizes))  # positions in ``order`` that are still to be compared
        for _ in range(REPRESENTATIVES):
            opens = np.append(True, bucket[waiting[1:]] != bucket[waiting[:-1]])[: len(waiting)]
            representative = waiting[opens][np.cumsum(opens) - 1]
            representative, waiting = representative[~opens], waiting[~opens]
            if not len(waiting):
                break
            left, right = order[representative], order[waiting]
            apart = np.flatnonzero(_roots(parents, left) != _roots(parents, right))
            apart = apart[_may_be_similar(prints.sketch, left[apart], right[apart], threshold)]
            if len(apart):
                yield left[apart], right[apart]
            waiting = waiting[~crowded[waiting] | (_roots(parents, left) != _roots(parents, right))]


def _across(
    prints: Fingerprints, rows: np.ndarray, threshold: float, n: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The candidates of which the left one is below ``n`` and the right one is not."""
    for left, right in _candidates(prints, rows, threshold, np.arange(prints.words.size)):
        across = (left < n) & (right >= n)
        yield left[across], right[across]


def _may_be_similar(sketch: np.ndarray, left: np.ndarray, right: np.ndarray, threshold: float) -> np.ndarray:
    """Whether as many bytes of the sketches agree as all but 3 of 100,000 pairs at the threshold have in common."""
    n = sketch.shape[1]
    least = n * threshold - 4 * math.sqrt(n * threshold * (1 - threshold))
    size = 20_000  # pairs at a time, 10 MB a side
    parts = range(0, len(left), size)
    agree = [(sketch[left[i : i + size]] == sketch[right[i : i + size]]).sum(axis=1) for i in parts]
    return np.concatenate([np.empty(0), *agree]) >= least


def _similarities(
    left: np.ndarray, right: np.ndarray, text: Callable[[int], str], run: Callable[..., Iterator[Any]]
) -> np.ndarray:
    """The Jaccard similarity of each pair of rows."""
    parts = range(0, len(left), BATCH)
    pairs = (
        [(text(a), text(b)) for a, b in zip(left[i : i + BATCH].tolist(), right[i : i + BATCH].tolist(), strict=True)]
        for i in parts
    )
    return np.fromiter(chain.from_iterable(run(_compare, pairs)), float, len(left))


def _compare(pairs: Sequence[tuple[str, str]]) -> list[float]:
    known = {text: shingles(normalise(text)) for text in set(chain.from_iterable(pairs))}
    return [jaccard(known[a], known[b]) for a, b in pairs]


def _first_alike(words: np.ndarray) -> np.ndarray:
    """For each row the first one of the same words."""
    _, first, copy = np.unique(words, return_index=True, return_inverse=True)
    return first[copy]


def _root(parents: np.ndarray, row: int) -> int:
    while (parent := parents[row]) != row:
        parents[row] = parents[parent]  # halves the path for whoever comes next
        row = parent
    return int(row)


def _roots(parents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    roots = parents[rows]
    while ((above := parents[roots]) != roots).any():
        roots = above
    return roots
