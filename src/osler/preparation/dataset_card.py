"""Render the card of a prepared dataset, ``README.md`` with YAML metadata, from its data report."""

from __future__ import annotations

from collections.abc import Mapping

from osler.preparation.data_report import DataReport, describe_outcome
from osler.preparation.mask_leak import MaskLeak
from osler.rendering import NOT_STATED, code, escaped, markdown_table

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def render_card(name: str, report: DataReport) -> str:
    """The card of the dataset ``name``. What the report does not say is marked as not stated, never invented."""
    from huggingface_hub import DatasetCardData  # slow

    files = [{"split": split, "path": f"{split}.jsonl"} for split, counts in report["splits"].items() if counts["rows"]]
    metadata = DatasetCardData(
        language=["en"],
        license=report["license"],
        pretty_name=name,
        task_categories=["text-classification"],
        size_categories=[next((size for limit, size in SIZES if report["rows_out"] < limit), "1M<n<10M")],
        tags=["medical", "diagnosis", "osler"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    return f"---\n{metadata.to_yaml()}\n---\n\n{_body(name, report)}"


def _body(name: str, report: DataReport) -> str:
    splits = [
        [split, f"{n['rows']:,}", f"{n['groups']:,}", f"{len(report['labels']) - len(n['labels_missing'])}"]
        for split, n in report["splits"].items()
    ]
    steps = [
        [code(step["step"]), step["reason"], f"{step['changed']:,}", f"{step['dropped']:,}"] for step in report["steps"]
    ]
    labels = [[label, *(f"{n[split]:,}" for split in report["splits"])] for label, n in report["labels"].items()]
    dropped = [[reason, f"{count:,}"] for reason, count in report["dropped"].items()]
    clusters, leakage = report["clusters"], report["leakage"]
    return f"""# {name}

{report["rows_out"]:,} texts with their diagnoses, {len(report["labels"])} labels. Osler's `scripts/prepare_data.py`
prepared them from {code(report["source"])}; [data_report.html](data_report.html) shows what became of every row.

**Research use only.** Nothing in this dataset is clinical evidence.

## Fields

`case_id` · `text` · `label` · `subgroups` (name → value) · `group` (the same for all rows of one patient, family or
publication, or null) · `source` (the place of the row in the source)

## Splits

{markdown_table(["split", "rows", "groups", "labels with rows"], splits)}

{escaped(report["split_by"])} What came out: {describe_outcome(report)}.

## Population and collection

{NOT_STATED}

## Processing

{report["rows_in"]:,} rows in, {report["rows_out"]:,} out.

{markdown_table(["step", "reason", "rows changed", "rows dropped"], steps)}
{_unmasked_labels(report["labels_left_in_text"])}{_mask_leak(report["mask_leak"])}

{markdown_table(["dropped because", "rows"], dropped) if dropped else "No row was dropped."}
{_notices(report["notices"])}

There are {clusters["clusters"]:,} clusters of near-duplicates (Jaccard similarity of character shingles at least
{clusters["near"]}) with {clusters["rows"]:,} rows, each in one split. Training rows that were dropped because they also
are in a held-out split: {leakage["exact"]:,} word for word, {leakage["near"]:,} nearly.

## Personal information

{_personal_information(report["identifiers"])}

## Labels

{markdown_table(["label", *report["splits"]], labels)}

## Licence

{escaped(report["license"] or NOT_STATED)}

## Known problems

{NOT_STATED}
"""


def _notices(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    rows = [[text, f"{count:,}"] for text, count in counts.items()]
    return f"\n{markdown_table(['of the source', 'number'], rows)}\n"


def _unmasked_labels(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    labels = ", ".join(f"{escaped(label)} ({count:,})" for label, count in counts.items())
    return f"\nLabels of common words are not masked. Some of their texts contain them: {labels}.\n"


def _mask_leak(leak: MaskLeak | None) -> str:
    if leak is None:
        return ""
    low, high = leak["interval"]
    return (
        f"\nFrom the places of masks alone {leak['accuracy']:.0%} [{low:.0%}, {high:.0%}] of the labels are guessed"
        " (balanced accuracy of a classifier that sees nothing else, cross-validated);"
        f" {leak['chance']:.0%} is chance.\n"
    )


def _personal_information(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return "The texts were **not** de-identified. Do not publish them before you know that they identify nobody."
    types = (
        ", ".join(f"{name.lower().replace('_', ' ')} {count:,}" for name, count in counts.items()) or "none was found"
    )
    return (
        f"De-identified automatically. Identifiers replaced: {types}. Case ids and groups are keyed hashes, and files"
        " are numbered. No software finds every identifier: have a person read a sample before you share the dataset."
    )
