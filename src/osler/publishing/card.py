"""The model card: README.md with YAML metadata, and its figures, from a run's files and nothing else.

What its sections say under CHAI's names is what :mod:`chai` exports; both are made of :mod:`evidence`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from osler.errors import InputError, nearest, one_line, show
from osler.evaluation import SYSTEMS, perturbation_label, reliability_tables, subgroup_rows, summary
from osler.governance import licences
from osler.publishing import chai, limitations
from osler.publishing.about import OFFERED, example_for
from osler.publishing.about import read_about as read_about
from osler.publishing.evidence import Evidence, read_evidence
from osler.recipe import Problem, dump_yaml
from osler.rendering import (
    NOT_STATED,
    Markdown,
    bold,
    cell,
    code,
    difference,
    fenced,
    markdown_table,
    plots,
    render_template,
)
from osler.runs import Calibration, PerturbedRecord, Run
from osler.tasks import OPTIONS, SWAPS, TEXT, turns

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

MAX_NEW_TOKENS = 64  # the longest names of diseases have about 40
# Those of the Hub's tasks that a language model can have.
PIPELINE_TAGS = (
    "text-generation",
    "text-classification",
    "token-classification",
    "question-answering",
    "zero-shot-classification",
    "translation",
    "summarization",
    "feature-extraction",
    "fill-mask",
    "sentence-similarity",
    "text-ranking",
    "table-question-answering",
    "image-text-to-text",
    "any-to-any",
)
RELATIONS = ("adapter", "merge", "quantized", "finetune")


def render(run: Run, repo_id: str, version: str, about: Mapping[str, Any], allowed: Mapping[str, str]) -> str:
    """The text of ``README.md``; the same files and arguments give the same bytes.

    Args:
        run: a run directory, or a published version.
        repo_id, version: where and as what it is published; the tag is ``v<version>``.
        about: what :func:`read_about` gives.
        allowed: check → reason, of the checks that failed and were let pass.

    Raises:
        InputError: as :func:`osler.publishing.evidence.read_evidence`.
    """
    evidence = read_evidence(run)
    document = chai.document(evidence, repo_id, version, about, allowed)
    body = render_template(
        "publishing/card.md.jinja",
        {
            "stated": _stated,
            "literal": _literal,
            "cell": cell,
            "code": code,
            "bold": bold,
            "fenced": fenced,
            "address": _address,
            "listed": _listed,
            "capitalize_first": _capitalized,
        },
        evidence=evidence,
        recipe=evidence.recipe,
        record=evidence.headline,
        report=evidence.data_report,
        environment=evidence.manifest.environment,
        chai=document,
        not_a_device=chai.NOT_A_DEVICE,
        what=chai.what(evidence),
        verdict=chai.verdict(evidence),
        repo_id=repo_id,
        version=version,
        about=about,
        allowed=allowed,
        messages=_messages(evidence),
        conversation=evidence.manifest.conversation,
        example=example_for(evidence.task, about),
        choices=evidence.task.scorer if evidence.task.scorer == "multiple_choice" else None,
        options=json.dumps(dict(zip(evidence.task.labels or (), OFFERED, strict=False))),
        max_new_tokens=MAX_NEW_TOKENS,
        pictures={path: title for path, (title, _) in _pictures(evidence).items()},
        settings=dump_yaml(_settings(evidence)),
        fusion=summary.fusion_formula(evidence.results.fused),
        baselines=[[name, *system] for name, system in SYSTEMS.items() if name in evidence.headline.systems],
        meanings=summary.meanings(evidence.headline),
        energy=evidence.energy(about)[1],
        table=markdown_table,
        results_table=lambda record: summary.markdown_table([record], evidence.results.fused),
        perturbed=lambda measured: _perturbed(measured.records[evidence.tuned]),
        measures=_measures(evidence.system.calibration),
        overlaps=_overlaps(evidence),
        mixed=_mixed(evidence),
        machine=_machine(evidence),
        fingerprints=_fingerprints(evidence),
        widest=next(iter(limitations.subgroups(evidence).values()), None),
    )
    body = re.sub(r"\n{3,}", "\n\n", body).strip()
    return f"---\n{_metadata(evidence, repo_id, version, about).to_yaml()}\n---\n\n{body}\n"


def figures(run: Run) -> dict[str, bytes]:
    """Path in the published folder → PNG, of the figures the card shows. Raises as :func:`render`."""
    return {path: draw() for path, (_, draw) in _pictures(read_evidence(run)).items()}


def snippets(text: str) -> list[str]:
    """The Python code in a card, in its order."""
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def _pictures(evidence: Evidence) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Path → title of a figure, and what draws it."""
    split, system = evidence.headline.split, evidence.system
    accuracies = [(name, of.metrics["accuracy"]) for name, of in evidence.headline.systems.items()]
    pictures: dict[str, tuple[str, Callable[[], bytes]]] = {
        f"figures/{split}-accuracy.png": (
            f"Accuracy of every system on {split}, with 95% intervals",
            lambda: plots.forest_png(accuracies),
        )
    }
    if bins := reliability_tables(system.calibration):
        title = f"Accuracy against confidence on {split}, with 95% intervals"
        pictures[f"figures/{split}-reliability.png"] = title, lambda: plots.reliability_png(bins)
    if rows := subgroup_rows(system.subgroups):
        overall = system.metrics["accuracy"].value
        title = f"Accuracy in subgroups of {split}, with 95% intervals; the line is that of all cases"
        pictures[f"figures/{split}-subgroups.png"] = title, lambda: plots.forest_png(rows, overall)
    return pictures


def _messages(evidence: Evidence) -> dict[str, str]:
    """Role → the Python expression of what is said, with ``text`` put in, as Osler asks."""
    system, asked = evidence.task.system, evidence.manifest.conversation
    own, parts = (asked.own_system_turn, asked.content_parts) if asked else (system is not None, False)
    messages = turns(system, evidence.user_turn, own, parts, evidence.task.source.has_images)
    return {message["role"]: _said(message["content"]) for message in messages}


def _said(content: Any) -> str:
    if not isinstance(content, str):
        parts = [("text", _said(part["text"])) if "text" in part else ("image", "image") for part in content]
        return "[" + ", ".join(f'{{"type": "{kind}", "{kind}": {said}}}' for kind, said in parts) + "]"
    names = {TEXT: "text", OPTIONS: "listed"}
    pieces = [names.get(piece) or _literal(piece) for piece in re.split(f"({TEXT}|{OPTIONS})", content)]
    return " + ".join(piece for piece in pieces if piece != _literal("")) or _literal("")


def _settings(evidence: Evidence) -> dict[str, Any]:
    """What the recipe says of training, as it says it."""
    content = evidence.recipe.to_dict()
    names = ("head", "stage", "lora", "loss", "train", "data", "augment", "balance", "mixture")
    return {name: content[name] for name in names if name in content}


def _metadata(evidence: Evidence, repo_id: str, version: str, about: Mapping[str, Any]) -> ModelCardData:
    from huggingface_hub import ModelCardData  # slow

    recipe, base = evidence.recipe, evidence.base_id
    relation = "finetune" if recipe.lora is None else "adapter"
    return ModelCardData(
        language=about.get("language", ["en"]),
        license=recipe.publish.license,
        license_name=about.get("license_name"),
        license_link=about.get("license_link"),
        library_name="transformers" if recipe.lora is None else "peft",
        base_model=base,
        base_model_relation=relation if base else None,
        datasets=evidence.datasets or None,
        pipeline_tag=_pipeline(evidence),
        tags=[*chai.keywords(evidence), *([f"base_model:{relation}:{base}"] if base else [])],
        model_name=evidence.tuned,
        eval_results=_eval_results(evidence, f"https://huggingface.co/{repo_id}/blob/v{version}/results.json"),
    )


def _pipeline(evidence: Evidence) -> str:
    """What the Hub calls the task of the model."""
    if evidence.task.source.has_images:
        return "image-text-to-text"
    return "text-generation" if evidence.recipe.head is None else "text-classification"


def _eval_results(evidence: Evidence, source_url: str) -> list[Any]:
    """Every metric of the tuned model. The intervals are in ``metric_args``: the model index has no field of theirs."""
    from huggingface_hub import EvalResult

    task, hub = evidence.recipe.task, evidence.task.source.hub
    return [
        EvalResult(
            task_type=_pipeline(evidence),
            task_name=f"diagnosis: {task.name}",
            dataset_type=hub.dataset if hub else task.name,
            dataset_name=f"{task.name} {task.version}, {record.split}",
            dataset_config=task.panel,
            dataset_split=record.split,
            dataset_revision=evidence.revision(record.split),
            dataset_args=_known(
                n=record.n, groups=record.groups, predictions_sha256=record.predictions_sha256[evidence.tuned]
            ),
            metric_type=name,
            metric_name=name.replace("_", " "),
            metric_value=round(metric.value, 6),
            metric_args=_known(level=0.95, low=metric.low, high=metric.high, method=metric.method),
            source_name="results.json",
            source_url=source_url,
        )
        for record in evidence.records
        for name, metric in record.systems[evidence.tuned].metrics.items()
    ]


def _known(**values: Any) -> dict[str, Any]:
    """What is not null, rounded as people read it; the Hub's library drops nulls, too."""
    rounded = {key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()}
    return {key: value for key, value in rounded.items() if value is not None}


# ── rows of its tables ───────────────────────────────────────────────────────────────────────────────────────────────


def _stated(text: str | None) -> str:
    return text or NOT_STATED


def _literal(text: str) -> Markdown:
    """The text as Python writes it, in double quotes, for code: JSON's way is Python's."""
    return Markdown(json.dumps(text, ensure_ascii=False))


def _address(path: str) -> Markdown:
    """The path of a file in the publication, as a link takes it."""
    return Markdown(quote(path))


def _listed(texts: list[str] | None) -> str | None:
    return "; ".join(texts) if texts else None


def _capitalized(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _measures(calibration: Calibration) -> list[list[str]]:
    """The measures of calibration, as given and after the temperature."""
    columns = [measures.measures for measures in (calibration.before, calibration.after) if measures]
    names = list(columns[0]) if columns else []
    return [[name.replace("_", " "), *(cell(column.get(name)) for column in columns)] for name in names]


def _perturbed(records: Sequence[PerturbedRecord]) -> list[list[str]]:
    return [
        [
            perturbation_label(record),
            f"{record.original_accuracy.value:.3f} → {record.accuracy.value:.3f}",
            difference(record.change),
            cell(record.top_1_flip_rate),
        ]
        for record in records
        if record.original_accuracy and record.accuracy and record.change and record.perturbation not in SWAPS
    ]


def _overlaps(evidence: Evidence) -> list[list[object]]:
    """How many cases of each split stand in the training data."""
    rows: list[list[object]] = []
    for record in evidence.records:
        overlap = record.contamination
        if overlap is None:
            rows.append([record.split, record.n, *["not measured"] * 4, ""])
            continue
        shared = overlap.publications.cases if overlap.publications else "–"
        rows.append([record.split, record.n, *overlap.similar.values(), shared, overlap.allowed or ""])
    return rows


def _mixed(evidence: Evidence) -> list[list[str]]:
    mixture = evidence.data_report.mixture
    return [
        [name, f"{task.rows:,}", f"{task.tokens.total:,}"] for name, task in (mixture.tasks if mixture else {}).items()
    ]


def _machine(evidence: Evidence) -> list[list[object]]:
    """What it was trained on, how long, with how much memory, and with which versions."""
    manifest, environment = evidence.manifest, evidence.manifest.environment
    peak = manifest.peak_memory_bytes
    memory = f"{peak.host / 1e9:.1f} GB" + (f", {peak.gpu / 1e9:.1f} GB on GPUs" if peak.gpu else "")
    return [
        [
            "processor",
            f"{environment.cpu or 'unknown'}, {environment.cores} cores, {manifest.threads} threads used",
        ],
        ["GPUs", ", ".join(environment.gpus) or "none"],
        ["memory of the machine", f"{environment.memory_bytes / 1e9:.0f} GB"],
        ["time", f"{manifest.train_seconds / 60:.1f} minutes, {manifest.steps:,} steps"],
        ["memory used at most", memory],
        ["seed", manifest.seed],
        ["Python", f"{environment.python} on {environment.platform}"],
        ["versions", ", ".join(f"{name} {version}" for name, version in environment.packages.items() if version)],
    ]


def _fingerprints(evidence: Evidence) -> list[list[str]]:
    """What must be the same in a reproduction."""
    weights = evidence.results.weights_sha256 or {}
    rows = [("recipe", evidence.recipe.sha256), ("prompt", evidence.manifest.prompt_sha256)]
    rows += [("base weights", evidence.manifest.base.fingerprint)]
    rows += [(Markdown(f"weights of {code(name)}"), sha256) for name, sha256 in weights.items()]
    rows += [
        (Markdown(f"predictions on {code(r.split)}"), r.predictions_sha256[evidence.tuned]) for r in evidence.records
    ]
    return [[what, code(sha256)] for what, sha256 in rows]


# ── what the Hub would refuse ────────────────────────────────────────────────────────────────────────────────────────


def check(text: str) -> None:
    """Raise :class:`InputError` for a card whose metadata the Hub would reject or not understand, without asking it."""
    import yaml
    from huggingface_hub import ModelCard
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not re.match(r"---\n.*?\n---\n", text, flags=re.DOTALL):
        raise InputError("README.md: does not begin with metadata between two lines of ---")
    try:
        data: Any = ModelCard(text).data
        again = ModelCard(f"---\n{data.to_yaml()}\n---\n").data
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(one_line(f"README.md: metadata: {error}")) from None
    if again.to_dict() != data.to_dict():
        raise InputError("README.md: metadata: not the same once it was read and written by huggingface_hub")
    try:
        _check_choice("license", data.license, licences.IDENTIFIERS)
        _check_choice("pipeline_tag", data.pipeline_tag, PIPELINE_TAGS)
        _check_choice("base_model_relation", data.get("base_model_relation"), RELATIONS)
        if "licence" in data:
            raise Problem("licence", "unknown key; did you mean license?")
        if data.license is None:
            raise Problem("license", "missing; set publish.license in the recipe")
        if data.license == "other" and not (data.license_name and data.license_link):
            raise Problem("license", "other needs license_name and license_link: name them in about.yaml")
        for key in ("base_model", "datasets"):
            value = data.get(key) or []
            for repo_id in [value] if isinstance(value, str) else value:
                try:
                    validate_repo_id(repo_id)
                except HFValidationError as error:
                    raise Problem(key, str(error)) from None
        for code in [data.language] if isinstance(data.language, str) else data.language or []:
            if not re.fullmatch(r"[a-z]{2,3}|code|multilingual", code):
                raise Problem("language", f"{show(code)} is not allowed; expected an ISO 639 code such as en")
        for tag in data.tags or []:
            if not isinstance(tag, str):
                raise Problem("tags", f"{show(tag)} is not text (quote it)")
        for result in data.eval_results or []:
            value = result.metric_value
            if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value != value:  # NaN
                raise Problem("model-index", f"{result.metric_type}: {value!r} is no value of a metric")
    except Problem as problem:
        raise InputError(one_line(f"README.md: {problem.key}: {problem.text}")) from None


def _check_choice(key: str, value: Any, known: Collection[str]) -> None:
    if value is not None and value not in known:
        close = nearest(value, known) or f"; expected one of {', '.join(sorted(known))}"
        raise Problem(key, f"{show(value)} is not known to the Hub{close}")
