"""Where a task's cases come from: what every source has to answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from osler.errors import InputError
from osler.patients import Patient
from osler.recipe import DataSection
from osler.storage import wheels
from osler.tasks import augmentation
from osler.tasks.augmentation import Augmentation
from osler.tasks.case import Case, Cases, changed
from osler.tasks.perturbation import TEXT_PERTURBATIONS, Perturbation
from osler.terminology import Annotations, Lexicon, Ontology, read_ontology


class Source(Protocol):
    """Where a task's cases come from."""

    perturbations: tuple[str, ...]  # names of what :meth:`perturbed` can do

    @property
    def labels(self) -> Mapping[str, str]:
        """Label id → the text a model answers with, in the panel's order; empty where answers are free text."""

    @property
    def genes(self) -> Mapping[str, Collection[str]]:
        """Label id → the genes that cause the disease; empty where the source knows none."""

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The training rows. Raises :class:`InputError` where the source is for evaluation only."""

    def split(self, name: str) -> list[Case]:
        """The held-out rows of one split; empty where its data is not on this machine."""

    def perturbed(self, split: str, perturbation: Perturbation) -> Cases:
        """The rows of a split, changed; the same case ids and labels, in the same order. Where nothing can be changed,
        the case is left out and counted. Raises :class:`InputError` for what is not in ``perturbations``."""

    def augmenter(self, data: DataSection | None, seed: int) -> Callable[[Case, Augmentation, str], str]:
        """What gives a training row's text for a copy of it, by the copy's case id; the text of the row where nothing
        can be changed. Every augmentation that needs no model is asked of it."""

    def held_out_wordings(self, text: str) -> set[str]:
        """The wordings in ``text`` that training may not use; empty where the source holds none back."""

    def patients(self, split: str) -> Mapping[str, Patient]:
        """Case id → the patient a text was made from, with the findings that it names; empty where texts are all."""

    def knowledge(self, data: DataSection | None) -> tuple[Ontology, Annotations]:
        """The ontology, and the annotations of diseases that training with ``data`` may learn from.

        Raises :class:`InputError` where the cases are texts and nothing more.
        """

    def publications(self, split: str) -> Mapping[str, Collection[str]]:
        """Case id → the publications a held-out case was taken from; empty where the source knows none."""

    def training_publications(self, data: DataSection | None) -> Collection[str]:
        """Every publication something in the training rows was taken from."""

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """What a reviewer needs to check that training with ``data`` and held-out cases have nothing in common."""


class TextSource(ABC):
    """A source whose cases are texts and nothing more: neither their findings nor where they are from is known."""

    perturbations = TEXT_PERTURBATIONS
    labels: Mapping[str, str]
    genes: Mapping[str, Collection[str]] = {}
    ontology: str | None = (
        None  # the file of HPO, as :mod:`osler.storage.wheels` reads it, that findings are found in texts with
    )

    @abstractmethod
    def training(self, data: DataSection | None, seed: int) -> Cases:
        """See :class:`Source`."""

    @abstractmethod
    def split(self, name: str) -> list[Case]:
        """See :class:`Source`."""

    def perturbed(self, split: str, perturbation: Perturbation) -> Cases:
        """The rows of ``split``, their sentences and words changed; options are left alone."""
        perturbation.check(self.perturbations)
        rows = self.split(split)
        answers = [self.labels.get(row.label, row.label) for row in rows]
        texts = [perturbation.text(r.case_id, r.text, answer) for r, answer in zip(rows, answers, strict=True)]
        return changed(rows, texts)

    def augmenter(self, data: DataSection | None, seed: int) -> Callable[[Case, Augmentation, str], str]:
        """What tells a training text again, its sentences, words or findings changed."""
        return augmentation.TextAugmenter(self.training(data, seed).rows, self.labels, self._lexicon)

    def _lexicon(self) -> Lexicon:
        assert self.ontology is not None, "a recipe that has to find findings in texts without one is refused"
        return Lexicon(read_ontology(wheels.fetch(self.ontology)))

    def held_out_wordings(self, text: str) -> set[str]:
        """None."""
        return set()

    def patients(self, split: str) -> Mapping[str, Patient]:
        """None."""
        return {}

    def knowledge(self, data: DataSection | None) -> tuple[Ontology, Annotations]:
        """Raises :class:`InputError`."""
        raise InputError("the cases of this task are texts; no ontology says what their findings are")

    def publications(self, split: str) -> Mapping[str, Collection[str]]:
        """None."""
        return {}

    def training_publications(self, data: DataSection | None) -> Collection[str]:
        """None."""
        return ()
