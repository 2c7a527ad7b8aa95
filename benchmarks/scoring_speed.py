#!/usr/bin/env python3
"""The same cases, prompts, labels and model through lm-evaluation-harness and through Osler: same answers, how fast.

python benchmarks/scoring_speed.py [--run RUN]     some ten minutes on two cores; have nothing else computing

Every test case of symptom_to_diagnosis (22 labels) and some of rare_disease's large panel: on how many cases both rank
the same label first, how far their log-likelihoods are apart, and the cases a second of both, one after the other.
Then what a case costs Osler by number of labels and by length of the prompt. `--run` takes the tuned model of a run
instead of the base. Needs the extra `bench`. Exit status 1 where the two rank another label first on any case.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.models import load_base, load_tokenizer, load_tuned
from osler.recipe import load_recipe
from osler.runs import Run, peak_memory_bytes
from osler.scoring import LabelTrie, Layout, batches, score
from osler.tasks import Case, Task, completions, load_task

ROOT = Path(__file__).resolve().parents[1]
BATCH = 16
SCORERS = {"label_likelihood": False, "label_trie": True}  # whether normalised over the trie
PANELS = {None: None, "large": 8}  # of rare_disease, or symptom_to_diagnosis: how many cases (all)
LABELS = (10, 100, 1000)
PROMPT_TOKENS = (50, 200, 800)
CURVE_CASES = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run directory: its tuned model instead of the base")
    arguments = parser.parse_args()
    base = load_recipe(ROOT / "recipes/smollm2-135m/rare_disease/qlora-v2.yaml", ["base.quantization=null"]).base
    if arguments.run:
        base = Run(arguments.run).recipe().base
    tokenizer = load_tokenizer(base)
    model = load_tuned(base, Run(arguments.run).adapter_path) if arguments.run else load_base(base)
    model.eval()
    print(f"{base.model}, {base.dtype}, {base.quantization or 'not quantised'}, {torch.get_num_threads()} threads")
    disagree = sum(compare(model, tokenizer, panel, cases) for panel, cases in PANELS.items())
    curve(model, tokenizer)
    return int(disagree > 0)


def compare(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, panel: str | None, cases: int | None) -> int:
    """Print both systems' speed on one task; returns on how many cases they rank another label first."""
    task = load_task(ROOT / "tasks" / ("rare_disease" if panel else "symptom_to_diagnosis"), panel)
    rows = task.source.split("test")[:cases]
    peer, peer_seconds = timed(lambda: peer_scores(model, tokenizer, task, rows))
    print(f"\n{task.name}: {len(rows)} cases, {len(task.labels)} labels")
    print(f"  {'system':24s} cases/s  times the harness  peak memory so far")
    print(f"  {'lm-evaluation-harness':24s} {len(rows) / peer_seconds:7.2f}  {'1.0':>17s}  {memory()}")
    found = {}
    for scorer, normalised in SCORERS.items():
        found[scorer], seconds = timed(partial(own_scores, model, tokenizer, task, rows, normalised))
        print(f"  {'osler ' + scorer:24s} {len(rows) / seconds:7.2f}  {peer_seconds / seconds:17.1f}  {memory()}")
    own = found["label_likelihood"]
    disagree = int((own.argmax(1) != peer.argmax(1)).sum())
    apart = float((own - peer).abs().max())
    print(f"  same label first: {len(rows) - disagree} of {len(rows)}; log-likelihoods at most {apart:.1e} apart")
    return disagree


def memory() -> str:
    return f"{peak_memory_bytes().host / 1e9:.1f} GB"


def curve(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Print the seconds a case takes over numbers of labels (names of OMIM diseases) and lengths of the prompt."""
    rare_disease = load_task(ROOT / "tasks" / "rare_disease", "small")
    names = sorted({name for _, name in rare_disease.source.knowledge(None)[1].names.items() if name.isascii()})
    random.Random(0).shuffle(names)
    text = list(
        itertools.chain.from_iterable(tokenizer(row.text).input_ids for row in rare_disease.source.split("test"))
    )
    print("\nseconds a case, in brackets the nodes of the trie that are run")
    print(f"  {'labels':>6s}  {'prompt tokens':>13s}  {'label_likelihood':>17s}  {'label_trie':>17s}")
    for labels, tokens in [
        *((labels, PROMPT_TOKENS[0]) for labels in LABELS),
        *((LABELS[1], n) for n in PROMPT_TOKENS[1:]),
    ]:
        trie = LabelTrie(completions(tokenizer, {name: name for name in names[:labels]}))
        prompts = [text[case : case + tokens] for case in range(CURVE_CASES)]
        cells = []
        for normalised in SCORERS.values():
            layout = Layout(trie, normalised)
            _, seconds = timed(partial(score, model, prompts, [layout] * len(prompts), "shared"))
            cells.append(f"{seconds / len(prompts):8.3f} ({len(layout.node_tokens):6,d})")
        print(f"  {labels:6,d}  {tokens:13,d}  {cells[0]:>17s}  {cells[1]:>17s}", flush=True)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def own_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Case], normalised: bool
) -> torch.Tensor:
    """(cases, labels) log-probabilities as the scorers of :mod:`osler.scoring.labels` take them."""
    layout = Layout(LabelTrie(completions(tokenizer, task.labels)), normalised)
    prompts = [task.prompt.encode(tokenizer, row.text) for row in rows]
    found = torch.empty(len(rows), len(task.labels))
    for batch in batches(prompts, BATCH):
        found[batch] = torch.stack(score(model, [prompts[i] for i in batch], [layout] * len(batch), "shared"))
    return found


def peer_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Case]
) -> torch.Tensor:
    """(cases, labels) log-likelihoods by lm-evaluation-harness."""
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH, device="cpu")
    results: Any = simple_evaluate(
        model=lm, tasks=[peer_task(task, rows, tokenizer)], num_fewshot=0, log_samples=True, bootstrap_iters=0
    )
    found = torch.empty(len(rows), len(task.labels))
    for sample in results["samples"][task.name]:
        found[sample["doc_id"]] = torch.tensor([float(likelihood) for likelihood, _ in sample["filtered_resps"]])
    return found


def peer_task(task: Task, rows: Sequence[Case], tokenizer: PreTrainedTokenizerBase) -> ConfigurableTask:
    """The task as lm-evaluation-harness knows multiple choice: our prompts as contexts, our answers as choices."""
    labels: Mapping[str, str] = task.labels
    documents = [
        {
            "context": tokenizer.decode(task.prompt.encode(tokenizer, row.text)),
            "choices": [f"{text}{tokenizer.eos_token}" for text in labels.values()],
            "gold": list(labels).index(row.label),
        }
        for row in rows
    ]
    return ConfigurableTask(
        config={
            "task": task.name,
            "custom_dataset": lambda **_: DatasetDict({"test": Dataset.from_list(documents)}),
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "context",
            "doc_to_choice": "choices",
            "doc_to_target": "gold",
            "target_delimiter": "",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    )


if __name__ == "__main__":
    raise SystemExit(main())
