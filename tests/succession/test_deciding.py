"""A successor is published when a person has signed for these very weights, and for nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from finished import edit_json

from osler.errors import InputError
from osler.governance import Ledger
from osler.publishing import card, checks, folder, run_checks
from osler.runs import Run, note_model
from osler.storage import model_fingerprint, sha256_file, write_model
from osler.succession import Check, Decision, Rules, deciding
from osler.succession.decision import Contestant
from osler.succession.planning import PLAN

HERE = Path("runs/tiny-made-up")


@pytest.fixture
def run(finished_project: Path, tmp_path: Path) -> Run:
    """A run with an accepted decision that nobody has signed yet."""
    shutil.copytree(finished_project, tmp_path, dirs_exist_ok=True)
    run = Run(tmp_path / HERE / "1.0.0")
    (run.folder.parent / PLAN).write_text("{}")
    weights = model_fingerprint(run.adapter_path)
    sides = [
        Contestant(name="tiny-made-up", version=version, run=str(run.folder), weights_sha256=of)
        for version, of in (("0.9.0", "c" * 64), ("1.0.0", weights))
    ]
    check = Check(name="accuracy on test", passed=True, found="0.800, the champion's 0.700")
    decision = Decision(
        schema=1,
        champion=sides[0],
        challenger=sides[1],
        task="made_up",
        task_version=1,
        rules=Rules(),
        plan_sha256=sha256_file(run.folder.parent / PLAN),
        checks=(check,),
        accepted=True,
        reason=None,
        predictions_sha256={},
        decided_at=datetime(2026, 12, 1, tzinfo=timezone.utc),
    )
    write_model(run.folder.parent / deciding.DECISION, decision)
    return run


def sign(run: Run) -> Ledger:
    ledger = Ledger(run.folder.parents[2] / "ledger.jsonl")
    deciding.sign(run.folder.parent, "Ada Adler", ledger)
    return ledger


def refusal(run: Run) -> str:
    """What the check of a publication says, in a line."""
    (said,) = run_checks.decision(run, run.recipe())
    assert "\n" not in said
    return said


def test_a_signed_successor_passes_and_a_run_that_is_none_needs_no_signature(run: Run) -> None:
    ledger = sign(run)
    assert run_checks.decision(run, run.recipe()) == []
    assert deciding.signed(run)[1].path.resolve() == ledger.path.resolve()
    (run.folder.parent / PLAN).unlink()
    (run.folder.parent / deciding.DECISION).unlink()
    assert run_checks.decision(run, run.recipe()) == []


def _edited(**values: object) -> Callable[[Run], None]:
    return lambda run: edit_json(run.folder.parent / deciding.DECISION, **values)


def _forgotten(run: Run) -> None:
    (run.folder.parent / deciding.DECISION).unlink()


def _other_weights(run: Run) -> None:
    weights = next(run.adapter_path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")


def _other_plan(run: Run) -> None:
    (run.folder.parent / PLAN).write_text('{"rules": {}}')


def _other_name(run: Run) -> None:
    edit_json(run.folder.parent / deciding.DECISION, signed_by="Eve Esser")


def _no_ledger(run: Run) -> None:
    (run.folder.parents[2] / "ledger.jsonl").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_forgotten, "nothing was decided yet; run scripts/update.py"),
        (_edited(accepted=False, reason="accuracy on test: 0.1"), "was refused: accuracy on test: 0.1"),
        (_edited(signed_by=None), "nobody has signed it; scripts/update.py"),
        (_other_plan, "has changed since it was decided upon"),
        (_other_weights, "not the weights that"),
        (_other_name, "its signature is no entry of"),
        (_no_ledger, "its signature is no entry of"),
    ],
)
def test_what_nobody_signed_for_is_not_published(run: Run, spoil: Callable[[Run], None], said: str) -> None:
    sign(run)
    spoil(run)
    assert said in refusal(run)


def test_nothing_allows_an_unsigned_successor(run: Run) -> None:
    assert "nobody has signed it" in refusal(run)
    with pytest.raises(InputError, match="nothing allows that: a successor is published when a person has signed"):
        checks.read_allowed(["decision=in a hurry"])


def test_the_card_tells_whose_successor_it_is_and_what_was_asked(run: Run) -> None:
    sign(run)
    publication = run.folder / "publication"
    folder.build(run, publication, "jane/tiny", {}, {})
    text = (publication / "README.md").read_text()
    assert "## Successor of tiny-made-up@0.9.0" in text
    assert "Ada Adler signed for it on" in text
    assert "0.800, the champion's 0.700" in text
    assert json.loads((publication / deciding.DECISION).read_text())["signed_by"] == "Ada Adler"
    assert card.render(Run(publication), "jane/tiny", "1.0.0", {}, {}) == text, "of the published files alone"


def test_a_model_is_noted_once_with_its_hashes(run: Run, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "noted.jsonl")
    for _ in range(2):
        note_model(ledger, run)
    (entry,) = ledger.entries()
    assert entry.subject == "tiny-made-up@1.0.0"
    assert entry.content["weights_sha256"] == run.read_manifest().adapter_sha256
