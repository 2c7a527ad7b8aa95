#!/usr/bin/env python3
"""Tokens a second of a CPU recipe beside `trl sft` on the same model, adapter and rows; prints the ratios.

python benchmarks/training_speed.py [--steps 6]     about ten minutes on two cores; run it with nothing else running

`trl sft` runs as its documentation shows it: LoRA on all linear layers, batch 16, on the CPU, its own defaults for the
rest (float32 weights, activation checkpointing; bf16 autocast, on by default, or off); and with the flags that are best
on a CPU. Padding is not counted as tokens on either side.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes/smollm2-135m/rare_disease/qlora-v2.yaml"
BATCH = 16
# The first as documented, the last as fast as it gets here.
TRL_FLAGS = (
    "--bf16 true",
    "--bf16 false",
    "--bf16 true --dtype bfloat16 --attn_implementation eager --activation_checkpointing false",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6, help="training steps to time, after two that are not")
    steps = parser.parse_args().steps

    from osler.models import base_folder
    from osler.recipe import load_recipe
    from osler.tasks import load_task

    lora = load_recipe(RECIPE)
    chosen = load_task(ROOT / "tasks" / lora.task.name, lora.task.panel)
    rows = chosen.source.training(lora.data, seed=0).rows[: BATCH * (steps + 2)]
    folder = base_folder(lora.base)
    speeds = {}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with (work / "train.jsonl").open("w") as file:
            for row in rows:
                prompt = [{"role": "user", "content": f"{row.text}\nDiagnosis?"}]
                completion = [{"role": "assistant", "content": chosen.labels[row.label]}]
                file.write(json.dumps({"prompt": prompt, "completion": completion}) + "\n")
        for flags in TRL_FLAGS:
            speeds[f"trl sft {flags}"] = timed(
                f"-m trl.scripts.sft --model_name_or_path {folder} --dataset_name {work} --use_peft --lora_r 16"
                f" --lora_alpha 32 --lora_target_modules all-linear --per_device_train_batch_size {BATCH}"
                f" --max_steps {steps + 2} --use_cpu {flags} --logging_steps 1 --save_strategy no"
                f" --report_to none --output_dir {work / str(TRL_FLAGS.index(flags))}"
            )
        for quantization in ("null", "nf4"):
            # As a language model: under its head it would not write, and the systems would do different things.
            speeds[f"osler, quantization={quantization}"] = timed(
                f"{ROOT / 'scripts/train.py'} {RECIPE} head=null loss.name=label_trie base.quantization={quantization}"
                f" train.max_steps={steps + 2}"
                f" train.logging_steps=1 train.disable_tqdm=true train.save_strategy=no"
                f" train.per_device_train_batch_size={BATCH} --output {work / quantization}"
            )
    documented, *_, best = (speeds[f"trl sft {flags}"] for flags in TRL_FLAGS)
    for system, speed in speeds.items():
        ratios = f"{speed / documented:5.2f} × as documented, {speed / best:5.2f} × its best flags"
        print(f"{speed:6.0f} tokens/s  {ratios}  {system}")
    return 0


def timed(arguments: str) -> float:
    """Tokens a second between the second and the last logged step of ``python ARGUMENTS``, a training command."""
    command = [sys.executable, *arguments.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout is not None
    seen: list[tuple[float, float]] = []
    output = []
    for line in process.stdout:
        output.append(line)
        if match := re.search(r"'num_tokens': '?([\d.e+]+)", line):
            seen.append((time.monotonic(), float(match.group(1))))
    if process.wait() or len(seen) < 3:
        raise SystemExit("".join(output[-20:]) + f"\nfailed: {' '.join(command)}")
    (started, before), (ended, after) = seen[1], seen[-1]
    return (after - before) / (ended - started)


if __name__ == "__main__":
    raise SystemExit(main())
