"""The card as data: every field of CHAI's Applied Model Card, checked against the project's own schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from published_run import PARITY, TUNED, perturb, write_run

from osler.errors import InputError
from osler.publishing import chai
from osler.runs.run import Run
from osler.storage.files import read_json

REPO = "user/tiny-card"
# The elements of https://mc.chai.org/v0.2/schema.xsd, less its signature.
FIELDS = {
    "basic_info": {"model_name", "model_developer", "developer_contact"},
    "release_info": {
        "release_stage",
        "release_date",
        "release_version",
        "global_availability",
        "ehr_compatibility",
        "regulatory_approval",
    },
    "model_summary": {"summary", "keywords"},
    "uses_and_directions": {
        "intended_use_and_workflow",
        "primary_intended_users",
        "how_to_use",
        "targeted_patient_population",
        "cautioned_out_of_scope_settings",
    },
    "warnings": {"known_risks_and_limitations", "known_biases_or_ethical_considerations", "clinical_risk_level"},
    "trust_ingredients": {"ai_system_facts", "transparency_information"},
    "key_metrics": {"usefulness_usability_efficacy", "fairness_equity", "safety_reliability"},
    "resources": {
        "evaluation_references",
        "clinical_trial",
        "peer_reviewed_publications",
        "reimbursement_status",
        "patient_consent_or_disclosure",
    },
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run written by hand, with a merged model and robustness."""
    run = write_run(tmp_path_factory.mktemp("run"), PARITY)
    perturb(run)
    return run


@pytest.fixture(scope="module")
def document(run: Run) -> dict[str, Any]:
    """Its export, where the author said nothing."""
    return chai.export(run, REPO, "1.0.0", {}, {})


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object that a schema describes."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)


def test_the_schema_is_one_and_lets_nothing_in_and_nothing_out() -> None:
    schema = read_json(chai.SCHEMA)
    jsonschema.Draft202012Validator.check_schema(schema)
    described = list(objects(schema))
    assert len(described) == 13
    for found in described:
        assert found["additionalProperties"] is False
        assert set(found["required"]) == set(found["properties"])


def test_every_field_of_chai_is_there_and_the_document_is_valid(document: dict[str, Any]) -> None:
    chai.validate(document)
    for name, fields in FIELDS.items():
        assert set(document[name]) == fields
    assert len(document["trust_ingredients"]["ai_system_facts"]) == 10
    assert len(document["trust_ingredients"]["transparency_information"]) == 3
    for metric in document["key_metrics"].values():
        assert len(metric) == 6
    assert "bibliography" in document


def test_what_nobody_said_is_null_and_what_the_author_said_is_there(run: Run, document: dict[str, Any]) -> None:
    assert document["basic_info"]["developer_contact"] is None
    assert document["warnings"]["clinical_risk_level"] is None
    assert document["trust_ingredients"]["transparency_information"]["funding_source"] is None
    about = {"contact": "me", "funding": "nobody", "publications": ["A paper"], "out_of_scope": "Children."}
    filled = chai.export(run, REPO, "1.0.0", about, {})
    chai.validate(filled)
    assert filled["basic_info"]["developer_contact"] == "me"
    assert filled["trust_ingredients"]["transparency_information"]["funding_source"] == "nobody"
    assert filled["resources"]["peer_reviewed_publications"] == ["A paper"]
    out_of_scope = filled["uses_and_directions"]["cautioned_out_of_scope_settings"]
    assert out_of_scope == f"{chai.OUT_OF_SCOPE} Children."


def test_it_is_never_a_medical_device(document: dict[str, Any]) -> None:
    assert document["release_info"]["regulatory_approval"].startswith("None. Not a medical device.")


def test_the_metrics_are_those_of_the_results(run: Run, document: dict[str, Any]) -> None:
    system = read_json(run.results_path())["records"][0]["systems"][TUNED]
    (accuracy,) = (
        row
        for row in document["key_metrics"]["usefulness_usability_efficacy"]["results"]
        if (row["label"], row["split"]) == ("accuracy", "test")
    )
    assert accuracy == {"label": "accuracy", "split": "test", "n": 40, **system["metrics"]["accuracy"]}
    fairness = {row["label"]: row for row in document["key_metrics"]["fairness_equity"]["results"]}
    assert fairness["gap, sex"]["value"] == system["subgroups"]["sex"]["gap"]["value"]
    assert "accuracy, age_band: 0-4" not in fairness, "four cases are too few"
    safety = document["key_metrics"]["safety_reliability"]["results"]
    assert {"ece, before temperature", "ece, after temperature", "first answer changed, typos at 0.1"} <= {
        row["label"] for row in safety
    }


def test_what_was_let_pass_is_a_known_risk(run: Run) -> None:
    risks = chai.export(run, REPO, "1.0.0", {}, {"pins": "the base is mine"})["warnings"]["known_risks_and_limitations"]
    assert "Published although the check pins failed: the base is mine" in risks


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("basic_info", "phone"), "1", r"basic_info: .*'phone' was unexpected"),
        (("basic_info", "model_developer"), "", r"basic_info\.model_developer: "),
        (
            ("key_metrics", "fairness_equity", "results", 0, "value"),
            "high",
            r"key_metrics\.fairness_equity\.results\.0\.value: ",
        ),
        (("warnings", "known_risks_and_limitations"), [], r"warnings\.known_risks_and_limitations: "),
        (("chai_version",), "0.3", "chai_version: "),
        (("release_info", "release_date"), ..., "release_info: 'release_date' is a required property"),
    ],
)
def test_a_document_that_is_not_as_the_schema_says_is_refused_by_its_place(
    document: dict[str, Any], path: tuple[Any, ...], value: Any, said: str
) -> None:
    changed = inside = copy.deepcopy(document)
    for key in path[:-1]:
        inside = inside[key]
    if value is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    with pytest.raises(InputError, match=said):
        chai.validate(changed)


def test_it_is_plain_json_and_the_same_every_time(run: Run, document: dict[str, Any]) -> None:
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text) == document
    assert json.dumps(chai.export(run, REPO, "1.0.0", {}, {}), allow_nan=False) == text
