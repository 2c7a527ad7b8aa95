"""From verdicts in a store to a successor that is refused or signed, and back: as a user runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kept import START
from project import SIGNS, script

from osler.feedback import RankedName, StoredPrediction, Verdict
from osler.feedback.store import open_store
from osler.governance import Ledger
from osler.storage import sha256_file
from osler.succession import Rules

WHERE = ("Ward {n}: the patient has {a} and {b}, since spring {n}.", "{b}, then {a}; patient {n} of the day clinic.")


def fill(path: Path, n: int, task: str = "made_up") -> None:
    """A store with ``n`` answers that ada judged: every other one right."""
    store = open_store(str(path), create=True)
    for number in range(n):
        label, signs = list(SIGNS.items())[number % len(SIGNS)]
        said = label if number % 2 else next(name for name in SIGNS if name != label)
        text = WHERE[number // 4 % 2].format(n=1000 + 37 * number, a=signs[number % 3], b=signs[(number + 1) % 3])
        of: dict[str, Any] = {"model": "tiny-made-up", "version": "1.0.0", "recipe_sha256": "a", "weights_sha256": "b"}
        store.add_predictions(
            [
                StoredPrediction(
                    id=f"visit-{number}",
                    at=START,
                    task=task,
                    text_hmac=f"{number}",
                    text=text if number else None,
                    tokens=30,
                    diagnoses=(RankedName(label=said, probability=0.5),),
                    abstained=False,
                    calibrated=True,
                    subgroups={"sex": "female" if number % 3 else "male"},
                    **of,
                )
            ]
        )
        right = said == label
        store.add_verdict(
            Verdict(prediction=f"visit-{number}", rater="ada", at=START, right=right, label=None if right else label)
        )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, evaluated_run: Path) -> Path:
    """A project with a run in use, and a successor that was planned, trained and decided upon in ``next``."""
    folder = tmp_path_factory.mktemp("succession")
    shutil.copytree(evaluated_run.parents[2], folder, dirs_exist_ok=True)
    fill(folder / "answers.db", 80)
    done = script(folder, "update", CHAMPION, "--from", "answers.db", "--output", "next")
    assert done.returncode in (0, 1), done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


CHAMPION = "runs/tiny-made-up/1.0.0"


def decision(project: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / "next" / "decision.json").read_text())
    return content


def test_the_plan_says_before_the_training_what_is_asked(project: Path) -> None:
    plan = json.loads((project / "next" / "plan.json").read_text())
    assert plan["task_version"] == 2
    assert plan["rules"] == Rules().model_dump(), "all that is asked, whatever a later version asks by default"
    assert plan["left_out"]["its text was not kept (serve.py --keep-text)"] == 1
    assert sum(plan["added"].values()) + sum(plan["left_out"].values()) == 80
    assert plan["data_sha256"] == {
        split: sha256_file(project / "next" / "data" / f"{split}.jsonl") for split in plan["rows"]
    }
    assert plan["start"] == "base"
    assert "merged is not there (scripts/evaluate.py" in plan["start_reason"]
    assert "starts from the base: " in (project / "said.txt").read_text()
    assert plan["added"]["new"] == plan["rows"]["new"] == len(plan["cases_sha256"]["new"])


def test_the_frozen_test_is_the_champions_and_new_cases_are_no_training_rows(project: Path) -> None:
    rows = {
        split: [json.loads(line) for line in (project / "next" / "data" / f"{split}.jsonl").read_text().splitlines()]
        for split in ("train", "test", "new", "validation")
    }
    tested = (project / "data" / "made_up" / "test.jsonl").read_text().splitlines()
    assert {row["text"] for row in rows["test"]} == {json.loads(line)["complaint"] for line in tested}
    texts = {split: {row["text"] for row in of} for split, of in rows.items()}
    assert not texts["train"] & (texts["test"] | texts["new"] | texts["validation"])
    (corrected,) = [row for of in rows.values() for row in of if row["case_id"] == "feedback-4"]
    assert corrected["label"] == next(iter(SIGNS))  # what the expert said, not what the model had


def test_the_decision_names_every_check_and_what_was_compared(project: Path) -> None:
    found = decision(project)
    names = [check["name"] for check in found["checks"]]
    assert names[:4] == [
        "both answered every case of test",
        "both answered every case of new",
        "test was not trained on",
        "new was not trained on",
    ]
    assert found["accepted"] == all(check["passed"] for check in found["checks"])
    assert found["challenger"]["version"] == "2.0.0"
    assert len(found["predictions_sha256"]) == 4
    said = (project / "said.txt").read_text()
    assert ("is refused" in said) is not found["accepted"]


def test_it_goes_on_where_it_ended(project: Path) -> None:
    weights = next((project / "next" / "run" / "adapter").glob("*.safetensors"))
    before = weights.stat().st_mtime_ns
    done = script(project, "update", CHAMPION, "--output", "next")
    assert done.returncode in (0, 1), done.stderr
    assert weights.stat().st_mtime_ns == before


def test_a_refusal_cannot_be_signed(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(project, folder)
    found = decision(folder) | {"accepted": False, "reason": "accuracy on test: 0.1"}
    (folder / "next" / "decision.json").write_text(json.dumps(found))
    done = script(folder, "update", CHAMPION, "--output", "next", "--sign", "Ada Adler")
    assert done.returncode == 2
    assert "a refusal cannot be signed away: accuracy on test: 0.1" in done.stderr
    assert not (folder / "runs" / "tiny-made-up" / "in_use.json").exists()


@pytest.mark.slow
def test_a_signed_successor_answers_until_it_is_rolled_back(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(project, folder)
    (folder / "next" / "decision.json").write_text(json.dumps(decision(folder) | {"accepted": True, "reason": None}))
    done = script(folder, "update", CHAMPION, "--output", "next", "--sign", "Ada Adler")
    assert done.returncode == 0, done.stderr
    assert "scripts/publish.py next/run --repo-id USER/NAME --push" in done.stdout
    answered = script(folder, "diagnose", "runs/tiny-made-up", "--text", "A heart murmur and thirst.")
    assert "tiny-made-up@2.0.0" in answered.stdout, answered.stderr
    again = script(folder, "update", CHAMPION, "--output", "next", "--sign", "Ada Adler")
    assert (again.returncode, "has signed it already" in again.stderr) == (2, True)
    kept = (folder / "next" / "decision.json").read_bytes()
    once_more = script(folder, "update", CHAMPION, "--from", "answers.db", "--output", "next")
    assert (once_more.returncode, (folder / "next" / "decision.json").read_bytes()) == (0, kept), "the signature stays"
    assert "in the shadow: no settled case that both models answered" in once_more.stdout
    back = script(folder, "update", CHAMPION, "--rollback", "Ben Baum")
    assert back.returncode == 0, back.stderr
    answered = script(folder, "diagnose", "runs/tiny-made-up", "--text", "A heart murmur and thirst.")
    assert "tiny-made-up@1.0.0" in answered.stdout, answered.stderr
    kinds = [(entry.kind, entry.by) for entry in Ledger(folder / "ledger.jsonl").entries()]
    assert kinds == [
        ("data", None),
        ("model", None),
        ("model", None),
        ("decision", "Ada Adler"),
        ("in use", "Ada Adler"),
        ("in use", "Ada Adler"),
        ("in use", "Ben Baum"),
    ]
    head = json.loads((folder / "next" / "decision.json").read_text())["ledger_head"]
    verified = script(folder, "audit", "verify", "--head", head)
    assert (verified.returncode, "7 entries" in verified.stdout) == (0, True), verified.stderr
    ledger = folder / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("Ada Adler", "Eve Esser", 1))
    verified = script(folder, "audit", "verify")
    assert verified.returncode == 2
    assert "ledger.jsonl:4: entry 4 was changed after it was written" in verified.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "answers.db"], "name the successor's folder with --output"),
        (["--output", "elsewhere"], "name the database of verdicts with --from STORE"),
        (
            ["--output", "elsewhere", "--from", "other.db"],
            "no new case to judge a successor on (left out, 8: ",
        ),
        (["--output", "elsewhere", "--sign", "Ada"], "nothing was decided yet"),
        (["--rollback", "Ada"], "no version was put in use"),
        (["--output", "data", "--from", "answers.db"], "is not empty and holds no plan.json"),
    ],
)
def test_what_is_wrong_is_said_before_time_is_spent(project: Path, arguments: list[str], said: str) -> None:
    if not (project / "other.db").exists():
        fill(project / "other.db", 8, task="another")
    done = script(project, "update", CHAMPION, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
