"""Changed copies of training rows, for a model to learn from what its own rows do not show.

================  ===========================================  =====================================================
name              of a patient, a list of findings             of a text, a list of sentences
================  ===========================================  =====================================================
synonyms          findings told in another training wording    HPO's findings in it, told in another training wording
dropout           findings left out, one stays                 sentences left out, one stays
ancestors         findings told as a more general term         (nothing says what its findings are)
negations         unrelated findings told as absent            sentences denying what other diagnoses' texts mention
templates         sentences built in another way               phrases exchanged for others that say the same
typos             keys beside the right one, swapped, missed   the same
back_translation  sentences into another language and back     the same
================  ===========================================  =====================================================

The strength is the share of findings, sentences, phrases or words that is changed, of those that can be, and one at
least. Each copy is of one row and by one augmentation, those that are on in turn, so that it can say where it is from:
its case id is ``<row>#<name>-<number of the copy>``, its source ``<source>+<name>``. Copies are made once, not once a
pass, so that baselines learn from the very same rows, and only of training rows.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from osler.errors import InputError
from osler.hpo import PHENOTYPIC_ABNORMALITY, Ontology
from osler.lexicon import Lexicon
from osler.narrative import MAX_ABSENT, TEMPLATES
from osler.patient import Patient
from osler.perturbation import Perturbation, share_of, split_sentences

if TYPE_CHECKING:
    from osler.recipe import Recipe
    from osler.task import Row, Task

# What robustness is tested with, and training may learn from.
PERTURBATIONS = {"synonyms": "paraphrased", "dropout": "dropped", "typos": "typos"}


@dataclass(frozen=True)
class Augmentation:
    """What is done to a copy of a training row, and how much of it."""

    name: str
    strength: float
    seed: int

    def dice(self, copy_id: str) -> random.Random:
        """Of one copy: the same whatever other copies there are."""
        return random.Random(f"augmentation/{self.name}/{self.seed}/{copy_id}")

    @property
    def perturbation(self) -> Perturbation:
        """The perturbation that does it. Raises KeyError where there is none."""
        return Perturbation(PERTURBATIONS[self.name], self.strength, self.seed)


# ── patients ─────────────────────────────────────────────────────────────────────────────────────────────────────────

FURTHER_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "presentation": (
        "{} is seen because of {}.",
        "{} was referred with {}.",
        "{} shows {}.",
        "{} was found to have {}.",
    ),
    "onset": ("It began {}.", "The first symptoms appeared {}.", "This was first noticed {}."),
    "absent": ("There are no signs of {}.", "Negative for {}.", "Not found: {}.", "The patient does not have {}."),
}


def generalised(patient: Patient, ontology: Ontology, strength: float, dice: random.Random) -> Patient:
    """The patient with ``strength`` of the present findings replaced by one of their parents in the ontology."""
    above = {i: [p for p in ontology.terms[i].parents if p != PHENOTYPIC_ABNORMALITY] for i in patient.present}
    can = [i for i in patient.present if above[i]]
    general = {i: dice.choice(above[i]) for i in share_of(can, strength, dice)}
    return replace(patient, present=tuple(dict.fromkeys(general.get(i, i) for i in patient.present)))


def denying(patient: Patient, irrelevant: Iterable[str], strength: float) -> Patient:
    """The patient with the first of ``irrelevant`` absent, ``strength`` times as many as findings are present, as far
    as a description names so many."""
    number = min(max(1, round(strength * len(patient.present))), MAX_ABSENT - len(patient.absent))
    return replace(patient, absent=(*patient.absent, *islice(irrelevant, max(0, number))))


def templates(strength: float, dice: random.Random) -> Mapping[str, Sequence[str]]:
    """Templates for :func:`osler.narrative.sentences`, other ones for ``strength`` of the kinds of sentences."""
    # The presentation comes first: it is the only sentence that every description has.
    kinds = ["presentation", *dice.sample(["onset", "absent"], 2)][: max(1, round(strength * len(TEMPLATES)))]
    return {**TEMPLATES, **{kind: FURTHER_TEMPLATES[kind] for kind in kinds}}


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

DENIALS = ("There is no {}.", "No {}.", "There has been no {}.")
FRAMES = ("It is like this: {}", "What there is to say: {}", "To describe it: {}")
_SAME = (  # each is exchanged for the next in its line, the last for the first
    ("I am", "I'm"),
    ("I have been", "I've been"),
    ("it is", "it's"),
    ("cannot", "can't"),
    ("do not", "don't"),
    ("does not", "doesn't"),
    ("is not", "isn't"),
    ("have not", "haven't"),
    ("a lot of", "much"),
    ("sometimes", "at times", "now and then"),
    ("recently", "lately", "of late"),
    ("really", "very", "quite"),
    ("often", "frequently", "many times"),
    ("I feel", "I am feeling"),
    ("I think", "it seems to me that"),
    ("started", "began"),
    ("hard", "difficult"),
    ("all the time", "constantly", "without end"),
    ("because of", "due to"),
    ("because", "since"),
    ("all over", "everywhere on"),
)
_INSTEAD = {phrase.lower(): line[(n + 1) % len(line)] for line in _SAME for n, phrase in enumerate(line)}
_PHRASE = re.compile(
    rf"(?<![\w'])(?:{'|'.join(sorted(map(re.escape, _INSTEAD), key=len, reverse=True))})(?![\w'])", re.I
)


class Texts:
    """Tells training texts again, changed. ``lexicon`` reads what finds findings in them, where something needs to."""

    def __init__(self, rows: Sequence[Row], labels: Mapping[str, str], lexicon: Callable[[], Lexicon]) -> None:
        self._rows, self._labels, self._read = rows, labels, lexicon

    def __call__(self, row: Row, augmentation: Augmentation, copy_id: str) -> str:
        """The text of ``row`` for the copy ``copy_id``; as it was where nothing can be changed."""
        text, label, strength = row["text"], self._labels[row["label"]], augmentation.strength
        dice = augmentation.dice(copy_id)
        if augmentation.name in ("dropout", "typos"):
            return augmentation.perturbation.text(copy_id, text, label)
        if augmentation.name == "synonyms":
            return self._reworded(text, label, strength, dice)
        if augmentation.name == "negations":
            return self._denying(text, row["label"], strength, dice)
        return rephrased(text, strength, dice)

    @cached_property
    def _lexicon(self) -> Lexicon:
        return self._read()

    def _reworded(self, text: str, label: str, strength: float, dice: random.Random) -> str:
        others = {m: self._lexicon.others(m.hpo_id, text[m.start : m.end], label) for m in self._lexicon.mentions(text)}
        chosen = share_of([mention for mention in others if others[mention]], strength, dice)
        for mention in sorted(chosen, key=lambda mention: mention.start, reverse=True):
            text = text[: mention.start] + dice.choice(others[mention]) + text[mention.end :]
        return text

    def _denying(self, text: str, label: str, strength: float, dice: random.Random) -> str:
        sentences = split_sentences(text)
        wordings = [self._lexicon.others(hpo_id, "", self._labels[label]) for hpo_id in self._deniable[label]]
        wordings = [wording for wording in wordings if wording]
        number = min(len(wordings), max(1, round(strength * len(sentences))))
        for names in dice.sample(wordings, number):
            denial = dice.choice(DENIALS).format(dice.choice(names))
            sentences.insert(dice.randint(0, len(sentences)), denial)
        return " ".join(sentences)

    @cached_property
    def _deniable(self) -> dict[str, list[str]]:
        """Label → the findings that training texts of other labels mention, unrelated to those its own texts do."""
        mentioned: defaultdict[str, set[str]] = defaultdict(set)
        for row in self._rows:
            mentioned[row["label"]].update(mention.hpo_id for mention in self._lexicon.mentions(row["text"]))
        ancestors = self._lexicon.ontology.ancestors
        every = set().union(*mentioned.values())
        deniable = {}
        for label, own in mentioned.items():
            implied = {above for hpo_id in own for above in ancestors(hpo_id)}
            deniable[label] = sorted(i for i in every - implied if own.isdisjoint(ancestors(i)))
        return deniable


def rephrased(text: str, strength: float, dice: random.Random) -> str:
    """``strength`` of the sentences with a phrase exchanged for one that says the same; framed where none is known."""
    sentences = split_sentences(text)
    for position in share_of(range(len(sentences)), strength, dice):
        sentence = sentences[position]
        found = list(_PHRASE.finditer(sentence))
        if found:
            phrase = dice.choice(found)
            other = _INSTEAD[phrase[0].lower()]
            other = other[0].upper() + other[1:] if phrase[0][0].isupper() else other
            sentences[position] = sentence[: phrase.start()] + other + sentence[phrase.end() :]
        else:
            sentences[position] = dice.choice(FRAMES).format(sentence)
    return " ".join(sentences)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Training:
    """The training rows of a task, what was left out of them, and what ``data_report.json`` says of their copies."""

    rows: list[Row]
    dropped: dict[str, int]
    augmentation: dict[str, Any] | None


def training(recipe: Recipe, task: Task) -> Training:
    """The training rows of the recipe's own ``task``, with their augmented copies where it has ``augment:``.

    The same recipe gives the same rows in the same order. Copies that would put a held-out text, a wording training may
    not use or a text that is there already into training are not made, and are counted.
    """
    learnt = task.source.training(recipe.data, recipe.seed)
    if recipe.augment is None:
        return Training(learnt.rows, learnt.dropped, None)
    copies, report = _copies(learnt.rows, recipe, task)
    rows = [*learnt.rows, *copies]
    random.Random(f"augmented/{recipe.seed}").shuffle(rows)
    return Training(rows, learnt.dropped, report)


def _copies(rows: Sequence[Row], recipe: Recipe, task: Task) -> tuple[list[Row], dict[str, Any]]:
    from osler.contamination import normalise  # imports scipy, which whoever only loads a task needs not wait for

    assert recipe.augment is not None
    skipped = _missing_models(recipe)
    strengths = {name: share for name, share in recipe.augment.strengths.items() if name not in skipped}
    there = {normalise(row["text"]): "text stands in training already" for row in rows}
    for split in task.splits:
        there |= {normalise(row["text"]): "text is in a held-out split" for row in task.source.split(split)}
    waiting = [
        (row, number, _turns(row, number, list(strengths), recipe.seed))
        for row in rows
        for number in range(1, recipe.augment.copies + 1)
    ]
    told = task.source.augmenter(recipe.data, recipe.seed)
    made: list[tuple[str, Row]] = []
    refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for turn in range(len(strengths)):
        still = []
        for name, wanted in _by_name(waiting, turn):
            copy_ids = [f"{row['case_id']}#{name}-{number}" for row, number, _ in wanted]
            originals = [row for row, _, _ in wanted]
            augmentation = Augmentation(name, strengths[name], recipe.seed)
            if name == "back_translation":
                texts = _back_translated(originals, copy_ids, augmentation, recipe)
            else:
                texts = [told(row, augmentation, copy_id) for row, copy_id in zip(originals, copy_ids, strict=True)]
            for item, copy_id, text in zip(wanted, copy_ids, texts, strict=True):
                row, words = item[0], normalise(text)
                reason = there.get(words)
                if text.split() == row["text"].split():
                    reason = "nothing to change"
                elif task.source.held_out_wordings(text) - task.source.held_out_wordings(row["text"]):
                    reason = "holds a wording that is held out"
                if reason:
                    refused[name][reason] += 1
                    still.append(item)
                    continue
                there[words] = "text stands in training already"
                copy = row.copy()
                copy["case_id"], copy["text"], copy["source"] = copy_id, text, f"{row['source']}+{name}"
                made.append((name, copy))
        waiting = still
    return [copy for _, copy in made], {
        "copies": recipe.augment.copies,
        "strengths": recipe.augment.strengths,
        "rows": {name: sum(name == other for other, _ in made) for name in strengths},
        "refused": {name: dict(reasons) for name, reasons in sorted(refused.items())},
        "not_made": len(waiting),
        "skipped": skipped,
    }


def _turns(row: Row, number: int, names: Sequence[str], seed: int) -> list[str]:
    """By which augmentation a copy is made and, where that one cannot, by which then; each copy begins with another."""
    order = random.Random(f"augmentation/{seed}/{row['case_id']}").sample(names, len(names))
    first = (number - 1) % len(order) if order else 0
    return order[first:] + order[:first]


def _by_name(waiting: Sequence[tuple[Row, int, list[str]]], turn: int) -> list[tuple[str, list[Any]]]:
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for item in waiting:
        groups[item[2][turn]].append(item)
    return sorted(groups.items())


def _back_translated(
    rows: Sequence[Row], copy_ids: Sequence[str], augmentation: Augmentation, recipe: Recipe
) -> list[str]:
    from osler import translation  # imports torch

    assert recipe.augment is not None
    assert recipe.augment.back_translation is not None
    dice = [augmentation.dice(copy_id) for copy_id in copy_ids]
    return translation.back_translated([row["text"] for row in rows], recipe.augment.back_translation, dice)


def _missing_models(recipe: Recipe) -> dict[str, str]:
    """Of the augmentations that need a model, those whose model cannot be had, and why."""
    assert recipe.augment is not None
    if recipe.augment.back_translation is None:
        return {}
    from osler import translation

    try:
        translation.folders(recipe.augment.back_translation)
    except InputError as error:
        print(f"augment.back_translation: skipped: {error}")
        return {"back_translation": str(error)}
    return {}
