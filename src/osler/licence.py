"""Which licence a model may have that is made of another model and of data: what their own licences ask of it.

This is a table of what licences say about works made from theirs, no legal advice. Names are the Hub's
(https://huggingface.co/docs/hub/repositories-licenses); ``hpo`` is the licence of the Human Phenotype Ontology
(https://hpo.jax.org/license: free to use, with attribution and version; its files may not be altered).
"""

from __future__ import annotations

from pathlib import Path

# Any licence may follow, as long as the author is named.
PERMISSIVE = frozenset(
    [
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
    ]
)
# The same licence has to follow.
SAME = frozenset(
    [
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
    ]
)
# One of these has to follow; none, where no derived work may be published.
OTHERS = {
    "cc-by-nc-4.0": frozenset({"cc-by-nc-4.0", "cc-by-nc-sa-4.0"}),
    "cc-by-nd-4.0": frozenset[str](),
    "cc-by-nc-nd-4.0": frozenset[str](),
}
KNOWN = PERMISSIVE | SAME | OTHERS.keys()
OF_DATA = frozenset({"hpo"})  # no licence of a model

# What the shipped bases' own model cards state, by the beginning of the Hub id.
BASES = {"HuggingFaceTB/SmolLM2-": "apache-2.0"}  # https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct#license


def permits(source: str, published: str) -> bool:
    """Whether what is made of something under ``source`` may be ``published`` under that licence.

    ``source`` is one of :data:`KNOWN`.
    """
    if source in PERMISSIVE:
        return True
    return published in OTHERS.get(source, {source})


def of_base(model: str, revision: str | None) -> str | None:
    """The licence of a base model: from its own card, in its folder or the Hub's cache, else one of :data:`BASES`."""
    from huggingface_hub import ModelCard, try_to_load_from_cache

    folder = Path(model).expanduser()
    card = folder / "README.md" if folder.is_dir() else try_to_load_from_cache(model, "README.md", revision=revision)
    if isinstance(card, (str, Path)) and Path(card).is_file():
        stated = ModelCard.load(Path(card), ignore_metadata_errors=True).data.to_dict().get("license")
        if isinstance(stated, str):
            return stated
    return next((licence for family, licence in BASES.items() if model.startswith(family)), None)
