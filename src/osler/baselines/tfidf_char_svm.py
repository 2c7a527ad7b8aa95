"""A linear classifier of letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from osler.baselines.tfidf_svm import TfidfSvm


class TfidfCharSvm(TfidfSvm):
    """:class:`TfidfSvm` on character 2- to 5-grams inside words, which inflected and misspelt words still share."""

    ngrams: ClassVar[Mapping[str, Any]] = {"analyzer": "char_wb", "ngram_range": (2, 5)}
