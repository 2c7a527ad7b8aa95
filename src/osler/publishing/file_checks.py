"""The checks of the files that would be uploaded."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from osler.errors import InputError
from osler.publishing import disclosure
from osler.recipe import Recipe, read_task
from osler.runs import ADAPTER, read_predictions

# Every file that a publication may have; * is within one folder.
FILES = (
    "README.md bias.md chai.json figures/*.png report.html"
    " recipe.yaml manifest.json panel.json data_report.json"
    " results.json robustness*.json reproduction*.json expected.json"
    " explanation.json exports.json monitoring.json"
    " SHA256SUMS predictions/*.jsonl"
    " tasks/*/task.yaml tasks/*/*.jinja tasks/*/README.md"
    f" adapter_config.json {ADAPTER}"
    " merged/config.json merged/generation_config.json merged/merged_from.json"
    " merged/model*.safetensors merged/model.safetensors.index.json"
).split()
# A classifier's configuration says which of its outputs is which label; a whole one is here in place of an adapter.
FILES_OF_CLASSIFIER = ("config.json", "model*.safetensors", "model.safetensors.index.json")
# Of a tokenizer, what transformers 5 writes. Others, such as tokenizer.model, could hold anything: nobody reads them.
# And how a base of images and text reads images: numbers.
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "processor_config.json")


# Of osler.preparation.pseudonyms, or the number of a row where there is no id.
PSEUDONYM = re.compile(r"[0-9a-f]{16}|[\w .-]+:\d+")


def weights(folder: Path, recipe: Recipe) -> list[str]:
    """Nothing but what a publication is made of, and no weights but safetensors that can be read."""
    extra = () if recipe.head is None else FILES_OF_CLASSIFIER
    allowed = [re.compile(re.escape(name).replace(r"\*", "[^/]*")) for name in (*FILES, *extra)]
    problems = []
    for path in disclosure.files(folder):
        name = path.relative_to(folder).as_posix()
        tokenizer = path.name in TOKENIZER and path.parent in (folder, folder / "merged")
        if path.is_symlink() or not (tokenizer or any(pattern.fullmatch(name) for pattern in allowed)):
            problems.append(f"{path}: no file of a publication; only safetensors hold weights; take it out of the run")
        elif path.suffix == ".safetensors" and (error := _unreadable(path)):
            problems.append(f"{path}: cannot be read as safetensors ({error}); bring the file back, or make it anew")
    whole = recipe.lora is None
    if not (any(folder.glob("model*.safetensors")) if whole else (folder / ADAPTER).is_file()):
        name = "model.safetensors" if whole else ADAPTER
        problems.append(f"{folder / name}: is missing; only safetensors are published, no .bin; train again")
    return problems


def _unreadable(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            if extra := set(tensors.metadata() or ()) - {"format"}:
                return f"its header holds {', '.join(sorted(extra))}, which nobody reads"
            return None if tensors.keys() else "no tensor in it"
    except (SafetensorError, OSError) as error:
        return str(error)


def secrets(folder: Path, recipe: Recipe) -> list[str]:
    """No token, key or password in any text."""
    return [
        f"{folder / finding.file}: {finding.place}: {finding.what} ({finding.shown}): revoke it, then take it out of"
        " the run"
        for finding in disclosure.secrets(folder)
    ]


def identifiers(folder: Path, recipe: Recipe) -> list[str]:
    """No identifier of a person in any text; one line a file and kind."""
    try:
        findings = disclosure.identifiers(folder)
    except InputError as error:
        return [f"{folder}: nobody looked for identifiers of persons: {error}"]
    grouped: Mapping[tuple[str, str], list[disclosure.Finding]] = defaultdict(list)
    for finding in findings:
        grouped[finding.file, finding.what].append(finding)
    listed = [
        f"{folder / file}: {first.place}: may be of a person: {what} ({first.shown})"
        + (f", and {len(more):,} more" if more else "")
        + ": take it out where it comes from, or --allow identifiers=REASON once somebody has read it"
        for (file, what), (first, *more) in grouped.items()
    ]
    return listed + _own_ids(folder, recipe)


def _own_ids(folder: Path, recipe: Recipe) -> list[str]:
    """Ids and groups of a user's own data: record numbers look like anything, so only pseudonyms may go out."""
    if not (folder / "tasks").is_dir() or not read_task(folder / "tasks" / recipe.task.name).source.own_data:
        return []
    for path in sorted(folder.glob("predictions/*.jsonl")):
        for row in read_predictions(path):
            for of_case in (row.case_id, row.group):
                if of_case is not None and not PSEUDONYM.fullmatch(of_case):
                    return [
                        f"{path}: {row.case_id[:3]}…: ids and groups are as in your own data, beside diagnoses: prepare"
                        " it with --deidentify KEY_FILE, which makes pseudonyms of them, or --allow identifiers=REASON"
                    ]
    return []
