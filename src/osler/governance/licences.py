"""Licences: how the Hub calls them, and which of them a model may have that is made of another model and of data.

The second is a table of what licences say about works made from theirs, no legal advice. Names are the Hub's; ``hpo``
is the licence of the Human Phenotype Ontology (https://hpo.jax.org/license: free to use, with attribution and version;
its files may not be altered).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from osler.errors import InputError, nearest
from osler.recipe import find_tasks, read_task

if TYPE_CHECKING:
    from osler.recipe import Recipe

_TERMS = "read its terms, then choose another publish.license or say --allow licence=REASON"

# https://huggingface.co/docs/hub/repositories-licenses, as of October 2026; huggingface_hub has no list of them.
_IDENTIFIERS = (
    "afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0"
    " bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5"
    " cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0"
    " cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0"
    " cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0"
    " etalab-2.0 eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0"
    " grok2-community h-research intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2"
    " llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail"
    " openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib"
)
IDENTIFIERS = set(_IDENTIFIERS.split())

# Any licence may follow, as long as the author is named.
PERMISSIVE = {
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "isc",
    "unlicense",
    "cc0-1.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "pddl",
    "odc-by",
    "cdla-permissive-2.0",
    "hpo",
}
# The same licence has to follow.
SHARE_ALIKE = {
    "cc-by-sa-4.0",
    "cc-by-nc-sa-4.0",
    "gpl-3.0",
    "agpl-3.0",
    "odbl",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "llama4",
    "gemma",
}
# One of these has to follow; none, where no derived work may be published.
RESTRICTED = {
    "cc-by-nc-4.0": {"cc-by-nc-4.0", "cc-by-nc-sa-4.0"},
    "cc-by-nd-4.0": set[str](),
    "cc-by-nc-nd-4.0": set[str](),
}
KNOWN = PERMISSIVE | SHARE_ALIKE | RESTRICTED.keys()
DATA_ONLY = {"hpo"}  # no licence of a model

# What the shipped bases' own model cards state, by the beginning of the Hub id.
BASES = {"HuggingFaceTB/SmolLM2-": "apache-2.0"}  # https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct#license


def check(identifier: str, place: str) -> None:
    """Raise :class:`InputError`, which names ``place``, where the Hub knows no licence of that identifier."""
    if identifier not in IDENTIFIERS:
        close = nearest("-".join(identifier.lower().split()), sorted(IDENTIFIERS))
        raise InputError(
            f"{place} {identifier!r}: the Hub knows no licence by this identifier{close or '; the rest is `other`'}"
        )


def permits(source: str, published: str) -> bool:
    """Whether what is made of something under ``source`` may be ``published`` under that licence.

    ``source`` is one of :data:`KNOWN`.
    """
    if source in PERMISSIVE:
        return True
    return published in RESTRICTED.get(source, {source})


def conflicts(recipe: Recipe, sources: Mapping[str, tuple[str | None, str]]) -> list[str]:
    """Why the recipe's model may not be published as ``publish.license`` says, a line each.

    Args:
        sources: what the model is made of → its licence (None if unknown), and how to make that known.
    """
    ours, where = recipe.publish.license, f"{recipe.path}: publish.license: {recipe.publish.license}"
    if ours == "other":
        way_out = (
            "run prepare_data.py with --license, write it here, or publish with --allow licence=REASON and, in"
            " about.yaml, license_name and license_link"
        )
        return [f"{recipe.path}: publish.license: `other` needs the data's licence: {way_out}"]
    if ours not in KNOWN or ours in DATA_ONLY:
        close = nearest(ours, sorted(KNOWN - DATA_ONLY))
        return [f"{where} is not a licence known here{close}; {_TERMS}"]
    problems = []
    for source, (of_source, way_out) in sources.items():
        if of_source is None:
            problems.append(f"{source}: its licence is not known; {way_out}")
        elif of_source not in KNOWN:
            problems.append(f"{source}: what its licence {of_source} asks of a model is not known here; {_TERMS}")
        elif not permits(of_source, ours):
            problems.append(f"{where} is not what {source} permits, which is {of_source}; {_TERMS}")
    return problems


def task_licences(recipe: Recipe) -> dict[str, tuple[str | None, str]]:
    """The files of the recipe's tasks as ``sources`` of :func:`conflicts`."""
    names = [recipe.task.name, *(recipe.mixture.tasks if recipe.mixture else ())]
    folders = [find_tasks(recipe.path) / name for name in names]
    way_out = "write it into that file as `license:`"
    return {str(folder / "task.yaml"): (read_task(folder).license, way_out) for folder in folders}


def base_licence(model: str, revision: str | None) -> str | None:
    """The licence of a base model: from its own card, in its folder or the Hub's cache, else one of :data:`BASES`."""
    from huggingface_hub import ModelCard, try_to_load_from_cache

    folder = Path(model).expanduser()
    card = folder / "README.md" if folder.is_dir() else try_to_load_from_cache(model, "README.md", revision=revision)
    if isinstance(card, (str, Path)) and Path(card).is_file():
        stated = ModelCard.load(Path(card), ignore_metadata_errors=True).data.to_dict().get("license")
        if isinstance(stated, str):
            return stated
    return next((licence for family, licence in BASES.items() if model.startswith(family)), None)
