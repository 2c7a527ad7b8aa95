"""From a text and a model to :class:`Explanation`: what carried the answer, who is like this, what would change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from osler.explanation import ablation, counterfactual
from osler.explanation.ablation import Ablation
from osler.explanation.contracts import ABOUT, Explanation, ForAndAgainst, SimilarPatient, WordWeight
from osler.explanation.gradients import integrated_gradients
from osler.explanation.knowledge import Knowledge
from osler.explanation.subject import Subject
from osler.statistics import Floats

MOST = 24  # stretches of a text that are left out, where nobody waits
QUICK = 6  # where somebody does: with them an answer takes at most three times as long (docs/decisions/explanation.md)


@dataclass(frozen=True)
class Explainer:
    """Explains the answers of one model."""

    subject: Subject
    known: Knowledge

    def plan(self, text: str, most: int = QUICK) -> Ablation:
        """The texts that have to be asked with ``text``, in the same passes: its :attr:`Ablation.texts`."""
        return ablation.plan(text, self.known.recogniser, most)

    def read(self, planned: Ablation, whole: Floats, left_out: Floats) -> Explanation:
        """The explanation that needs no pass of the model besides those of ``planned``.

        Args:
            whole, left_out: (labels,) and (units, labels) log-probabilities (:meth:`Subject.log_p`) of the text, and
                without each unit.
        """
        labels, order = list(self.subject.labels), np.argsort(-whole, kind="stable")[:2]
        first_two = [labels[place] for place in order]
        of_units = ablation.weights(whole, left_out, int(order[0]))
        found = self.known.read(planned.text)
        patients: tuple[SimilarPatient, ...] = ()
        against: tuple[ForAndAgainst, ...] = ()
        notes = [planned.note, *self.known.missing]
        if found is None and self.known.ontology is not None:
            notes.append("findings: the text names none that HPO knows as present, so there is nothing to compare with")
        if found is not None:
            told = [self.known.for_and_against(found, label, self.subject.labels[label]) for label in first_two]
            against = tuple(one for one in told if one is not None)
            corpora = [corpus for corpus in (self.known.trained, self.known.published) if corpus is not None]
            patients = tuple(one for corpus in corpora for one in corpus.nearest(found))
        return Explanation(
            about=ABOUT,
            label=first_two[0],
            log_p=round(float(whole.max()), 6),
            runner_up=first_two[1] if len(first_two) > 1 else None,
            units=ablation.told(planned, of_units, self.known.ontology),
            gradients=None,
            ontology=against,
            patients=patients,
            counterfactuals=counterfactual.of_left_out(self.subject, planned.units, whole, left_out),
            notes=tuple(note for note in notes if note),
        )

    def explain(self, text: str, most: int = MOST, gradients: bool = False) -> Explanation:
        """All there is to say of the answer to ``text``, in as many passes as that takes.

        Raises :class:`osler.errors.InputError` where the text is too long, the model gives no probabilities, or
        ``gradients`` are asked for that cannot be taken.
        """
        planned = self.plan(text, most)
        scored = self.subject.ask([text, *planned.texts])
        whole, left_out = scored[0], scored[1:]
        told = self.read(planned, whole, left_out)
        changes = counterfactual.search(self.subject, self.known, text, planned.units, whole, left_out)
        tokens: tuple[WordWeight, ...] | None = None
        if gradients:
            tokens = integrated_gradients(self.subject, text, told.label).tokens
        return told.model_copy(
            update={
                "counterfactuals": changes,
                "gradients": tokens,
                "notes": (*told.notes, counterfactual.TRIED),
            }
        )
