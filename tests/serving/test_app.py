"""The HTTP interface as its users meet it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import TEXT, keeping, listening

from osler.feedback.store import open_store
from osler.runs.predictions import read_predictions
from osler.serving.access import Access, new_key, read_keys
from osler.serving.audit import AuditLog
from osler.serving.model import ServedModel, load_models
from osler.serving.server import Server

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def models(evaluated_run: Path) -> dict[str, ServedModel]:
    return load_models([str(evaluated_run)])


@pytest.fixture(scope="module")
def client(models: dict[str, ServedModel]) -> Iterator[httpx.Client]:
    with listening(Server(models)) as address, httpx.Client(base_url=address) as client:
        yield client


def test_an_answer_is_that_of_evaluation(
    evaluated_run: Path, models: dict[str, ServedModel], client: httpx.Client
) -> None:
    (model,) = models.values()
    path = evaluated_run / "predictions" / "made_up-test-tiny-made-up@1.0.0.jsonl"
    texts = [json.loads(line)["complaint"] for line in (evaluated_run.parents[2] / "data/made_up/test.jsonl").open()]
    cases = [{"text": text, "top_k": 4} for text in texts]
    answers = client.post("/diagnose/batch", json={"cases": cases}).json()["answers"]
    temperature = model.fitted.temperature
    assert temperature is not None
    for predicted, answer in zip(read_predictions(path), answers, strict=True):
        assert predicted.probabilities is not None
        assert [one["label"] for one in answer["diagnoses"]] == list(predicted.ranked)
        powers = [p ** (1 / temperature) for p in predicted.probabilities]
        told = [one["probability"] for one in answer["diagnoses"]]
        assert told == pytest.approx([power / sum(powers) for power in powers], abs=1e-6)


def test_an_answer_with_its_explanation_is_the_same_answer(client: httpx.Client) -> None:
    plain = client.post("/diagnose", json={"text": TEXT}).json()
    told = client.post("/diagnose", json={"text": TEXT, "explain": True}).json()
    assert (plain["words"], plain["explanation"]) == (None, None)
    for without, with_it in zip(plain["diagnoses"], told["diagnoses"], strict=True):
        assert without["label"] == with_it["label"]
        assert without["probability"] == pytest.approx(with_it["probability"], abs=1e-5)
    explained = told["explanation"]
    assert explained["label"] == told["diagnoses"][0]["label"]
    assert [{**one, "findings": []} for one in explained["units"]] == [{**one, "findings": []} for one in told["words"]]
    assert 2 <= len(explained["units"]) <= 6
    assert any(one["weight"] for one in explained["units"])
    assert all(TEXT[one["start"] : one["end"]].strip() for one in explained["units"])
    assert "findings: the task names no file of HPO" in explained["notes"][0]
    batch = {"cases": [{"text": TEXT, "explain": True}, {"text": TEXT}, {"text": TEXT + " No fever.", "explain": True}]}
    answers = client.post("/diagnose/batch", json=batch).json()["answers"]
    assert [one["explanation"] is not None for one in answers] == [True, False, True]
    assert answers[0]["words"][0]["weight"] == pytest.approx(told["words"][0]["weight"], abs=1e-4)


def test_one_text(client: httpx.Client) -> None:
    answer = client.post("/diagnose", json={"text": TEXT, "top_k": 2, "request_id": "visit-1"})
    assert answer.status_code == 200
    content = answer.json()
    assert len(content["diagnoses"]) == 2
    assert content["request_id"] == "visit-1"
    assert content["model"]["name"] == "tiny-made-up"
    assert content["calibrated"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"text": ', 400, "no JSON"),
        (b"[]", 422, "body"),
        (b'{"text": " "}', 422, "body.text"),
        (b'{"text": "cough", "top_k": 0}', 422, "body.top_k"),
        (b'{"text": "cough", "topk": 3}', 422, "body.topk: no such key"),
        (b'{"text": "\\ud800"}', 422, "body.text"),
        (json.dumps({"text": "fever " * 3000}).encode(), 422, "more; the model reads 1,024: shorten the text"),
        (json.dumps({"text": "x" * 5_000_000}).encode(), 413, "more than 4,000,000 bytes"),
    ],
    ids=["cut off", "list", "empty", "none asked", "misspelt", "surrogate", "long", "huge"],
)
def test_what_is_wrong_is_told_in_one_line(client: httpx.Client, body: bytes, status: int, said: str) -> None:
    answer = client.post("/diagnose", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_an_unknown_model_is_named_with_those_there_are(client: httpx.Client) -> None:
    answer = client.post("/diagnose?model=other", json={"text": TEXT})
    assert (answer.status_code, answer.json()) == (404, {"error": 'model "other": not served; there are tiny-made-up'})


def test_an_unusual_text_is_answered_with_warnings(client: httpx.Client) -> None:
    text = "Der Junge hat seit drei Tagen hohes Fieber und Schmerzen im unteren Rücken, und er trinkt viel Wasser."
    warnings = client.post("/diagnose", json={"text": text}).json()["warnings"]
    assert any("not to be in the language" in line for line in warnings)
    assert any("of its words are rare or missing" in line for line in warnings)
    assert client.post("/diagnose", json={"text": TEXT}).json()["warnings"] == []


def test_a_clinical_system_gets_the_same_probabilities(client: httpx.Client) -> None:
    told = client.post("/diagnose", json={"text": TEXT, "top_k": 4}).json()["diagnoses"]
    values = [{"name": "text", "valueString": TEXT}, {"name": "topK", "valueInteger": 4}]
    answer = client.post("/fhir/$diagnose", json={"resourceType": "Parameters", "parameter": values}).json()
    (risk,) = (one["resource"] for one in answer["entry"] if one["resource"]["resourceType"] == "RiskAssessment")
    assert [one["outcome"]["text"] for one in risk["prediction"]] == [one["name"] for one in told]
    percents = [one["probabilityDecimal"] for one in risk["prediction"]]
    assert percents == pytest.approx([100 * one["probability"] for one in told], abs=1e-6)


def test_keys_are_asked_for_and_only_their_hashes_are_kept(tmp_path: Path, models: dict[str, ServedModel]) -> None:
    key, line = new_key("ward-7")
    file = tmp_path / "keys.txt"
    file.write_text(f"# who may ask\n{line}\n")
    assert key not in file.read_text()
    with listening(Server(models, Access(read_keys(file)))) as address:
        url = f"{address}/diagnose"
        assert httpx.post(url, json={"text": TEXT}).status_code == 401
        assert httpx.post(url, json={"text": TEXT}, headers={"X-API-Key": "guess"}).status_code == 401
        assert httpx.post(url, json={"text": TEXT}, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert httpx.get(f"{address}/version").status_code == 401
        wrong = (b"{", b"[]", b"{}", b"\xff", b'{"text": "x", "odd": 1}', b"x" * 5_000_000)
        hooks = ("cds-services/s", "cds-services/s/feedback")
        for path in ("diagnose", "diagnose/batch", "feedback", "fhir/$diagnose", *hooks):
            for body in wrong:  # who has no key is told nothing else
                answer = httpx.post(f"{address}/{path}", content=body, headers=JSON)
                assert answer.status_code == 401, (path, body[:9])
        assert httpx.post(url, content=b"{", headers={"X-API-Key": key} | JSON).status_code == 400
        assert httpx.get(f"{address}/cds-services").status_code == 401
        assert httpx.get(f"{address}/fhir/metadata").status_code == 200
        assert httpx.get(f"{address}/health").status_code == 200


def test_feedback_that_contradicts_itself_is_not_taken(tmp_path: Path, models: dict[str, ServedModel]) -> None:
    keeper = keeping(models, tmp_path)
    with listening(Server(models, keeper=keeper)) as address:
        asked = httpx.post(f"{address}/diagnose", json={"text": "A fever.", "request_id": "a"}).raise_for_status()
        first, other = (one["label"] for one in asked.json()["diagnoses"][:2])
        said = {"request_id": "a", "right": True, "label": other}
        answer = httpx.post(f"{address}/feedback", json=said)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("body: right says that the first diagnosis is right, and label names")
        answer = httpx.post(f"{address}/feedback", json=said | {"right": False, "label": first})
        assert answer.status_code == 422
        assert "is the answer's first diagnosis; say right, or name another" in answer.json()["error"]
        assert not keeper.store.verdicts_of("a")
        assert httpx.post(f"{address}/feedback", json=said | {"right": False}).is_success


def test_nothing_of_the_patient_is_kept(
    tmp_path: Path,
    models: dict[str, ServedModel],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    planted = "Ada Lovelace, MRN 00481516, of 12 St James's Square"
    server = Server(models, audit=AuditLog(tmp_path / "audit"), keeper=keeping(models, tmp_path))
    with listening(server) as address, httpx.Client(base_url=address) as client:
        asked = client.post("/diagnose", json={"text": f"{planted}. {TEXT}", "request_id": "a"}).raise_for_status()
        client.post("/diagnose", json={"text": f"{planted}. {TEXT}", planted: 1})
        client.post("/diagnose", content=planted.encode(), headers={"Content-Type": "application/json"})
        client.post(f"/{planted}", json={"text": TEXT})
        client.post("/diagnose", params={"model": planted}, json={"text": TEXT})
        feedback = {"request_id": "a", "right": False, "label": asked.json()["diagnoses"][1]["label"]}
        sent = [feedback | {"label": planted}, feedback | {"request_id": "MRN-00481516"}, feedback, feedback]
        sent.append({"request_id": "a", "right": True})
        assert [client.post("/feedback", json=one).status_code for one in sent] == [422, 404, 204, 204, 409]
        model = next(iter(models.values()))
        broken, model.encode = model.encode, lambda *_: 1 / 0  # type: ignore[method-assign, assignment]
        failed = client.post("/diagnose", json={"text": planted})
        model.encode = broken  # type: ignore[method-assign]
        assert (failed.status_code, set(failed.json())) == (500, {"error"})
        metrics = client.get("/metrics").text
    printed = "".join(capfd.readouterr()) + caplog.text
    assert "ZeroDivisionError" in printed
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    store = open_store(str(tmp_path / "answers.db"))
    assert [one.label for one in store.verdicts()] == [feedback["label"]]
    (answered,) = store.predictions()
    assert (answered.id, answered.text) == ("a", None)
    assert answered.text_hmac in kept
    for word in ("Lovelace", "00481516", "James"):
        assert word not in printed + kept + metrics


def test_prometheus_reads_what_was_answered(client: httpx.Client) -> None:
    client.post("/diagnose", json={"text": TEXT})
    text = client.get("/metrics").text
    assert 'osler_requests_total{path="/diagnose",status="200"}' in text
    assert 'osler_diagnoses_total{label="' in text
    assert "osler_queue_length 0.0" in text
