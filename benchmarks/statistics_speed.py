#!/usr/bin/env python3
"""Seconds that scoring takes: prediction files in, results.json with every metric, interval and comparison out.

python benchmarks/statistics_speed.py [--labels 33]    about half a minute; one core; run it with nothing else running
"""

from __future__ import annotations

import argparse
import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # before numpy is imported

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.special import softmax

from osler.evaluation import load_metrics, results

CASES, SYSTEMS, RESAMPLES = 5000, 10, 2000
TARGET = 30  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=33, help="size of the panel")
    labels = parser.parse_args().labels
    load_metrics()  # importing `evaluate` takes seconds of its own, whatever is scored
    with tempfile.TemporaryDirectory() as folder:
        files = [write(Path(folder) / f"{number}.jsonl", number, labels) for number in range(SYSTEMS)]
        started, cpu = time.perf_counter(), time.process_time()
        scored = results.score(files, Path(folder) / "results.json", RESAMPLES)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    metrics = len(scored.records[0].systems["system-0"].metrics)
    print(f"{CASES} cases, {SYSTEMS} systems, {labels} labels, {RESAMPLES} resamples, {metrics} metrics with intervals")
    print(f"{seconds:.1f} s ({cpu:.1f} s of the processor's); to be under {TARGET} s")
    return int(seconds > TARGET)


def write(path: Path, system: int, panel: int) -> Path:
    """A system of its own skill, the same cases for all, subgroups as the tasks have them."""
    cases = np.random.default_rng(0).integers(panel, size=CASES)
    scores = np.random.default_rng(system + 1).normal(size=(CASES, panel)) + (1 + system / 5) * np.eye(panel)[cases]
    probabilities = softmax(1.5 * scores, axis=1)
    order = np.argsort(-probabilities, axis=1)
    with path.open("w", encoding="utf-8") as file:
        for case, (label, ranked) in enumerate(zip(cases, order, strict=True)):
            line = {
                "case_id": f"case-{case:05d}",
                "task": "benchmark",
                "split": "test",
                "system": f"system-{system}",
                "label": f"OMIM:{label:06d}",
                "ranked": [f"OMIM:{other:06d}" for other in ranked],
                "probabilities": [float(f"{p:.8g}") for p in probabilities[case, ranked]],
                "text": None,
                "parsed": True,
                "subgroups": {"sex": ("female", "male")[case % 2], "findings": ("1-5", "6-10", "11+")[case % 3]},
            }
            file.write(json.dumps(line) + "\n")
    return path


if __name__ == "__main__":
    raise SystemExit(main())
