"""CDS Hooks 2.0: a card where the model is sure, silence where it is not, and only signed calls of known EHRs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from canned import Canned, canned
from ehr import FINGERS, ISSUER, LENS_IN_WORDS, PATIENT, Ehr, bundle, condition, hook, observation, publishing
from markdown_it import MarkdownIt
from served import keeping, listening

from osler.feedback.store import open_store
from osler.serving.access import Access, read_ehrs
from osler.serving.audit import AuditLog
from osler.serving.model import ServedModel
from osler.serving.server import Server

URL = "/cds-services/canned"
CDS = "https://cds.example.org"


@pytest.fixture(scope="module")
def models() -> dict[str, ServedModel]:
    return {"canned": canned(), "rash": canned("rash", threshold=None)}


@pytest.fixture(scope="module")
def client(models: dict[str, ServedModel]) -> Iterator[httpx.Client]:
    with listening(Server(models)) as address, httpx.Client(base_url=address) as client:
        yield client


def cards(client: httpx.Client, body: Any) -> list[dict[str, Any]]:
    answer = client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["cards"]
    return found


def without_empty(value: Any) -> bool:
    """The specification forbids null, and empty strings, lists and objects."""
    if isinstance(value, dict):
        return bool(value) and all(map(without_empty, value.values()))
    if isinstance(value, list):
        return bool(value) and all(map(without_empty, value))
    return value is not None and value != ""


def test_discovery_lists_each_model_with_a_threshold_at_both_hooks(client: httpx.Client) -> None:
    services = client.get("/cds-services").json()["services"]
    assert [(one["id"], one["hook"]) for one in services] == [("canned", "patient-view"), ("canned", "order-select")]
    for one in services:
        assert without_empty(one)
        assert one["prefetch"]["observations"] == "Observation?patient={{context.patientId}}"
        assert "no FHIR server is called" in one["usageRequirements"]


@pytest.mark.parametrize("at", ["patient-view", "order-select"])
def test_a_sure_answer_is_a_card(client: httpx.Client, models: dict[str, ServedModel], at: str) -> None:
    body = hook(LENS_IN_WORDS, FINGERS, hook=at)
    body["context"] |= {"selections": ["ServiceRequest/1"], "draftOrders": bundle()}
    (card,) = cards(client, body)
    assert without_empty(card)
    assert card["summary"] == "90.0% probability of Marfan syndrome, says a language model"
    assert card["indicator"] == "info"
    assert card["source"]["label"].endswith("canned@1.0.0")
    assert card["source"]["url"] == f"{client.base_url}/"
    assert card["links"][0] == {
        "label": "Marfan syndrome (OMIM:154700)",
        "url": "https://omim.org/entry/154700",
        "type": "absolute",
    }
    assert all(reason["display"] and reason["system"] for reason in card["overrideReasons"])
    uuid.UUID(card["uuid"])
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(card["detail"])
    assert "<td>Ehlers-Danlos syndrome, classic type, 1</td>\n<td>8.0%</td>\n<td>OMIM:130000</td>" in shown
    assert "no medical device" in shown
    scorer = models["canned"].scorer
    assert isinstance(scorer, Canned)
    assert "dislocated lens of the eye" in scorer.asked[-1]


@pytest.mark.parametrize(
    "body",
    [
        hook(FINGERS),  # unsure
        hook(),  # nothing is known
        hook(prefetch={"patient": PATIENT, "conditions": None, "observations": None}),
        hook(LENS_IN_WORDS, conditions=[condition("154700", "Marfan's")]),  # recorded already
    ],
    ids=["unsure", "nothing", "null", "recorded"],
)
def test_there_is_no_card_where_nothing_is_to_be_said(client: httpx.Client, body: Any) -> None:
    assert cards(client, body) == []


def test_a_guess_is_counted_though_it_is_not_shown(client: httpx.Client) -> None:
    cards(client, hook(FINGERS))
    assert 'osler_abstentions_total{model="canned"}' in client.get("/metrics").text


def test_a_summary_stays_below_140_characters_and_a_label_is_no_markup() -> None:
    model = canned()
    name = "A | name [of](javascript:alert) <b>a syndrome</b> " + "with a very long name " * 10
    model.labels = {"OMIM:154700": name}
    with listening(Server({"canned": model})) as address, httpx.Client(base_url=address) as client:
        (card,) = cards(client, hook(LENS_IN_WORDS))
    assert len(card["summary"]) < 140
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(card["detail"])
    assert "<b>" not in shown
    assert "href" not in shown
    assert shown.count("<tr>") == 4


def test_what_was_not_told_is_on_the_card(client: httpx.Client) -> None:
    page = bundle(
        LENS_IN_WORDS,
        observation(9, "Seizure", subject={"reference": "Patient/p2"}),
        kind="searchset",
        link=[{"relation": "next", "url": "https://ehr.example.org/fhir?page=2"}],
    )
    (card,) = cards(client, hook(prefetch={"patient": PATIENT, "conditions": None, "observations": page}))
    assert "has more" in card["detail"]
    assert "1 × Observations whose patient is missing were set aside" in card["detail"]


FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"prefetch": {}}, 412, "patient, conditions, observations missing"),
        ({"prefetch": {"patient": PATIENT, "conditions": None}}, 412, "prefetch: observations missing"),
        ({"prefetch": {"patient": PATIENT, "conditions": FAILED, "observations": None}}, 412, "conditions missing"),
        ({"prefetch": {"patient": None, "conditions": None, "observations": None}}, 412, "patient missing"),
        ({"context": {"userId": "Practitioner/7", "patientId": "p2"}}, 422, "not the Patient of context.patientId"),
        ({"context": {"userId": "Practitioner/7"}}, 422, "body.context.patientId"),
        ({"hook": "order-sign"}, 422, "body.hook"),
        ({"prefetch": {"patient": PATIENT, "conditions": {"resourceType": "Bundle", "entry": 3}}}, 412, "observations"),
        (
            {"prefetch": {"patient": PATIENT, "observations": None, "conditions": bundle() | {"entry": 3}}},
            422,
            "prefetch.conditions: no Bundle",
        ),
        ({"prefetch": {"patient": PATIENT, "conditions": [], "observations": None}}, 422, "body.prefetch.conditions"),
        ({"hook": None}, 422, "body.hook"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_a_line(
    client: httpx.Client, changes: dict[str, Any], status: int, said: str
) -> None:
    answer = client.post(URL, json=hook(LENS_IN_WORDS, **changes))
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]


def test_a_model_that_is_not_offered_is_no_service(client: httpx.Client) -> None:
    for name in ("rash", "other"):
        answer = client.post(f"/cds-services/{name}", json=hook(LENS_IN_WORDS))
        assert (answer.status_code, answer.json()["error"]) == (
            404,
            "no such service; GET /cds-services lists them",
        )


def test_feedback_is_kept_without_what_the_user_wrote(tmp_path: Path, models: dict[str, ServedModel]) -> None:
    system = "urn:osler:override-reasons"
    cases = [
        ("overridden", {"reason": {"code": "unlikely", "system": system}, "userComment": "Ada Lovelace"}),
        ("overridden", {"reason": {"code": "known", "system": system}}),
        ("overridden", {"reason": {"code": "not-now", "system": system}}),
        ("overridden", {"reason": {"code": "Lovelace", "system": "urn:other"}}),
        ("overridden", None),
        ("accepted", None),
    ]
    server = Server(models, keeper=keeping(models, tmp_path))
    with listening(server) as address, httpx.Client(base_url=address) as client:
        sent: list[dict[str, Any]] = [
            {"card": cards(client, hook(LENS_IN_WORDS))[0]["uuid"], "outcome": outcome, "outcomeTimestamp": "now"}
            | ({"overrideReason": reason} if reason else {})
            for outcome, reason in cases
        ]
        assert client.post(f"{URL}/feedback", json={"feedback": sent}).status_code == 204
        assert client.post(f"{URL}/feedback", json={"feedback": []}).status_code == 422
        assert client.post("/cds-services/other/feedback", json={"feedback": sent}).status_code == 404
        assert client.post(f"{URL}/feedback", json={"feedback": sent[:1]}).status_code == 204, "sent again"
        other = {"card": sent[0]["card"], "outcome": "accepted", "outcomeTimestamp": "now"}
        assert client.post(f"{URL}/feedback", json={"feedback": [other]}).status_code == 409
    store = open_store(str(tmp_path / "answers.db"))
    kept = {one.prediction: (one.right, one.comment) for one in store.verdicts()}
    assert kept == {
        sent[0]["card"]: (False, "CDS Hooks: overridden, unlikely"),
        sent[1]["card"]: (True, "CDS Hooks: overridden, known"),
        sent[5]["card"]: (True, "CDS Hooks: accepted"),
    }, "what says nothing of the diagnosis is no verdict"
    patient = hook(LENS_IN_WORDS)["context"]["patientId"]
    assert {one.patient_hmac for one in store.predictions()} == {store.patient_hmac(patient)}


def test_feedback_is_refused_where_none_is_taken(client: httpx.Client) -> None:
    body = {"feedback": [{"card": "a", "outcome": "accepted", "outcomeTimestamp": "2026-04-02T10:00:00Z"}]}
    assert client.post(f"{URL}/feedback", json=body).status_code == 404


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_an_ehr_signs_every_call(models: dict[str, ServedModel], algorithm: str) -> None:
    with publishing(Ehr(algorithm)) as ehr:
        access = Access(ehrs=read_ehrs(CDS, [f"{ISSUER}={ehr.address}"]))
        with listening(Server(models, access)) as address, httpx.Client(base_url=address) as client:

            def status(path: str, audience: str | None = None, key: str | None = None) -> int:
                token = key or ehr.token(audience or CDS + path)
                headers = {"Authorization": f"Bearer {token}"}
                body = hook(LENS_IN_WORDS) if path == URL else {"text": "A dislocated lens."}
                if path == "/cds-services":
                    return client.get(path, headers=headers).status_code
                return client.post(path, headers=headers, json=body).status_code

            assert client.get("/cds-services").status_code == 401
            assert client.post(URL, json=hook(LENS_IN_WORDS)).status_code == 401
            assert status("/cds-services") == 200
            assert status(URL) == 200
            assert status(URL, CDS + "/cds-services/other") == 401, "a token for another service"
            assert status(URL, address + URL) == 401, "whatever name the caller gives this server"
            once = ehr.token(CDS + URL)
            assert [status(URL, key=once) for _ in range(2)] == [200, 401], "a token is good once"
            assert status("/diagnose", CDS + "/diagnose") == 401, "and for CDS services alone"
            assert client.get("/fhir/metadata").status_code == 200


def test_pages_elsewhere_may_call_only_where_that_is_allowed(models: dict[str, ServedModel]) -> None:
    asked = {
        "Origin": "https://ehr.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for origins, status in (((), 405), (("https://ehr.example.org",), 200)):
        with listening(Server(models, origins=origins)) as address:
            answer = httpx.options(address + URL, headers=asked)
            assert answer.status_code == status
            assert ("access-control-allow-origin" in answer.headers) == (status == 200)


def test_nothing_of_the_patient_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    planted = "Ada Lovelace, MRN 00481516"
    model = canned()
    models = {"canned": model}
    server = Server(models, audit=AuditLog(tmp_path / "audit"), keeper=keeping(models, tmp_path))
    body = hook(observation(3, f"Dislocated lens, {planted}"))
    body["prefetch"]["patient"] = {**PATIENT, "name": [{"text": planted}]}
    with listening(server) as address, httpx.Client(base_url=address) as client:
        (card,) = cards(client, body)
        client.post(URL, json=body | {"hook": planted})
        client.post(f"/cds-services/{planted}", json=body)
        client.post(f"{URL}/feedback", json={"feedback": [{"card": planted}]})
        model.encode = lambda text, explain=False: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        assert client.post(URL, json=body).status_code == 500
        metrics = client.get("/metrics").text
    printed = "".join(capfd.readouterr()) + caplog.text
    assert "ZeroDivisionError" in printed
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert card["uuid"] in kept, "feedback on a card finds its line in the audit log"
    for word in ("Lovelace", "00481516", "secret-token"):
        assert word not in printed + kept + metrics
    assert 'osler_requests_total{path="/cds-services/{service}",status="200"}' in metrics
