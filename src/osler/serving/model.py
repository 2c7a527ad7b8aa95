"""Runs as models to ask: the same prompt, scorer and weights as in evaluation, with the calibration it fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from osler.data import unknown_share
from osler.errors import InputError
from osler.explanation import QUICK, Explainer, Subject, ablation, knowledge
from osler.recipe import (
    BaseSection,
    Recipe,
    find_tasks,
    read_task,
)
from osler.runs import (
    Calibration,
    Run,
    TrainingTexts,
    check_prompt,
    check_trained,
    find_run,
    free_memory,
    mismatches,
    tuned_name,
)
from osler.serving.diagnosis import NO_THRESHOLD, Diagnosis, ModelName, RankedLabel, link
from osler.terminology import diseases, languages

if TYPE_CHECKING:
    from osler.scoring import Answer


AT_ONCE = 8  # texts in a pass: as many keep two cores busy, and of fewer more are as long as each other
FITTED = 1e-3  # a temperature that was fitted on another machine may differ by less
NF4_BYTES = 0.55  # a weight, with the scales of its block; embeddings are not quantised and come on top
# An explanation may take three times as long as an answer. A pass costs something besides its tokens, of which some may
# be spent, and a wider one costs more a token. Measured: docs/decisions/explanation.md.
TIMES, OVERHEAD = 2.7, 48


@dataclass(frozen=True)
class Asked:
    """A text that can be asked: its case, the tokens of its prompt, and what is unusual about it; to explain the answer
    also what is left out of it, and the tokens of these prompts."""

    case: Any
    tokens: list[int]
    warnings: tuple[str, ...]
    planned: ablation.Ablation | None = None
    left_out: tuple[list[int], ...] = ()


@dataclass
class ServedModel:
    """A model that answers texts.

    Attributes:
        name: which it is.
        task: the name of its task.
        labels: label id → name; empty where it answers in free text.
        icd10cm: name → code of ICD-10-CM, of the names that it has.
        context: tokens it reads; None where it does not say.
        fitted: the calibration of its evaluation.
        texts: what its training texts were like; None where that is not known.
        ontology: the file that findings in texts of its task are found with; None where the task names none.
        run: where it is from, and what its answers are explained with.
    """

    name: ModelName
    task: str
    labels: dict[str, str]
    context: int | None
    fitted: Calibration
    texts: TrainingTexts | None
    scorer: Any  # a Scorer; one of labels also answers prompts that are alike
    model: Any
    adapter: str | None  # of several on one base
    icd10cm: dict[str, str] = field(default_factory=dict)
    ontology: str | None = None
    run: Run | None = None
    prompt: Any = None
    tokenizer: Any = None

    @property
    def calibrated(self) -> bool:
        return self.fitted.temperature is not None

    @property
    def threshold(self) -> float | None:
        """The least probability that is told as an answer; None where none is known, so that nothing is."""
        return self.fitted.abstention.threshold if self.fitted.abstention else None

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(self.texts.words if self.texts else ())

    @cached_property
    def _language(self) -> str | None:
        return languages.language_of(sorted(self._words))

    def share_prefix(self) -> None:
        """From now on a classifier reads what all prompts begin with once; takes a second, for who asks it much."""
        from osler.scoring import ClassifierScorer

        if isinstance(self.scorer, ClassifierScorer):
            self.scorer.share_prefix()

    def unknown_share(self, text: str) -> float | None:
        """Of its words, those that are rare or missing in the training texts; None where those are not known."""
        return unknown_share(text, self._words) if self.texts else None

    @cached_property
    def subject(self) -> Subject:
        """The model as it is explained."""
        return Subject(
            self.labels, self.scorer, self.fitted.tempered, self.context, self.prompt, self.tokenizer, self.model
        )

    @cached_property
    def explainer(self) -> Explainer:
        """What explains the answers; reads HPO's files, which takes some seconds."""
        assert self.run is not None, "load_models says where a model is from"
        return Explainer(self.subject, knowledge.load(self.run))

    def encode(self, text: str, explain: bool = False) -> Asked:
        """``text`` as it is asked. Raises :class:`InputError` where it is empty or longer than the model reads, or its
        answer cannot be explained."""
        from osler.tasks import Case

        if not text.strip():
            raise InputError("the text is empty; describe the patient")
        case = Case("asked", text, "")
        tokens = self.scorer.encode(case)
        behind = self.scorer.behind(case)
        if self.context is not None and len(tokens) + behind > self.context:
            raise InputError(
                f"the text has {len(tokens):,} tokens with its prompt, and the longest answer {behind:,} more; the"
                f" model reads {self.context:,}: shorten the text"
            )
        warnings = tuple(self._unusual(text, len(tokens)))
        if not explain:
            return Asked(case, tokens, warnings)
        if not hasattr(self.scorer, "log_p"):
            raise InputError("the model writes its answers, and only probabilities of labels are explained")
        for most in range(QUICK, 1, -1):
            planned = self.explainer.plan(text, most)
            left_out = tuple(self.scorer.encode(Case("asked", one, "")) for one in planned.texts)
            if self.scorer.tokens_run([tokens, *left_out]) <= TIMES * self.scorer.tokens_run([tokens]) + OVERHEAD:
                break
        return Asked(case, tokens, warnings, planned, left_out)

    def answer(self, asked: Sequence[Asked], top: int | None = None) -> list[Diagnosis]:
        """The answers to a batch, each with its ``top`` diagnoses; all of them for None."""
        if self.adapter is not None and self.model.active_adapter != self.adapter:
            self.model.set_adapter(self.adapter)
        quick = [number for number, one in enumerate(asked) if one.planned is None]
        order = sorted(quick, key=lambda number: len(asked[number].tokens))
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), AT_ONCE):
            numbers = order[start : start + AT_ONCE]
            texts = [asked[number] for number in numbers]
            answers |= zip(numbers, self.scorer.answer([t.tokens for t in texts], [t.case for t in texts]), strict=True)
        return [
            self._diagnosis(one, answers[number], top)
            if one.planned is None
            else self._explained(one, one.planned, top)
            for number, one in enumerate(asked)
        ]

    def _explained(self, asked: Asked, planned: ablation.Ablation, top: int | None) -> Diagnosis:
        """The answer and its explanation, from one pass over the text and the texts without a part of it."""
        whole, *left_out = self.scorer.answer_alike([asked.tokens, *asked.left_out])
        rows = np.array([self.subject.log_p(one) for one in left_out]).reshape(-1, len(self.labels))
        told = self.explainer.read(planned, self.subject.log_p(whole), rows)
        return self._diagnosis(asked, whole, top).model_copy(
            update={"words": ablation.words(told.units), "explanation": told}
        )

    def _diagnosis(self, asked: Asked, answer: Answer, top: int | None) -> Diagnosis:
        probabilities: Sequence[float | None] = [None] * len(answer.ranked)
        if answer.probabilities:
            probabilities = self.fitted.tempered(answer.probabilities)
        ranked = [
            RankedLabel(
                label=label,
                name=(name := self.labels.get(label, label)),
                probability=p,
                icd10cm=self.icd10cm.get(name),
                link=link(label),
            )
            for label, p in zip(answer.ranked, probabilities, strict=True)
        ]
        reason = self._unsure(ranked, answer.parsed)
        return Diagnosis(
            diagnoses=tuple(ranked[:top]),
            abstained=reason is not None,
            reason=reason,
            calibrated=self.calibrated,
            warnings=asked.warnings,
            text=answer.text,
            model=self.name,
        )

    def _unsure(self, ranked: Sequence[RankedLabel], parsed: bool) -> str | None:
        """Why the first diagnosis is not told as an answer; None where it is."""
        if not parsed or not ranked:
            return "no diagnosis could be read in what the model wrote"
        first, abstention, threshold = ranked[0].probability, self.fitted.abstention, self.threshold
        if first is None or abstention is None or threshold is None:
            return NO_THRESHOLD
        if first >= threshold:
            return None
        return (
            f"its probability of {first:.2f} is below {threshold:.2f}, from which on"
            f" {abstention.target_accuracy:.0%} of the answers to validation cases were right"
        )

    def _unusual(self, text: str, tokens: int) -> list[str]:
        """What is unusual about ``text``, a line each."""
        if (of := self.texts) is None:
            return []
        said = []
        if self._language is not None and not languages.is_in(text, self._language):
            said.append(f"the text seems not to be in the language of the training texts ({self._language})")
        if (share := self.unknown_share(text) or 0.0) > of.unknown_share:
            said.append(
                f"{share:.0%} of its words are rare or missing in the training texts; 99% of those have at most"
                f" {of.unknown_share:.0%}"
            )
        if tokens > of.tokens:
            said.append(f"it has {tokens:,} tokens; 99% of the training texts have at most {of.tokens:,}")
        return said


def load_models(names: Sequence[str]) -> dict[str, ServedModel]:
    """The models of runs, each under its recipe's name; adapters of one base share it.

    Args:
        names: run directories, or published versions ``USER/NAME@vX``.

    Raises:
        InputError: a run is not finished, not evaluated, not what its records say, or of a task that is not asked with
            a text alone; two have one name; or as :func:`osler.runs.find_run` and :func:`osler.models.load_tuned`.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # a bar of some seconds, in front of an answer or in a server's log
    runs = [(name, *_checked(name)) for name in names]  # all of them before the first is loaded, which takes time
    served: dict[str, ServedModel] = {}
    bases: dict[BaseSection, Any] = {}
    for name, run, recipe, fitted in runs:
        if recipe.name in served:
            raise InputError(f"{name}: there is a model {recipe.name} already; serve one version of it")
        served[recipe.name] = _load(run, recipe, fitted, bases)
    return served


def _checked(name: str) -> tuple[Run, Recipe, Calibration]:
    run = find_run(name).run
    recipe = run.recipe()
    check_served(run, recipe)
    check_trained(run, recipe)
    if not run.results_path().is_file():
        raise InputError(
            f"{run.results_path()}: is not there, so nothing is known of how far the model can be believed; run"
            " scripts/evaluate.py first"
        )
    for mismatch in mismatches(run, recipe):
        raise InputError(f"{run.folder}/{mismatch}: bring that one back, or train and evaluate again")
    return run, recipe, _fitted(run, recipe)


def check_served(run: Run, recipe: Recipe) -> None:
    """Raise :class:`InputError` where a model of this kind cannot be asked with a text alone."""
    if recipe.stage is not None:
        raise InputError(f"{run.folder}: pre-trained, it answers nothing; fine-tune it and serve that run")
    if recipe.head == "reranker":
        raise InputError(f"{run.folder}: a reranker compares what rankers propose: scripts/diagnose.py {run.folder}")
    task = read_task(find_tasks(run.folder) / recipe.task.name)
    if task.source.has_images:
        raise InputError(f"{run.folder}: its cases have images; only texts are served")
    if task.scorer not in (None, "generate"):
        raise InputError(f"{run.folder}: its questions have options, and a text alone has none; it is not served")


def _check_memory(run: Run, recipe: Recipe) -> None:
    """Raise :class:`InputError` where the weights alone do not fit into what is free, before they are read."""
    import torch

    each = NF4_BYTES if recipe.base.quantization == "nf4" else getattr(torch, recipe.base.dtype).itemsize
    needs = run.read_manifest().base.parameters * each
    free = _room()
    if needs > free:
        raise InputError(
            f"{run.folder}: its model needs {needs / 1e9:.1f} GB for the weights alone, {free / 1e9:.1f} GB are free"
            " here; end what else is running, or take a larger machine"
        )


def _room() -> int:
    """Bytes that a model may take: of the first accelerator, or of the machine or container."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return free_memory()


def _fitted(run: Run, recipe: Recipe) -> Calibration:
    """The calibration that evaluation fitted.

    Raises :class:`InputError` where there is none of its task, or its temperature or threshold are not those that the
    answers to validation cases give; their hashes in ``results.json`` were compared before.
    """
    from osler.evaluation import VALIDATION
    from osler.evaluation import results as scored

    results, system = run.read_results(), tuned_name(recipe)
    fitted = results.calibration(recipe.task.name, system)
    if fitted is None:
        raise InputError(f"{run.results_path()}: has no record of {recipe.task.name}: run scripts/evaluate.py again")
    file = run.prediction_path(recipe.task.name, VALIDATION, system)
    fit = scored.fit_of(file) if file in run.scored_predictions(results) else None
    threshold = fitted.abstention.threshold if fitted.abstention else None
    for name, was, now in (
        ("temperature", fitted.temperature, fit and fit.temperature),
        ("named", fitted.named, fit.named if fit else 1.0),
        ("threshold", threshold, fit and fit.threshold),
    ):
        if (was is None) != (now is None) or not math.isclose(was or 0, now or 0, rel_tol=FITTED, abs_tol=FITTED):
            raise InputError(
                f"{run.results_path()}: the {name} {was} is not what the answers to the validation cases give ({now});"
                " run scripts/evaluate.py again"
            )
    return fitted


def _load(run: Run, recipe: Recipe, fitted: Calibration, bases: dict[BaseSection, Any]) -> ServedModel:
    from osler.models import add_tuned, choose_device_map, context_length, load_tokenizer, load_tuned
    from osler.scoring import WAYS, scorer_named
    from osler.tasks import load_to_ask

    panel, manifest = run.read_panel(), run.read_manifest()
    files = knowledge.files_of(read_task(find_tasks(run.folder) / recipe.task.name))
    task = load_to_ask(find_tasks(run.folder) / recipe.task.name, recipe.task.panel, panel.labels)
    check_prompt(run, manifest, task.name, task.prompt.sha256)
    device_map, adapter = choose_device_map(recipe), None
    if recipe.head is None and recipe.lora is not None:
        adapter = recipe.name.replace(".", "_")  # PyTorch's module names
        if recipe.base in bases:
            model = add_tuned(bases[recipe.base], run.adapter_path, adapter)
        else:
            _check_memory(run, recipe)
            model = bases[recipe.base] = load_tuned(recipe.base, run.adapter_path, device_map, adapter)
    else:
        _check_memory(run, recipe)
        model = load_tuned(recipe.base, run.adapter_path, device_map)
    tokenizer, named = load_tokenizer(recipe.base), task.scorer or recipe.evaluation.scorer
    scorer = scorer_named(named, model.eval(), tokenizer, task, WAYS)
    return ServedModel(
        name=ModelName(
            name=recipe.name,
            version=recipe.version,
            recipe_sha256=recipe.sha256,
            weights_sha256=manifest.adapter_sha256,
        ),
        task=task.name,
        labels=dict(panel.labels),
        icd10cm=diseases.icd10cm_codes(panel.labels.values()),
        context=context_length(model),
        fitted=fitted,
        texts=panel.texts,
        scorer=scorer,
        model=model,
        adapter=adapter,
        ontology=files[0] if files else None,
        run=run,
        prompt=task.prompt,
        tokenizer=tokenizer,
    )
