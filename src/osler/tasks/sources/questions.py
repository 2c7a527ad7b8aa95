"""Multiple-choice questions to learn from: a published benchmark's files, one of them to train on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import DataSection, QuestionSource
from osler.storage import stable_unit
from osler.tasks.case import Case, Cases
from osler.tasks.source import Source
from osler.tasks.sources.benchmark import Benchmark
from osler.tasks.sources.benchmark_formats import Question
from osler.tasks.sources.dataset import text_key


class Questions(Benchmark):
    """``source: {kind: questions, …}`` of a task.

    Args:
        section: the section ``source``.
        letters: the task's labels.
        data_folder: where local copies are; None where there are none.
        benchmark: gives the source of a task beside this one, by name.
    """

    def __init__(
        self,
        section: QuestionSource,
        letters: Sequence[str],
        data_folder: Path | None,
        benchmark: Callable[[str], tuple[Source, Sequence[str]]],
    ) -> None:
        super().__init__(section, letters, data_folder)
        self._share, self._apart_from, self._benchmark = section.validation_share, section.apart_from, benchmark

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """The questions of ``train`` that are not of ``validation``; copies of held-out ones are still among them
        (:meth:`kept_apart`)."""
        read = self._read("train")
        return Cases([case for case in read.rows if not self._is_validation(case)], dict(read.dropped))

    def split(self, name: str) -> list[Case]:
        """See :class:`Benchmark`."""
        if name == "validation" and self._share:
            return [case for case in self._read("train").rows if self._is_validation(case)]
        return super().split(name)

    @cached_property
    def kept_apart(self) -> dict[str, list[Case]]:
        """Where they are from → cases that training may hold no near copy of: this task's held-out ones, and those of
        the benchmarks in ``apart_from``.

        Raises :class:`InputError` where the data of one of them is not on this machine: nobody could say what of it is
        learnt.
        """
        return self._published | ({"validation": self.split("validation")} if self._share else {})

    @cached_property
    def _published(self) -> dict[str, list[Case]]:
        """Of :meth:`kept_apart`, those that were held out by others."""
        held_out = {name: self.split(name) for name in self._files if name != "train"}
        for task in self._apart_from:
            source, splits = self._benchmark(task)
            held_out |= {f"{task}, {split}": source.split(split) for split in splits}
        for name, cases in held_out.items():
            if not cases:
                text = "its data is not on this machine, and training is kept apart from it; its task's README.md says"
                raise InputError(f"{name}: {text} where it is from")
        return held_out

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """As of a benchmark, and how many cases training was kept apart from."""
        apart = {name: len(cases) for name, cases in self.kept_apart.items()}
        return {**super().provenance(data), "kept_apart": apart}

    @cached_property
    def _published_texts(self) -> set[str]:
        return {text_key(case.text) for cases in self._published.values() for case in cases}

    def _is_validation(self, case: Case) -> bool:
        """Nothing is chosen on a question that is tested on: such a one is left to be dropped from training."""
        key = text_key(case.text)
        return stable_unit(key) < self._share and key not in self._published_texts

    def _unusable(self, question: Question) -> str | None:
        """A large file of others is not refused for what a few of its rows lack."""
        options = dict(question.options)
        if not all(text.strip() for text in options.values()):
            return "an option is blank"
        return None if question.label in options else "no right option"
