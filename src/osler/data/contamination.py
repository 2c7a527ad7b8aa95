"""Overlap between training and held-out cases, measured before a model is loaded.

Four measures of the texts, from strict to loose, and one of the publications behind them:

* ``exact``: the same characters.
* ``normalised``: the same words, whatever their case, spacing and punctuation.
* ``ngrams``: at least ``CONTAINED`` of a held-out text's runs of ``NGRAM`` words stand somewhere in training.
* ``near``: a training text shares at least ``NEAR`` of the character shingles of both (Jaccard similarity). MinHash
  proposes the pairs, then the two texts are compared.
* ``publications``: training data was taken from the publication a held-out case was taken from.

A case with an image is the same where its image is, whatever is said with it: of such cases the pixels are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rensa import RMinHashLSH

from osler.data.duplicates import NEAR, SEED, SHINGLE, jaccard, normalise, shingles, sketch
from osler.errors import InputError
from osler.runs import Contamination
from osler.storage import validated
from osler.tasks import Case

NGRAM = 8  # words; this and the next number are those of Chowdhery et al. (2022), PaLM, section 8
CONTAINED = 0.7
# MinHash proposes a pair of similarity s with probability 1 - (1 - s^ROWS)^BANDS (banding): 0.99 at
# 0.7 and above 0.9999 at 0.8, but 0.06 at 0.3, which unrelated texts of one task seldom reach.
BANDS, ROWS = 25, 5
WORST = 10  # pairs or cases named for each measure
REFUSED = ("exact", "normalised", "publications")  # the same case beyond doubt


def measure(
    training: Iterable[Case],
    splits: Mapping[str, Sequence[Case]],
    training_publications: Collection[str] = (),
    publications: Mapping[str, Mapping[str, Collection[str]]] | None = None,
    allowed: Mapping[str, str] | None = None,
) -> Contamination:
    """Compare training rows with every held-out split. The same rows in the same order give the same report.

    Args:
        training: read once; of a row only its id is kept, where it overlaps.
        splits: name → held-out cases.
        training_publications: the publications that training data was taken from.
        publications: split → case id → publications of the case. Splits that are not in it are not compared.

    ``allowed`` gives the reason why cases of a split may overlap; it is kept in the report.

    Returns:
        The report, without any text: ``settings``, and for each split the number of its cases ``n`` and the measures.
        A measure has ``cases`` (held-out cases that overlap), their ``share`` and the ``WORST`` of them by id, with
        the first training row like it (``exact``, ``normalised``), the most similar one and the similarity (``near``),
        the share of its n-grams that stands in training (``ngrams``), or the publication. Under ``ngrams``,
        ``measured`` are the cases long enough to have any, and ``mean`` is their mean share. ``publications`` is null
        where a split has none.

    Time grows with the training rows and with the *similar* pairs, memory with the held-out texts.
    """
    held_out = {split: _HeldOut(rows) for split, rows in splits.items()}
    for row in training:
        text = _Text(_compared(row))
        for split in held_out.values():
            split.compare(row.case_id, text)
    used = frozenset(training_publications)
    cited = publications or {}
    content = {
        "allowed": dict(allowed or {}),
        "settings": {
            "ngram_words": NGRAM,
            "contained": CONTAINED,
            "shingle_characters": SHINGLE,
            "near": NEAR,
            "minhash": {"bands": BANDS, "rows": ROWS, "seed": SEED},
        },
        "splits": {
            name: {**split.report(), "publications": _publications(cited[name], used) if name in cited else None}
            for name, split in held_out.items()
        },
    }
    return validated(Contamination, content, "contamination")


def check(report: Contamination, splits: Iterable[str], allowed: Mapping[str, str], where: str) -> None:
    """Refuse training data that holds cases of one of ``splits``, unless ``allowed`` gives a reason for that split.

    Only the measures that leave no doubt (``REFUSED``) count. Near-duplicates and shared n-grams are left to the
    report's reader: short texts about one disease are alike without being copies.

    Raises:
        InputError: naming the split, how many of its cases overlap and the first of them.
    """
    for split in splits:
        measures = report.splits[split]
        for name in REFUSED:
            measure = getattr(measures, name)
            if measure and measure.cases and split not in allowed:
                held_out_id, training_id, *_ = measure.worst[0]
                raise InputError(
                    f"{where}: {measure.cases:,} of {measures.n:,} cases of {split} are in the training data"
                    f" ({name} overlap, such as {held_out_id} with {training_id}); take them out of it, or say why they"
                    f" may stay: allow_overlap: {{{split}: <the reason>}}"
                )


def ngrams(text: str) -> set[str]:
    """Every run of ``NGRAM`` words of a normalised text; none where it is shorter."""
    words = text.split()
    return {" ".join(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1)}


def _compared(case: Case) -> str:
    return case.image.pixels_sha256 if case.image else case.text


class _Text:
    """A text in the forms that are compared."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.normalised = normalise(text)
        self.ngrams = ngrams(self.normalised)
        self.shingles = shingles(self.normalised)
        self.sketch = sketch(self.shingles, BANDS * ROWS)


class _HeldOut:
    """The cases of one split, by position, and their overlap with the training rows seen so far."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._ids = [case.case_id for case in cases]
        self._by_text: defaultdict[str, list[int]] = defaultdict(list)
        self._by_words: defaultdict[str, list[int]] = defaultdict(list)
        self._ngrams: list[set[str]] = []
        self._shingles: list[set[bytes]] = []
        self._index = RMinHashLSH(threshold=NEAR, num_perm=BANDS * ROWS, num_bands=BANDS)
        for case, held_out in enumerate(cases):
            text = _Text(_compared(held_out))
            self._by_text[text.text].append(case)
            self._by_words[text.normalised].append(case)
            self._ngrams.append(text.ngrams)
            self._shingles.append(text.shingles)
            self._index.insert(case, text.sketch)
        self._unseen_ngrams = set[str]().union(*self._ngrams)
        self._exact: dict[int, str] = {}
        self._normalised: dict[int, str] = {}
        self._near: dict[int, tuple[float, str]] = {}

    def compare(self, case_id: str, text: _Text) -> None:
        """Note what the training row ``case_id`` has in common with the cases."""
        for case in self._by_text.get(text.text, ()):
            self._exact.setdefault(case, case_id)
        for case in self._by_words.get(text.normalised, ()):
            self._normalised.setdefault(case, case_id)
        self._unseen_ngrams -= text.ngrams
        for case in self._index.query(text.sketch):
            similarity = jaccard(text.shingles, self._shingles[case])
            if similarity >= NEAR and similarity > self._near.get(case, (0.0, ""))[0]:
                self._near[case] = similarity, case_id

    def report(self) -> dict[str, Any]:
        """The measures of the texts."""
        n = len(self._ids)
        near = sorted(self._near.items(), key=lambda item: (-item[1][0], item[0]))
        shares = {case: len(own - self._unseen_ngrams) / len(own) for case, own in enumerate(self._ngrams) if own}
        contained = sorted((-share, case) for case, share in shares.items() if share >= CONTAINED)
        return {
            "n": n,
            "exact": _measure([(self._ids[case], row) for case, row in sorted(self._exact.items())], n),
            "normalised": _measure([(self._ids[case], row) for case, row in sorted(self._normalised.items())], n),
            "ngrams": {
                **_measure([(self._ids[case], round(-share, 4)) for share, case in contained], n),
                "measured": len(shares),
                "mean": round(sum(shares.values()) / max(1, len(shares)), 4),
            },
            "near": _measure([(self._ids[case], row, round(similarity, 4)) for case, (similarity, row) in near], n),
        }


def _publications(cases: Mapping[str, Collection[str]], used: Collection[str]) -> dict[str, Any]:
    shared = ((case_id, sorted(set(cited) & set(used))) for case_id, cited in sorted(cases.items()))
    return _measure([(case_id, both[0]) for case_id, both in shared if both], len(cases))


def _measure(overlapping: Sequence[tuple[Any, ...]], n: int) -> dict[str, Any]:
    """``overlapping``: one entry a case, worst first."""
    return {
        "cases": len(overlapping),
        "share": round(len(overlapping) / max(1, n), 4),
        "worst": [list(entry) for entry in overlapping[:WORST]],
    }
