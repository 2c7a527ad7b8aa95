"""Paraphrases texts by translating them into another language and back (Sennrich et al. 2016, arXiv:1511.06709)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from osler.errors import InputError
from osler.models import base_folder
from osler.recipe import BackTranslationSection, BaseSection, TranslatorSection
from osler.tasks import share_of, split_sentences

BATCH = 32  # sentences translated at once
MAX_TOKENS = 256  # of a translated sentence; the rest is cut off


def model_folders(section: BackTranslationSection) -> tuple[Path, Path]:
    """The folders of both models, downloaded if need be. Raises :class:`InputError` where one cannot be had."""
    there, back = (
        base_folder(BaseSection(model=translator.model, revision=translator.revision))
        for translator in (section.there, section.back)
    )
    return there, back


def back_translate(texts: Sequence[str], section: BackTranslationSection, dice: Sequence[random.Random]) -> list[str]:
    """Each text with ``section.strength`` of its sentences translated there and back, greedily.

    ``dice``, one for each text, choose the sentences. Raises :class:`InputError` as :func:`model_folders` does, and
    where a folder holds no sequence-to-sequence model.
    """
    split = [split_sentences(text) for text in texts]
    chosen = [share_of(range(len(own)), section.strength, rng) for own, rng in zip(split, dice, strict=True)]
    sentences = sorted({own[at] for own, positions in zip(split, chosen, strict=True) for at in positions})
    folder_there, folder_back = model_folders(section)
    foreign = _translate(sentences, section.there, folder_there)
    translated = dict(zip(sentences, _translate(foreign, section.back, folder_back), strict=True))
    for own, positions in zip(split, chosen, strict=True):
        for at in positions:
            own[at] = translated[own[at]] or own[at]
    return [" ".join(own) for own in split]


@torch.inference_mode()
def _translate(sentences: Sequence[str], translator: TranslatorSection, folder: Path) -> list[str]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True, trust_remote_code=False).eval()
    except (ImportError, OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0]
        raise InputError(f"{translator.model}: not a sequence-to-sequence model that can be loaded: {cause}") from error
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    # Sentences of like lengths together: padding costs as much as text.
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    translations = [""] * len(sentences)
    for start in tqdm(range(0, len(order), BATCH), desc=f"translating with {translator.model}", unit=" batches"):
        batch = order[start : start + BATCH]
        inputs = tokenizer(
            [translator.prefix + sentences[i] for i in batch], return_tensors="pt", padding=True, truncation=True
        ).to(model.device)
        generated = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            num_beams=1,
        )
        for i, text in zip(batch, tokenizer.batch_decode(generated, skip_special_tokens=True), strict=True):
            translations[i] = text.strip()
    return translations
