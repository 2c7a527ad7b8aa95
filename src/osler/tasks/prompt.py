"""The one place where a case becomes tokens: the same for training, evaluation and serving."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import jinja2
from jinja2 import nodes

from osler.errors import InputError, one_line, show
from osler.recipe import read_task
from osler.storage import sha256_text
from osler.tasks.conversation import IMAGE, OPTIONS, TEXT, Conversation, Message, converse, reads_back, turns

if TYPE_CHECKING:  # slow, and what only hashes a prompt needs none of it
    from transformers import PreTrainedTokenizerBase

LISTING = "The diagnosis is one of these, written exactly as here:\n"
PLACES = {"text": TEXT, "options": OPTIONS}


class TooLong(ValueError):
    """A prompt has more tokens than there is room for, even without its text. ``tokens``: how many."""

    def __init__(self, tokens: int) -> None:
        super().__init__(f"without text the prompt has {tokens} tokens")
        self.tokens = tokens


@dataclass(frozen=True)
class WrittenImage:
    """How a base has an image in a prompt: the ``placeholder`` that its chat template writes for any, and the text that
    its processor puts there for this one, whose tokens give way to what the model sees."""

    placeholder: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """A task's user turn and its ``system`` turn (None for no such turn).

    ``template`` is the user turn: text with ``{{ text }}`` in it and, for multiple choice, ``{{ options }}``: one line
    ``A. …`` an option. It is written as a jinja template, of which it may use nothing else, and nothing of it is run.
    """

    template: str
    system: str | None

    @property
    def sha256(self) -> str:
        """Hash of both turns: two runs with the same hash asked the same question."""
        return sha256_text(f"{self.system!r}\n{self.template}")

    @property
    def user_turn(self) -> str:
        """The user turn with the marks ``TEXT`` and ``OPTIONS`` where a case goes.

        Raises :class:`InputError`, with the line, where the template holds anything but text and these.
        """
        return _user_turn(self.template)

    def listing(self, labels: Mapping[str, str]) -> Prompt:
        """This prompt with the texts of ``labels`` above the user turn, one a line. Its hash covers them.

        Raises :class:`InputError` for a label that would end what jinja takes as it is written.
        """
        if odd := next((text for text in labels.values() if re.search(r"\{%[-+]?\s*endraw", text)), None):
            raise InputError(f"the label {show(odd)} cannot be listed in a prompt: it holds {{% endraw %}}; rename it")
        lines = "".join(f"- {text}\n" for text in labels.values())
        return replace(self, template=f"{{% raw %}}{LISTING}{lines}{{% endraw %}}\n{self.template}")

    def messages(self, text: str, options: Mapping[str, str] | None = None) -> list[Message]:
        """The conversation up to the answer; ``options`` are option ids and texts, in the order to show them."""
        case = self._case(text, options)
        user = "".join(case.get(piece, piece) for piece in re.split(f"({TEXT}|{OPTIONS})", self.user_turn))
        return turns(self.system, user, self.system is not None, content_parts=False)

    def conversation(self, tokenizer: PreTrainedTokenizerBase, placeholder: str | None = None) -> Conversation:
        """How the chat template of ``tokenizer`` asks this; with an image, for which it writes ``placeholder``.

        Raises :class:`InputError` as :attr:`user_turn` and :func:`osler.tasks.conversation.converse`.
        """
        return _conversation(self, tokenizer, str(tokenizer.chat_template), placeholder)

    def encode(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text: str,
        options: Mapping[str, str] | None = None,
        image: WrittenImage | None = None,
    ) -> list[int]:
        """Token ids of the prompt, up to and including the opening of the assistant's turn.

        Raises :class:`InputError` as :meth:`conversation`, or where the prompt shows options and the case has none.
        """
        case = self._case(text, options) | ({IMAGE: image.text} if image else {})
        return self.conversation(tokenizer, image.placeholder if image else None).encode(tokenizer, case)

    def _case(self, text: str, options: Mapping[str, str] | None) -> dict[str, str]:
        """What goes where the marks are."""
        if options is None and OPTIONS in self.user_turn:
            raise InputError("the prompt has {{ options }} in it, and the case has none: take them out of the template")
        listed = "\n".join(f"{option}. {answer}" for option, answer in (options or {}).items())
        return {TEXT: text, OPTIONS: listed}

    def encode_within(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text: str,
        max_tokens: int | None,
        options: Mapping[str, str] | None = None,
        image: WrittenImage | None = None,
    ) -> tuple[list[int], bool]:
        """As :meth:`encode`, with the end of ``text`` cut off where the prompt would be longer than ``max_tokens``.

        Returns the token ids and whether anything was cut. Never cuts the question, the options, the image or the
        answer's opening: that would train on nothing. Raises :class:`TooLong` where even the empty text is too long.
        """
        tokens = self.encode(tokenizer, text, options, image)
        if max_tokens is None or len(tokens) <= max_tokens:
            return tokens, False
        words = tokenizer(text, add_special_tokens=False)["input_ids"]
        while len(tokens) > max_tokens:
            if not words:
                raise TooLong(len(tokens))
            words = words[: len(words) - max(1, len(tokens) - max_tokens)] if len(words) > 1 else []
            kept = str(tokenizer.decode(words, clean_up_tokenization_spaces=False))
            tokens = self.encode(tokenizer, kept, options, image)
        return tokens, True


def load_prompt(folder: Path) -> Prompt:
    """The prompt of the task in ``folder``.

    Raises :class:`InputError` where its ``task.yaml`` is wrong or its template is: with the template's line.
    """
    task = read_task(folder)
    path = folder / task.prompt
    try:
        template = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None
    prompt = Prompt(template, task.system)
    try:
        if TEXT not in prompt.user_turn:
            raise InputError("{{ text }} is not in it, so the model would read no case")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return prompt


@functools.lru_cache(maxsize=32)
def _conversation(
    prompt: Prompt, tokenizer: PreTrainedTokenizerBase, chat_template: str, placeholder: str | None
) -> Conversation:
    # The template is there to tell an edited one.
    return converse(prompt.system, prompt.user_turn, tokenizer, placeholder)


@functools.lru_cache(maxsize=32)
def _user_turn(template: str) -> str:
    def refuse(line: int, what: str) -> NoReturn:
        raise InputError(
            f"line {line}: {what}; a prompt is text with {{{{ text }}}} in it and, for multiple choice,"
            " {{ options }}"
        )

    if "\0" in template:
        refuse(template[: template.index("\0")].count("\n") + 1, "a NUL character")
    try:  # parsed, never compiled: a published version brings its template along, and nothing downloaded is executed
        parsed = jinja2.Environment(keep_trailing_newline=True).parse(template)
    except jinja2.TemplateSyntaxError as error:
        refuse(error.lineno, one_line(str(error.message)))
    except RecursionError:
        refuse(1, "brackets without end")
    pieces = []
    for statement in parsed.body:
        if not isinstance(statement, nodes.Output):
            refuse(statement.lineno, f"a statement ({type(statement).__name__.lower()})")
        for node in statement.nodes:
            if isinstance(node, nodes.TemplateData):
                pieces.append(node.data)
            elif isinstance(node, nodes.Name) and node.name in PLACES:
                pieces.append(PLACES[node.name])
            elif isinstance(node, nodes.Name):
                refuse(node.lineno, f"{{{{ {node.name[:60]} }}}} is not in a case")
            else:
                refuse(node.lineno, f"an expression ({type(node).__name__.lower()})")
    return "".join(pieces)


def completion(tokenizer: PreTrainedTokenizerBase, label: str) -> list[int]:
    """Token ids of an answer, with the EOS that ends it.

    Raises :class:`InputError` where the tokens are not those of the label's own characters.
    """
    ids: list[int] = tokenizer(label, add_special_tokens=False)["input_ids"]
    if not reads_back(tokenizer, ids, label) or set(ids) & set(tokenizer.all_special_ids):
        said = tokenizer.decode(ids)
        raise InputError(
            f"{tokenizer.name_or_path}: the tokenizer reads the label {show(label)} as {show(said)}; rename it"
        )
    return [*ids, tokenizer.eos_token_id]


def completions(tokenizer: PreTrainedTokenizerBase, labels: Mapping[str, str]) -> dict[str, list[int]]:
    """Label id → token ids of its answer, for a panel's label ids and texts."""
    return {label: completion(tokenizer, text) for label, text in labels.items()}


def chat_template_sha256(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Hash of what turns a conversation into text; None for a tokenizer that has no such template."""
    return sha256_text(tokenizer.get_chat_template()) if tokenizer.chat_template else None
