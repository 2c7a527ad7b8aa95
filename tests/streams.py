"""Made-up cases of a model in use, and of its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from osler.feedback import RankedName, StoredPrediction, Verdict
from osler.monitoring.observed import Observed
from osler.monitoring.records import Monitoring
from osler.monitoring.reference import Reference
from osler.monitoring.watching import Watch

LABELS = ("OMIM:1", "OMIM:2", "OMIM:3", "OMIM:4")
FINDINGS = tuple(f"HP:{number:07}" for number in range(30))
START = datetime(2026, 11, 1, tzinfo=timezone.utc)


def cases(n: int, seed: int = 0) -> Observed:
    """``n`` calibrated answers."""
    draw = np.random.default_rng(seed)
    confidence = draw.beta(4, 2, size=n)
    return Observed(
        tokens=draw.integers(40, 120, size=n).astype(float),
        unknown_share=draw.beta(2, 20, size=n),
        confidence=confidence,
        abstained=(confidence < 0.4).astype(float),
        right=(draw.random(n) < confidence).astype(float),
        language=("en",) * n,
        label=tuple(draw.choice(LABELS, size=n, p=[0.4, 0.3, 0.2, 0.1])),
        findings=tuple(tuple(draw.choice(FINDINGS, size=3, replace=False)) for _ in range(n)),
        subgroups=tuple({"sex": sex} for sex in draw.choice(("female", "male"), size=n)),
    )


def reference(n: int = 400, groups: int = 100, seed: int = 1, **not_watched: str) -> Reference:
    """An evaluation of ``n`` cases of ``groups`` publications."""
    return Reference("test", cases(n, seed), np.arange(n) % groups, not_watched)  # type: ignore[arg-type]


def stored(seen: Observed, weights: str, **changes: Any) -> list[StoredPrediction]:
    """The cases as a service keeps them, one a minute."""
    return [
        StoredPrediction(
            id=f"case-{number}",
            at=START + timedelta(minutes=number),
            model="tiny-made-up",
            version="1.0.0",
            recipe_sha256="0" * 64,
            weights_sha256=weights,
            task="made_up",
            text_hmac="0" * 64,
            tokens=int(seen.tokens[number]),
            unknown_share=float(seen.unknown_share[number]),
            language=seen.language[number],
            findings=seen.findings[number],
            subgroups=dict(seen.subgroups[number]),
            diagnoses=(RankedName(label=str(seen.label[number]), probability=float(seen.confidence[number])),),
            abstained=bool(seen.abstained[number]),
            **{"calibrated": True, **changes},
        )
        for number in range(len(seen))
    ]


def judged(seen: Observed, numbers: Sequence[int], rater: str = "ana", right: bool | None = None) -> list[Verdict]:
    """A rater's verdict on some of them: what is so, or ``right``."""
    return [
        Verdict(
            prediction=f"case-{number}",
            rater=rater,
            at=START + timedelta(days=2),
            right=bool(seen.right[number]) if right is None else right,
        )
        for number in numbers
    ]


def drawn(watch: Watch, n: int, seed: int = 0) -> Observed:
    """Cases like those of the evaluation of a run."""
    known = watch.detectors.reference.cases
    return known.take(np.random.default_rng(seed).integers(len(known), size=n))


def report(watch: Watch, seen: Observed, verdicts: int = 0, **changes: Any) -> Monitoring:
    """What is seen of the cases, the first ``verdicts`` of which somebody has judged."""
    return watch.report(stored(seen, watch.manifest.adapter_sha256, **changes), judged(seen, range(verdicts)))
