"""A model's card as data: the fields of the CHAI Applied Model Card v0.2 (https://mc.chai.org), as JSON.

CHAI's own schema is XML; ``chai.schema.json`` is ours, with CHAI's fields under their names in snake case. A field that
nothing is known of is null, never missing and never invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.publishing import limitations
from osler.publishing.evidence import Evidence, read_evidence
from osler.rendering import cell
from osler.runs import Estimate, Run
from osler.storage import plain, read_json

SCHEMA = Path(__file__).with_suffix(".schema.json")
NOT_A_DEVICE = (
    "Not a medical device. This is research: no regulator has cleared it, it must not be used in anybody's care, and"
    " nothing in this card is clinical evidence."
)
INTENDED_USE = (
    "Research on fine-tuning and evaluating language models for diagnosis: comparing methods on the same cases, and"
    " checking the numbers of this card. It has no place in the care of patients, and in no clinical workflow."
)
INTENDED_USERS = "Researchers and engineers who can read the limits below."
OUT_OF_SCOPE = (
    "Diagnosis, triage, treatment or advice for anybody, by or without a clinician; labels, languages and kinds of text"
    " other than those it was trained on; use as evidence of what language models can do in a clinic."
)


def export(
    run: Run, repo_id: str, version: str, about: Mapping[str, Any], allowed: Mapping[str, str]
) -> dict[str, Any]:
    """The document of a run. ``about`` is what :func:`read_about` gives, ``allowed`` check → reason.

    Raises :class:`InputError` as :func:`osler.publishing.evidence.read_evidence` does.
    """
    return document(read_evidence(run), repo_id, version, about, allowed)


def document(
    evidence: Evidence, repo_id: str, version: str, about: Mapping[str, Any], allowed: Mapping[str, str]
) -> dict[str, Any]:
    """As :func:`export`, of a run that is read already."""
    risks = [
        *limitations.risks(evidence),
        *(f"Published although the check {c} failed: {r}" for c, r in allowed.items()),
    ]
    biases = [*limitations.biases(evidence), *([about["biases"]] if "biases" in about else [])]
    return {
        "schema": 1,
        "chai_version": "0.2",
        "basic_info": {
            "model_name": f"{repo_id} v{version}",
            "model_developer": about.get("developer"),
            "developer_contact": about.get("contact"),
        },
        "release_info": {
            "release_stage": "research",
            "release_date": about.get("release_date"),
            "release_version": version,
            "global_availability": f"https://huggingface.co/{repo_id}",
            "ehr_compatibility": about.get("ehr_compatibility"),
            "regulatory_approval": f"None. {NOT_A_DEVICE}",
        },
        "model_summary": {"summary": summary(evidence), "keywords": keywords(evidence)},
        "uses_and_directions": {
            "intended_use_and_workflow": _and(INTENDED_USE, about.get("intended_use")),
            "primary_intended_users": _and(INTENDED_USERS, about.get("intended_users")),
            "how_to_use": "With transformers and peft; the code is in README.md.",
            "targeted_patient_population": about.get("target_population"),
            "cautioned_out_of_scope_settings": _and(OUT_OF_SCOPE, about.get("out_of_scope")),
        },
        "warnings": {
            "known_risks_and_limitations": risks,
            "known_biases_or_ethical_considerations": biases or None,
            "clinical_risk_level": about.get("clinical_risk_level"),
        },
        "trust_ingredients": {
            "ai_system_facts": _system_facts(evidence, about),
            "transparency_information": {
                "funding_source": about.get("funding"),
                "third_party_information": about.get("third_parties"),
                "stakeholders_consulted": about.get("stakeholders"),
            },
        },
        "key_metrics": {
            "usefulness_usability_efficacy": _usefulness(evidence),
            "fairness_equity": _fairness(evidence),
            "safety_reliability": _safety(evidence),
        },
        "resources": {
            "evaluation_references": ["results.json", "report.html", "predictions/"],
            "clinical_trial": about.get("clinical_trial"),
            "peer_reviewed_publications": about.get("publications"),
            "reimbursement_status": about.get("reimbursement"),
            "patient_consent_or_disclosure": about.get("patient_consent"),
        },
        "bibliography": about.get("citation"),
    }


def validate(document: object) -> None:
    """Raise :class:`InputError`, naming the place, where ``document`` is not as ``chai.schema.json`` says."""
    import jsonschema

    schema = read_json(SCHEMA)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    if first := min(errors, key=lambda error: (list(map(str, error.absolute_path)), error.message), default=None):
        place = ".".join(map(str, first.absolute_path))
        raise InputError(f"chai.json: {place + ': ' if place else ''}{first.message}; see {SCHEMA.name}")


def what(evidence: Evidence) -> str:
    """What it is, in a sentence."""
    recipe, labels = evidence.recipe, len(evidence.data_report.labels)
    asked = f"names one of {labels} diagnoses" if labels else "names a diagnosis"
    given = "an image and what is said of it" if evidence.task.source.has_images else "a description of a patient"
    if evidence.task.scorer == "multiple_choice":
        given, asked = "an examination question with its options", "names the letter of one of them"
    base = recipe.base.model.rstrip("/").rpartition("/")[2]
    return f"{base}, fine-tuned ({method_of(evidence)}) on the task {recipe.task.name}: given {given}, it {asked}."


def summary(evidence: Evidence) -> str:
    """What it is, how good it is, and beside what."""
    record = evidence.headline
    accuracy = cell(evidence.system.metrics["accuracy"])
    cases = f"{record.n} cases: {evidence.description(record.split)}"
    best = evidence.best_other
    other = (
        f"; of the best baseline, {evidence.called(best)}: {cell(record.systems[best].metrics['accuracy'])}"
        if best
        else ""
    )
    return f"{what(evidence)} Accuracy on {record.split} ({cases}): {accuracy}{other}. {verdict(evidence)}"


def verdict(evidence: Evidence) -> str:
    """How it stands to its baselines on the headline split, those it does not beat first; then other splits."""
    record, best = evidence.headline, evidence.best_other
    if best is None:
        return "It was compared with nothing: no baseline was evaluated."
    words = {"behind": "worse than", "open": "not shown to be better than", "beats": "better than"}
    sentence = "; ".join(
        f"{words[kind]} {', '.join(map(evidence.called, names))}"
        for kind, names in evidence.compared(record).items()
        if names
    )
    behind = {r.split: evidence.compared(r)["behind"] for r in evidence.published if r.split != record.split}
    elsewhere = [
        f" On {split} it is worse than {', '.join(map(evidence.called, names))}."
        for split, names in behind.items()
        if names
    ]
    return f"{sentence[0].upper()}{sentence[1:]}.{''.join(elsewhere)}"


def method_of(evidence: Evidence) -> str:
    """QLoRA, LoRA or all weights."""
    recipe = evidence.recipe
    if recipe.lora is None:
        return "all weights"
    return "QLoRA: a LoRA adapter on the base in 4-bit NF4" if recipe.base.quantization else "LoRA"


def _kind_of(evidence: Evidence) -> str:
    """What the model is, by its head."""
    if evidence.task.source.has_images:
        return f"Language model that sees images: {evidence.manifest.base.architecture}"
    if evidence.recipe.head is None:
        return "Decoder-only language model"
    if evidence.recipe.head == "reranker":
        return f"Reranker: {evidence.manifest.base.architecture}, one number for each candidate disease"
    return f"Text classifier: {evidence.manifest.base.architecture}, a linear layer over the diagnoses"


def _held_in(weights: str | tuple[str, ...] | None) -> str:
    """Where the weights of the base are from, if not from the Hub."""
    if weights is None:
        return ""
    return f", as {weights}" if isinstance(weights, str) else f", as the files of {weights[0].partition('/')[0]}"


def keywords(evidence: Evidence) -> list[str]:
    """What it can be found by; the tags of the card."""
    recipe = evidence.recipe
    how = [] if recipe.lora is None else ["lora", "qlora"] if recipe.base.quantization else ["lora"]
    return ["medical", "diagnosis", "osler", *how, recipe.task.name.replace("_", "-")]


def _and(fixed: str, more: str | None) -> str:
    return f"{fixed} {more}" if more else fixed


def _system_facts(evidence: Evidence, about: Mapping[str, Any]) -> dict[str, Any]:
    recipe = evidence.recipe
    labels = evidence.data_report.labels
    base = f"{recipe.base.model}@{recipe.base.revision}" if evidence.base_id else "a local folder"
    return {
        "outcomes_and_outputs": "A probability for each of the candidates that it is asked about."
        if recipe.head == "reranker"
        else "The letter of one of a question's options, and a probability for each."
        if evidence.task.scorer == "multiple_choice"
        else f"The name of one of {len(labels)} diagnoses, and a probability for each."
        if labels
        else "A diagnosis in free text.",
        "model_type": f"{_kind_of(evidence)}, fine-tuned ({method_of(evidence)}).",
        "foundation_models": base + _held_in(recipe.base.weights),
        "input_data_source": about.get("input_data_source"),
        "output_and_input_data_types": "One image and text in, text out."
        if evidence.task.source.has_images
        else "Text in, text out."
        if recipe.head is None
        else "Text in, a probability for each diagnosis out.",
        "development_data_characterization": development_data(evidence),
        "bias_mitigation_approaches": about.get("bias_mitigation"),
        "ongoing_maintenance": about.get("maintenance"),
        "security": about.get("security"),
        "transparency": "The recipe, the manifest of the training, every prediction and every result are published"
        " beside the weights; scripts/reproduce.py checks them.",
    }


def development_data(evidence: Evidence) -> str:
    """The training rows in one paragraph."""
    report = evidence.data_report
    dropped = [f"{n:,} dropped ({reason})" for reason, n in report.dropped.items() if n]
    sources = [f"{source} {n:,}" for source, n in report.sources.items()]
    copies = report.augmentation.rows if report.augmentation else {}
    changed = f" {sum(copies.values()):,} are augmented copies ({', '.join(copies)})." if copies else ""
    return (
        f"{report.rows_out:,} rows of the {report.rows_in:,} that training read"
        f" ({'; '.join(dropped) or 'none was dropped'}); by source: {', '.join(sources)}."
        f"{changed} {report.tokens.total:,} tokens a pass."
        + (f" Origin: {'; '.join(origin)}." if (origin := provenance_of(evidence)) else "")
    )


PROVENANCE = {
    "annotations_release": "HPO annotations of",
    "hpo_release": "HPO of",
    "held_out_publications": "publications held out:",
    "training_publications": "publications trained on:",
    "held_out_and_training": "publications in both:",
}


def provenance_of(evidence: Evidence) -> list[str]:
    """What the data report says of the origin of the rows, in few words; no paths of the machine it was made on."""
    provenance = {key: value for key, value in evidence.data_report.provenance.items() if key != "local"}
    provenance = {key: provenance[key] for key in dict.fromkeys([*PROVENANCE, *provenance]) if key in provenance}
    return [
        f"{PROVENANCE.get(key, key.replace('_', ' '))} {len(value) if isinstance(value, list) else value}"
        for key, value in provenance.items()
        if value is not None and not isinstance(value, dict)
    ]


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _metrics(evidence: Evidence, goal: str, results: list[dict[str, Any]], interpretation: list[str]) -> dict[str, Any]:
    record = evidence.headline
    groups = f" of {record.groups} independent groups" if record.groups else ""
    scorer = evidence.task.scorer or evidence.recipe.evaluation.scorer
    return {
        "metric_goal": f"{goal} No threshold was set beforehand.",
        "results": results or None,
        "interpretation": " ".join(interpretation) or None,
        "test_type": "Retrospective, on held-out cases, by the publisher itself; nobody tested it prospectively.",
        "testing_data_description": f"{record.split}: {evidence.description(record.split)}; {record.n} cases{groups}.",
        "validation_process_and_justification": "Labels are ranked by their exact probability"
        f" ({scorer}), every number has a 95% interval, systems are compared on the same"
        " cases by exact paired tests with Holm's correction; the predictions are published.",
    }


def _result(label: str, split: str, n: int, estimate: Estimate) -> dict[str, Any]:
    return {"label": label, "split": split, "n": n, **plain(estimate)}


def _usefulness(evidence: Evidence) -> dict[str, Any]:
    results = [
        _result(name, record.split, record.n, value)
        for record in evidence.records
        for name, value in record.systems[evidence.tuned].metrics.items()
        if record.split == evidence.headline.split or name == "accuracy"
    ]
    return _metrics(evidence, "The right diagnosis first, more often than any baseline.", results, [verdict(evidence)])


def _fairness(evidence: Evidence) -> dict[str, Any]:
    record, results = evidence.headline, []
    for attribute, subgroup in evidence.system.subgroups.items():
        for value, group in subgroup.values.items():
            if group.accuracy:
                results.append(_result(f"accuracy, {attribute}: {value}", record.split, group.n, group.accuracy))
        if subgroup.gap:
            results.append(_result(f"gap, {attribute}", record.split, record.n, subgroup.gap))
    return _metrics(evidence, "The same accuracy for every subgroup.", results, limitations.biases(evidence))


def _safety(evidence: Evidence) -> dict[str, Any]:
    record, system = evidence.headline, evidence.system
    calibration, abstention = system.calibration, system.calibration.abstention
    estimates: list[tuple[str, Estimate | None]] = [("parse_rate", system.metrics.get("parse_rate"))]
    for when, measures in (("before", calibration.before), ("after", calibration.after)):
        estimates.append((f"ece, {when} temperature", measures.ece if measures else None))
    if abstention:
        estimates.append(("coverage above the threshold", abstention.coverage))
        estimates.append(("accuracy above the threshold", abstention.accuracy))
    results = [_result(name, record.split, record.n, estimate) for name, estimate in estimates if estimate]
    robustness = evidence.robustness.get(record.split)
    for row in robustness.records[evidence.tuned] if robustness else ():
        if row.top_1_flip_rate:
            label = f"first answer changed, {row.perturbation} at {row.strength:g}"
            results.append(_result(label, record.split, row.n, row.top_1_flip_rate))
    return _metrics(
        evidence,
        "Probabilities that can be believed, and answers that hang on nothing but the findings.",
        results,
        limitations.reliability(evidence),
    )
