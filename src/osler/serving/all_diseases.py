"""The differential over all Mendelian diseases: rankers, and the reranker of a run where one is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from osler.errors import InputError
from osler.evaluation import second_opinion
from osler.ranking import (
    VOCABULARIES,
    Differential,
    find_in_text,
    load_fusion,
    load_rankers,
    read_equivalents,
    read_findings,
)
from osler.ranking import diagnose as ranked
from osler.runs import Run


def diagnose(
    task: Path,
    given: str | tuple[str, str],
    top: int,
    vocabularies: Sequence[str],
    same: Path | None,
    run: Run | None,
) -> Differential:
    """The first ``top`` diseases for a patient.

    Args:
        task: the folder of the task ``differential``.
        given: a note, or HPO ids of present and of absent findings, between commas.
        vocabularies: whose ids are ranked.
        same: a file of ids that are one disease.
        run: whose reranker is asked, too.

    Raises:
        InputError: there is no such vocabulary, ``same`` is no such file, nothing present is found, or as
            :func:`osler.evaluation.second_opinion.load`.
    """
    if unknown := [name for name in vocabularies if name not in VOCABULARIES]:
        raise InputError(f"--diseases {unknown[0]}: expected some of {', '.join(VOCABULARIES)}")
    equivalents = read_equivalents(same) if same else {}
    opinion = second_opinion.load(run) if run is not None else None
    rankers, ontology = load_rankers(task, vocabularies, equivalents)
    found = find_in_text(given, ontology) if isinstance(given, str) else read_findings(ontology, *map(_ids, given))
    return ranked(rankers, load_fusion(), ontology, found, top, opinion)


def _ids(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
