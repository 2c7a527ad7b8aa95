"""A server that speaks OpenAI's completions: labels scored by it are those of the model that it serves."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from project import make

from osler.errors import InputError
from osler.export.endpoint import Endpoint, ServedLabels
from osler.export.scorers import layout_of
from osler.models.loading import load_base, load_tokenizer
from osler.recipe.sections import BaseSection
from osler.scoring.labels import LabelScorer
from osler.tasks.task import Task, load_task


@pytest.fixture
def task(tmp_path: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch) -> Task:
    make(tmp_path, tiny_base, rows=4)
    monkeypatch.setenv("OSLER_DATA_DIR", str(tmp_path / "data"))
    return load_task(tmp_path / "tasks" / "made_up")


class Server:
    """A server of the tiny model on 127.0.0.1. ``faults`` spoil its answers; ``asked`` are the headers it got."""

    def __init__(self, base: BaseSection, *faults: str) -> None:
        model, tokenizer = load_base(base).float(), load_tokenizer(base)
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send({"data": [{"id": "tiny"}]})

            def do_POST(self) -> None:
                outer.asked.append(dict(self.headers))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                ids = tokenizer(body["prompt"], add_special_tokens=False)["input_ids"]
                with torch.inference_mode():
                    logits = model(input_ids=torch.tensor([ids])).logits[0].float()
                logp = (logits * (50 if "shifted" in faults else 1)).log_softmax(-1)
                # No control token; and one that would be as likely behind itself would not tell a shift.
                written = int((logp[-1, 20:] * (-1 if "shifted" in faults else 1)).argmax()) + 20
                values = [None, *(float(logp[n, token]) for n, token in enumerate(ids[1:]))]
                if "shifted" in faults:
                    values = [None, *(float(logp[n + 1, token]) for n, token in enumerate(ids[1:]))]
                values = (values if body.get("echo") else []) + [float(logp[-1, written])]
                if "without BOS" in faults and body.get("echo"):
                    values = values[1:]
                choice = {"text": tokenizer.decode([written]), "logprobs": {"token_logprobs": values}}
                if "no logprobs" in faults:
                    choice["logprobs"] = None
                more = 1 if "more tokens" in faults else 0
                self.send({"choices": [choice], "usage": {"prompt_tokens": len(ids) + more, "completion_tokens": 1}})

            def send(self, content: Any) -> None:
                text = b"{" if "no JSON" in faults else json.dumps(content).encode()
                self.send_response(401 if "refuses" in faults else 200)
                self.end_headers()
                self.wfile.write(text)

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> Server:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def served(endpoint: Endpoint, base: BaseSection, task: Task, normalised: bool = True) -> ServedLabels:
    tokenizer = load_tokenizer(base)
    return ServedLabels(endpoint, tokenizer, task, layout_of(task, tokenizer, normalised))


def check_same(endpoint: Endpoint, base: BaseSection, task: Task, normalised: bool, tolerance: float) -> None:
    """What the endpoint answers is what the model here does."""
    cases = task.source.split("test")[:2]
    ours = LabelScorer(load_base(base), load_tokenizer(base), task.prompt, task.labels, normalised)
    scorer = served(endpoint, base, task, normalised)
    prompts = [scorer.encode(case) for case in cases]
    for one, other in zip(ours.answer(prompts, cases), scorer.answer(prompts, cases), strict=True):
        assert one.probabilities is not None
        assert other.probabilities is not None
        here, there = (dict(zip(a.ranked, a.probabilities or (), strict=True)) for a in (one, other))
        assert there == pytest.approx(here, rel=tolerance)


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("faults", [(), ("without BOS",)])
def test_labels_have_the_probabilities_of_the_model_that_is_served(
    tiny_base: BaseSection, task: Task, normalised: bool, faults: tuple[str, ...]
) -> None:
    with Server(tiny_base, *faults) as server:
        endpoint = Endpoint(server.url, "tiny", "a-key")
        assert endpoint.models() == ["tiny"]
        endpoint.check("<|im_start|>user\nPatient", len(_ids(tiny_base, "<|im_start|>user\nPatient")))
        check_same(endpoint, tiny_base, task, normalised, 1e-4)
        assert {headers["Authorization"] for headers in server.asked} == {"Bearer a-key"}


def _ids(base: BaseSection, text: str) -> list[int]:
    ids: list[int] = load_tokenizer(base)(text, add_special_tokens=False)["input_ids"]
    return ids


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no logprobs", "gives no logprobs with echo; of llama.cpp take"),
        ("more tokens", "it serves another tokenizer, or adds tokens"),
        ("refuses", "answers 401"),
        ("no JSON", "its answer is not JSON"),
    ],
)
def test_a_server_that_does_not_answer_as_it_must_is_refused(
    tiny_base: BaseSection, task: Task, fault: str, said: str
) -> None:
    case = task.source.split("test")[0]
    with Server(tiny_base, fault) as server:
        scorer = served(Endpoint(server.url, "tiny", "a-key"), tiny_base, task)
        with pytest.raises(InputError, match=said) as error:
            scorer.answer([scorer.encode(case)], [case])
        assert "a-key" not in str(error.value)


def test_log_probabilities_of_other_tokens_are_found_out(tiny_base: BaseSection) -> None:
    prompt = "<|im_start|>user\nPatient"
    with (
        Server(tiny_base, "shifted") as server,
        pytest.raises(InputError, match=r"its echo is off by a token; take another server"),
    ):
        Endpoint(server.url, "tiny").check(prompt, len(_ids(tiny_base, prompt)))


def test_a_server_that_is_not_there_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(InputError, match=r"cannot be reached: .*; is the server running"):
        Endpoint(url, "tiny").models()
    with pytest.raises(InputError, match="expected http://… or https://…"):
        Endpoint("file:///etc/passwd", "tiny").models()


@contextmanager
def llama_server(path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), "--logits_all", "true"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "256", "--n_threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        for _ in range(600):
            assert process.poll() is None, process.stderr and process.stderr.read()[-2000:]
            try:
                Endpoint(url, "").models()
                break
            except InputError:
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("llama_cpp", "sse_starlette", "starlette_context")),
    reason="llama-cpp-python[server] is not installed: it has no wheels",
)
def test_a_llama_cpp_server_of_the_exported_file_answers_as_the_model(
    tiny_base: BaseSection, task: Task, tmp_path: Path
) -> None:
    from osler.export import gguf_writer

    gguf_writer.write(Path(tiny_base.model), tmp_path / "tiny.gguf", "f16")
    with llama_server(tmp_path / "tiny.gguf") as url:
        endpoint = Endpoint(url, "tiny")
        prompt = task.prompt.encode(load_tokenizer(tiny_base), "Patient 1 has fever.")
        text = load_tokenizer(tiny_base).decode(prompt)
        endpoint.check(text, len(prompt))
        check_same(endpoint, tiny_base, task, normalised=True, tolerance=0.02)
