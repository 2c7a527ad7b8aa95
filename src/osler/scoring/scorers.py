"""A scorer by its name in a recipe."""

from __future__ import annotations

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.errors import InputError
from osler.scoring import generation
from osler.scoring.answer import Scorer
from osler.scoring.labels import ChoiceScorer, LabelScorer
from osler.storage import wheels
from osler.tasks import Task
from osler.terminology import diseases


def scorer_named(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task) -> Scorer:
    """What answers the cases of ``task`` with ``model``, by the name recipes have for it.

    Raises :class:`InputError` where answers in free text could not be read.
    """
    if name in ("multiple_choice", "multiple_choice_text"):
        return ChoiceScorer(model, tokenizer, task.prompt, letters=name == "multiple_choice")
    if name in ("generate", "generate_sampled"):
        files = task.terminology
        if files is None or files.annotations is None:
            needed = "`terminology: {ontology: …, annotations: …}` to read answers with"
            raise InputError(f"tasks/{task.name}/task.yaml: the scorer {name} needs {needed}")
        known = diseases.load(*wheels.fetch_many([files.ontology, files.annotations]))
        samples = generation.SAMPLES if name == "generate_sampled" else 1
        return generation.Generator(model, tokenizer, task.prompt, task.labels, known, samples)
    return LabelScorer(model, tokenizer, task.prompt, task.labels, normalised=name == "label_trie")
