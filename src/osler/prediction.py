"""Systems side by side on the same held-out cases: the tuned model, its untuned base, and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler import baseline
from osler.prediction_file import Prediction, write_predictions
from osler.prompt import completions
from osler.recipe import Recipe
from osler.run import Run, tuned_name
from osler.scoring import TrieScorer
from osler.task import Row, Task
from osler.trie import LabelTrie

BATCH = 16  # cases scored at once


def predict(
    rows: Sequence[Row],
    system: str,
    split: str,
    task: Task,
    scorer: TrieScorer,
    tokenizer: PreTrainedTokenizerBase,
) -> list[Prediction]:
    """Score every label of the panel for every row; one prediction a row, in the order of ``rows``.

    Probabilities are those of the panel's labels, given that the answer is one of them: they sum to one. The scorer
    ``label_trie`` gives them so; those of ``label_likelihood``, of writing just that label, are divided by their sum.
    """
    prompts = [task.prompt.encode(tokenizer, row["text"]) for row in rows]
    predictions: dict[int, Prediction] = {}
    with tqdm(total=len(rows), desc=f"{split}: {system}", unit=" cases") as bar:
        for indices, logp in scorer.batches(prompts, BATCH):
            for index, values in zip(indices, logp, strict=True):
                predictions[index] = _prediction(rows[index], values, scorer.trie.labels, system, split, task)
            bar.update(len(indices))
    return [predictions[index] for index in range(len(rows))]


def _prediction(row: Row, logp: torch.Tensor, labels: Sequence[str], system: str, split: str, task: Task) -> Prediction:
    order = logp.argsort(descending=True, stable=True)
    probabilities = logp[order].double().softmax(-1)
    return Prediction(
        case_id=row["case_id"],
        task=task.name,
        split=split,
        system=system,
        label=row["label"],
        ranked=tuple(labels[i] for i in order),
        # Eight significant digits, not decimals: a small probability is not 0, and what differs does not tie.
        probabilities=tuple(float(f"{p:.8g}") for p in probabilities.tolist()),
        subgroups=dict(row["subgroups"]),
        group=row["group"],
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
) -> list[Path]:
    """Write ``predictions/<task>-<split>-<system>.jsonl`` for every split and system; what is there already is kept.

    ``tuned`` and ``base`` load the models, and are called only where their predictions are missing. Splits without
    data on this machine are skipped. With ``limit`` only the first cases of each split are scored, into files of
    their own. Returns the files, the tuned model's first.
    """
    rows = {split: task.source.split(split)[:limit] for split in splits}
    for split in [split for split, cases in rows.items() if not cases]:
        print(f"{split}: skipped, its data is not on this machine (see tasks/{task.name}/README.md)")
        del rows[split]
    systems = [tuned_name(recipe), *recipe.evaluation.baselines]
    folder = run.predictions if limit is None else run.folder / f"predictions-first-{limit}"
    files = {(split, system): folder / f"{task.name}-{split}-{system}.jsonl" for system in systems for split in rows}
    trie = LabelTrie(completions(tokenizer, task.labels))
    training = cache(lambda: task.source.training(recipe.data, recipe.seed).rows)
    for system in systems:
        missing = [split for split in rows if not files[split, system].is_file()]
        if not missing:
            continue
        answer = _system(system, recipe, task, training, tuned, base, tokenizer, trie)
        for split in missing:
            write_predictions(files[split, system], answer(rows[split], split))
    return list(files.values())


def _system(
    system: str,
    recipe: Recipe,
    task: Task,
    training: Callable[[], list[Row]],
    tuned: Callable[[], PreTrainedModel],
    base: Callable[[], PreTrainedModel],
    tokenizer: PreTrainedTokenizerBase,
    trie: LabelTrie,
) -> Callable[[list[Row], str], list[Prediction]]:
    """A function from rows and a split's name to predictions, its model loaded or its classifier's data at hand."""
    if system in ("majority", "tfidf_svm", "tfidf_char_svm"):
        fit = getattr(baseline, system)
        return lambda rows, split: fit(training(), rows, task=task.name, split=split)
    model = (base if system == "base_model" else tuned)().eval()
    scorer = TrieScorer(model, trie, normalised=recipe.evaluation.scorer == "label_trie")
    return lambda rows, split: predict(rows, system, split, task, scorer, tokenizer)
