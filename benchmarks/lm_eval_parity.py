#!/usr/bin/env python3
"""The same cases, prompts, labels and model through lm-evaluation-harness and through Osler.

python benchmarks/lm_eval_parity.py                              symptom_to_diagnosis, 22 labels, every test case
python benchmarks/lm_eval_parity.py --panel large --cases 16     rare_disease, 183 labels
python benchmarks/lm_eval_parity.py --run RUN                    a tuned model instead of the base

Prints on how many cases both rank the same label first, how far their log-likelihoods are apart, and the cases a second
of both, one after the other in one run: have nothing else computing. Needs the extra `bench`. Exit status 1 where they
disagree on a case.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler import model as models
from osler import recipe as recipes
from osler import task as tasks
from osler.manifest import peak_memory_bytes
from osler.prompt import completions
from osler.run import Run
from osler.scoring import Layout, batches, score
from osler.task import Row, Task
from osler.trie import LabelTrie

ROOT = Path(__file__).resolve().parents[1]
BATCH = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panel", help="score rare_disease over this panel instead of symptom_to_diagnosis")
    parser.add_argument("--cases", type=int, help="only the first cases of the split `test`")
    parser.add_argument("--run", type=Path, help="a run directory: its tuned model instead of its base")
    arguments = parser.parse_args()
    name = "rare_disease" if arguments.panel else "symptom_to_diagnosis"
    task = tasks.load(ROOT / "tasks" / name, arguments.panel)
    rows = task.source.split("test")[: arguments.cases]
    recipe = recipes.load(ROOT / "recipes/smollm2-135m/rare_disease/lora-v1.yaml")
    if arguments.run:
        recipe = Run(arguments.run).recipe()
    tokenizer = models.load_tokenizer(recipe.base)
    model = models.load_base(recipe.base)
    if arguments.run:
        model = models.load_tuned(recipe.base, Run(arguments.run).adapter)
    model.eval()

    peer, peer_seconds = timed(lambda: peer_scores(model, tokenizer, task, rows))
    memory = {"lm-evaluation-harness": peak_memory_bytes()["host"]}
    print(f"{task.name}: {len(rows)} cases, {len(task.labels)} labels, {torch.get_num_threads()} threads")
    print(f"{'lm-evaluation-harness':28s} {len(rows) / peer_seconds:8.2f} cases/s")
    disagree = 0
    for scorer, normalised in (("label_likelihood", False), ("label_trie", True)):
        own, seconds = timed(lambda normalised=normalised: own_scores(model, tokenizer, task, rows, normalised))  # type: ignore[misc]
        print(
            f"{'osler ' + scorer:28s} {len(rows) / seconds:8.2f} cases/s   {peer_seconds / seconds:.1f} × the harness"
        )
        if not normalised:
            disagree = int((own.argmax(1) != peer.argmax(1)).sum())
            apart = float((own - peer).abs().max())
    memory["with osler"] = peak_memory_bytes()["host"]
    print(f"same label first: {len(rows) - disagree} of {len(rows)} cases; log-likelihoods at most {apart:.1e} apart")
    print("peak memory so far: " + ", ".join(f"{system} {size / 1e9:.1f} GB" for system, size in memory.items()))
    return int(disagree > 0)


def timed(work: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def own_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Row], normalised: bool
) -> torch.Tensor:
    """(cases, labels) log-probabilities as the scorers of :mod:`osler.scoring` take them."""
    layout = Layout(LabelTrie(completions(tokenizer, task.labels)), normalised)
    prompts = [task.prompt.encode(tokenizer, row["text"]) for row in rows]
    found = torch.empty(len(rows), len(task.labels))
    for batch in batches(prompts, BATCH):
        found[batch] = torch.stack(score(model, [prompts[i] for i in batch], [layout] * len(batch)))
    return found


def peer_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: Task, rows: Sequence[Row]
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


def peer_task(task: Task, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> ConfigurableTask:
    """The task as lm-evaluation-harness knows multiple choice: our prompts as contexts, our answers as choices."""
    labels: Mapping[str, str] = task.labels
    documents = [
        {
            "context": tokenizer.decode(task.prompt.encode(tokenizer, row["text"])),
            "choices": [f"{text}{tokenizer.eos_token}" for text in labels.values()],
            "gold": list(labels).index(row["label"]),
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
