"""Scorers of answers that are known beforehand: a panel of labels, or the options of a question.

All answers of a case are scored exactly, where the model allows it in one forward pass over the prompt and the trie of
the answers (:mod:`osler.scoring.passes`). Free text is in :mod:`osler.scoring.generation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from osler.errors import InputError
from osler.models import Images
from osler.scoring.alike import ALIKE, common_beginning, tree_size
from osler.scoring.answer import Answer
from osler.scoring.label_trie import ROOT, LabelTrie, Layout
from osler.scoring.passes import Seen, Way, score
from osler.scoring.proof import WAYS, prove
from osler.tasks import Case, Prompt, completions


class LabelScorer:
    """The scorers ``label_trie`` (``normalised``) and ``label_likelihood``: every label of the task's panel.

    With ``label_trie`` a softmax is taken over the children at each branching node of the label trie, and the labels'
    probabilities sum to one. With ``label_likelihood`` the model's own probabilities of writing exactly that label, EOS
    included, under its full vocabulary are divided by their sum: given that the answer is one of the panel.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        labels: Mapping[str, str],
        normalised: bool,
        ways: Sequence[Way] = WAYS,
        images: Images | None = None,
    ) -> None:
        self._model, self._tokenizer, self._prompt, self._images = model, tokenizer, prompt, images
        self._way = prove(model, ways, images)
        self.trie = LabelTrie(completions(tokenizer, labels))
        self._layout = Layout(self.trie, normalised)

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.answer.Scorer`."""
        written = self._images.written(case.image) if self._images and case.image else None
        return self._prompt.encode(self._tokenizer, case.text, image=written)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.answer.Scorer`."""
        return self._layout.behind

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.answer.Scorer`."""
        seen = Seen(self._images, [case.image for case in cases if case.image]) if self._images else None
        scores = score(self._model, prompts, [self._layout] * len(prompts), self._way, seen)
        return [ranking(self._layout.labels, logp) for logp in scores]

    def answer_alike(self, prompts: Sequence[Sequence[int]]) -> list[Answer]:
        """The answers to prompts that are alike, such as one with parts of its text left out: what they begin with in
        common is read once, where the model can share a pass and all labels after all prompts fit into one."""
        distinct = list(dict.fromkeys(map(tuple, prompts)))
        if self._way != "shared" or len(distinct) * len(self._layout.node_tokens) > ALIKE:
            return self.answer(prompts, [])
        begun = common_beginning(distinct)
        sequences = {
            f"{number} {label}": [*prompt[begun:], *tokens]
            for number, prompt in enumerate(distinct)
            for label, tokens in self.trie.sequences.items()
        }
        try:
            layout = Layout(LabelTrie(sequences), self._layout.normalised, piece=ALIKE)
        except InputError:  # a prompt goes on as another with a label does
            return self.answer(prompts, [])
        (logp,) = score(self._model, [distinct[0][:begun]], [layout], "shared")
        # What a prompt itself adds is the same for all labels, and goes with the softmax over them.
        of_each = logp.view(len(distinct), -1)
        place = {prompt: number for number, prompt in enumerate(distinct)}
        return [ranking(self._layout.labels, of_each[place[tuple(prompt)]]) for prompt in prompts]

    def tokens_run(self, prompts: Sequence[Sequence[int]]) -> int:
        """How many tokens :meth:`answer_alike` runs."""
        labels = len(prompts) * len(self._layout.node_tokens)
        shared = self._way == "shared" and labels <= ALIKE
        return labels + (tree_size(prompts) if shared else sum(map(len, prompts)))

    def log_p(self, embedded: torch.Tensor, label: str) -> torch.Tensor:
        """(batch,) the log-probability of ``label`` after prompts of one length, given as what the embedding layer
        makes of them, (batch, tokens, width); gradients flow.

        With ``label_likelihood`` it is that of writing the label, which is not divided by the panel's sum.
        """
        answer = self.trie.sequences[label]
        ids = torch.tensor([answer[:-1]], dtype=torch.long, device=embedded.device)
        written = self._model.get_input_embeddings()(ids).expand(len(embedded), -1, -1)
        inputs = torch.cat([embedded, written.to(embedded.dtype)], dim=1)
        logits = self._model(inputs_embeds=inputs, use_cache=False).logits[:, embedded.shape[1] - 1 :].float()
        total = embedded.new_zeros(len(embedded), dtype=torch.float32)
        for place, (token, parent) in enumerate(zip(answer, [ROOT, *self.trie.paths[label]], strict=False)):
            among = list(self.trie.children[parent]) if self._layout.normalised else slice(None)
            total = total + logits[:, place, token] - logits[:, place, among].logsumexp(-1)
        return total


class ChoiceScorer:
    """The scorers ``multiple_choice`` (by the options' letters) and ``multiple_choice_text`` (by their texts).

    Letters are scored by their own tokens against each other, texts by the joint log-likelihood of the whole text, EOS
    included and not divided by its length, then normalised over the options.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        letters: bool,
        ways: Sequence[Way] = WAYS,
    ) -> None:
        self._model, self._tokenizer, self._prompt, self._letters = model, tokenizer, prompt, letters
        self._way = prove(model, ways)
        self._layout = cache(self._new_layout)  # questions often have the same letters

    def encode(self, case: Case) -> list[int]:
        """See :class:`osler.scoring.answer.Scorer`."""
        return self._prompt.encode(self._tokenizer, case.text, case.options)

    def behind(self, case: Case) -> int:
        """See :class:`osler.scoring.answer.Scorer`."""
        return self._layout(self._texts(case)).behind

    def answer(self, prompts: Sequence[Sequence[int]], cases: Sequence[Case]) -> list[Answer]:
        """See :class:`osler.scoring.answer.Scorer`."""
        layouts = [self._layout(self._texts(case)) for case in cases]
        scores = score(self._model, prompts, layouts, self._way)
        answers = []
        for case, layout, logp in zip(cases, layouts, scores, strict=True):
            places = [layout.labels.index(text) for text in self._texts(case)]
            answers.append(ranking(list(case.options or {}), logp[places]))
        return answers

    def _texts(self, case: Case) -> tuple[str, ...]:
        options = case.options or {}
        return tuple(options if self._letters else options.values())

    def _new_layout(self, texts: tuple[str, ...]) -> Layout:
        distinct = {text: text for text in texts}  # two options may read the same
        return Layout(LabelTrie(completions(self._tokenizer, distinct)), normalised=self._letters)


def ranking(labels: Sequence[str], logp: torch.Tensor) -> Answer:
    """The answer of log-probabilities ``logp``, (labels,); its probabilities sum to one."""
    order = logp.argsort(descending=True, stable=True)
    probabilities = logp[order].double().softmax(-1)
    # Eight significant digits, not decimals: a small probability is not 0, and what differs does not tie.
    return Answer(tuple(labels[i] for i in order.tolist()), tuple(float(f"{p:.8g}") for p in probabilities.tolist()))


def batches(prompts: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Indices into ``prompts`` in batches of similar length, the same on every process."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    return [order[start : start + size] for start in range(0, len(order), size)]
