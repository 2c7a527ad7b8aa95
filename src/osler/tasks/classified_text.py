"""What a head reads: of a case the prompt, or the case alone where the base cannot be asked; of a candidate a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osler.tasks.prompt import Prompt, TooLong

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_classified(
    prompt: Prompt, tokenizer: PreTrainedTokenizerBase, text: str, max_tokens: int | None = None
) -> tuple[list[int], bool]:
    """Token ids for a classifier, and whether the end of ``text`` was cut off to have no more than ``max_tokens``.

    A base with a chat template reads the very tokens that a language model would be asked with
    (:meth:`Prompt.encode_within`). One without, as encoders are, reads the text between its own special tokens.
    Raises :class:`TooLong` where even the empty text is too long.
    """
    if tokenizer.chat_template:
        return prompt.encode_within(tokenizer, text, max_tokens)
    as_text = {"split_special_tokens": True, "verbose": False}  # a case that says [SEP] ends nowhere else
    tokens: list[int] = tokenizer(text, **as_text)["input_ids"]
    if max_tokens is None or len(tokens) <= max_tokens:
        return tokens, False
    if (special := tokenizer.num_special_tokens_to_add()) > max_tokens:
        raise TooLong(special)
    return tokenizer(text, truncation=True, max_length=max_tokens, **as_text)["input_ids"], True


def candidate_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """What stands after the prompt for a candidate; a text that spells a special token is text."""
    tokens: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return tokens
