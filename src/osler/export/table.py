"""The artefacts of a run side by side, as plain text."""

from __future__ import annotations

from osler.rendering import aligned, cell, difference
from osler.runs import Exports

TITLES = ["export", "split", "accuracy", "minus evaluated", "same first", "|Δ log p|", "tokens/s", "size", "memory"]


def render(exports: Exports) -> str:
    """A row an artefact and split; then what the columns say."""
    rows = [TITLES]
    for name, artefact in exports.artefacts.items():
        for row in artefact.splits:
            rows.append(
                [
                    name,
                    row.split,
                    cell(row.accuracy),
                    difference(row.compared),
                    f"{row.same_first.value:.1%}",
                    f"{row.log_p.mean:.2g} (max {row.log_p.max:.2g})",
                    f"{artefact.tokens_per_second:,.0f}",
                    f"{artefact.size_bytes / 1e6:,.0f} MB",
                    f"{artefact.peak_memory_bytes / 1e9:.1f} GB",
                ]
            )
    part = f" (the first {exports.first} cases of each split)" if exports.first else ""
    return "\n".join(
        [
            f"{exports.tuned} as other software answers{part}",
            "",
            *aligned(rows),
            "",
            "minus evaluated: accuracy minus that of the evaluated model, same cases. same first: share with its first",
            "answer. |Δ log p|: mean over all cases and labels. memory: of the process, Python and torch included.",
        ]
    )
