"""Published weights asked once more; what uses it is tested in test_publish.py and test_reproduce.py."""

from __future__ import annotations

import json
from pathlib import Path

from osler.models import loading
from osler.recipe.sections import BaseSection
from osler.reproduction import rescoring


def test_another_tokenizer_beside_the_weights_is_found(tmp_path: Path, tiny_base: BaseSection) -> None:
    tokenizer = loading.load_tokenizer(tiny_base)
    tokenizer.save_pretrained(tmp_path)
    assert rescoring.other_tokenizer(tmp_path, tiny_base) is None

    (tmp_path / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")
    assert rescoring.other_tokenizer(tmp_path, tiny_base) == "chat template"

    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["e"], vocabulary["n"] = vocabulary["n"], vocabulary["e"]
    path.write_text(json.dumps(content))
    assert rescoring.other_tokenizer(tmp_path, tiny_base) == "model"
