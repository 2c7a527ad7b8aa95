"""The one place where a case becomes tokens: the same for training, evaluation and serving."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from osler.errors import InputError
from osler.recipe import read_task
from osler.storage import sha256_text

if TYPE_CHECKING:  # slow, and what only hashes a prompt needs none of it
    from transformers import PreTrainedTokenizerBase

LISTING = "The diagnosis is one of these, written exactly as here:\n"


class TooLong(ValueError):
    """A prompt has more tokens than there is room for, even without its text. ``tokens``: how many."""

    def __init__(self, tokens: int) -> None:
        super().__init__(f"without text the prompt has {tokens} tokens")
        self.tokens = tokens


@dataclass(frozen=True)
class Prompt:
    """A task's user turn and its ``system`` turn (None for no such turn).

    ``template`` is the user turn, a jinja template of ``text`` and, for multiple choice, of ``options``: one line
    ``A. …`` an option.
    """

    template: str
    system: str | None

    @property
    def sha256(self) -> str:
        """Hash of both turns: two runs with the same hash asked the same question."""
        return sha256_text(f"{self.system!r}\n{self.template}")

    def listing(self, labels: Mapping[str, str]) -> Prompt:
        """This prompt with the texts of ``labels`` above the user turn, one a line. Its hash covers them."""
        lines = "".join(f"- {text}\n" for text in labels.values())
        return replace(self, template=f"{{% raw %}}{LISTING}{lines}{{% endraw %}}\n{self.template}")

    def messages(self, text: str, options: Mapping[str, str] | None = None) -> list[dict[str, str]]:
        """The conversation up to the answer; ``options`` are option ids and texts, in the order to show them."""
        case = {"text": text}
        if options is not None:
            case["options"] = "\n".join(f"{option}. {answer}" for option, answer in options.items())
        turns = [{"role": "user", "content": _compiled(self.template).render(case)}]
        return turns if self.system is None else [{"role": "system", "content": self.system}, *turns]

    def encode(
        self, tokenizer: PreTrainedTokenizerBase, text: str, options: Mapping[str, str] | None = None
    ) -> list[int]:
        """Token ids of the prompt, up to and including the opening of the assistant's turn.

        Raises :class:`InputError` where the tokenizer has no chat template.
        """
        if tokenizer.chat_template is None:
            raise InputError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; use an instruct model")
        messages = self.messages(text, options)
        try:
            rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except jinja2.TemplateError:  # Gemma and others have no system turn and refuse one
            rendered = tokenizer.apply_chat_template(messages[-1:], add_generation_prompt=True, tokenize=False)
        return tokenizer(rendered, add_special_tokens=False)["input_ids"]

    def encode_within(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text: str,
        max_tokens: int | None,
        options: Mapping[str, str] | None = None,
    ) -> tuple[list[int], bool]:
        """As :meth:`encode`, with the end of ``text`` cut off where the prompt would be longer than ``max_tokens``.

        Returns the token ids and whether anything was cut. Never cuts the question, the options or the answer's
        opening: that would train on nothing. Raises :class:`TooLong` where even the empty text is too long.
        """
        tokens = self.encode(tokenizer, text, options)
        if max_tokens is None or len(tokens) <= max_tokens:
            return tokens, False
        words = tokenizer(text, add_special_tokens=False)["input_ids"]
        while len(tokens) > max_tokens:
            if not words:
                raise TooLong(len(tokens))
            words = words[: len(words) - max(1, len(tokens) - max_tokens)] if len(words) > 1 else []
            tokens = self.encode(tokenizer, str(tokenizer.decode(words)), options)
        return tokens, True


def load_prompt(folder: Path) -> Prompt:
    """The prompt of the task in ``folder``. Raises :class:`InputError` where its ``task.yaml`` is wrong."""
    task = read_task(folder)
    return Prompt((folder / task.prompt).read_text(encoding="utf-8"), task.system)


@functools.cache
def _compiled(template: str) -> jinja2.Template:
    # Sandboxed, because a published version brings its template along, and nothing downloaded is executed.
    settings = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return settings.from_string(template)


def completion(tokenizer: PreTrainedTokenizerBase, label: str) -> list[int]:
    """Token ids of an answer, with the EOS that ends it."""
    return [*tokenizer(label, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def completions(tokenizer: PreTrainedTokenizerBase, labels: Mapping[str, str]) -> dict[str, list[int]]:
    """Label id → token ids of its answer, for a panel's label ids and texts."""
    return {label: completion(tokenizer, text) for label, text in labels.items()}


def chat_template_sha256(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Hash of what turns a conversation into text; None for a tokenizer that has no such template."""
    return sha256_text(tokenizer.get_chat_template()) if tokenizer.chat_template else None
