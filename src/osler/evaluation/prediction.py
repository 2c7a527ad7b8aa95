"""Systems side by side on the same held-out cases: the tuned model, merged or not, its untuned base, the baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from accelerate import PartialState
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.baselines import NaiveBayes, Similarity
from osler.baselines import systems as baseline
from osler.data import load_training_rows
from osler.errors import InputError
from osler.recipe import OF_FINDINGS, Recipe
from osler.runs import (
    Prediction,
    Run,
    append_predictions,
    join_parts,
    merged_name,
    open_part,
    read_parts,
    tuned_name,
    write_predictions,
)
from osler.scoring import Answer, LabelScorer, Scorer, batches, scorer_named
from osler.tasks import Case, Perturbation, Task

BATCH = 16  # cases scored at once


def predict(rows: Sequence[Case], system: str, split: str, task: Task, scorer: Scorer, path: Path) -> None:
    """Have ``scorer`` answer every row and write ``path``, one prediction a row, in the order of ``rows``.

    Batches are shared out over the processes of ``accelerate launch`` whole, so any number of them gives the same
    predictions, bit for bit. What a killed run had scored is not scored again.
    """
    state = PartialState()
    prompts = [scorer.encode(row) for row in rows]
    own_batches = batches(prompts, BATCH)[state.process_index :: state.num_processes]
    known = read_parts(path)
    state.wait_for_everyone()  # nobody may write before everybody has read: all must know the same cases
    with (
        open_part(path, state.process_index) as file,
        tqdm(
            total=len(rows),
            desc=f"{path.parent.name}, {split}: {system}",
            unit=" cases",
            disable=not state.is_main_process,
        ) as bar,
    ):
        for batch in own_batches:
            if not all(rows[i].case_id in known for i in batch):
                cases = [rows[i] for i in batch]
                answers = scorer.answer([prompts[i] for i in batch], cases)
                append_predictions(
                    file,
                    (_prediction(*pair, system, split, task) for pair in zip(cases, answers, strict=True)),
                )
            bar.update(len(batch) * state.num_processes)
    state.wait_for_everyone()
    if state.is_main_process:
        join_parts(path, [row.case_id for row in rows])
    state.wait_for_everyone()


def _prediction(row: Case, answer: Answer, system: str, split: str, task: Task) -> Prediction:
    return Prediction(
        case_id=row.case_id,
        task=task.name,
        split=split,
        system=system,
        label=row.label,
        ranked=answer.ranked,
        probabilities=answer.probabilities,
        text=answer.text,
        parsed=answer.parsed,
        subgroups=dict(row.subgroups),
        group=row.group,
        prompt_sha256=task.prompt.sha256,
    )


def run(
    run: Run,
    recipe: Recipe,
    task: Task,
    splits: Sequence[str],
    limit: int | None,
    tuned: Callable[[], PreTrainedModel],
    base: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    systems: Sequence[str] | None = None,
    perturbations: Sequence[Perturbation] = (),
    merged: Callable[[], PreTrainedModel] | None = None,
) -> list[Path]:
    """Write :meth:`Run.answers` of every split and system; what is there already is kept.

    ``tuned``, ``base`` and ``merged``, where there is one, load the models, and are called only where their predictions
    are missing. ``task`` may be another than the recipe's, such as a benchmark: then the base is the only baseline.
    Splits without data on this machine are skipped. With ``limit`` only the first cases of each split are scored, into
    files of their own. ``systems`` are those that answer, if not all. ``perturbations`` are done to the cases of each
    split; these copies are answered too, and one that changes no case has no file. Returns the files of the cases as
    they are, the tuned model's first.
    """
    rows = {split: task.source.split(split)[:limit] for split in splits}
    for split in [split for split, cases in rows.items() if not cases]:
        print(f"{split}: skipped, its data is not on this machine (see tasks/{task.name}/README.md)")
        del rows[split]
    models = {tuned_name(recipe): tuned, "base_model": base, **({merged_name(recipe): merged} if merged else {})}
    if systems is None:
        baselines = recipe.evaluation.baselines if task.name == recipe.task.name else ("base_model",)
        systems = [tuned_name(recipe), *([merged_name(recipe)] if merged else []), *baselines]
    asked: dict[tuple[str, Perturbation | None], list[Case]] = {(split, None): cases for split, cases in rows.items()}
    for split, cases in rows.items():
        ids = {row.case_id for row in cases}
        for perturbation in perturbations:
            copies = task.source.perturbed(split, perturbation).rows
            asked[split, perturbation] = [row for row in copies if row.case_id in ids]
    training = cache(lambda: load_training_rows(recipe, task).rows)
    for system in systems:
        missing = []
        for (split, done), cases in asked.items():
            path = run.answers(task.name, split, system, limit, done.folder if done else None)
            if cases and not path.is_file():
                missing.append((cases, split, path))
        PartialState().wait_for_everyone()  # before the first of us writes one of them
        if not missing:
            continue
        answer = _system(system, run, recipe, task, training, models, tokenizer)
        for cases, split, path in missing:
            answer(cases, split, path)
    return [run.answers(task.name, split, system, limit) for system in systems for split in rows]


def _system(
    system: str,
    run: Run,
    recipe: Recipe,
    task: Task,
    training: Callable[[], list[Case]],
    models: Mapping[str, Callable[[], PreTrainedModel]],
    tokenizer: PreTrainedTokenizerBase,
) -> Callable[[list[Case], str, Path], None]:
    """What writes the predictions for rows of a split to a path, its model loaded or its classifier's data at hand."""
    if system == "base_model_with_labels":
        listing = replace(task, prompt=task.prompt.listing(task.labels))
        return _with_labels(system, recipe, listing, models["base_model"](), tokenizer)
    if system in models:
        model = models[system]().eval()
        scorer = scorer_named(task.scorer or recipe.evaluation.scorer, model, tokenizer, task)
        return lambda rows, split, path: predict(rows, system, split, task, scorer, path)
    fit = cache(lambda: _baseline(system, run, recipe, task, training))

    def answer(rows: list[Case], split: str, path: Path) -> None:
        state = PartialState()
        if state.is_main_process:
            write_predictions(path, fit()(rows, split))
        state.wait_for_everyone()

    return answer


def _with_labels(
    system: str, recipe: Recipe, task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Callable[[list[Case], str, Path], None]:
    """The untuned base with the panel in every prompt. A panel the base cannot read is refused, not cut off."""
    scorer = LabelScorer(
        model.eval(), tokenizer, task.prompt, task.labels, normalised=recipe.evaluation.scorer == "label_trie"
    )
    answers = max(len(path) for path in scorer.trie.paths.values())

    def answer(rows: list[Case], split: str, path: Path) -> None:
        longest = max(len(scorer.encode(row)) for row in rows) + answers
        if longest > (limit := model.config.max_position_embeddings):
            raise InputError(
                f"evaluation.baselines: {system}: with its {len(task.labels)} labels listed, a case of {split} has"
                f" {longest:,} tokens and {recipe.base.model} reads {limit:,}; leave it out, or take a smaller panel"
            )
        predict(rows, system, split, task, scorer, path)

    return answer


def _baseline(
    system: str, run: Run, recipe: Recipe, task: Task, training: Callable[[], list[Case]]
) -> Callable[[list[Case], str], list[Prediction]]:
    """What predicts the rows of a split without a language model, fitted here where one fit does for all splits."""
    if system == "encoder":
        from osler.baselines import encoder

        device = PartialState().device
        if not run.encoder.is_dir():
            encoder.train(training(), run.encoder, recipe.seed, device)
        classifier = encoder.Classifier(run.encoder, device)
        return lambda rows, split: baseline.encoder(classifier, rows, task=task.name, split=split)
    if system in OF_FINDINGS:
        ontology, annotations = task.source.knowledge()
        omim = [disease for disease in annotations.rows if disease.startswith("OMIM:")]
        diseases = omim if system == "semantic_similarity_omim" else task.labels
        kind = NaiveBayes if system == "ontology_naive_bayes" else Similarity
        model = kind(ontology, annotations, diseases)
        ranked = getattr(baseline, system)
        return lambda rows, split: ranked(model, task.source.patients(split), rows, task=task.name, split=split)
    fit = getattr(baseline, system)
    return lambda rows, split: fit(training(), rows, task=task.name, split=split)
