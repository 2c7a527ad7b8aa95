"""What experts settled of the answers that were shown tells how good those in the shadow were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept import LABELS, MODEL, prediction, verdict

from osler.feedback import RankedName, StoredModel
from osler.feedback.store import open_store
from osler.succession import shadow
from osler.succession.decision import Contestant

FIRST, SECOND, THIRD = LABELS
NAMES = list(LABELS.values())
CHALLENGER = MODEL.model_copy(
    update={"version": "2.0.0", "weights_sha256": "c" * 64, "labels": {name: name for name in NAMES}}
)


def side(model: StoredModel) -> Contestant:
    return Contestant(name=model.model, version=model.version, run="", weights_sha256=model.weights_sha256)


def says(label: str) -> tuple[RankedName, ...]:
    return (RankedName(label=label, probability=0.9),)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    learnt = {"case_id": f"feedback-{98:016x}", "group": None}, {"case_id": "x", "group": "patient-ada"}
    for split, row in zip(("train", "validation"), learnt, strict=True):
        (tmp_path / "data" / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def test_both_are_judged_on_the_same_cases_by_the_names_of_their_labels(output: Path) -> None:
    store = open_store(str(output / "answers.db"), create=True)
    for model in (MODEL, CHALLENGER):
        store.add_model(model)

    def asked(n: int, champion: str, successor: str | None, patient: str | None = None) -> None:
        store.add_predictions([prediction(n, diagnoses=says(champion), patient_hmac=patient)])
        if successor is not None:
            told = {"id": f"shadow-{n}", "version": "2.0.0", "weights_sha256": "c" * 64, "shown": False}
            store.add_predictions([prediction(n, diagnoses=says(successor), patient_hmac=patient, **told)])

    for n in range(20):  # the champion is right in half of them, the successor in all but two
        asked(n, FIRST if n % 2 else SECOND, NAMES[0] if n > 1 else NAMES[2])
        store.add_verdict(verdict(n, right=bool(n % 2), label=None if n % 2 else FIRST))
    asked(97, FIRST, NAMES[1])
    store.add_verdict(verdict(97, right=False))  # another one than the first; nobody says which
    asked(98, FIRST, NAMES[0])
    store.add_verdict(verdict(98))  # it was trained on this text
    asked(99, FIRST, NAMES[0], patient="ada")
    store.add_verdict(verdict(99))  # and selected on another one of this patient
    asked(100, FIRST, None)
    store.add_verdict(verdict(100))
    asked(101, FIRST, NAMES[0])  # nobody has judged it
    found = shadow.compare(store, side(MODEL), side(CHALLENGER), output)
    assert found is not None
    assert (found.n, found.champion, found.challenger) == (20, 0.5, 0.9)
    assert (found.unknown, found.learnt) == (1, 2)
    low, high = found.difference_interval
    assert 0 < low < 0.4 < high
    assert found.p == pytest.approx(0.0215, abs=1e-3)  # 9 against 1 of the binomial distribution
    said = shadow.render(found)
    assert "20 settled cases; right: successor 0.900" in said
    assert "difference +0.400" in said
    assert "1 whose right diagnosis is not known, 2 that the successor learnt from" in said
    other = side(CHALLENGER).model_copy(update={"weights_sha256": "d" * 64})
    nothing = shadow.compare(store, side(MODEL), other, output)
    assert shadow.render(nothing) == "in the shadow: no settled case that both models answered"
    store.close()
