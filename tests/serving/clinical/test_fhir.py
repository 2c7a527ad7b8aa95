"""FHIR R4: what is answered is valid, says what the model said, and never more than that."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from canned import LABELS, Canned, canned
from ehr import FINGERS, LENS_IN_WORDS, PATIENT, bundle, condition, observation
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from pydantic import ValidationError
from served import keeping, listening

from osler.feedback.store import open_store
from osler.serving.audit import AuditLog
from osler.serving.model import ServedModel
from osler.serving.server import Server

FHIR = {"Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module")
def models() -> dict[str, ServedModel]:
    return {"canned": canned(), "rash": canned("rash", threshold=None)}


@pytest.fixture(scope="module")
def client(models: dict[str, ServedModel]) -> Iterator[httpx.Client]:
    with listening(Server(models)) as address, httpx.Client(base_url=address, headers=FHIR) as client:
        yield client


def parameters(**values: Any) -> dict[str, Any]:
    names = {"resource": "resource", "text": "valueString", "topK": "valueInteger", "model": "valueString"}
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, names[name]: value} for name, value in values.items()],
    }


def answered(client: httpx.Client, url: str = "/fhir/$diagnose", **values: Any) -> dict[str, list[dict[str, Any]]]:
    """The resources of an answer by their type; the answer is valid FHIR."""
    answer = client.post(url, json=parameters(**values))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.headers["cache-control"] == "no-store"
    content = answer.json()
    Bundle.model_validate(content)
    found: dict[str, list[dict[str, Any]]] = {"Condition": []}
    urls = {entry["fullUrl"] for entry in content["entry"]}
    for entry in content["entry"]:
        resource = entry["resource"]
        found.setdefault(resource["resourceType"], []).append(resource)
        assert resource.get("meta", {}).get("source") in (urls if "meta" in resource else {None})
    for resource in found["Condition"]:
        assert resource["evidence"][0]["detail"][0]["reference"] in urls
        assert "clinicalStatus" not in resource
        assert "category" not in resource, "R4 wants a clinicalStatus on a problem list (con-3)"
    return found


def test_a_sure_answer_is_a_differential_with_codes_and_percentages(
    client: httpx.Client, models: dict[str, ServedModel]
) -> None:
    found = answered(client, resource=bundle(PATIENT, LENS_IN_WORDS, FINGERS), topK=2)
    (risk,), (report,), (device,) = found["RiskAssessment"], found["DiagnosticReport"], found["Device"]
    first, second = risk["prediction"]
    assert first["outcome"]["coding"] == [
        {"system": "http://www.omim.org", "code": "154700", "display": "Marfan syndrome"}
    ]
    assert (first["probabilityDecimal"], second["probabilityDecimal"]) == (90.0, 8.0), "of 100, as R4 has it"
    assert risk["subject"] == report["subject"] == {"reference": "Patient/p1"}
    assert risk["basis"] == [{"reference": "Observation/o2"}, {"reference": "Observation/o1166"}]
    assert risk["meta"]["security"][0]["code"] == "AIAST"
    assert "canned@1.0.0" in risk["method"]["text"]
    assert device["version"][0]["value"] == "1.0.0"
    assert [version["value"] for version in device["version"][1:]] == ["a" * 64, "b" * 64]
    assert [one["text"] for one in report["conclusionCode"]] == [LABELS["OMIM:154700"], LABELS["OMIM:130000"]]
    assert "Marfan syndrome 90.0%" in report["conclusion"]
    statuses = [one["verificationStatus"]["coding"][0]["code"] for one in found["Condition"]]
    assert statuses == ["differential", "differential"]
    scorer = models["canned"].scorer
    assert isinstance(scorer, Canned)
    assert "dislocated lens of the eye" in scorer.asked[-1]


def test_the_library_that_validates_finds_what_is_wrong(client: httpx.Client) -> None:
    content = client.post("/fhir/$diagnose", json=parameters(text="A dislocated lens.")).json()
    for number, name in ((1, "subject"), (2, "code"), (3, "subject")):
        wrong = copy.deepcopy(content)
        del wrong["entry"][number]["resource"][name]
        with pytest.raises(ValidationError):
            Bundle.model_validate(wrong)


def test_an_unsure_answer_has_numbers_and_no_condition(client: httpx.Client) -> None:
    found = answered(client, text="Tired for weeks.")
    (risk,), (report,) = found["RiskAssessment"], found["DiagnosticReport"]
    assert found["Condition"] == []
    assert "conclusionCode" not in report
    assert report["conclusion"].startswith("No diagnosis is told: its probability of 0.40 is below")
    assert any(note["text"].startswith("Abstained: ") for note in risk["note"])
    assert {one["rationale"] for one in risk["prediction"]} == {"too unsure to be told as a diagnosis"}
    assert risk["subject"] == {"display": "the patient of this request"}


def test_a_model_without_a_threshold_tells_no_diagnosis(client: httpx.Client) -> None:
    for url, values in (("/fhir/$diagnose?model=rash", {}), ("/fhir/$diagnose", {"model": "rash"})):
        found = answered(client, url, text="A dislocated lens.", **values)
        assert found["Device"][0]["deviceName"][0]["name"] == "rash"
        assert found["Condition"] == []
        assert any("no probability is known" in note["text"] for note in found["RiskAssessment"][0]["note"])


def test_what_is_recorded_is_not_proposed_again(client: httpx.Client) -> None:
    known = condition("154700", "Marfan's")
    found = answered(client, resource=bundle(PATIENT, LENS_IN_WORDS, known))
    assert [one["code"]["text"] for one in found["Condition"]] == [LABELS["OMIM:130000"], LABELS["OMIM:163950"]]
    assert found["RiskAssessment"][0]["prediction"][0]["rationale"] == "already a confirmed Condition of the patient"


def test_what_was_left_out_is_said(client: httpx.Client) -> None:
    other = observation(9, "Seizure", subject={"reference": "Patient/p2"})
    found = answered(client, resource=bundle(PATIENT, LENS_IN_WORDS, other))
    notes = [note["text"] for note in found["RiskAssessment"][0]["note"]]
    assert "Not told to the model: 1 × Observations whose patient is missing were set aside." in notes


def test_metadata_describes_the_operation(client: httpx.Client) -> None:
    answer = client.get("/fhir/metadata")
    assert answer.headers["content-type"] == "application/fhir+json"
    content = answer.json()
    CapabilityStatement.model_validate(content)
    assert content["fhirVersion"] == "4.0.1"
    assert content["rest"][0]["operation"] == [{"name": "diagnose", "definition": "#diagnose"}]


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        (b"{", 400, "structure", "no JSON"),
        (b"[]", 422, "invalid", "body"),
        ({"resourceType": "Bundle"}, 422, "invalid", "body.resourceType"),
        (parameters(text=" "), 422, "invalid", "empty, or of odd characters"),
        (parameters(text="fever " * 300), 422, "invalid", "the model reads 200"),
        (parameters(text="x" * 60_000), 422, "invalid", "at most 50000 characters"),
        (parameters(text="fever", resource=bundle(PATIENT)), 422, "invalid", "a resource or a text, and not both"),
        (parameters(topK=3), 422, "invalid", "a resource or a text"),
        (parameters(text="fever", topK=0), 422, "invalid", "valueInteger"),
        (parameters(text="fever", model="other"), 404, "not-found", "not served; there are canned, rash"),
        (parameters(resource=bundle(LENS_IN_WORDS)), 422, "invalid", "0 Patients"),
        (parameters(resource=bundle(PATIENT)), 422, "invalid", "nothing can be told"),
        ({"resourceType": "Parameters", "parameter": [{"name": "topk", "valueInteger": 3}]}, 422, "invalid", "'topK'"),
        ({"resourceType": "Parameters", "parameter": [{"name": "text", "valueInteger": 3}]}, 422, "invalid", "give it"),
        ({"resourceType": "Parameters", "parameter": []}, 422, "invalid", "at least 1 item"),
        (b'{"x": "' + b"y" * 5_000_000 + b'"}', 413, "too-long", "more than 4,000,000 bytes"),
    ],
)
def test_a_problem_is_an_operation_outcome(client: httpx.Client, body: Any, status: int, code: str, said: str) -> None:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    check(client.post("/fhir/$diagnose", headers=FHIR, **sent), status, code, said)


def check(answer: httpx.Response, status: int, code: str, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    content = answer.json()
    OperationOutcome.model_validate(content)
    (issue,) = content["issue"]
    assert issue["code"] == code
    assert said in issue["diagnostics"]
    assert "\n" not in issue["diagnostics"]


REPORT = {"resourceType": "DiagnosticReport", "subject": {"reference": "Patient/p1"}, "conclusion": "Fell."}
HALF, HUGE = "\ud800", 1e400


@pytest.mark.parametrize(
    "changes",
    [
        {"id": HALF},
        {"id": HUGE},
        {"resourceType": HALF},
        {"resourceType": "Ada Lovelace"},
        {"subject": {"reference": {}}},
        {"subject": {"reference": HALF}},
        {"subject": 3},
        {"conclusion": HALF},
        {"presentedForm": [{"data": "not base64"}]},
        {"issued": [HUGE]},
    ],
)
def test_a_hostile_resource_is_left_out_or_told_as_text(client: httpx.Client, changes: dict[str, Any]) -> None:
    for kind in (REPORT, FINGERS):
        body = json.dumps(parameters(resource=bundle(PATIENT, LENS_IN_WORDS, {**kind, **changes})))
        answer = client.post("/fhir/$diagnose", content=body)
        assert answer.status_code == 200, answer.text
        Bundle.model_validate(answer.json())


def test_other_addresses_media_and_values_are_operation_outcomes_too(client: httpx.Client) -> None:
    check(client.get("/fhir/Patient/1"), 404, "not-found", "Not Found")
    check(client.get("/fhir/$diagnose"), 405, "not-supported", "Method Not Allowed")
    xml = client.post("/fhir/$diagnose", content=b"<Parameters/>", headers={"Content-Type": "application/fhir+xml"})
    check(xml, 415, "not-supported", "application/fhir+json")
    twice = client.post("/fhir/$diagnose?topK=3", json=parameters(text="fever", topK=2))
    check(twice, 422, "invalid", "parameter topK: given in the URL")
    same = client.post("/fhir/$diagnose?topK=2", json=parameters(text="fever", topK=2))
    assert same.status_code == 200


def test_nothing_of_the_patient_is_kept(
    tmp_path: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    planted = "Ada Lovelace, MRN 00481516"
    named = {**PATIENT, "name": [{"text": planted}]}
    seen = observation(3, f"Dislocated lens, {planted}")
    hostile = {**seen, "component": planted, "effectiveDateTime": {planted: planted}}
    model = canned()
    server = Server({"canned": model}, audit=AuditLog(tmp_path / "audit"))
    with listening(server) as address, httpx.Client(base_url=address, headers=FHIR) as client:
        assert client.post("/fhir/$diagnose", json=parameters(resource=bundle(named, seen))).status_code == 200
        client.post("/fhir/$diagnose", json=parameters(resource=bundle(named, hostile, {planted: planted})))
        client.post("/fhir/$diagnose", json=parameters(text=planted) | {planted: planted})
        client.post(f"/fhir/{planted}", json=parameters(text=planted))
        client.post("/fhir/$diagnose", params={"model": planted}, json=parameters(text=planted))
        model.encode = lambda text, explain=False: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        failed = client.post("/fhir/$diagnose", json=parameters(text=planted))
        check(failed, 500, "exception", "something failed in the server")
        metrics = client.get("/metrics").text
    printed = "".join(capfd.readouterr()) + caplog.text
    assert "ZeroDivisionError" in printed
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl"))
    assert '"label": "OMIM:154700"' in kept
    for word in ("Lovelace", "00481516"):
        assert word not in printed + kept + metrics
    assert 'osler_requests_total{path="/fhir/$diagnose",status="200"}' in metrics


def test_the_patients_id_is_kept_as_a_keyed_hash_and_one_of_this_bundle_alone_is_not(tmp_path: Path) -> None:
    models = {"canned": canned()}
    known, urn = bundle(PATIENT, LENS_IN_WORDS), "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"
    unknown = json.loads(json.dumps(known).replace(f"Patient/{PATIENT['id']}", urn).replace('"id": "p1", ', ""))
    unknown["entry"][0]["fullUrl"] = urn
    with (
        listening(Server(models, keeper=keeping(models, tmp_path))) as address,
        httpx.Client(base_url=address, headers=FHIR) as client,
    ):
        for resource in (known, unknown):
            answered(client, resource=resource)
    store = open_store(str(tmp_path / "answers.db"))
    first, second = store.predictions()
    assert (first.patient_hmac, second.patient_hmac) == (store.patient_hmac(PATIENT["id"]), None)
