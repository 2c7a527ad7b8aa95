#!/usr/bin/env python3
"""A year of a model in use, with what went wrong in it: which successors does the gate of scripts/update.py let pass?

python benchmarks/simulated_year.py [--seed 0]      real complaints (tasks/symptom_to_diagnosis), some minutes

The model starts from 150 texts of 18 diagnoses. A month brings 55 texts; from the fourth on those of four more
diagnoses come, too, from the eighth on words are misspelt. Experts judge every answer; 5% of their verdicts are wrong.
Every third month a successor is trained on what they settled and held against the model, by the code that update.py
runs. In the sixth month one half of the verdicts had slipped by a row, in the ninth somebody trained on the test. A
model is TF-IDF + SVM here, so that a training takes a second: what is tried is the way around it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from osler.baselines import Baseline, load_baseline
from osler.data import contamination
from osler.feedback import RankedName, StoredPrediction, Verdict
from osler.runs import Calibration, Run
from osler.succession import Answered, Contest, Rules, divide, judge
from osler.tasks import Case, Perturbation, Task, load_task

ROOT = Path(__file__).resolve().parents[1]
AT_START, A_MONTH, WRONG = 150, 55, 0.05
NEW_DISEASES, NEW_FROM, MISSPELT_FROM = 4, 4, 8
TYPOS = Perturbation("typos", 0.25)
FITTED = Calibration(temperature=1.0)  # the classifier fits its own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the order of the cases (default: %(default)s)")
    draw = random.Random(parser.parse_args().seed)
    task = load_task(ROOT / "tasks" / "symptom_to_diagnosis")
    rows = task.source.training(None, 0).rows
    draw.shuffle(rows)
    late = set(draw.sample(sorted(task.labels), NEW_DISEASES))
    early = [case for case in rows if case.label not in late]
    frozen = [case for case in task.source.split("test") if case.label not in late]
    old = {"train": early[:AT_START], "validation": task.source.split("validation")[:0], "test": frozen}
    others = early[AT_START:], [case for case in rows if case.label in late]
    champion, settled = fitted(task, old["train"]), []
    print(
        "| month | cases | accuracy in use | successor | on the frozen test | on new cases |\n|---|---|---|---|---|---|"
    )
    for month in range(1, 13):
        of_late = A_MONTH // 4 if month >= NEW_FROM else 0
        arrived = [others[1].pop() for _ in range(min(of_late, len(others[1])))]
        arrived += [others[0].pop() for _ in range(min(A_MONTH - len(arrived), len(others[0])))]
        if month >= MISSPELT_FROM:
            arrived = [replace(case, text=TYPOS.text(case.case_id, case.text, case.label)) for case in arrived]
        if not arrived:
            break
        settled += verdicts(champion, arrived, month, sorted(task.labels), draw)
        right = [row.correct for row in champion.predict(arrived, "new")]
        line = f"| {month} | {len(arrived)} | {sum(right) / len(right):.2f} |"
        if month % 3:
            print(f"{line} | | |", flush=True)
            continue
        what, learnt = successor(month, settled, frozen)
        division = divide(old, learnt, task.name, {})
        training = division.splits["train"] + (frozen if what == "trained on the test" else [])
        challenger = fitted(task, training)
        splits = {"test": frozen, "new": division.splits["new"]}
        overlap = contamination.measure(training, splits).splits
        contests = {
            split: Contest(
                Answered(champion.predict(cases, split), FITTED),
                Answered(challenger.predict(cases, split), FITTED),
                {case.case_id: case.sha256 for case in cases},
                overlap[split].normalised.cases,
            )
            for split, cases in splits.items()
        }
        checks = judge(contests, Rules())
        failed = [check.name for check in checks if not check.passed]
        scores = [
            f"{one.champion.right.mean():.3f} → {one.challenger.right.mean():.3f}, n {len(one.challenger.rows)}"
            for one in contests.values()
        ]
        verdict = f"{what}: **refused** ({'; '.join(failed)})" if failed else f"{what}: accepted"
        print(f"{line} {verdict} | {' | '.join(scores)} |", flush=True)
        if not failed:
            champion, old = challenger, {**division.splits, "test": frozen}
            settled = []
    return 0


def successor(
    month: int, settled: Sequence[tuple[StoredPrediction, Verdict]], frozen: Sequence[Case]
) -> tuple[str, list[tuple[StoredPrediction, Verdict]]]:
    """What the successor of a month is, and the verdicts that it is made of."""
    if month == 9:
        return "trained on the test", list(settled)
    if month != 6:
        return "as it should be", list(settled)
    labels = [said(prediction, verdict) for prediction, verdict in settled]
    slipped = [*labels[1:], labels[0]]
    return "half of the verdicts slipped", [
        (prediction, verdict)
        if number % 2
        else (prediction, verdict.model_copy(update={"right": False, "label": slipped[number]}))
        for number, (prediction, verdict) in enumerate(settled)
    ]


def said(prediction: StoredPrediction, verdict: Verdict) -> str | None:
    """The diagnosis that a verdict comes to."""
    return prediction.diagnoses[0].label if verdict.right else verdict.label


def fitted(task: Task, training: Sequence[Case]) -> Baseline:
    """The classifier of these cases."""
    model = load_baseline("tfidf_svm", task, Run(Path("unused")), 0, None)
    model.fit(lambda: training)
    return model


def verdicts(
    champion: Baseline, cases: Sequence[Case], month: int, labels: Sequence[str], draw: random.Random
) -> list[tuple[StoredPrediction, Verdict]]:
    """What the champion answered in a month, and what experts said of it."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=30 * month)
    found = []
    for case, row in zip(cases, champion.predict(cases, "new"), strict=True):
        label = draw.choice(labels) if draw.random() < WRONG else case.label
        prediction = StoredPrediction(
            id=case.case_id.replace("/", "-"),
            at=at,
            model="tfidf_svm",
            version=str(month),
            recipe_sha256="-",
            weights_sha256="-",
            task="symptom_to_diagnosis",
            text_hmac=case.sha256,
            text=case.text,
            tokens=len(case.text.split()),
            diagnoses=(RankedName(label=row.answer, probability=(row.probabilities or (None,))[0]),),
            abstained=False,
            calibrated=True,
        )
        right = label == row.answer
        verdict = Verdict(prediction=prediction.id, rater="ada", at=at, right=right, label=None if right else label)
        found.append((prediction, verdict))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
