"""Published benchmarks: multiple choice questions and free-text diagnoses, for evaluation only, every case checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.recipe import BenchmarkSource, DataSection, QuestionSource, SplitFile
from osler.storage import hub_file, sha256_text
from osler.tasks.case import Case, Cases
from osler.tasks.source import TextSource
from osler.tasks.sources.benchmark_formats import FORMATS, Question, Record, read_records


class Benchmark(TextSource):
    """The published test cases of a benchmark, from the Hub at a pinned revision or from a local copy."""

    def __init__(
        self, section: BenchmarkSource | QuestionSource, letters: Sequence[str], data_folder: Path | None
    ) -> None:
        self._source, self._files = section, section.files
        self.labels = {letter: letter for letter in letters}
        folder = data_folder / self._source.local if data_folder else None
        self._folder = folder if folder and folder.is_dir() else None
        self._read = cache(self._read_file)

    def training(self, data: DataSection | None, seed: int) -> Cases:
        """Raises :class:`InputError`, always: what was trained on is no benchmark any more."""
        raise InputError(f"{self._source.local}: a benchmark, for evaluation only; train on another task")

    def split(self, name: str) -> list[Case]:
        """The cases of a split, sorted by id, each once; empty where the Hub has none and this machine neither.

        Raises :class:`InputError` naming file and record of a case that is wrong, and where the cases are not the ones
        the task was described with.
        """
        return self._read(name).rows

    def provenance(self, data: DataSection | None) -> dict[str, Any]:
        """The dataset, its revision, the local folder read instead, if one was, and what each split holds and lost."""
        splits = {name: self._read(name) for name in self._files}
        return {
            "dataset": self._source.dataset,
            "revision": self._source.revision,
            "local": str(self._folder) if self._folder else None,
            "splits": {
                name: {"cases": len(read.rows), "dropped": read.dropped, "sha256": fingerprint(read.rows)}
                for name, read in splits.items()
            },
        }

    def _read_file(self, name: str) -> Cases:
        file = self._files[name]
        path = self._path(file)
        if path is None:
            return Cases([])
        dropped: Counter[str] = Counter()
        records = self._select_records(path, file.only, dropped)
        rows = []
        for question in FORMATS[self._source.format](records):
            if reason := self._unusable(question):
                dropped[reason] += 1
            else:
                rows.append(self._case(question))
        rows.sort(key=lambda row: row.case_id)
        once: dict[str, Case] = {}
        for row in rows:
            options = row.options or {}
            # The order of the options does not make another question of it.
            asked = [row.text, sorted(options.values()), options.get(row.label, row.label)]
            once.setdefault(json.dumps(asked), row)
        dropped["stands in the split already"] = len(rows) - len(once)
        kept = []
        for row in once.values():
            if row.options and len({text.lower() for text in row.options.values()}) < len(row.options):
                dropped["two options are the same"] += 1  # no letter alone is right, or there is less to choose from
            else:
                kept.append(row)
        if file.sha256 and (actual := fingerprint(kept)) != file.sha256:
            raise InputError(
                f"{path}: {len(kept)} cases with the fingerprint {actual[:12]}, not those the task was described with"
                f" ({file.sha256[:12]}); get the file that the task's README names"
            )
        return Cases(kept, dict(dropped))

    def _path(self, file: SplitFile) -> Path | None:
        if self._folder:
            if (self._folder / file.local).is_file():
                return self._folder / file.local
            if file.hub:
                raise InputError(
                    f"{self._folder / file.local}: no such file; the local copy of {self._source.dataset} needs it"
                )
        elif file.hub and self._source.hub:
            return hub_file(*self._source.hub, file.hub, f"{self._source.local}/{file.local}")
        return None

    def _select_records(self, path: Path, only: str | None, dropped: Counter[str]) -> Iterator[Record]:
        """The records of the split and of the task's subjects, the others counted."""
        subjects = self._source.subjects
        wanted = {r.name for r in read_records(self._folder / only)} if self._folder and only else None
        for record in read_records(path):
            if subjects is not None and record.column("subject", str) not in subjects:
                dropped["another subject"] += 1
            elif wanted is not None and record.name not in wanted:
                dropped["another split"] += 1
            else:
                yield record
                if wanted is not None:
                    wanted.remove(record.name)
        if wanted:
            raise InputError(f"{path}: has no record {min(wanted)}, which {only} says is a case of the split")

    def _unusable(self, question: Question) -> str | None:
        """Why a question is left out, and not refused."""
        return None

    def _case(self, question: Question) -> Case:
        return Case(
            case_id=question.case_id,
            text=question.text,
            label=question.label,
            subgroups=question.subgroups,
            group=None,
            source=self._source.dataset or self._source.local,
            options=self._options(question) if self.labels else None,
        )

    def _options(self, question: Question) -> dict[str, str]:
        """Letter to text, checked."""
        letters = [letter for letter, _ in question.options]
        if len(letters) < 2 or letters != list(self.labels)[: len(letters)]:
            question.record.refuse(
                f"the options are {', '.join(letters) or 'none'}; expected {', '.join(self.labels)} in this order,"
                " the last ones may be missing"
            )
        if question.label not in letters:
            question.record.refuse(f"the answer {question.label!r} is not among the options {', '.join(letters)}")
        options = {letter: " ".join(text.split()) for letter, text in question.options}
        for letter, text in options.items():
            if not text:
                question.record.refuse(f"the option {letter} is blank")
        return options


def fingerprint(rows: Sequence[Case]) -> str:
    """Hash of what is asked and what is right, in order; spacing, subgroups and the file it came from do not count."""
    asked = [[r.case_id, r.text.split(), [*(r.options or {}).items()], r.label] for r in rows]
    return sha256_text(json.dumps(asked, ensure_ascii=False))
