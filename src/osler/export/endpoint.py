"""Labels scored by a server that speaks OpenAI's completions, of which only log-probabilities of a prompt are asked.

A label's text is sent behind the prompt, with ``echo``: the server gives the log-probability of every token that it was
sent, under its whole vocabulary. Those of siblings in the label trie, divided by their sum, are what
:func:`osler.scoring.score` computes: no top-n list can cut one off.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from transformers import PreTrainedTokenizerBase

from osler.errors import InputError, one_line, show
from osler.scoring import Answer, Layout, ranking
from osler.tasks import TEXT, Case, Task, completions


@dataclass(frozen=True)
class Endpoint:
    """A server at ``url`` (``http://127.0.0.1:8000/v1``), and which of its models to ask. ``key``: sent as a bearer
    token, and never in a message."""

    url: str
    model: str
    key: str | None = None
    timeout: float = 120.0

    def token_log_probabilities(self, prompt: str, n_prompt: int, continuation: str, n: int) -> list[float]:
        """The log-probability of each of the ``n`` tokens of ``continuation`` behind ``prompt``, which has
        ``n_prompt``.

        Raises:
            InputError: the server cannot be reached, refuses, gives no log-probabilities of what it was sent, or reads
                it as another number of tokens.
        """
        answer = self._post({"prompt": prompt + continuation, "echo": True, "logprobs": 1, "max_tokens": 1})
        try:
            values = answer["choices"][0]["logprobs"]["token_logprobs"]
            read, written = answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]
        except (KeyError, IndexError, TypeError):
            raise InputError(
                f"{self.url}: gives no logprobs with echo; of llama.cpp take `python -m llama_cpp.server --logits_all"
                " true`, of vLLM any"
            ) from None
        if read != n_prompt + n:
            raise InputError(
                f"{self.url}: reads a prompt with its label as {read} tokens, and training as {n_prompt + n}: it serves"
                " another tokenizer, or adds tokens"
            )
        # Counted from the end, where stands what it wrote itself: llama-cpp-python leaves some tokens out, as BOS.
        end = len(values) - written
        found = [value for value in values[end - n : end] if isinstance(value, float)]
        if len(found) != n or not all(map(math.isfinite, found)):
            raise InputError(f"{self.url}: has no log-probability for some token of what it was sent")
        return found

    def check(self, prompt: str, n_prompt: int) -> None:
        """Raise :class:`InputError` where the log-probabilities of what it is sent are those of other tokens.

        llama-cpp-python 0.3.36 gives a prompt that does not begin with BOS those of the token before. So the model's
        own next token is asked for, then sent.
        """
        answer = self._post({"prompt": prompt, "logprobs": 1, "max_tokens": 1})
        choice = answer["choices"][0]
        if not choice["text"] or not (choice.get("logprobs") or {}).get("token_logprobs"):
            return  # it ends at once: there is no token to send
        written = choice["logprobs"]["token_logprobs"][0]
        sent = self.token_log_probabilities(prompt, n_prompt, choice["text"], 1)[0]
        if abs(sent - written) > 0.01 + 0.01 * abs(written):
            raise InputError(
                f"{self.url}: gives {show(choice['text'])} the log-probability {written:.3f} where it writes it, and"
                f" {sent:.3f} where it is sent: its echo is off by a token; take another server"
            )

    def models(self) -> list[str]:
        """The names of its models. Raises :class:`InputError` where it cannot be reached."""
        return [str(model["id"]) for model in self._ask(Request(f"{self.url}/models", headers=self._headers))["data"]]

    @property
    def _headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}

    def _post(self, body: Mapping[str, Any]) -> Any:
        content = json.dumps({"model": self.model, "temperature": 0, **body}).encode()
        return self._ask(Request(f"{self.url}/completions", content, self._headers))

    def _ask(self, request: Request) -> Any:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"--endpoint {self.url}: expected http://… or https://…, such as http://127.0.0.1:8000/v1")
        try:
            with urlopen(request, timeout=self.timeout) as response:
                return json.load(response)
        except HTTPError as error:
            said = one_line(error.read(300).decode("utf-8", "replace"))
            raise InputError(f"{self.url}: answers {error.code}: {show(said)}") from None
        except (URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise InputError(f"{self.url}: cannot be reached: {reason}; is the server running?") from None
        except ValueError as error:
            raise InputError(f"{self.url}: its answer is not JSON: {error}") from None


@dataclass(frozen=True)
class ServedLabels:
    """The labels of a task's panel, scored by an endpoint."""

    endpoint: Endpoint
    tokenizer: PreTrainedTokenizerBase
    task: Task
    layout: Layout

    @cached_property
    def _lengths(self) -> dict[str, int]:
        """Label → tokens of its text, with the one that ends it."""
        return {label: len(tokens) for label, tokens in completions(self.tokenizer, self.task.labels).items()}

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.Scorer`."""
        return self.task.prompt.encode(self.tokenizer, case.text)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.Scorer`."""
        return self.layout.behind

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.Scorer`. Raises :class:`InputError` as :class:`Endpoint` does."""
        conversation = self.task.prompt.conversation(self.tokenizer)
        scores = [
            self._log_probabilities(conversation.fill({TEXT: case.text}), len(prompt))
            for prompt, case in zip(prompts, cases, strict=True)
        ]
        return [ranking(self.layout.labels, logp) for logp in scores]

    def _log_probabilities(self, prompt: str, n_prompt: int) -> torch.Tensor:
        """(labels,) log-probabilities."""
        layout, eos = self.layout, str(self.tokenizer.eos_token)
        choices = torch.zeros(len(layout.choice_tokens) + 1)  # the last is the padding of a path, and adds nothing
        for label, path in zip(layout.labels, layout.paths.tolist(), strict=True):
            text, n = f"{self.task.labels[label]}{eos}", self._lengths[label]
            logp = self.endpoint.token_log_probabilities(prompt, n_prompt, text, n)
            for choice in path:
                if choice < len(layout.choice_tokens):
                    choices[choice] = logp[int(layout.choice_depths[choice])]
        if layout.normalised:
            for state in layout.choice_states.unique():
                among = (layout.choice_states == state).nonzero().flatten()
                choices[among] = choices[among].log_softmax(-1)
        return choices[layout.paths].sum(-1)
