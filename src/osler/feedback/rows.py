"""A store as a file of JSON lines, and such a file into a store: a line a model, and a line a prediction with all that
was said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import model_validator

import osler
from osler.errors import InputError
from osler.feedback.records import StoredModel, StoredPrediction, Verdict
from osler.feedback.store import Store
from osler.storage import FileContract, check_folder, parsed, plain, write_atomically


class Row(FileContract):
    """A line: a model, or a prediction with its verdicts.

    Attributes:
        osler: the version that wrote it.
        store: the store that it is of. Hashes of texts compare within one store alone.
        verdicts: the first given first.
    """

    osler: str
    store: str
    model: StoredModel | None = None
    prediction: StoredPrediction | None = None
    verdicts: tuple[Verdict, ...] = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> Row:
        if (self.model is None) == (self.prediction is None):
            raise ValueError("a row has a model or a prediction")
        return self


def write_rows(store: Store, path: Path) -> tuple[int, int]:
    """Write all that is in a store at this moment, whole or not at all; how many predictions and verdicts.

    Raises:
        InputError: ``path`` is there.
    """
    if path.exists():
        raise InputError(f"{path}: is there already; name another file")
    check_folder(path.parent)
    origin: dict[str, Any] = {"schema": 1, "osler": osler.__version__, "store": store.id}
    rows = [Row(**origin, model=model) for model in store.models()]
    of_models = len(rows)
    rows += [Row(**origin, prediction=prediction, verdicts=of) for prediction, of in store.every()]
    write_atomically(path, "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows))
    return len(rows) - of_models, sum(len(row.verdicts) for row in rows)


def read_rows(store: Store, path: Path) -> tuple[int, int]:
    """Keep what a file of :func:`write_rows` has and the store has not; how many predictions and verdicts that were.

    Raises:
        InputError: a line is no such row, or differs from what the store has; nothing of the file is kept then.
    """
    judged = []
    models = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = parsed(Row, line, f"{path}:{number}")
                if row.prediction is not None:
                    judged.append((row.prediction, row.verdicts))
                elif row.model is not None:
                    models.append(row.model)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason})") from None
    added = store.add_judged(judged)
    for model in models:
        store.add_model(model)
    return added
