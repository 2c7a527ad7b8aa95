"""An export that would be asked otherwise than training asked is found out before it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.errors import FailedError
from osler.export.answering import template_fault, tokens_fault
from osler.models.loading import load_tokenizer
from osler.recipe.sections import BaseSection


def test_other_tokens_of_a_prompt_are_found_with_their_place(tiny_base: BaseSection) -> None:
    tokenizer = load_tokenizer(tiny_base)

    def trained(text: str) -> list[int]:
        return list(tokenizer(text)["input_ids"])

    texts = ["fever", "short stature and a heart murmur"]
    assert tokens_fault(texts, trained, trained) is None
    fault = tokens_fault(texts, trained, lambda text: trained(text.replace("murmur", "MURMUR")))
    assert fault is not None
    assert fault.startswith("its tokens of held-out prompt 2 are not those of training:")
    assert tokens_fault(["fever"], trained, lambda text: [1, *trained(text)]) == (
        f"its tokens of held-out prompt 1 are not those of training: {len(trained('fever')) + 1} for"
        f" {len(trained('fever'))}, and from token 1 on others"
    )


def test_another_chat_template_is_found(tiny_base: BaseSection) -> None:
    tokenizer = load_tokenizer(tiny_base)
    assert template_fault(tokenizer, tokenizer.get_chat_template()) is None
    assert template_fault(tokenizer, tokenizer.get_chat_template() + " ") == "its chat template is not that of training"
    assert template_fault(tokenizer, None) is not None


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it has no wheels")
    from osler.export.runtimes import LlamaCpp

    (tmp_path / "m.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(FailedError, match=r"m\.gguf: llama\.cpp cannot load it"):
        LlamaCpp(tmp_path / "m.gguf", 10)
