"""What stands beside an export: commands with this run's own names and numbers."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from osler.export.commands import EXAMPLE, files, modelfile, vllm_rank
from osler.export.forms import form_named
from osler.models.loading import load_tokenizer
from osler.recipe.sections import BaseSection
from osler.runs.run import Run
from osler.storage.files import write_json
from osler.tasks.task import load_task


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


def test_the_readme_of_a_graph_has_its_prompt_filled_as_evaluation_fills_it(
    finished_project: Path, tiny_base: BaseSection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, form = Run(finished_project / "runs" / "tiny-made-up" / "1.0.0"), form_named("onnx")
    recipe, tokenizer = run.recipe(), load_tokenizer(tiny_base)
    monkeypatch.setattr("osler.models.load_tokenizer", lambda base: tokenizer)
    figures = SimpleNamespace(splits=(), runtime="made up", threads=1, system="a")
    text = files(run, recipe, form, figures, None, "exports.json")["README.md"]  # type: ignore[arg-type]
    task = load_task(finished_project / "tasks" / "made_up")
    template, filled = re.findall(r"^```text\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
    assert template.replace("{text}", EXAMPLE) == filled
    end = "\n" if "It ends in a line break." in text else ""
    assert tokenizer(filled + end, add_special_tokens=False)["input_ids"] == task.prompt.encode(tokenizer, EXAMPLE)


def test_ollamas_template_is_the_prompt_of_training() -> None:
    text = modelfile("m.gguf", ["<|im_start|>user\n", "{{ .Prompt }}", "\nDiagnosis, {{ or }} none?<|im_end|>\n"], 12)
    assert 'TEMPLATE """<|im_start|>user\n{{ .Prompt }}\nDiagnosis, {{ "{{" }} or }} none?<|im_end|>\n"""' in text
    assert text.startswith("FROM ./m.gguf\n")
    assert "PARAMETER num_predict 12\n" in text
