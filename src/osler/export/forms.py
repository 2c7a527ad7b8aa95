"""What a run can be exported as: formats, their precisions, what they need, and how large they come out."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from osler.errors import InputError, nearest
from osler.runs import Format


@dataclass(frozen=True)
class Form:
    """A format with its precision.

    Attributes:
        bytes_per_weight: of the finished files, roughly; 0 where it is the recipe's ``base.dtype`` that says.
        at_work: bytes a weight that stand on the disk while it is made, besides the merged model and itself.
        packages: what imports have to be there, to write it and to ask it.
    """

    format: Format
    quantization: str | None
    bytes_per_weight: float
    at_work: float = 0.0
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``gguf-q8_0``: of the folder in ``exports/``, and behind the model's name in predictions."""
        return self.format if self.quantization is None else f"{self.format}-{self.quantization}"


GGUF = ("gguf", "llama_cpp")
ONNX = ("onnx", "onnxruntime", "onnxscript")
# The first precision of a format is its default.
FORMS = (
    Form("merged", None, 0.0),
    Form("gguf", "f16", 2.0, packages=GGUF),
    Form("gguf", "q8_0", 34 / 32, packages=GGUF),
    Form("gguf", "q4_k_m", 0.75, at_work=2.0, packages=GGUF),
    Form("onnx", "fp32", 4.0, packages=ONNX),
    Form("onnx", "int8", 1.3, at_work=9.0, packages=ONNX),
    Form("openvino", "fp32", 4.0, packages=("openvino",)),
    Form("openvino", "fp16", 2.0, packages=("openvino",)),
)
DISTRIBUTIONS = {"llama_cpp": "llama-cpp-python"}


def form_named(name: str, quantization: str | None = None) -> Form:
    """The form of that format, in its default precision unless another is asked for.

    Raises :class:`InputError` where there is no such format, or it has no such precision.
    """
    known = [form for form in FORMS if form.format == name]
    if not known:
        formats = list(dict.fromkeys(form.format for form in FORMS))
        raise InputError(f"--to {name}: expected one of {', '.join(formats)}{nearest(name, formats)}")
    if quantization is None:
        return known[0]
    wanted = quantization.lower()
    for form in known:
        if form.quantization == wanted:
            return form
    names = [form.quantization for form in known if form.quantization]
    allowed = f"expected one of {', '.join(names)}{nearest(wanted, names)}" if names else f"{name} has none"
    raise InputError(f"--quantization {quantization}: {allowed}")


def check_packages(form: Form, find: Callable[[str], object | None] = importlib.util.find_spec) -> None:
    """Raise :class:`InputError` where a package is not installed that writes or asks the form."""
    if missing := [DISTRIBUTIONS.get(name, name) for name in form.packages if find(name) is None]:
        compiled = "; this compiles llama-cpp-python, which needs cmake, a C++ compiler and some minutes"
        raise InputError(
            f"--to {form.format}: not installed: {', '.join(missing)}; in the checkout, run pip install -e '.[export]'"
            f"{compiled if 'llama-cpp-python' in missing else ''}"
        )


def check_room(form: Form, weights: int, folder: Path, merged: int, of_merged: int) -> int:
    """The bytes that the finished form will have, roughly.

    Args:
        weights: how many the model has.
        merged: the bytes a weight of the merged model, where it is still to be made; else 0.
        of_merged: those that it has in any case.

    Raises:
        InputError: the disk of ``folder`` has no room for it and for what is made on the way.
    """
    size = round(weights * (form.bytes_per_weight or of_merged))
    on_the_way = round(weights * (form.at_work + (merged if form.format != "merged" else 0)))
    free = shutil.disk_usage(folder).free
    if size + on_the_way > free:
        raise InputError(
            f"{folder}: {form.name} needs about {(size + on_the_way) / 1e9:.1f} GB, {size / 1e9:.1f} GB of them for"
            f" good, and the disk has {free / 1e9:.1f} GB free; make room"
        )
    return size
