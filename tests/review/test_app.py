"""A rater sees the answer after they have said what they think; an adjudicator sees what the raters said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kept import LABELS, MODEL, prediction, verdict

from osler.feedback import Quest
from osler.feedback.store import Store, open_store
from osler.review import app as module
from osler.review.app import Review, create_app

ADDRESS = "http://127.0.0.1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "answers.db"), create=True)
    store.add_model(MODEL)
    store.add_predictions([prediction(0, text="Tall, with a dislocated lens."), prediction(1), prediction(2)])
    return store


@pytest.fixture
def client(store: Store) -> TestClient:
    review = Review(store, ("ada", "bo"), "cy", "unsure", {"case-1": "From a file."})
    return TestClient(create_app(review), base_url=ADDRESS)


def following(client: TestClient, rater: str) -> dict[str, Any]:
    answer = client.get("/next", params={"rater": rater})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_case_says_nothing_of_the_answer_until_the_rater_has_spoken(client: TestClient, store: Store) -> None:
    first = client.get("/next", params={"rater": "ada"})
    for secret in ("154700", "Marfan", "0.5", "canned", "abstained"):
        assert secret not in first.text.replace(first.json()["case"]["at"], "")
    assert first.json()["case"]["text"] == "Tall, with a dislocated lens."
    assert client.get("/labels/0").json() == LABELS
    sent = {"rater": "ada", "prediction": "case-0"}
    early = client.post("/verdict", json={**sent, "right": True})
    assert (early.status_code, early.json()) == (409, {"error": "say first what you think yourself"})
    shown = client.post("/own", json={**sent, "label": "OMIM:163950"}).json()
    assert shown["answer"]["diagnoses"][0] == {"label": "OMIM:154700", "name": "Marfan syndrome", "probability": 0.5}
    again = client.post("/own", json={**sent, "label": "OMIM:154700"}).json()
    assert again["own"] == "OMIM:163950", "nobody takes back what they thought before"
    assert following(client, "ada")["own"] == "OMIM:163950", "also after the page was loaded again"
    assert "answer" not in following(client, "bo")
    quest = {"information": 4, "reasoning": 3, "expression": None, "safety": 5, "trust": 2}
    judgement = {**sent, "right": False, "label": "OMIM:163950", "codes": ["dangerous_miss"], "quest": quest}
    assert client.post("/verdict", json=judgement).status_code == 204
    (kept,) = store.verdicts()
    assert (kept.rater, kept.right, kept.label, kept.own_label) == ("ada", False, "OMIM:163950", "OMIM:163950")
    assert (kept.blinded, kept.adjudicated, kept.codes, kept.comment) == (True, False, ("dangerous_miss",), None)
    assert kept.quest == Quest(**quest)  # type: ignore[arg-type]
    after = following(client, "ada")
    assert after["case"]["text"] == "From a file."
    assert after["progress"] == {"answers": 3, "judged": 1, "disputed": 0}


def test_who_does_not_know_says_so_and_may_skip(client: TestClient, store: Store) -> None:
    sent = {"rater": "bo", "prediction": "case-0"}
    client.post("/own", json={**sent, "label": None})
    client.post("/verdict", json={**sent, "right": True})
    (kept,) = store.verdicts()
    assert (kept.blinded, kept.own_label) == (True, None)
    assert client.post("/skip", json={**sent, "prediction": "case-1"}).status_code == 204
    case = following(client, "bo")["case"]
    assert (case["id"], case["text"]) == ("case-2", None)
    client.post("/skip", json={**sent, "prediction": "case-2"})
    assert following(client, "bo")["case"] is None


def test_the_adjudicator_sees_what_was_said_and_not_by_whom(client: TestClient, store: Store) -> None:
    assert following(client, "cy")["case"] is None
    store.add_verdict(verdict(1, "ada", blinded=True, own_label="OMIM:154700"))
    store.add_verdict(verdict(1, "bo", False, label="OMIM:163950", codes=("wrong_reasoning",), comment="too sure"))
    found = following(client, "cy")
    assert found["case"]["id"] == "case-1"
    assert [(one["right"], one["label"], one["own"], one["comment"]) for one in found["verdicts"]] == [
        (True, None, "Marfan syndrome", None),
        (False, "Noonan syndrome 1", None, "too sure"),
    ]
    assert '"ada"' not in str(found["verdicts"])
    sent = {"rater": "cy", "prediction": "case-1", "right": False, "label": "OMIM:163950"}
    assert client.post("/verdict", json=sent).status_code == 204
    assert [(one.id, v.rater, v.adjudicated) for one, v in store.settled()] == [("case-1", "cy", True)]
    assert client.post("/verdict", json=sent).status_code == 204, "a second click"
    twice = client.post("/verdict", json=sent | {"label": None})
    assert twice.status_code == 409
    assert twice.json()["error"] == 'prediction case-1: "cy" has judged it already; a verdict stays as it is'


def test_a_comment_is_kept_without_the_patient(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "unlinked", lambda: lambda text: text.replace("Lovelace", "[NAME]"))
    sent = {"rater": "ada", "prediction": "case-0"}
    client.post("/own", json={**sent, "label": None})
    judgement = {**sent, "right": True, "comment": " Lovelace had it, too. "}
    monkeypatch.setattr(Review, "takes_comments", property(lambda self: False))
    assert client.post("/verdict", json=judgement).json()["error"].endswith("pip install 'osler[deid]'")
    monkeypatch.setattr(Review, "takes_comments", property(lambda self: True))
    assert client.post("/verdict", json=judgement).status_code == 204
    assert [one.comment for one in store.verdicts()] == ["[NAME] had it, too."]


def test_what_takes_the_patient_out_of_comments_is_loaded_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    monkeypatch.setattr(module, "unlinked", lambda: loaded.append(1) or str.upper)
    monkeypatch.setattr(Review, "takes_comments", property(lambda self: True))
    for _ in range(2):
        sent = {"rater": "ada", "prediction": following(client, "ada")["case"]["id"]}
        client.post("/own", json={**sent, "label": None}).raise_for_status()
        client.post("/verdict", json={**sent, "right": True, "comment": "odd"}).raise_for_status()
    assert loaded == [1]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/own", {"rater": "eve", "prediction": "case-0", "label": None}, 422, "rater: not one that this page"),
        ("/own", {"rater": "ada", "prediction": "case-9", "label": None}, 404, "prediction case-9: not in"),
        ("/own", {"rater": "ada", "prediction": "case-0", "label": "OMIM:1"}, 422, "label: none of the task's"),
        ("/own", {"rater": "ada", "prediction": "case-0"}, 422, "body.label: Field required"),
        ("/verdict", {"rater": "cy", "prediction": "case-0", "right": True, "label": "OMIM:154700"}, 422, "label is"),
        ("/verdict", {"rater": "cy", "prediction": "case-0", "right": False, "label": "OMIM:1"}, 422, "label: "),
        ("/verdict", {"rater": "cy", "prediction": "case-0", "right": True, "quest": {"trust": 6}}, 422, "trust: "),
        ("/skip", {"rater": "ada", "prediction": "case-0", "Lovelace": 1}, 422, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    client: TestClient, store: Store, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert list(store.verdicts()) == []


def test_a_page_of_somebody_else_cannot_ask(store: Store) -> None:
    app = create_app(Review(store, ("ada",), None, "unsure", {}))
    assert TestClient(app, base_url="http://evil.example").get("/next?rater=ada").status_code == 400
    answer = TestClient(app, base_url=ADDRESS).get("/next?rater=ada", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
