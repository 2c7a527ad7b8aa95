"""Where the cases of a task with images come from: ``source: {kind: image_text}``."""

from __future__ import annotations

from typing import Literal

from osler.recipe.source_sections import Around, Columns, Shares, SourceSection
from osler.recipe.task_texts import RelativePath, Sha256
from osler.storage import sha256_of_data

TABLES = (".csv", ".jsonl", ".parquet")  # of images and texts


class ImageColumns(Columns):
    """The columns a case with an image is read from.

    ``image`` holds a path from the table's folder or, in Parquet, the file's bytes; ``group``, where there is one, what
    rows have in common that are not independent: a patient. Only which rows belong together is kept of it.
    """

    image: str
    group: str | None = None


class ImageTextSource(SourceSection):
    """A user's own images, each with a text, out of a ``table`` below OSLER_DATA_DIR, and split by group.

    ``sha256`` is the table's; null: whichever is here.
    """

    trains_on = "texts"
    own_data = True
    has_images = True
    no_rows_reason = "its rows are images; which of them are left out, a run's data_report.json says"

    kind: Literal["image_text"]
    table: RelativePath
    sha256: Sha256 | None = None
    columns: ImageColumns
    shares: Shares

    def pin(self, split: str) -> str:
        """The hash of the table that is here."""
        return f"sha256:{self.sha256 or self.release_sha256()}"

    def release_sha256(self) -> str | None:
        """The sha256 of ``table`` where the task has none."""
        return sha256_of_data(self.table) if self.sha256 is None else None

    def check(self, task: Around) -> None:
        """There are labels, and no splits but those held out by ``shares``."""
        super().check(task)
        self.shares.check()
        if not self.table.endswith(TABLES):
            raise ValueError(f"source.table: {self.table} is not allowed; expected a file in {' '.join(TABLES)}")
        for split in task.splits:
            if split not in ("validation", "test"):
                raise ValueError(f"splits.{split}: unknown split; expected one of validation, test")
        if task.panels:
            raise ValueError("panels: not with this source, which has one set of labels")
        if task.scorer is not None:
            raise ValueError(f"scorer: {task.scorer} is not for cases with images; leave it out")
