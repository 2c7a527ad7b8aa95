#!/usr/bin/env python3
"""How fast a store takes predictions and verdicts, and answers the review page.

python benchmarks/feedback_store.py                                     SQLite, in a temporary folder; some minutes
python benchmarks/feedback_store.py postgresql://USER@HOST/DATABASE     both, in turn; that database has to be empty

Writes are the store's own: many a transaction, as rows are brought in, then the last ones each a transaction, as a
service writes them. Half of the verdicts are of one rater, on the answers that
the queue would show first, so that it has to step over all of them; a twentieth of the answers is disputed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np

from osler.feedback import RankedName, StoredPrediction, Verdict, queues
from osler.feedback import store as stores

WRITES, QUERY = 500, 0.1  # a second at least, seconds at most
TIMES = 20
BATCH, SINGLE = 500, 5000  # rows a transaction, but for the last ones
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("urls", nargs="*", metavar="URL", help="empty databases, beside SQLite")
    parser.add_argument("--rows", type=int, default=100_000, help="predictions and verdicts (default: %(default)s)")
    parser.add_argument("--folder", help="where SQLite's file goes for the time (default: the system's)")
    arguments = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for url in (f"sqlite:///{folder}/answers.db", *arguments.urls):
            store = stores.open_store(url, create=True)
            print(store.place if url in arguments.urls else "SQLite", flush=True)
            # A server's disk and its settings are the operator's; SQLite's figures are ours.
            missed |= measure(store, arguments.rows) and url not in arguments.urls
            store.close()
    return int(missed)


def measure(store: stores.Store, rows: int) -> bool:
    """Fill ``store`` and ask it; whether something was slower than SQLite has to be."""
    confidences = np.random.default_rng(0).random(rows).round(4)
    order = np.argsort(confidences, kind="stable")

    def of(n: int) -> tuple[StoredPrediction, tuple[Verdict, ...]]:
        place = int(order[n])
        return prediction(place, confidences[place]), (verdict(place, "ada" if n < rows // 2 else "bo"),)

    slow = written(
        "predictions",
        rows,
        lambda some: store.add_predictions([prediction(n, confidences[n]) for n in some]),
        lambda n: store.add_predictions([prediction(n, confidences[n])]),
    )
    slow |= written(
        "verdicts",
        rows,
        lambda some: store.add_judged([of(n) for n in some]),
        lambda n: store.add_verdict(of(n)[1][0]),
    )
    for n in range(0, rows, 20):
        store.add_verdict(verdict(n, "cy", right=False))
    for name, ask in (
        ("next case, lowest confidence", lambda: queues.next_case(store, "ada", "unsure")),
        ("next case, random", lambda: queues.next_case(store, "ada", "random")),
        ("next disagreement", lambda: queues.next_dispute(store, "di")),
        ("progress", lambda: queues.progress(store, "ada")),
    ):
        seconds = [timed(ask) for _ in range(TIMES)]
        slow |= max(seconds) > QUERY
        middle, worst = 1000 * statistics.median(seconds), 1000 * max(seconds)
        print(f"  {name}: {middle:.1f} ms, at most {worst:.1f}; to be under {1000 * QUERY:.0f}", flush=True)
    started = time.perf_counter()
    settled = sum(1 for _ in store.settled())
    print(f"  all {settled:,} settled ones read in {time.perf_counter() - started:.1f} s", flush=True)
    return slow


def written(what: str, rows: int, together: Callable[[range], object], alone: Callable[[int], object]) -> bool:
    """Write rows of a kind, the last ones alone; whether these were slower than SQLite has to be."""
    first, started = max(0, rows - SINGLE), time.perf_counter()
    for start in range(0, first, BATCH):
        together(range(start, min(start + BATCH, first)))
    if first:
        speed = first / (time.perf_counter() - started)
        print(f"  {first:,} {what}, {BATCH} a transaction: {speed:,.0f} a second", flush=True)
    started = time.perf_counter()
    for n in range(first, rows):
        alone(n)
    speed = (rows - first) / (time.perf_counter() - started)
    print(f"  {rows - first:,} {what}, one a transaction: {speed:,.0f} a second; to be {WRITES} at least", flush=True)
    return speed < WRITES


def timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return time.perf_counter() - started


def prediction(number: int, confidence: float) -> StoredPrediction:
    """One of a size that a service keeps: ten diagnoses, eight findings."""
    diagnoses = [
        RankedName(label=f"OMIM:{154700 + rank}", probability=float(confidence) / 2**rank) for rank in range(10)
    ]
    return StoredPrediction(
        id=f"{number:032x}",
        at=START + timedelta(seconds=number),
        model="benchmark",
        version="1.0.0",
        recipe_sha256="a" * 64,
        weights_sha256="b" * 64,
        task="rare_disease",
        text_hmac=f"{number:064x}",
        tokens=120,
        unknown_share=0.05,
        language="en",
        findings=tuple(f"HP:{1000 + n:07}" for n in range(8)),
        subgroups={"sex": "female", "age_band": "5-17"},
        diagnoses=tuple(diagnoses),
        abstained=False,
        calibrated=True,
    )


def verdict(number: int, rater: str, right: bool = True) -> Verdict:
    at = START + timedelta(days=1, seconds=number)
    return Verdict(prediction=f"{number:032x}", rater=rater, at=at, right=right, codes=("plausible",) if right else ())


if __name__ == "__main__":
    raise SystemExit(main())
