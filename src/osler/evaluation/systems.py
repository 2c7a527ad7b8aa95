"""What systems are called where people read of them, and what they are; files know them by their names."""

from __future__ import annotations

from typing import NamedTuple

from osler.recipe import FUSED
from osler.runs import MERGED, Results


class KnownSystem(NamedTuple):
    """A system that recipes ask for beside the fine-tuned model."""

    title: str
    description: str


SYSTEMS = {
    "base_model": KnownSystem("untuned base model", "the base model before fine-tuning, scored the same way"),
    "base_model_with_labels": KnownSystem(
        "untuned base model given the labels", "the same, with all labels listed in its prompt"
    ),
    "majority": KnownSystem(
        "always the most frequent label", "always the most frequent label of the training data, whatever the case"
    ),
    "tfidf_svm": KnownSystem("SVM on words", "a linear SVM over TF-IDF of words, trained on the same rows"),
    "tfidf_char_svm": KnownSystem("SVM on characters", "the same over TF-IDF of characters"),
    "encoder": KnownSystem("sentence encoder", "a small sentence encoder, fine-tuned on the same rows"),
    "ontology_naive_bayes": KnownSystem(
        "naive Bayes on findings", "naive Bayes over the findings, from the ontology's frequencies"
    ),
    "semantic_similarity": KnownSystem(
        "similarity of findings", "semantic similarity of the findings to each disease of the panel"
    ),
    "semantic_similarity_omim": KnownSystem(
        "similarity across all of OMIM", "the same against every disease of OMIM: a harder question"
    ),
    FUSED: KnownSystem(
        "mixture of model and baselines",
        "a log-linear mixture of the fine-tuned model and the baselines with probabilities, weights from validation",
    ),
}
TUNED = KnownSystem("fine-tuned model", "the model that this page is about")
TUNED_AND_MERGED = KnownSystem("fine-tuned model, merged", "the same, its adapter merged into the weights of its base")


def known_systems(results: Results) -> dict[str, KnownSystem]:
    """Name in the files → what is known, of the systems in ``results`` that Osler made: others keep their names.

    The fine-tuned model is told by the fingerprint of its weights, the mixture by what it is made of: only the results
    of a run hold these.
    """
    weights = results.weights_sha256 or {}
    known = {name: TUNED_AND_MERGED if name.endswith(MERGED) else TUNED for name in weights} | SYSTEMS
    if results.fused is None:  # somebody else's
        del known[FUSED]
    names = dict.fromkeys(name for record in results.records for name in record.systems)
    return {name: known[name] for name in names if name in known}
