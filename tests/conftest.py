"""The tiny base model that the tests train, load and publish instead of a real one. No test uses the network."""

from __future__ import annotations

import gc
import os

# Before torch is imported: two test workers with two OpenMP threads each wait for one another at every small operation.
os.environ["OMP_NUM_THREADS"] = "1"
# Before huggingface_hub is imported, which reads it once: a test that asks the Hub by mistake fails here and now.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from project import ROOT

from osler.errors import InputError
from osler.recipe.sections import BaseSection
from osler.recipe.strict_yaml import read_yaml

if TYPE_CHECKING:
    from osler.tasks.task import Task  # imports transformers

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SENTENCES = [
    "A 72-year-old woman presents with crushing chest pain that radiates to the left arm, sweating and nausea.",
    "A 4-year-old boy has progressive muscle weakness, calf enlargement and a waddling gait.",
    "The patient reports a burning feeling when passing water and pain in the lower back. No fever.",
    "A newborn girl with low muscle tone, feeding difficulties and a small jaw; hearing is normal.",
    "Blurred vision, thirst and weight loss over three weeks; the blood sugar is 21 mmol/l.",
    "Short stature, a heart murmur and widely spaced eyes were noted. Seizures were not observed.",
    "The most likely diagnosis is Duchenne muscular dystrophy.",
    "The most likely diagnosis is Noonan syndrome.",
    "The most likely diagnosis is a urinary tract infection.",
    "The most likely diagnosis is type 1 diabetes mellitus.",
    "system user assistant: list the findings and name one diagnosis from the panel.",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests first, so that at the end no worker waits for one of them."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What the imports made stays: each trainer collects garbage, and need not look at 700,000 objects for it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def rare_disease() -> Task:
    """The shipped task with its panel ``small``, of HPO's files alone; skipped where they cannot be had."""
    from osler.storage import wheels
    from osler.tasks.task import load_task

    folder = ROOT / "tasks" / "rare_disease"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OSLER_DATA_DIR", raising=False)
        try:
            wheels.fetch_many([read_yaml(folder / "task.yaml")["source"][key] for key in ("ontology", "annotations")])
        except InputError as error:
            pytest.skip(f"HPO's files are not here and cannot be fetched: {error}")
        return load_task(folder, "small")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseSection:
    """A random two-layer Llama with a small ChatML tokenizer, in a local folder; the same weights in every session."""
    return save_tiny_base(tmp_path_factory.mktemp("tiny-base"))


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished, evaluated, merged run in it, runs/tiny-made-up/1.0.0; copy it to change anything."""
    from finished import make_run

    folder: Path = tmp_path_factory.mktemp("finished")
    make_run(folder)
    return folder


@pytest.fixture(scope="session")
def evaluated_run(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseSection) -> Path:
    """A run directory of the tiny model, trained and evaluated with a split to calibrate on; leave it as it is."""
    from served import evaluated

    return evaluated(tmp_path_factory.mktemp("served"), tiny_base)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> BaseSection:
    """A random two-layer BERT with a small WordPiece tokenizer and no chat template, in a local folder."""
    return save_tiny_encoder(tmp_path_factory.mktemp("tiny-encoder"))


def save_tiny_encoder(folder: Path) -> BaseSection:
    """Write the tiny encoder into ``folder``."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.Lowercase()
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789")
    pieces.train_from_iterator(
        SENTENCES,
        trainers.WordPieceTrainer(
            vocab_size=400, special_tokens=list(special.values()), initial_alphabet=alphabet, show_progress=False
        ),
    )
    pieces.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=128, **special)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=128,
                initializer_range=0.1,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseSection(model=str(folder))


def save_tiny_base(folder: Path) -> BaseSection:
    """Write the tiny base model into ``folder``."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=512,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.chat_template = CHAT_TEMPLATE

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=1024,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                tie_word_embeddings=True,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseSection(model=str(folder), attn_implementation="eager")
