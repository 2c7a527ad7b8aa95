"""The rankers of the annotations that a task names."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from osler.errors import InputError
from osler.ranking.disease_index import DiseaseIndex
from osler.ranking.rankers import Rankers
from osler.recipe import DifferentialSource, read_task
from osler.storage import wheels
from osler.terminology import Ontology, read_annotations, read_ontology


def load_rankers(
    task_folder: Path, vocabularies: Collection[str] = ("OMIM",), equivalents: Mapping[str, str] = {}
) -> tuple[Rankers, Ontology]:
    """The rankers of the diseases in the annotations of a task, and its ontology; takes some seconds.

    ``vocabularies`` and ``equivalents`` are as in :meth:`DiseaseIndex.build`.

    Raises :class:`InputError` where the task is of another kind, or its files cannot be had.
    """
    source = read_task(task_folder).source
    if not isinstance(source, DifferentialSource):
        raise InputError(f"{task_folder / 'task.yaml'}: source.kind: {source.kind}; expected differential")
    ontology_file, annotations_file = wheels.fetch_many([source.ontology, source.annotations])
    ontology = read_ontology(ontology_file)
    annotations = read_annotations(annotations_file, ontology)
    ranked = {disease for disease in annotations.rows if disease.split(":")[0] in vocabularies}
    if idle := [one for one, other in equivalents.items() if not {one, other} <= ranked]:
        logging.getLogger(__name__).warning(
            "%d of %d pairs of ids merge nothing, such as %s: not both are in HPO's annotations and of %s",
            len(idle),
            len(equivalents),
            f"{idle[0]} and {equivalents[idle[0]]}",
            ", ".join(vocabularies),
        )
    return Rankers(DiseaseIndex.build(ontology, annotations, vocabularies, equivalents)), ontology
