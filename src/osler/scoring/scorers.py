"""From the name of a scorer (``evaluation.scorer`` in a recipe, ``scorer`` in a task) to the scorer."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.errors import InputError
from osler.models import Images
from osler.scoring import generation
from osler.scoring.answer import Scorer
from osler.scoring.classifier import ClassifierScorer
from osler.scoring.labels import ChoiceScorer, LabelScorer
from osler.scoring.passes import Way
from osler.scoring.proof import WAYS
from osler.scoring.reranker import RerankerScorer
from osler.storage import wheels
from osler.tasks import Task
from osler.terminology import diseases


def scorer_named(
    name: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    ways: Sequence[Way] = WAYS,
    images: Images | None = None,
) -> Scorer:
    """The scorer that answers the cases of ``task`` with ``model``, in the first of ``ways`` that proves right.
    ``images`` is how the model reads those of the task's cases, None where they have none.

    Raises :class:`InputError` where none does, where the scorer writes free text and the task has no terminology to
    read it with, or where a classifier has other labels.
    """
    if name == "classifier":
        return ClassifierScorer(model, tokenizer, task, alone=tuple(ways) == ("plain",))
    if name == "reranker":
        return RerankerScorer(model, tokenizer, task.prompt, ways)
    if name in ("multiple_choice", "multiple_choice_text"):
        return ChoiceScorer(model, tokenizer, task.prompt, name == "multiple_choice", ways)
    if name in ("generate", "generate_sampled"):
        files = task.terminology
        if files is None or files.annotations is None:
            needed = "`terminology: {ontology: …, annotations: …}` to read answers with"
            raise InputError(f"tasks/{task.name}/task.yaml: the scorer {name} needs {needed}")
        terminology = diseases.load(*wheels.fetch_many([files.ontology, files.annotations]))
        samples = generation.SAMPLES if name == "generate_sampled" else 1
        return generation.Generator(model, tokenizer, task.prompt, task.labels, terminology, samples)
    return LabelScorer(model, tokenizer, task.prompt, task.labels, name == "label_trie", ways, images)
