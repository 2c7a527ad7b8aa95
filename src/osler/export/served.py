"""A model that somebody serves, asked the held-out cases and compared with the evaluated one. Nothing is written."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from osler.errors import InputError
from osler.export.artefact import answers_of_tuned
from osler.recipe import find_tasks
from osler.rendering import cell, difference
from osler.runs import Run, check_trained, tuned_name


def serving_figures(run: Run, url: str, model: str | None, key: str | None, limit: int | None = None) -> str:
    """A line a split: how what is served at ``url`` answers its cases, or their first ``limit``.

    Raises :class:`InputError` where the run has no answers to compare with, or the server does not answer as it must.
    """
    recipe = run.recipe()
    check_trained(run, recipe)
    if recipe.head is not None:
        raise InputError(f"{run.folder}: a classifier, which no server of completions has; --endpoint is for labels")
    tuned = answers_of_tuned(run, recipe, limit)
    from osler.evaluation import prediction  # imports torch, as do the next
    from osler.export import comparison, scorers
    from osler.export.endpoint import Endpoint, ServedLabels
    from osler.models import load_tokenizer
    from osler.tasks import TEXT, load_task

    endpoint = Endpoint(url.rstrip("/"), model or "", key)
    if model is None:
        endpoint = Endpoint(endpoint.url, endpoint.models()[0], key)
    task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    tokenizer = load_tokenizer(recipe.base)
    layout = scorers.layout_of(task, tokenizer, recipe.evaluation.scorer == "label_trie")
    scorer = ServedLabels(endpoint, tokenizer, task, layout)
    system = f"{tuned_name(recipe)}-served"
    lines = [f"{endpoint.model} at {endpoint.url}, against {tuned_name(recipe)} on the same cases"]
    with TemporaryDirectory() as folder:
        answers = {}
        for split in tuned:
            cases = task.source.split(split)[:limit]
            first = task.prompt.conversation(tokenizer).fill({TEXT: cases[0].text})
            endpoint.check(first, len(scorer.encode(cases[0])))
            answers[split] = Path(folder) / f"{split}.jsonl"
            prediction.LanguageModel(system, task, scorer, None).answer(cases, split, answers[split])
        for row in comparison.compare(tuned, answers, system, recipe.evaluation.resamples):
            lines.append(
                f"{row.split}, {row.n} cases: accuracy {cell(row.accuracy)}, {difference(row.compared)} to the"
                f" evaluated model; same first answer {row.same_first.value:.1%}; |Δ log p| {row.log_p.mean:.2g}"
                f" (max {row.log_p.max:.2g})"
            )
    return "\n".join(lines)
