"""An artefact asked all held-out cases, in a process of its own: what it crashes with, and holds, is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from osler.errors import FailedError
from osler.export import runtimes, scorers
from osler.recipe import Recipe
from osler.runs import Run, peak_memory_bytes
from osler.scoring import Scorer
from osler.storage import end_with_parent
from osler.tasks import TEXT, Case, Task

PROMPTS = 20  # whose token ids are compared with those of training


@dataclass(frozen=True)
class Job:
    """What to ask: the artefact in ``folder``, of ``run``, the first ``limit`` cases of each split. ``answers``: where
    those of a split go."""

    run: Path
    folder: Path
    form: tuple[str, str | None]
    system: str
    answers: dict[str, Path]
    limit: int | None


@dataclass(frozen=True)
class Asked:
    """How it went. ``fault``: why nothing was asked; None where everything was."""

    fault: str | None
    runtime: str = ""
    threads: int = 1
    seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int = 0
    prompts_compared: int = 0


def ask_apart(job: Job) -> Asked:
    """:func:`ask` in another process. Raises :class:`FailedError` where it crashes, and what that raises."""
    context = get_context("spawn")  # a fork would count our memory as its own
    try:
        with ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent) as pool:
            return pool.submit(ask, job).result()
    except BrokenProcessPool:
        raise FailedError(f"{job.folder.name.lstrip('.')}: the software that runs it crashed") from None


def ask(job: Job) -> Asked:
    """Compare the prompts' tokens, then write ``job.answers``.

    Raises :class:`InputError` as :func:`osler.evaluation.prediction.run_models`.
    """
    from osler.evaluation import prediction
    from osler.models import load_tokenizer
    from osler.recipe import find_tasks
    from osler.tasks import load_task

    run = Run(job.run)
    recipe = run.recipe()
    task = load_task(find_tasks(run.folder) / recipe.task.name, recipe.task.panel)
    tokenizer = load_tokenizer(recipe.base)
    cases = {split: task.source.split(split)[: job.limit] for split in job.answers}
    rows = [case for split in cases.values() for case in split]
    started = _started(job, run, recipe, task, tokenizer, rows)
    if started.fault:
        return Asked(started.fault)
    # Whether a prompt is too long was known when the evaluated model was asked.
    model = prediction.LanguageModel(job.system, task, started.scorer, None)
    for split, asked in cases.items():
        model.answer(asked, split, job.answers[split])
    memory = peak_memory_bytes()
    return Asked(
        fault=None,
        runtime=started.runtime,
        threads=runtimes.threads(),
        seconds=started.scorer.seconds,
        tokens=started.scorer.tokens,
        peak_memory_bytes=memory.host + (memory.gpu or 0),
        prompts_compared=min(PROMPTS, len(rows)),
    )


@dataclass(frozen=True)
class Started:
    """An artefact that is loaded: its scorer and its software; or the ``fault`` for which it is not asked."""

    scorer: scorers.Timed
    runtime: str
    fault: str | None


def _started(
    job: Job, run: Run, recipe: Recipe, task: Task, tokenizer: PreTrainedTokenizerBase, cases: Sequence[Case]
) -> Started:
    from osler.evaluation import prediction

    normalised = recipe.evaluation.scorer == "label_trie"
    layout = None if recipe.head else scorers.layout_of(task, tokenizer, normalised)
    nodes = len(layout.node_tokens) if layout else 0
    few = [case.text for case in cases[:PROMPTS]]
    asks = scorers.asks(task, recipe.head is not None)
    if job.form[0] == "gguf":
        assert layout is not None, "a classifier is refused before it is written"
        longest = max(len(asks(tokenizer, case.text)) for case in cases)
        llama = runtimes.LlamaCpp(next(job.folder.glob("*.gguf")), longest + max(32, nodes))
        fault = template_fault(tokenizer, llama.chat_template) or tokens_fault(
            few,
            lambda text: asks(tokenizer, text),
            lambda text: llama.tokenize(task.prompt.conversation(tokenizer).fill({TEXT: text})),
        )
        labels = scorers.LabelsOf(llama, tokenizer, task.prompt, layout)
        return Started(scorers.Timed(labels, nodes), llama.described, fault)
    own = AutoTokenizer.from_pretrained(job.folder)
    fault = tokens_fault(few, lambda text: asks(tokenizer, text), lambda text: asks(own, text))
    if tokenizer.chat_template:
        fault = template_fault(tokenizer, own.chat_template) or fault
    if job.form[0] == "merged":
        asked = prediction.language_model(job.system, recipe, task, prediction.run_models(run, recipe))
        return Started(scorers.Timed(asked.scorer, nodes), f"transformers {version('transformers')}", fault)
    graph = runtimes.Exported(job.folder)
    answered: Scorer
    if layout is None:
        answered = scorers.ClassesOf(graph, tokenizer, task)
    else:
        answered = scorers.LabelsOf(graph, tokenizer, task.prompt, layout)
    return Started(scorers.Timed(answered, nodes), graph.described, fault)


def template_fault(tokenizer: PreTrainedTokenizerBase, template: str | None) -> str | None:
    """Why an artefact with that chat template is not asked as training asked; None where it is."""
    return None if template == tokenizer.get_chat_template() else "its chat template is not that of training"


def tokens_fault(
    texts: Sequence[str], trained: Callable[[str], list[int]], own: Callable[[str], list[int]]
) -> str | None:
    """How an artefact's token ids of prompts differ from those of training; None where they do not."""
    for number, text in enumerate(texts, 1):
        if (was := trained(text)) != (now := own(text)):
            place = next((n for n, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
            return (
                f"its tokens of held-out prompt {number} are not those of training: {len(now)} for {len(was)}, and"
                f" from token {place + 1} on others"
            )
    return None
