"""What stands beside an export: commands with this run's own names and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.export.commands import modelfile, vllm_rank
from osler.storage.files import write_json


@pytest.mark.parametrize(("rank", "needed"), [(4, 8), (16, 16), (24, 32), (600, None)])
def test_vllm_is_given_the_smallest_rank_that_it_takes(tmp_path: Path, rank: int, needed: int | None) -> None:
    write_json(tmp_path / "adapter_config.json", {"r": rank})
    assert vllm_rank(tmp_path) == needed


def test_vllm_is_not_given_what_it_cannot_serve(tmp_path: Path) -> None:
    assert vllm_rank(tmp_path) is None
    for values in ({"modules_to_save": ["lm_head"]}, {"use_dora": True}):
        write_json(tmp_path / "adapter_config.json", {"r": 8, **values})
        assert vllm_rank(tmp_path) is None
    write_json(tmp_path / "adapter_config.json", {"r": 8, "rank_pattern": {"q_proj": 20}})
    assert vllm_rank(tmp_path) == 32


def test_ollamas_template_is_the_prompt_of_training() -> None:
    text = modelfile("m.gguf", ["<|im_start|>user\n", "{{ .Prompt }}", "\nDiagnosis, {{ or }} none?<|im_end|>\n"], 12)
    assert 'TEMPLATE """<|im_start|>user\n{{ .Prompt }}\nDiagnosis, {{ "{{" }} or }} none?<|im_end|>\n"""' in text
    assert text.startswith("FROM ./m.gguf\n")
    assert "PARAMETER num_predict 12\n" in text
