#!/usr/bin/env python3
"""Requests a second of `scripts/serve.py` beside what else answers a text, at 32 clients; prints the ratios.

python benchmarks/serving.py RUN [--seconds 20]      one after the other on loopback; run it with nothing else running

Beside it: a FastAPI handler that generates 100 tokens a request, as tutorials show it; our scorer without batches; and,
where they are installed, `transformers serve` and llama.cpp's server (--gguf FILE), which write 100 tokens, too.
"""

from __future__ import annotations

import argparse
import asyncio
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

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = 32
WARM_UP = 15.0  # seconds: the first passes read the weights from the disk
TOKENS = 100  # that a generated answer has


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="an evaluated run")
    parser.add_argument("--seconds", type=float, default=20, help="to ask each of them (default: %(default)s)")
    parser.add_argument("--gguf", type=Path, metavar="FILE", help="for llama.cpp's server: an export of the run")
    parser.add_argument("--serve", nargs=2, metavar=("WHAT", "PORT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.run, arguments.serve[0], int(arguments.serve[1]))
    texts = held_out(arguments.run)
    handler = [sys.executable, __file__, arguments.run, "--serve"]
    systems: dict[str, tuple[list[str], str]] = {
        "osler": (
            [sys.executable, str(ROOT / "scripts/serve.py"), arguments.run, "--seconds", "600", "--port"],
            "/diagnose",
        ),
        "our scorer, one by one": ([*handler, "score"], "/diagnose"),
        "FastAPI, generate": ([*handler, "generate"], "/diagnose"),
    }
    if arguments.gguf:
        llama = [sys.executable, "-m", "llama_cpp.server", "--model", str(arguments.gguf), "--port"]
        systems["llama.cpp"] = (llama, "/v1/completions")
    rates = {}
    for name, (command, path) in systems.items():
        with started([*command, str(port := free_port())], port):
            found = asyncio.run(load(f"http://127.0.0.1:{port}{path}", texts, arguments.seconds))
        rates[name] = len(found) / arguments.seconds
        slow = f"p50 {statistics.median(found):.2f} s, p99 {sorted(found)[int(0.99 * (len(found) - 1))]:.2f} s"
        print(f"{name:22} {rates[name]:8.2f} requests a second, {slow}", flush=True)
    for name, rate in rates.items():
        print(f"osler has {rates['osler'] / rate:.1f} times the requests of {name}")
    return 0


def held_out(run: str) -> list[str]:
    """Texts of the run's first split."""
    from osler.recipe import find_tasks
    from osler.runs import Run
    from osler.tasks import load_task

    recipe = Run(Path(run)).recipe()
    task = load_task(find_tasks(Path(run)) / recipe.task.name, recipe.task.panel)
    return [case.text for case in task.source.split(recipe.evaluation.splits[0])]


async def load(url: str, texts: list[str], seconds: float) -> list[float]:
    """The seconds that each answer took which came within ``seconds``, after ``WARM_UP`` that do not count."""
    import httpx

    took: list[float] = []
    begin = time.monotonic() + WARM_UP

    async def client(number: int) -> None:
        async with httpx.AsyncClient(timeout=600) as http:
            while True:
                asked, text = time.monotonic(), texts[(number + len(took)) % len(texts)]
                body: dict[str, Any] = {"text": text}
                if url.endswith("completions"):
                    body = {"prompt": text, "max_tokens": TOKENS}
                (await http.post(url, json=body)).raise_for_status()
                if time.monotonic() > begin:
                    took.append(time.monotonic() - asked)

    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    done, _ = await asyncio.wait(clients, timeout=WARM_UP + seconds)
    for one in clients:
        one.cancel()
    for failed in done:
        failed.result()
    return took


@contextmanager
def started(command: list[str], port: int) -> Iterator[None]:
    """A server that listens at ``port``."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        assert process.poll() is None, f"{command} ended"
        yield
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
    """Text to the first label, one text at a time."""
    from osler.serving import load_models

    (model,) = load_models([run]).values()
    return lambda text: model.answer([model.encode(text)])[0].diagnoses[0].label


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
