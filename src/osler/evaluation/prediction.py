"""Systems side by side on the same held-out cases: the tuned model, merged or not, its untuned base, the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from accelerate import PartialState
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.baselines import Baseline, load_baseline
from osler.data import load_training_rows
from osler.errors import InputError
from osler.models import (
    choose_device_map,
    context_length,
    idle_accelerators,
    load_base,
    load_images,
    load_merged,
    load_tokenizer,
    load_tuned,
)
from osler.recipe import Recipe
from osler.runs import (
    Prediction,
    Run,
    append_predictions,
    join_parts,
    merged_name,
    open_part,
    read_parts,
    read_predictions,
    tuned_name,
    write_predictions,
)
from osler.scoring import WAYS, Answer, LabelScorer, Scorer, Way, batches, scorer_named
from osler.storage import fingerprint, naming
from osler.tasks import Case, Perturbation, Task, told_as

BATCH = 16  # cases scored at once
WITH_LABELS = "base_model_with_labels"


class Models(NamedTuple):
    """The language models of a run: system → what loads it, called only where its predictions are missing."""

    tokenizer: PreTrainedTokenizerBase
    loaders: Mapping[str, Callable[[], PreTrainedModel]]


def run_models(run: Run, recipe: Recipe) -> Models:
    """The tuned model of ``run``, the merged one and their base, on this process's device.

    Raises :class:`InputError` where the base is not the one that was trained on.
    """
    _check_base(run, recipe)
    device_map = choose_device_map(recipe)
    idle = idle_accelerators(PartialState().device)
    if idle and PartialState().is_main_process:
        print(f"on the CPU; {idle}")
    return Models(
        load_tokenizer(recipe.base),
        {
            tuned_name(recipe): lambda: load_tuned(recipe.base, run.adapter_path, device_map),
            merged_name(recipe): lambda: load_merged(recipe.base, run.merged_path, device_map),
            "base_model": lambda: load_base(recipe.base, device_map),
        },
    )


def _check_base(run: Run, recipe: Recipe) -> None:
    """A commit or a hash pins other bases, but nothing pins a local folder."""
    folder = Path(recipe.base.model).expanduser()
    if folder.is_dir() and fingerprint(folder) != run.read_manifest().base.fingerprint:
        raise InputError(
            f"{folder}: its weights are not those that {run.folder} was trained on; bring them back, or train again"
        )


def evaluated_systems(recipe: Recipe, task: Task, merged: bool = False) -> list[str]:
    """The tuned model, the ``merged`` one if asked for, and what they are compared with.

    On another task than the recipe's, such as a benchmark, that is the base alone.
    """
    compared = recipe.evaluation.baselines if task.name == recipe.task.name else ("base_model",)
    return [tuned_name(recipe), *([merged_name(recipe)] if merged else []), *compared]


class SplitCases(NamedTuple):
    """Cases of a split, as they are or with a perturbation, named by its folder."""

    split: str
    cases: Sequence[Case]
    perturbation: str | None = None


@dataclass(frozen=True)
class Predictor:
    """Has systems answer the cases of ``task``, which may be another than the recipe's.

    With a ``limit`` only the first cases of each split are answered, into files of their own.
    """

    run: Run
    recipe: Recipe
    task: Task
    models: Models
    limit: int | None = None

    def predict(
        self, splits: Sequence[str], systems: Sequence[str], perturbations: Sequence[Perturbation] = ()
    ) -> list[Path]:
        """Write :meth:`Run.prediction_path` of every split and system; what is there already is kept.

        Splits without data on this machine are skipped. ``perturbations`` are done to the cases of each split; these
        copies are answered too, and one that changes no case has no file. Returns the files of the cases as they are,
        system by system. Raises :class:`InputError` where a baseline cannot be fitted, a prompt is too long, or a file
        that is there answers other cases.
        """
        asked = self._asked(splits)
        copies = [self._perturbed(unchanged, p) for unchanged in asked for p in perturbations]
        for name in systems:
            for cases in (*asked, *copies):
                _check_same(self._path(name, cases), cases.cases)
            missing = [cases for cases in (*asked, *copies) if cases.cases and not self._path(name, cases).is_file()]
            PartialState().wait_for_everyone()  # before the first of us writes one of them
            if missing:
                system = self._system(name)
                for cases in missing:
                    system.answer(cases.cases, cases.split, self._path(name, cases))
        return [self._path(name, cases) for name in systems for cases in asked]

    def _asked(self, splits: Sequence[str]) -> list[SplitCases]:
        """The cases of each split whose data is here."""
        asked = [SplitCases(split, self.task.source.split(split)[: self.limit]) for split in splits]
        for split, cases, _ in asked:
            if not cases:
                print(f"{split}: skipped, its data is not on this machine (see tasks/{self.task.name}/README.md)")
        return [cases for cases in asked if cases.cases]

    def _perturbed(self, unchanged: SplitCases, perturbation: Perturbation) -> SplitCases:
        """Perturbed copies of the cases, of those that the perturbation changes."""
        ids = {case.case_id for case in unchanged.cases}
        copies = self.task.source.perturbed(unchanged.split, perturbation).rows
        return SplitCases(unchanged.split, [case for case in copies if case.case_id in ids], perturbation.folder)

    def _path(self, system: str, cases: SplitCases) -> Path:
        return self.run.prediction_path(self.task.name, cases.split, system, self.limit, cases.perturbation)

    def _system(self, name: str) -> System:
        """The system of that name, its model loaded or its classifier fitted."""
        if name == WITH_LABELS:
            return self._base_with_labels()
        if name in self.models.loaders:
            return language_model(name, self.recipe, self.task, self.models)
        baseline = load_baseline(name, self.task, self.run, self.recipe.seed, self.recipe.data)
        if PartialState().is_main_process:
            baseline.fit(lambda: self._training_cases)
        return FittedBaseline(baseline)

    def _base_with_labels(self) -> System:
        """The untuned base with the panel in every prompt."""
        task = replace(self.task, prompt=self.task.prompt.listing(self.task.labels))
        model = self.models.loaders["base_model"]().eval()
        normalised = self.recipe.evaluation.scorer == "label_trie"
        images = load_images(self.recipe.base, self.models.tokenizer) if task.has_images else None
        scorer = LabelScorer(model, self.models.tokenizer, task.prompt, task.labels, normalised, images=images)
        return LanguageModelWithLabels(WITH_LABELS, task, scorer, context_length(model), self.recipe.base.model)

    @cached_property
    def _training_cases(self) -> list[Case]:
        return load_training_rows(self.recipe, self.task).rows


def _check_same(path: Path, cases: Sequence[Case]) -> None:
    """Raise :class:`InputError` where the answers in ``path``, if there are any, are not to these cases."""
    if not path.is_file():
        return
    answers = read_predictions(path)
    if [answer.case_id for answer in answers] != [case.case_id for case in cases]:
        raise InputError(f"{path}: answers other cases than the data have now; delete it to ask again")
    _check_answers(path, answers, {case.case_id: case for case in cases})


def _check_answers(path: Path, answers: Iterable[Prediction], cases: Mapping[str, Case]) -> None:
    for answer in answers:
        case = cases.get(answer.case_id)
        if case is None or answer.case_sha256 not in (None, case.sha256):
            raise InputError(f"{path}: {answer.case_id} is another case now than was asked; delete it to ask again")


class System(Protocol):
    """What answers cases."""

    def answer(self, cases: Sequence[Case], split: str, path: Path) -> None:
        """Write ``path``: a prediction for each of ``cases``, which are of ``split``, in their order."""


@dataclass(frozen=True)
class FittedBaseline:
    """A baseline; the main process answers alone."""

    baseline: Baseline

    def answer(self, cases: Sequence[Case], split: str, path: Path) -> None:
        """See :class:`System`."""
        state = PartialState()
        if state.is_main_process:
            write_predictions(path, self.baseline.predict(cases, split))
        state.wait_for_everyone()


@dataclass(frozen=True)
class LanguageModel:
    """A model with what reads its answers to the cases of ``task``."""

    name: str
    task: Task
    scorer: Scorer
    context: int | None  # tokens the model reads; None where it does not say

    def answer(self, cases: Sequence[Case], split: str, path: Path) -> None:
        """See :class:`System`. Raises :class:`InputError` where a prompt is longer than the model reads.

        Batches are shared out over the processes of ``accelerate launch`` whole, so any number of them gives the same
        predictions, bit for bit. What a killed run had scored is not scored again.
        """
        state = PartialState()
        prompts = [self.scorer.encode(case) for case in cases]
        for case, prompt in zip(cases, prompts, strict=True):
            self._check_length(case, split, len(prompt), self.scorer.behind(case))
        own_batches = batches(prompts, BATCH)[state.process_index :: state.num_processes]
        answered = read_parts(path)
        parts = path.with_name(f".{path.name}.part-*")
        _check_answers(parts, answered.values(), {case.case_id: case for case in cases})
        state.wait_for_everyone()  # nobody may write before everybody has read: all must know the same cases
        with (
            naming(path),
            open_part(path, state.process_index) as file,
            tqdm(
                total=len(cases),
                desc=f"{path.parent.name}, {split}: {self.name}",
                unit=" cases",
                disable=not state.is_main_process,
            ) as bar,
        ):
            for batch in own_batches:
                if not all(cases[i].case_id in answered for i in batch):
                    asked = [cases[i] for i in batch]
                    answers = self.scorer.answer([prompts[i] for i in batch], asked)
                    pairs = zip(asked, answers, strict=True)
                    append_predictions(file, (self._prediction(case, answer, split) for case, answer in pairs))
                bar.update(len(batch) * state.num_processes)
        state.wait_for_everyone()
        if state.is_main_process:
            join_parts(path, [case.case_id for case in cases])
        state.wait_for_everyone()

    def _check_length(self, case: Case, split: str, prompt: int, behind: int) -> None:
        """Raise :class:`InputError` where a prompt with its longest answer has more tokens than the model reads."""
        if self.context is not None and prompt + behind > self.context:
            raise InputError(
                f"{self.name}: {case.case_id} of {split} has {prompt:,} tokens with its prompt, and the longest answer"
                f" {behind:,} more; the base reads {self.context:,}: shorten the case, or take a base with a longer"
                " context"
            )

    def _prediction(self, case: Case, answer: Answer, split: str) -> Prediction:
        ranked, probabilities = told_as(case, answer.ranked, answer.probabilities)
        return Prediction(
            case_id=case.case_id,
            task=self.task.name,
            split=split,
            system=self.name,
            label=case.label,
            ranked=ranked,
            probabilities=probabilities,
            text=answer.text,
            parsed=answer.parsed,
            subgroups=dict(case.subgroups),
            group=case.group,
            prompt_sha256=self.task.prompt.sha256,
            case_sha256=case.sha256,
        )


def language_model(name: str, recipe: Recipe, task: Task, models: Models, ways: Sequence[Way] = WAYS) -> LanguageModel:
    """Load the model of that name, to answer with the scorer that ``task`` needs, or else ``recipe`` names.

    Labels are scored in the first of ``ways`` that proves right (:func:`osler.scoring.prove`).
    """
    model = models.loaders[name]().eval()
    images = load_images(recipe.base, models.tokenizer) if task.has_images else None
    scorer = scorer_named(task.scorer or recipe.evaluation.scorer, model, models.tokenizer, task, ways, images)
    return LanguageModel(name, task, scorer, context_length(model))


@dataclass(frozen=True)
class LanguageModelWithLabels(LanguageModel):
    """A model whose prompts list the panel. A panel that it cannot read is refused, not cut off."""

    model: str

    def _check_length(self, case: Case, split: str, prompt: int, behind: int) -> None:
        if self.context is not None and (longest := prompt + behind) > self.context:
            raise InputError(
                f"evaluation.baselines: {self.name}: with its {len(self.task.labels)} labels listed, a case of {split}"
                f" has {longest:,} tokens and {self.model} reads {self.context:,}; leave it out,"
                " or take a smaller panel"
            )
