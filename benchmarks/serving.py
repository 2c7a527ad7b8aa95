#!/usr/bin/env python3
"""Requests a second of `scripts/serve.py` beside what else answers a text, at 32 clients; prints the ratios.

python benchmarks/serving.py RUN [--seconds 20]      one after the other on loopback; run it with nothing else running
python benchmarks/serving.py RUN --soak 600          our server alone, for so long: does its memory grow?

Beside it: a FastAPI handler that generates 100 tokens a request, as tutorials show it; our scorer as evaluation has it,
one case at a time; `transformers serve` (pip install 'transformers[serving]'); and llama.cpp's server (--gguf FILE).
The last two write 100 tokens, too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = 32
WARM_UP = 15.0  # seconds: the first passes read the weights from the disk
TOKENS = 100  # that a generated answer has


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="an evaluated run")
    parser.add_argument("--seconds", type=float, default=20, help="to ask each of them (default: %(default)s)")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="instead, ask our server alone for so long")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="for llama.cpp's server: an export of the run")
    parser.add_argument("--serve", nargs=2, metavar=("WHAT", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.run, arguments.serve[0], int(arguments.serve[1]))
    texts = held_out(arguments.run)
    handler = [sys.executable, __file__, arguments.run, "--serve"]
    ours = [sys.executable, str(ROOT / "scripts/serve.py"), arguments.run, "--seconds", "600", "--port"]
    if arguments.soak:
        return soak(ours, texts, arguments.soak)
    base = base_of(arguments.run)
    transformers = [str(Path(sys.executable).with_name("transformers")), "serve", base, "--device", "cpu", "--port"]
    systems: dict[str, tuple[list[str], str]] = {
        "osler": (ours, "/diagnose"),
        "our scorer, one by one": ([*handler, "score"], "/diagnose"),
        "FastAPI, generate": ([*handler, "generate"], "/diagnose"),
        "transformers serve": (transformers, "/v1/chat/completions"),
    }
    if arguments.gguf:
        llama = [sys.executable, "-m", "llama_cpp.server", "--model", str(arguments.gguf), "--port"]
        systems["llama.cpp"] = (llama, "/v1/chat/completions")
    rates = {}
    for name, (command, path) in systems.items():
        try:
            with started([*command, str(port := free_port())], port):
                found = asyncio.run(load(f"http://127.0.0.1:{port}{path}", texts, arguments.seconds, base))
        except RuntimeError as error:
            print(f"{name:22} not measured: {error}")
            continue
        rates[name] = len(found) / arguments.seconds
        slow = f"p50 {statistics.median(found):.2f} s, p99 {np.quantile(found, 0.99):.2f} s" if found else "no answer"
        print(f"{name:22} {rates[name]:8.2f} requests a second, {slow}", flush=True)
    for name, rate in rates.items():
        if rate:
            print(f"osler has {rates['osler'] / rate:.1f} times the requests of {name}")
    return 0


def soak(command: list[str], texts: list[str], seconds: float) -> int:
    """Ask one server for long, and print its memory a minute after the start and at the end."""
    with started([*command, str(port := free_port())], port) as process:
        url, sizes = f"http://127.0.0.1:{port}/diagnose", []
        for part in (60.0, seconds):
            n = len(asyncio.run(load(url, texts, part, "")))
            sizes.append(psutil.Process(process.pid).memory_info().rss / 1e6)
    print(
        f"{n:,} requests in {seconds:.0f} s; memory {sizes[0]:,.0f} MB after the first minute, {sizes[1]:,.0f} MB then"
    )
    return 0


def base_of(run: str) -> str:
    """The folder of the run's base model."""
    from osler.models import base_folder
    from osler.runs import Run

    return str(base_folder(Run(Path(run)).recipe().base))


def held_out(run: str) -> list[str]:
    """Texts of the run's first split."""
    from osler.recipe import find_tasks
    from osler.runs import Run
    from osler.tasks import load_task

    recipe = Run(Path(run)).recipe()
    task = load_task(find_tasks(Path(run)) / recipe.task.name, recipe.task.panel)
    return [case.text for case in task.source.split(recipe.evaluation.splits[0])]


async def load(url: str, texts: list[str], seconds: float, model: str) -> list[float]:
    """The seconds that each answer took which came within ``seconds``, after ``WARM_UP`` that do not count."""
    import httpx

    took: list[float] = []

    async def ask(http: httpx.AsyncClient, text: str) -> None:
        body: dict[str, Any] = {"text": text}
        if url.endswith("completions"):
            body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": TOKENS}
        (await http.post(url, json=body)).raise_for_status()

    async def client(number: int) -> None:
        async with httpx.AsyncClient(timeout=600) as http:
            for turn in itertools.count(number):
                asked = time.monotonic()
                await ask(http, texts[turn % len(texts)])
                if time.monotonic() > begin:
                    took.append(time.monotonic() - asked)

    async with httpx.AsyncClient(timeout=600) as http:
        await ask(http, texts[0])  # some listen before their model is there
    begin = time.monotonic() + WARM_UP
    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    done, _ = await asyncio.wait(clients, timeout=WARM_UP + seconds)
    for one in clients:
        one.cancel()
    for failed in done:
        failed.result()
    return took


@contextmanager
def started(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens at ``port``."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(command[:4])} … ended; is it installed?")
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(run: str, what: str, port: int) -> int:
    """Serve ``run`` as a tutorial would: a handler that asks our scorer, or one that generates."""
    import uvicorn
    from fastapi import FastAPI

    answer = generator(run) if what == "generate" else scorer(run)
    app = FastAPI()

    @app.post("/diagnose")
    async def diagnose(body: dict[str, str]) -> dict[str, str]:
        return {"diagnosis": answer(body["text"])}

    uvicorn.run(app, port=port, log_level="error")
    return 0


def scorer(run: str) -> Callable[[str], str]:
    """Text to the first label, one text at a time, with what evaluation asks."""
    from osler.evaluation import prediction
    from osler.recipe import find_tasks
    from osler.runs import Run, tuned_name
    from osler.tasks import Case, load_task

    found = Run(Path(run))
    recipe = found.recipe()
    task = load_task(find_tasks(found.folder) / recipe.task.name, recipe.task.panel)
    models = prediction.run_models(found, recipe)
    asked = prediction.language_model(tuned_name(recipe), recipe, task, models).scorer

    def answer(text: str) -> str:
        case = Case("asked", text, "")
        return asked.answer([asked.encode(case)], [case])[0].ranked[0]

    return answer


def generator(run: str) -> Callable[[str], str]:
    """Text to what the base writes after it, in ``TOKENS`` tokens."""
    import torch

    from osler.models import load_base, load_tokenizer
    from osler.runs import Run

    base = Run(Path(run)).recipe().base
    model: Any = load_base(base)
    tokenizer = load_tokenizer(base)

    def answer(text: str) -> str:
        messages = [{"role": "user", "content": f"{text}\nWhat is the diagnosis?"}]
        inputs: Any = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            written = model.generate(**inputs, min_new_tokens=TOKENS, max_new_tokens=TOKENS, do_sample=False)
        return str(tokenizer.decode(written[0, inputs["input_ids"].shape[1] :]))

    return answer


if __name__ == "__main__":
    raise SystemExit(main())
