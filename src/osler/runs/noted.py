"""A trained run in the ledger of its project."""

from __future__ import annotations

from osler.governance import Ledger
from osler.runs.run import Run


def note_model(ledger: Ledger, run: Run) -> None:
    """Add which weights a run has, of which recipe, prompt and data; nothing where the ledger has these weights."""
    manifest = run.read_manifest()
    weights = manifest.adapter_sha256
    if any(entry.kind == "model" and entry.content.get("weights_sha256") == weights for entry in ledger.entries()):
        return
    of = {
        "run": str(run.folder),
        "weights_sha256": weights,
        "prompt_sha256": manifest.prompt_sha256,
        "task": f"{manifest.task.name} {manifest.task.version}",
        "recipe_sha256": manifest.recipe.sha256,
    }
    ledger.append("model", f"{manifest.recipe.name}@{manifest.recipe.version}", of)
