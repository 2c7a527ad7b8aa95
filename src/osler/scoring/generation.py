"""The scorer of free-text answers: the model writes one text, or several that vote, and the normaliser reads them."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from osler.scoring.answer import Answer
from osler.scoring.differential import read_answer
from osler.scoring.normaliser import Normaliser
from osler.tasks import Case, Prompt
from osler.terminology import Terminology

MAX_NEW_TOKENS = 128  # room for a differential of ten
SAMPLES = 8
TEMPERATURE = 0.7  # as in the paper below


class Generator:
    """The scorers ``generate`` (greedy, ``samples`` 1) and ``generate_sampled`` (self-consistency over more).

    Where the task has labels, answers are matched with all of them; where each case has a reference answer of its own,
    with that one. Sampled answers are ranked by how many samples put them first, then by their mean
    reciprocal rank; a probability is the share of them among the samples that could be read (Wang et al. 2023,
    Self-Consistency Improves Chain of Thought Reasoning). A case is parsed if one sample is.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        labels: Mapping[str, str],
        terminology: Terminology,
        samples: int = 1,
    ) -> None:
        self._model, self._tokenizer, self._prompt, self._samples = model, tokenizer, prompt, samples
        self._terminology = terminology
        self._normaliser = Normaliser(labels, terminology) if labels else None

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.answer.Scorer`."""
        return self._prompt.encode(self._tokenizer, case.text, case.options)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.answer.Scorer`."""
        return MAX_NEW_TOKENS

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.answer.Scorer`."""
        answers = []
        for case, texts in zip(cases, self.write(prompts), strict=True):
            normaliser = self._normaliser or Normaliser({case.label: case.label}, self._terminology)
            answers.append(read(texts, normaliser))
        return answers

    @torch.inference_mode()
    def write(self, prompts: Sequence[Sequence[int]]) -> list[list[str]]:
        """What the model writes after each prompt, up to its EOS: ``samples`` texts a prompt."""
        width = max(len(prompt) for prompt in prompts)
        padding = self._tokenizer.pad_token_id
        ids = torch.tensor([[padding] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        sampling = {"do_sample": True, "temperature": TEMPERATURE, "top_k": 0, "top_p": 1.0}
        asked = GenerationConfig(
            max_new_tokens=MAX_NEW_TOKENS,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=padding,
            num_return_sequences=self._samples,
            **(sampling if self._samples > 1 else {"do_sample": False}),
        )
        model: Any = self._model  # generate() is a mixin's method, whose type torch's Module hides
        of_base = model.generation_config
        # What is asked leaves open, generate() takes from here: the base's beams and penalties are not the scorer's.
        model.generation_config = GenerationConfig()
        try:
            with torch.random.fork_rng():
                torch.manual_seed(zlib.crc32(repr(prompts).encode()))  # what is drawn depends on the batch alone
                written = model.generate(
                    input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=asked
                )
        finally:
            model.generation_config = of_base
        texts = self._tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
        return [texts[start : start + self._samples] for start in range(0, len(texts), self._samples)]


def read(texts: Sequence[str], normaliser: Normaliser) -> Answer:
    """The answer to one case: the ranking in its text, or the vote of several texts."""
    rankings = [read_answer(text, normaliser).ranked for text in texts]
    if len(texts) == 1:
        return Answer(rankings[0], None, texts[0], bool(rankings[0]))
    firsts = Counter(ranking[0] for ranking in rankings if ranking)
    reciprocal: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, label in enumerate(ranking, 1):
            reciprocal[label] += 1 / rank
    ranked = tuple(sorted(reciprocal, key=lambda label: (-firsts[label], -reciprocal[label], label)))
    probabilities = tuple(firsts[label] / firsts.total() for label in ranked) if ranked else None
    return Answer(ranked, probabilities, "\n\n".join(texts), bool(ranked))
