"""The card of a prepared dataset, ``README.md`` with YAML metadata, from its ``data_report.json`` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osler.rendering import NOBODY, markdown

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render(name: str, report: Mapping[str, Any]) -> str:
    """The card of the dataset ``name``. What the report does not say is marked as not said, never invented."""
    from huggingface_hub import DatasetCardData  # slow

    n = report["rows_out"]
    metadata = DatasetCardData(
        language=["en"],
        license=report["license"],
        pretty_name=name,
        task_categories=["text-classification"],
        size_categories=[next((size for limit, size in SIZES if n < limit), "1M<n<10M")],
        tags=["medical", "diagnosis", "osler"],
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"{split}.jsonl"} for split, of in report["splits"].items() if of["rows"]
                ],
            }
        ],
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_body(name, report)}"


def _body(name: str, report: Mapping[str, Any]) -> str:
    splits = [
        [split, f"{of['rows']:,}", f"{of['groups']:,}", f"{len(report['labels']) - len(of['labels_missing'])}"]
        for split, of in report["splits"].items()
    ]
    steps = [
        [f"`{step['step']}`", step["reason"], f"{step['changed']:,}", f"{step['dropped']:,}"]
        for step in report["steps"]
    ]
    labels = [[label, *(f"{of[split]:,}" for split in report["splits"])] for label, of in report["labels"].items()]
    dropped = [[reason, f"{count:,}"] for reason, count in report["dropped"].items()]
    clusters, leakage, found = report["clusters"], report["leakage"], report["identifiers"]
    return f"""# {name}

Texts and their diagnoses, {report["rows_out"]:,} rows, {len(report["labels"])} labels. Prepared by Osler's
`scripts/prepare_data.py` from `{report["source"]}`; [data_report.html](data_report.html) shows what became of each row.

**Research use only.** Nothing in here is clinical evidence.

## Fields

`case_id` · `text` · `label` · `subgroups` (name → value) · `group` (rows of one patient, family or publication share
it, or null) · `source` (where the row stood)

## Splits

{markdown(["split", "rows", "groups", "labels with a row"], splits)}

{report["split_by"]}

## Who is in it, and how it was collected

{NOBODY}

## How it was processed

{report["rows_in"]:,} rows in, {report["rows_out"]:,} out.

{markdown(["step", "why", "rows changed", "rows dropped"], steps)}
{_left(report["labels_left_in_text"])}

{markdown(["dropped for", "rows"], dropped) if dropped else "No row was dropped."}

Near-duplicates (Jaccard similarity of character shingles at least {clusters["near"]}): {clusters["clusters"]:,}
clusters of {clusters["rows"]:,} rows, none of them torn apart by a split. Training rows dropped because they stood in a
held-out split: {leakage["exact"]:,} word for word, {leakage["near"]:,} nearly.

## Personal information

{_personal(found)}

## Labels

{markdown(["label", *report["splits"]], labels)}

## Licence

{report["license"] or NOBODY}

## Known problems

{NOBODY}
"""


def _left(found: Mapping[str, int]) -> str:
    if not found:
        return ""
    listed = ", ".join(f"{label} ({count:,})" for label, count in found.items())
    return f"\nLabels that are one common word are not masked, and stand in texts of theirs: {listed}.\n"


def _personal(found: Mapping[str, int] | None) -> str:
    if found is None:
        return "The texts were **not** de-identified: do not publish them before you know that they name nobody."
    listed = (
        ", ".join(f"{name.lower().replace('_', ' ')} {count:,}" for name, count in found.items()) or "none was found"
    )
    return (
        f"De-identified by machine; replaced: {listed}. Case ids and groups are keyed"
        " hashes, files are numbered. No machine finds every identifier: have a person read a sample"
        " before the dataset leaves the house."
    )
