"""What can be exported, and what is said before anything is made."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest

from osler.errors import InputError
from osler.export import forms
from osler.export.forms import FORMS, check_packages, check_room, form_named

Usage = namedtuple("Usage", "total used free")


def test_a_format_alone_means_its_first_precision() -> None:
    assert [form_named(name).name for name in ("merged", "gguf", "onnx", "openvino")] == [
        "merged",
        "gguf-f16",
        "onnx-fp32",
        "openvino-fp32",
    ]
    assert form_named("gguf", "Q4_K_M").name == "gguf-q4_k_m"


@pytest.mark.parametrize(
    ("name", "quantization", "said"),
    [
        ("ggfu", None, "--to ggfu: expected one of merged, gguf, onnx, openvino; did you mean gguf?"),
        ("gguf", "q8", "--quantization q8: expected one of f16, q8_0, q4_k_m; did you mean q8_0?"),
        ("merged", "f16", "--quantization f16: merged has none"),
    ],
)
def test_an_unknown_form_is_named_with_the_nearest(name: str, quantization: str | None, said: str) -> None:
    with pytest.raises(InputError) as error:
        form_named(name, quantization)
    assert str(error.value) == said


def test_a_missing_package_is_named_with_the_extra() -> None:
    with pytest.raises(
        InputError, match=r"--to onnx: not installed: onnxruntime; in the checkout, run pip install -e '\.\[export\]'$"
    ):
        check_packages(form_named("onnx"), lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(InputError, match=r"llama-cpp-python; .*'\.\[export\]'; this compiles llama-cpp-python"):
        check_packages(form_named("gguf"), lambda name: None if name == "llama_cpp" else object())
    for form in FORMS:
        check_packages(form, lambda name: object())


def test_a_full_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms.shutil, "disk_usage", lambda folder: Usage(10**12, 0, 5 * 10**9))
    weights = 1_000_000_000
    assert check_room(form_named("gguf"), weights, tmp_path, merged=0, of_merged=2) == 2 * 10**9
    with pytest.raises(
        InputError, match=r"gguf-f16 needs about 6\.0 GB, 2\.0 GB of them for good, .* has 5\.0 GB free"
    ):
        check_room(form_named("gguf"), weights, tmp_path, merged=4, of_merged=4)
    with pytest.raises(InputError, match="onnx-int8 needs about 10"):
        check_room(form_named("onnx", "int8"), weights, tmp_path, merged=0, of_merged=2)
