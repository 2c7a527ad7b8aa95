"""How a tokenizer's chat template asks a prompt: rendered once, in a bounded child, with marks where a case goes.

A chat template is a stranger's program. It never sees a case: the case is put where the marks came out, so what was
checked once holds for every case, and no text can make a template do something else.
"""

from __future__ import annotations

import random
import re
import traceback
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from osler.errors import InputError, one_line, show
from osler.storage import OutOfBounds, in_bounds

if TYPE_CHECKING:  # slow, and what only hashes a prompt needs none of it
    from transformers import PreTrainedTokenizerBase

TEXT, OPTIONS = "\0text\0", "\0options\0"  # where a case's text and its options go
IMAGE = "\0image\0"  # where what a base writes for a case's image goes
_ANSWER = "\0answer\0"
_PROBE = "38,5 °C; a < b & c > d; TSH↑, ♀, ½, 熱, Fuß, 'x', \"y\""  # signs that a template or tokenizer could change
_LONG_PROBE = "\n".join(f"{_PROBE} {line}" for line in range(400))  # about 20,000 characters: some templates cut

CPU_SECONDS, MEMORY_BYTES = 2, 512 * 2**20  # real templates take milliseconds and next to nothing
MOST_ADDED = 100_000  # characters that a template may add to the turns
# A template that writes the date, or draws lots, gives something else on another of these days.
_DAYS = (datetime(2001, 2, 3, 4, 5, 6), datetime(2036, 11, 29, 17, 38, 49), datetime(2024, 2, 29), datetime(2030, 7, 8))

Message = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """A prompt in the words of one chat template.

    Attributes:
        own_system_turn: whether there is a system turn. Where the template refuses or drops one, the task's stands at
            the head of the user turn.
        content_parts: the template reads ``[{"type": "text", "text": …}]``, not the text itself.
        opening: what the template writes between the opening of the assistant's turn and an answer; mostly nothing.
        frame: the rendered prompt: literal pieces, and between them :data:`TEXT`, :data:`OPTIONS` or :data:`IMAGE`.
        control_tokens: finds what the tokenizer would take for a control token in a case.
    """

    own_system_turn: bool
    content_parts: bool
    opening: str
    frame: tuple[str, ...]
    control_tokens: re.Pattern[str]

    def encode(self, tokenizer: PreTrainedTokenizerBase, case: Mapping[str, str]) -> list[int]:
        """Token ids of the prompt with ``case`` at its marks. What looks like a control token in a case is text, but
        not in what stands for its image.

        Raises :class:`InputError` where the tokenizer has no way to read it as text.
        """
        from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

        said = {place: value for place, value in case.items() if place != IMAGE}
        if not any(self.control_tokens.search(value) for value in said.values()):
            ids: list[int] = tokenizer(self.fill(case), add_special_tokens=False)["input_ids"]
            return ids
        marked = {place: mark_control_tokens(value, self.control_tokens) for place, value in said.items()}
        try:
            return encode_marked_chat(tokenizer, self.fill({**case, **marked}))
        except ValueError as error:
            raise InputError(one_line(f"{tokenizer.name_or_path}: a case holds a control token: {error}")) from None

    def fill(self, case: Mapping[str, str]) -> str:
        """The rendered prompt with ``case`` at its marks."""
        return "".join(case.get(piece, piece) for piece in self.frame)


def turns(
    system: str | None, user: str, own_system_turn: bool, content_parts: bool, image: bool = False
) -> list[Message]:
    """The messages up to the answer. An empty system turn is nothing to put into the user turn. An ``image`` stands
    before what the user says."""
    if not own_system_turn and system and system.strip():
        user = f"{system}\n\n{user}"
    contents = [*([("system", system)] if own_system_turn else []), ("user", user)]
    messages: list[Message] = [
        {"role": role, "content": [{"type": "text", "text": content}] if content_parts else content}
        for role, content in contents
    ]
    if image:
        messages[-1]["content"].insert(0, {"type": "image"})
    return messages


def converse(
    system: str | None, user: str, tokenizer: PreTrainedTokenizerBase, placeholder: str | None = None
) -> Conversation:
    """How the chat template of ``tokenizer`` asks a prompt whose ``user`` turn has marks, checked.

    Of four ways the first is taken in whose rendering system turn and user turn are found as they were written, and
    behind which an answer stands: with a system turn of its own or at the head of the user turn, each as text or in
    parts. With an image there are only parts; ``placeholder`` is what the template writes for it.

    Raises:
        InputError: there is no such template or no such way, what it writes depends on the day or on chance, it does
            not come to an end, or the tokenizer does not give back what was written.
    """
    name = tokenizer.name_or_path
    template = _template(tokenizer)
    control = _control_tokens(tokenizer, template)
    for turn in (system or "", user):
        if found := control.search(turn):
            raise InputError(f"{name}: {show(found[0])} is a control token: take it out of the task's prompt or labels")
    owning = (True, False) if system is not None else (False,)
    image = placeholder is not None
    ways = [(own, parts) for parts in ((True,) if image else (False, True)) for own in owning]
    asked = [turns(system, user, *way, image) for way in ways]
    probed = [[turns(system, _probed(user, probe), *way, image) for probe in (_PROBE, _LONG_PROBE)] for way in ways]
    try:
        days = in_bounds(
            lambda: [_rendered_on(day, tokenizer, asked, probed) for day in _DAYS], CPU_SECONDS, MEMORY_BYTES
        )
    except OutOfBounds as error:
        raise InputError(f"{name}: its chat template {error}; {_WAY_OUT}") from None
    if any(day != days[0] for day in days):
        raise InputError(
            f"{name}: its chat template writes the date, or something by chance, so the same case would be asked"
            f" otherwise tomorrow: write a fixed text there; {_WAY_OUT}"
        )
    faults: list[str] = []
    for (own, parts), messages, rendering in zip(ways, asked, days[0], strict=True):
        fault, opening = _fault(messages, rendering)
        if fault is None and placeholder is not None and rendering["asked"].count(placeholder) != 1:
            fault = f"does not write the image of a user turn once, as {show(placeholder)}"
        if fault is None:
            written = rendering["asked"].replace(placeholder, IMAGE) if placeholder else rendering["asked"]
            frame = tuple(re.split(f"({TEXT}|{OPTIONS}|{IMAGE})", written + opening))
            conversation = Conversation(own, parts, opening, frame, control)
            _check_tokens(conversation, tokenizer, messages)
            return conversation
        faults += [] if parts and not image else [fault]  # those of a text say more to people
    raise InputError(f"{name}: its chat template {faults[-1]}; {_WAY_OUT}")


_WAY_OUT = "take another base, or mend chat_template in a local copy of it and name that as base.model"


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.chat_template is None:
        raise InputError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; use an instruct model")
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:  # several, and none that is the default
        raise InputError(one_line(f"{tokenizer.name_or_path}: {error}; {_WAY_OUT}")) from None


def _control_tokens(tokenizer: PreTrainedTokenizerBase, template: str) -> re.Pattern[str]:
    """Special tokens, and those that the template uses, as ``apply_chat_template(sanitize_control_tokens=True)`` has
    it; but for spaces and line breaks, which families of models add to their vocabulary."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = {token.content for token in added if token.special or token.content in template}
    longest_first = sorted((token for token in tokens if token.strip()), key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _probed(turn: str, probe: str = _PROBE) -> str:
    return turn.replace(TEXT, probe).replace(OPTIONS, probe)


# ── in the child ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _rendered_on(
    day: datetime,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[list[Message]],
    probed: Sequence[list[list[Message]]],
) -> list[dict[str, str]]:
    """Of each way to ask: the prompt ``asked`` with its marks, ``probed`` and ``long`` with a text in their place, and
    ``whole``, the conversation with an answer; or the ``error`` that the template ended with."""
    from transformers.utils import chat_template_utils

    vars(chat_template_utils)["datetime"] = SimpleNamespace(now=lambda: day)  # what its strftime_now asks
    random.seed(day.year)
    return [_rendered(tokenizer, *way) for way in zip(asked, probed, strict=True)]


def _rendered(tokenizer: PreTrainedTokenizerBase, asked: list[Message], probed: list[list[Message]]) -> dict[str, str]:
    content = [{"type": "text", "text": _ANSWER}] if isinstance(asked[-1]["content"], list) else _ANSWER
    answer = {"role": "assistant", "content": content}

    def render(messages: list[Message], opened: bool) -> str:
        # Models that can think aloud first answer at once: labels are scored, and trained, as the next thing written.
        return str(
            tokenizer.apply_chat_template(messages, add_generation_prompt=opened, tokenize=False, enable_thinking=False)
        )

    try:
        return {
            "asked": render(asked, True),
            "probed": render(probed[0], True),
            "long": render(probed[1], True),
            "whole": render([*asked, answer], False),
        }
    except MemoryError:
        raise
    except Exception as error:  # whatever a stranger's program ends with
        places = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
        line = getattr(error, "lineno", None) or (places or [None])[-1]
        return {"error": f"{f'line {line}: ' if line else ''}{type(error).__name__}: {one_line(str(error))[:200]}"}


# ── what was rendered ────────────────────────────────────────────────────────────────────────────────────────────────


def _fault(messages: Sequence[Message], rendering: Mapping[str, str]) -> tuple[str | None, str]:
    """What is wrong with a rendering, None for nothing; and what is written between it and an answer."""
    if "error" in rendering:
        return f"fails ({rendering['error']})", ""
    asked, whole = rendering["asked"], rendering["whole"]
    contents = [_content(message) for message in messages]
    for message, content in zip(messages, contents, strict=True):
        if content.strip() not in asked:
            return f"does not write the {message['role']} turn as it is", ""
    for mark in (TEXT, OPTIONS):
        if asked.count(mark) != contents[-1].count(mark):
            return "writes the user turn more than once", ""
    if _probed(asked) != rendering["probed"]:
        return "does not write the user turn as it is", ""
    if _probed(asked, _LONG_PROBE) != rendering["long"]:
        return "drops, cuts or changes a long user turn", ""
    if len(asked) - len("".join(contents)) > MOST_ADDED:
        return f"adds more than {MOST_ADDED:,} characters to a prompt", ""
    before, answer, _ = whole.partition(_ANSWER)
    if not answer:
        return "does not write the assistant's turn as it is", ""
    if not before.startswith(asked.rstrip()):
        opened, written = asked[_common(asked, before) :][-60:], before[_common(asked, before) :][-60:]
        return f"opens the assistant's turn with {show(opened)}, and has {show(written)} before an answer", ""
    opening = before.removeprefix(asked)
    return None, opening if opening != before and opening.strip() else ""


def _common(a: str, b: str) -> int:
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _content(message: Message) -> str:
    content = message["content"]
    return str(content if isinstance(content, str) else content[-1]["text"])


def _check_tokens(conversation: Conversation, tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> None:
    """Read the tokens back."""
    name = tokenizer.name_or_path
    ids = conversation.encode(tokenizer, {TEXT: _PROBE, OPTIONS: _PROBE})
    if tokenizer.bos_token_id is not None and ids[:2] == [tokenizer.bos_token_id] * 2:
        raise InputError(f"{name}: a prompt begins with {tokenizer.bos_token} twice; {_WAY_OUT}")
    for message in messages:
        if not reads_back(tokenizer, ids, _probed(_content(message)), within=True):
            raise InputError(f"{name}: the tokenizer does not give the {message['role']} turn back as it was written")


def reads_back(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, within: bool = False) -> bool:
    """Whether ``ids`` say ``text`` (or have it ``within``), but for spacing and Unicode's compatible forms."""
    said = _squeezed(str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)))
    return _squeezed(text) in said if within else _squeezed(text) == said


def _squeezed(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())
