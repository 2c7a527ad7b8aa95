"""A file that does not hold what it has to: one line with file, key, value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from osler.errors import InputError
from osler.storage.contracts import Contract, FileContract, read_model, validated


class Simulated(Contract):
    kind: Literal["simulated"]
    ontology: str


class Dataset(Contract):
    kind: Literal["dataset"]
    dataset: str  # also the name of the kind
    share: float = 0.0


class Inner(Contract):
    name: str


class Whole(FileContract):
    source: Annotated[Simulated | Dataset, Field(discriminator="kind")]
    labels: tuple[str, ...] = ()
    length: int | Literal["auto"] | None = None
    many: Mapping[str, Inner] = {}
    inner: Inner | None = None


SIMULATED = {"kind": "simulated", "ontology": "hp.obo"}
DATASET = {"kind": "dataset", "dataset": "a/b"}


def test_what_fits_is_read_as_it_is_and_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    path.write_text(json.dumps({"schema": 1, "source": DATASET, "labels": ["a"], "many": {"x": {"name": "y"}}}))
    whole = read_model(path, Whole)
    assert isinstance(whole.source, Dataset)
    assert (whole.source.dataset, whole.labels, whole.many["x"].name) == ("a/b", ("a",), "y")
    with pytest.raises(ValueError, match="frozen"):
        whole.length = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sourse": 1}, "sourse: unknown key; did you mean source?"),
        ({"zzz": 1}, "zzz: unknown key; valid keys: schema, source, labels, length, many, inner"),
        ({"schema": 2, "zzz": 1}, "schema: 2 is not allowed; expected 1"),
        ({"schema": None}, "schema: null is not allowed; expected 1"),
        ({"schema": True}, "schema: true is not allowed; expected 1"),
        ({"source": {**SIMULATED, "ontologie": 1}}, "source.ontologie: unknown key; did you mean source.ontology?"),
        ({"source": {**DATASET, "ontology": "x"}}, "source.ontology: unknown key; valid keys: kind, dataset, share"),
        ({"source": {**DATASET, "dataset": 3}}, "source.dataset: 3 is not allowed; expected text"),
        ({"source": {"kind": "dataset"}}, "source.dataset: missing"),
        ({"source": {"ontology": "x"}}, "source.kind: missing"),
        (
            {"source": {"kind": "datasets"}},
            'source.kind: "datasets" is not allowed; expected one of simulated, dataset; did you mean dataset?',
        ),
        ({"source": 3}, "source: 3 is not allowed; expected a mapping"),
        ({"source": {**DATASET, "share": True}}, "source.share: true is not allowed; expected a number"),
        ({"labels": ["a", 3]}, "labels.1: 3 is not allowed; expected text"),
        ({"labels": "a"}, 'labels: "a" is not allowed; expected a list'),
        ({"length": "aut"}, 'length: "aut" is not allowed; expected an integer or auto; did you mean auto?'),
        ({"many": {"x": {"nam": "y"}}}, "many.x.nam: unknown key; did you mean many.x.name?"),
        ({"inner": {"name": "a", "nme": "y"}}, "inner.nme: unknown key; did you mean inner.name?"),
    ],
)
def test_what_does_not_fit_is_one_line(change: dict[str, object], line: str) -> None:
    with pytest.raises(InputError) as error:
        validated(Whole, {"schema": 1, "source": DATASET, **change}, "task.yaml")
    assert str(error.value) == f"task.yaml: {line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[1]", r"[1] is not allowed; expected a mapping"),
        ("{", "not JSON"),
        ("", "not JSON"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_such_thing_at_all(text: str | None, line: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as error:
        read_model(path, Whole)
    assert str(error.value).startswith(f"{path}: {line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"schema": 2, "schema": 1}', "the key 'schema' is there twice"),
        ('{"schema": 1, "many": {"x": {"name": "a", "name": "b"}}}', "the key 'name' is there twice"),
        ('{"schema": 1, "length": NaN}', "not JSON: NaN is no number of JSON"),
    ],
)
def test_what_readers_understand_in_different_ways_is_refused(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "whole.json").write_text(text)
    with pytest.raises(InputError) as error:
        read_model(tmp_path / "whole.json", Whole)
    assert str(error.value) == f"{tmp_path / 'whole.json'}: {line}"
