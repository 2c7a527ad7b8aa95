"""A store as a file, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept import LABELS, MODEL, prediction, verdict

import osler
from osler.errors import InputError
from osler.feedback.rows import read_rows, write_rows
from osler.feedback.store import Store, open_store


@pytest.fixture
def store(url: str) -> Store:
    store = open_store(url, create=True)
    assert [store.add_model(MODEL) for _ in range(2)] == [True, False]
    store.add_predictions([prediction(n, patient_hmac=store.patient_hmac(f"patient {n}")) for n in range(3)])
    for rater in ("ada", "bo"):
        store.add_verdict(verdict(1, rater))
    return store


def test_a_file_has_where_each_row_comes_from_and_makes_the_same_store(store: Store, tmp_path: Path) -> None:
    assert write_rows(store, tmp_path / "rows.jsonl") == (3, 2)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
    assert rows.pop(0)["model"]["labels"] == LABELS
    assert {(row["osler"], row["store"]) for row in rows} == {(osler.__version__, store.id)}
    assert [len(row.get("verdicts", ())) for row in rows] == [0, 2, 0]
    assert rows[1]["prediction"]["weights_sha256"] == "b" * 64
    copy = open_store(str(tmp_path / "copy.db"), create=True)
    assert [read_rows(copy, tmp_path / "rows.jsonl") for _ in range(2)] == [(3, 2), (0, 0)]
    assert list(copy.every()) == list(store.every())
    assert copy.models() == store.models() == [MODEL]
    with pytest.raises(InputError, match="is there already"):
        write_rows(copy, tmp_path / "rows.jsonl")
    copy.close()
    store.close()


def test_a_broken_line_or_one_that_differs_keeps_nothing_of_the_file(store: Store, tmp_path: Path) -> None:
    write_rows(store, tmp_path / "rows.jsonl")
    _, *lines = (json.loads(line) for line in (tmp_path / "rows.jsonl").open())
    lines[0]["prediction"]["id"] = "new"

    def refused(*changed: object) -> str:
        (tmp_path / "wrong.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
        with pytest.raises(InputError) as told:
            read_rows(store, tmp_path / "wrong.jsonl")
        assert "\n" not in str(told.value)
        return str(told.value)

    assert "wrong.jsonl:2: 3 is not allowed" in refused(lines[0], 3)
    assert "wrong.jsonl:1: prediction.tokens" in refused(
        {**lines[0], "prediction": {**lines[0]["prediction"], "tokens": -1}}
    )
    other = {**lines[1], "verdicts": [{**lines[1]["verdicts"][0], "right": False}]}
    assert 'prediction case-1: "ada" has judged it already' in refused(lines[0], other)
    stray = {**lines[2], "verdicts": [{**lines[1]["verdicts"][0], "prediction": "case-77"}]}
    assert "prediction case-77: not in" in refused(lines[0], stray)
    assert len(list(store.predictions())) == 3
    with pytest.raises(InputError, match="nowhere: cannot be read"):
        read_rows(store, tmp_path / "nowhere")
    store.close()
