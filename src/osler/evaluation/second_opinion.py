"""A trained reranker's say on the candidates that the rankers put first, for ``scripts/diagnose.py``."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from osler.errors import InputError
from osler.ranking import COMPARED, SecondOpinion
from osler.recipe import find_tasks
from osler.runs import Run, check_trained, tuned_name

log = logging.getLogger(__name__)

MIXTURE = "ranker_mixture"  # the baseline that the candidates come from


def load(run: Run) -> SecondOpinion:
    """What ``run`` says, with the weights that its evaluation fitted on validation. Loads the model.

    Raises :class:`InputError` where the run is not finished and evaluated with ``evaluation.fused`` beside the mixture
    of rankers, or its recipe has no ``head: reranker``.
    """
    recipe = run.recipe()
    check_trained(run, recipe)
    if recipe.head != "reranker":
        raise InputError(f"{run.folder}: its recipe has no head: reranker, so it compares no candidates")
    fused = run.read_results().fused
    weights = fused.weights if fused else {}
    if fused is None or not {MIXTURE, tuned_name(recipe)} <= weights.keys():
        raise InputError(
            f"{run.results_path()}: no weights of the model beside {MIXTURE}; evaluate it on validation with"
            " evaluation.fused: true"
        )
    from osler.models import context_length, load_tokenizer, load_tuned  # imports torch, as does the next
    from osler.scoring import RerankerScorer
    from osler.tasks import Case, candidate_tokens, encode_classified, load_prompt

    prompt = load_prompt(find_tasks(run.folder) / recipe.task.name)
    model, tokenizer = load_tuned(recipe.base, run.adapter_path), load_tokenizer(recipe.base)
    scorer, context = RerankerScorer(model, tokenizer, prompt), context_length(model)

    def ask(text: str, candidates: Mapping[str, str]) -> dict[str, float]:
        longest = max(len(candidate_tokens(tokenizer, of)) for of in candidates.values())
        tokens, cut = encode_classified(prompt, tokenizer, text, context and context - longest)
        if cut:
            log.warning(
                "the model reads %d tokens: the end of the note is cut off for it, not for the rankers", context
            )
        (answer,) = scorer.answer([tokens], [Case("patient", text, "", options=candidates)])
        assert answer.probabilities is not None, "a reranker gives some"
        return dict(zip(answer.ranked, np.log(np.maximum(answer.probabilities, fused.floor)).tolist(), strict=True))

    return SecondOpinion(ask, COMPARED, weights[MIXTURE], weights[tuned_name(recipe)], fused.floor)
