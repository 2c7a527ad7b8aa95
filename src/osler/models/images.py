"""How a base reads images: what stands for one in a prompt, and the numbers that the model gets beside the tokens."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoProcessor, PreTrainedTokenizerBase

from osler.errors import InputError, one_line
from osler.models.base_weights import base_folder
from osler.recipe import BaseSection
from osler.tasks import CaseImage, WrittenImage, case_image

PIXELS = ("pixel_values", "pixel_attention_mask")  # what Osler hands on of an image processor's output
TYPES = "token_type_ids"  # 1 where a token is an image's: of models that let those attend to one another both ways
NOTES = ("rows", "cols", "num_crops")  # what a processor notes for itself


class Images:
    """The images of a base of images and text, one a case.

    Args:
        processor: the base's own (``ProcessorMixin``), with the tokenizer that cases are encoded with.
        token: the id of the token that stands for a piece of an image, in whose place the model sees it.

    Attributes:
        placeholder: what the base's chat template writes for an image.
        both_ways: whether the tokens of an image attend to one another both ways, or as texts do.
    """

    def __init__(self, processor: Any, token: int) -> None:
        self._processor = processor
        self._tokenizer = self._processor.tokenizer
        self.token = token
        self.placeholder = str(self._processor.image_token)
        self.both_ways = TYPES in self._processor.model_input_names
        self._text = lru_cache(maxsize=4096)(self._new_text)  # it depends on the size alone

    def written(self, image: CaseImage) -> WrittenImage:
        """What stands for ``image`` in a prompt."""
        return WrittenImage(self.placeholder, self._text(image.size))

    def _new_text(self, size: tuple[int, int]) -> str:
        blank = Image.new("RGB", size)
        found = self._processor(text=[self.placeholder], images=[[blank]], add_special_tokens=False)
        ids = found["input_ids"][0]
        text = str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        if self.token not in ids or self._tokenizer(text, add_special_tokens=False)["input_ids"] != list(ids):
            raise InputError(
                f"base.model: {self._tokenizer.name_or_path}: what its processor writes for an image, its tokenizer"
                " does not read so; take another base"
            )
        return text

    def inputs(self, images: Sequence[CaseImage], input_ids: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """What a model is given beside the tokens, on the CPU.

        Args:
            images: one of each row of a batch.
            input_ids: (batch, length); None where the attention mask says already what attends to what.

        Returns:
            ``pixel_values``, (batch, …), in the form of the base, and what goes with them; ``token_type_ids``, (batch,
            length), where ``both_ways``.

        Raises :class:`InputError` where an image is gone, or a base is given them in a way that is not known here.
        """
        found = self._processor.image_processor([[image.read()] for image in images], return_tensors="pt")
        other = sorted(set(found) - {*PIXELS, *NOTES})
        given = {name: found[name] for name in PIXELS if name in found}
        if other or any(len(tensor) != len(images) for tensor in given.values()):
            reason = f"it needs {', '.join(other)}" if other else "it makes several pictures of one (pan and scan)"
            known = "expected one of the families of SmolVLM (Idefics3) and MedGemma (Gemma 3)"
            raise InputError(
                f"base.model: {type(self._processor).__name__} gives images in another way: {reason}; {known}"
            )
        return given | self.types(input_ids)

    def types(self, input_ids: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """``token_type_ids`` of ``input_ids``, in a dictionary that is empty where the model takes none."""
        return {TYPES: (input_ids == self.token).long()} if self.both_ways and input_ids is not None else {}

    def attending(self, ids: torch.Tensor) -> torch.Tensor:
        """Which tokens of a prompt, (length,), attend to which besides those before them, (length, length)."""
        of_image = ids == self.token
        if not self.both_ways:
            return torch.zeros(len(ids), len(ids), dtype=torch.bool)
        starts = of_image & ~torch.cat([of_image.new_zeros(1), of_image[:-1]])
        number = torch.where(of_image, starts.cumsum(0), 0)
        return (number[:, None] == number) & of_image

    def tokens(self, image: CaseImage) -> list[int]:
        """The tokens of what stands for ``image`` in a prompt."""
        ids: list[int] = self._tokenizer(self._text(image.size), add_special_tokens=False)["input_ids"]
        return ids

    def noise(self, number: int) -> CaseImage:
        """An image of noise to try a model with, always the same; of another ``number``, another in another form."""
        shape = (48 + 32 * (number % 3), 64, 3)
        pixels = torch.randint(256, shape, generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels.numpy()).save(file, "PNG")
        return case_image(None, file.getvalue(), "noise")

    def save(self, folder: Path) -> None:
        """Write the processor, its tokenizer included, into ``folder``."""
        self._processor.save_pretrained(folder)


def load_images(base: BaseSection, tokenizer: PreTrainedTokenizerBase) -> Images:
    """How ``base`` reads images. Pillow does it also where torchvision is installed: they give other numbers.

    Raises :class:`InputError` where it reads none, or its processor cannot be loaded.
    """
    folder = base_folder(base)
    token = getattr(AutoConfig.from_pretrained(folder), "image_token_id", None)
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False, backend="pil")
    except (OSError, ValueError, ImportError) as error:
        reason = one_line(str(error))[:200]
        raise InputError(f"base.model: {base.model}: its processor of images cannot be loaded ({reason})") from None
    if token is None or not hasattr(processor, "image_processor"):
        raise InputError(
            f"base.model: {base.model} reads no images, and the task has some; take a base of images and text, such as"
            " HuggingFaceTB/SmolVLM-256M-Instruct"
        )
    processor.tokenizer, processor.chat_template = tokenizer, tokenizer.chat_template
    return Images(processor, token)
