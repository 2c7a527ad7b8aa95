#!/usr/bin/env python3
"""Near-duplicates and splits at scale: seconds, peak memory, recall and precision beside a plain datasketch script.

    python benchmarks/data_scale.py                                          10,000 and 100,000 rows, some minutes
    python benchmarks/data_scale.py --rows 10000 100000 1000000 --systems osler

Made-up clinical notes of about 300 characters. One in ten has one to three near-duplicates (Jaccard similarity of
character 5-shingles of 0.8 or more), one in twenty a decoy below that. Every system runs in a process of its own on the
same file; its memory is that of all its processes, shared pages counted once, sampled five times a second. `osler` is
normal forms, clusters and splits; `preparation` is all of scripts/prepare_data.py: reading JSONL, every step of
cleaning, the same clusters and splits, writing, report; `datasketch` is what its manual shows (one process, an index
that is asked before it is added to) with the pairs it proposes compared exactly, and without a split. Exit status 1:
Osler misses a target.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before numpy is imported

import numpy as np

from osler.data import clusters, jaccard, normalise, shingles
from osler.splits import assign

THRESHOLD = 0.8
MIN_RECALL, MIN_PRECISION, MAX_MEMORY, MAX_SLOPE = 0.99, 0.99, 4e9, 1.15
CHECKED = 3000  # rows in clusters that are compared with the rest of their cluster

WORDS = {
    "quality": "burning dull sharp cramping throbbing stabbing constant intermittent mild severe sudden recurrent",
    "symptom": "pain swelling numbness weakness tingling stiffness itching redness bruising tenderness spasm discharge",
    "side": "left right upper lower inner outer front back",
    "site": "knee hip shoulder elbow wrist ankle foot hand neck chest abdomen flank groin thigh calf forearm jaw scalp",
    "sign": "fever chills nausea vomiting fatigue dizziness headache cough wheezing palpitations sweating insomnia",
    "past": "asthma hypertension diabetes gout migraine anaemia hepatitis epilepsy psoriasis glaucoma eczema arthritis",
    "drug": "metformin ramipril aspirin warfarin sertraline omeprazole furosemide salbutamol prednisolone ibuprofen",
    "course": "worsening improving unchanged fluctuating spreading settling",
    "trigger": "exercise meals lying down stress cold air lifting standing coughing alcohol heat walking sleep",
}
LISTS = {kind: words.split() for kind, words in WORDS.items()}


def note(rng: random.Random) -> str:
    """A made-up note; two of them share about a seventh of their shingles."""

    def one(kind: str) -> str:
        return rng.choice(LISTS[kind])

    def complaint() -> str:
        return f"{one('quality')} {one('symptom')} of the {one('side')} {one('site')}"

    who = f"{rng.randint(18, 95)}-year-old {rng.choice(('woman', 'man'))}"
    since = f"{rng.randint(2, 30)} {rng.choice(('hours', 'days', 'weeks', 'months'))}"
    return rng.choice(
        (
            f"{who} with {complaint()} and {complaint()} for {since}, {one('course')} since. Also {one('sign')} and"
            f" {one('sign')} after {one('trigger')}. History of {one('past')} and {one('past')}. Takes {one('drug')}"
            f" and {one('drug')}. Temperature {rng.randint(355, 405) / 10}, pulse {rng.randint(50, 130)}.",
            f"Seen for {complaint()}: a {who}, {since} of {one('sign')}, worse with {one('trigger')}. On examination"
            f" {complaint()}, {complaint()} and {one('sign')}. Known {one('past')}, on {one('drug')}; {one('course')}."
            f" Blood pressure {rng.randint(90, 190)} over {rng.randint(50, 110)}.",
            f"{complaint().capitalize()}, then {complaint()}. Onset {since} ago during {one('trigger')}. The patient, a"
            f" {who}, reports {one('sign')} and {one('sign')}, no {one('sign')}. Past: {one('past')}, {one('past')}."
            f" {one('drug').capitalize()} stopped, {one('drug')} started. Now {one('course')}.",
        )
    )


def edited(text: str, edits: int, rng: random.Random) -> str:
    """``text`` with so many words replaced, left out, or misspelt."""
    words = text.split()
    for _ in range(edits):
        at = rng.randrange(len(words))
        kind = rng.randrange(3)
        if kind == 0:
            words[at] = rng.choice(LISTS[rng.choice(list(LISTS))])
        elif kind == 1 and len(words) > 10:
            del words[at]
        else:
            letter = rng.randrange(len(words[at]))
            words[at] = words[at][:letter] + rng.choice("aeionrst") + words[at][letter + 1 :]
    return " ".join(words)


def make(rows: int, folder: Path) -> None:
    """``texts.txt``, a row a line, and ``pairs.npy``: a row, an edited copy of it, and their similarity."""
    rng = random.Random(rows)
    texts: list[str] = []
    pairs: list[tuple[int, int, float]] = []
    while len(texts) < rows:
        base, text = len(texts), note(rng)
        texts.append(text)
        dice = rng.random()
        edits = [rng.randint(1, 4) for _ in range(rng.randint(1, 3))] if dice < 0.1 else [rng.randint(6, 12)]
        for count in edits if dice < 0.15 else ():
            copy = edited(text, count, rng)
            pairs.append((base, len(texts), jaccard(shingles(normalise(text)), shingles(normalise(copy)))))
            texts.append(copy)
    place = rng.sample(range(len(texts)), len(texts))
    shuffled = [""] * len(texts)
    for text, position in zip(texts, place, strict=True):
        shuffled[position] = text
    (folder / "texts.txt").write_text("\n".join(shuffled), encoding="utf-8")
    np.save(folder / "pairs.npy", np.array([(place[a], place[b], s) for a, b, s in pairs]))


def osler(texts: list[str]) -> np.ndarray:
    """Clusters and a split of all rows."""
    found = clusters(texts, THRESHOLD)
    ids = [f"case-{row}" for row in range(len(texts))]
    assign(ids, [f"diagnosis {zlib.crc32(i.encode()) % 40}" for i in ids], [None] * len(ids), found)
    return found


def preparation(texts: list[str]) -> None:
    """Everything that is done to an export, from a file to files."""
    from osler.preparation import DEFAULT_STEPS, Columns, PreparationSettings, parse_steps, prepare, read

    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "export.jsonl")
        with file.open("w", encoding="utf-8") as lines:
            for row, text in enumerate(texts):
                lines.write(json.dumps({"id": row, "note": text, "diagnosis": f"diagnosis {row % 40}"}) + "\n")
        texts.clear()  # it reads the file
        rows = read(str(file), Columns("note", "diagnosis", "id"))
        settings = PreparationSettings(parse_steps(list(DEFAULT_STEPS), ""))
        prepare(((None, row) for row in rows), Path(name, "out"), settings, file.name)


def datasketch(texts: list[str]) -> np.ndarray:
    """29 bands of 8 minima let 1 in 200 of the pairs at 0.8 slip, as osler's 47 of 10 do, for half the minima."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=232, params=(29, 8))
    parents = list(range(len(texts)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    blank = MinHash(num_perm=232, hashfunc=zlib.crc32)
    for row, text in enumerate(texts):
        own = shingles(normalise(text))
        minhash = blank.copy()
        minhash.update_batch(own)
        for other in index.query(minhash):
            if root(other) != root(row) and jaccard(own, shingles(normalise(texts[other]))) >= THRESHOLD:
                smaller, larger = sorted((root(other), root(row)))
                parents[larger] = smaller
        index.insert(row, minhash, check_duplication=False)
    return np.array([root(row) for row in range(len(texts))])


SYSTEMS = {"osler": osler, "preparation": preparation, "datasketch": datasketch}


def work(system: str, folder: Path) -> int:
    """What the process of a system does: read, run, write what it found and the seconds without the reading."""
    texts = (folder / "texts.txt").read_text(encoding="utf-8").split("\n")
    started, before = time.perf_counter(), processor()
    found = SYSTEMS[system](texts)
    print(json.dumps({"seconds": time.perf_counter() - started, "processor": processor() - before}))
    if found is not None:
        np.save(folder / f"{system}.npy", found)
    return 0


def processor() -> float:
    """Seconds of the processor's that this process and those it started have used."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run(system: str, folder: Path) -> dict[str, float]:
    """``seconds``, ``processor`` and ``bytes`` of a system on the rows in ``folder``."""
    command = [sys.executable, __file__, "--work", system, "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        time.sleep(0.2)
    assert process.stdout is not None
    if process.returncode:
        raise SystemExit(f"{system} ended with status {process.returncode}")
    return {**json.loads(process.stdout.read()), "bytes": peak}


def memory(pid: int) -> int:
    """Bytes of a process and of those it started; pages that several share are divided among them."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) * 1024
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += memory(int(child))
    except OSError:  # it has ended
        pass
    return total


def quality(system: str, folder: Path) -> dict[str, float]:
    """``recall``: planted pairs in one cluster. ``precision``: rows in a cluster that are similar to one of it."""
    if not (folder / f"{system}.npy").is_file():  # it writes files, no clusters
        return {"planted": math.nan, "recall": math.nan, "precision": math.nan}
    found, pairs = np.load(folder / f"{system}.npy"), np.load(folder / "pairs.npy")
    planted = pairs[pairs[:, 2] >= THRESHOLD, :2].astype(int)
    texts = (folder / "texts.txt").read_text(encoding="utf-8").split("\n")
    members = defaultdict(list)
    for row, cluster in enumerate(found.tolist()):
        members[cluster].append(row)
    clustered = [row for rows in members.values() if len(rows) > 1 for row in rows]
    checked = random.Random(0).sample(clustered, min(CHECKED, len(clustered)))

    def linked(row: int) -> bool:
        own = shingles(normalise(texts[row]))
        others = (other for other in members[found[row]] if other != row)
        return any(jaccard(own, shingles(normalise(texts[other]))) >= THRESHOLD for other in others)

    return {
        "planted": len(planted),
        "recall": float((found[planted[:, 0]] == found[planted[:, 1]]).mean()),
        "precision": sum(map(linked, checked)) / max(1, len(checked)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--work", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work, arguments.folder)
    results: dict[tuple[str, int], dict[str, Any]] = {}
    print("     rows  system       seconds  processor's  µs a row      MB   recall  precision")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as name:
            make(rows, Path(name))
            for system in arguments.systems:
                result = {**run(system, Path(name)), **quality(system, Path(name))}
                results[system, rows] = result
                print(
                    f"{rows:9,}  {system:10}  {result['seconds']:8.1f}  {result['processor']:11.1f}"
                    f"  {result['seconds'] / rows * 1e6:8.0f}  {result['bytes'] / 1e6:6.0f}"
                    f"  {result['recall']:7.4f}  {result['precision']:9.4f}",
                    flush=True,
                )
    return report(results, arguments.rows, arguments.systems)


def report(results: dict[tuple[str, int], dict[str, Any]], rows: list[int], systems: list[str]) -> int:
    """Print slopes and ratios; 1 if osler misses a target."""
    failed = 0
    for system in systems:
        if len(rows) > 1:
            seconds, sizes = [results[system, n]["seconds"] for n in rows], [results[system, n]["bytes"] for n in rows]
            slopes = [np.polyfit(np.log(rows), np.log(values), 1)[0] for values in (seconds, sizes)]
            print(f"{system}: seconds grow with rows^{slopes[0]:.2f}, memory with rows^{slopes[1]:.2f}")
            failed |= system != "datasketch" and slopes[0] > MAX_SLOPE
    for n in rows if len(systems) == len(SYSTEMS) else ():
        ours, theirs = results["osler", n], results["datasketch", n]
        times, part = theirs["seconds"] / ours["seconds"], ours["bytes"] / theirs["bytes"]
        print(f"{n:,} rows: osler is {times:.1f} times as fast as datasketch in {part:.0%} of its memory")
        failed |= times < 1
    for (system, _), result in results.items():
        if system == "osler":
            failed |= result["recall"] < MIN_RECALL or result["precision"] < MIN_PRECISION
        failed |= system != "datasketch" and result["bytes"] > MAX_MEMORY
    print(
        f"targets: recall {MIN_RECALL} and precision {MIN_PRECISION} or more, below {MAX_MEMORY / 1e9:.0f} GB, no"
        f" slower than datasketch, exponent of {MAX_SLOPE} or less: {'missed' if failed else 'met'}"
    )
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
