"""A store is found, made, brought up to date, or what is wrong with it is said in a line."""

from __future__ import annotations

import importlib.util
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from kept import prediction, verdict

import osler
from osler.errors import InputError
from osler.feedback import Quest
from osler.feedback.schema import TABLES, VERSION_TABLE
from osler.feedback.store import open_store


def refused(url: str, create: bool = False) -> str:
    """What is said of a store that cannot be opened."""
    with pytest.raises(InputError) as told:
        open_store(url, create)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_the_migrations_make_the_tables_that_the_code_reads(url: str) -> None:
    store = open_store(url, create=True)
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, TABLES) == []
    store.close()


def test_a_store_of_an_older_osler_is_brought_up_to_date_with_a_line(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(url, create=True)
    store.add_predictions([prediction(0)])
    store.add_verdict(verdict(0))
    with store.writing() as connection:  # as it was before reviews had a form, and answers a patient
        connection.execute(sa.text("ALTER TABLE verdicts DROP COLUMN quest"))
        connection.execute(sa.text("ALTER TABLE predictions DROP COLUMN patient_hmac"))
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    id = store.id
    store.close()
    store = open_store(url)
    assert capsys.readouterr().err == f"{store.place}: brought from schema 0001 to 0003\n"
    assert (list(store.every()), store.id) == ([(prediction(0), (verdict(0),))], id)
    store.add_verdict(verdict(0, "bo", quest=Quest(trust=1)))
    store.add_predictions([prediction(1, patient_hmac=store.patient_hmac("MRN-0042"))])
    store.close()
    assert [one.quest for one in open_store(url).verdicts()] == [None, Quest(trust=1)]
    assert capsys.readouterr().err == ""


def test_a_store_of_a_newer_osler_is_refused_and_names_it(url: str) -> None:
    store = open_store(url, create=True)
    with store.writing() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        connection.execute(sa.text("UPDATE about SET value = '7.1.0' WHERE name = 'osler'"))
    store.close()
    said = refused(url)
    assert f"its schema 9999 is osler 7.1.0's, and this is osler {osler.__version__}" in said


def test_none_is_made_where_one_is_expected(tmp_path: Path, new_database: Callable[[], str]) -> None:
    said = refused(str(tmp_path / "answers.db"))
    assert said.endswith(
        "answers.db: no store is there; scripts/serve.py RUN --store " + str(tmp_path / "answers.db") + " makes one"
    )
    assert not list(tmp_path.iterdir())
    assert "is empty; scripts/serve.py" in refused(new_database())
    assert "there is no folder" in refused(str(tmp_path / "nowhere" / "answers.db"), create=True)


def test_a_file_that_is_no_store_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("What was said of the patient. " * 100)
    before = (tmp_path / "notes.txt").read_bytes()
    assert "notes.txt: file is not a database; expected a file's path, sqlite:///" in refused(
        str(tmp_path / "notes.txt"), True
    )
    assert (tmp_path / "notes.txt").read_bytes() == before
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE trials (id)").connection.close()
    assert "a database of something else" in refused(str(tmp_path / "other.db"), create=True)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "mysql://localhost/answers",
            "mysql://localhost/answers: expected a file's path, sqlite:///FILE or",
        ),
        ("sqlite://", "store: no file is named"),
        ("postgresql://host:port/x", "store: not a database's address"),
        ("postgresql://ada:secret@127.0.0.1:1/x", "postgresql://ada:***@127.0.0.1:1/x: "),
    ],
)
def test_an_address_that_leads_nowhere(url: str, said: str) -> None:
    told = refused(url)
    assert told.startswith(said)
    assert "secret" not in told


def test_a_missing_driver_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name == "psycopg" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    assert "psycopg is not installed; pip install 'osler[feedback]'" in refused("postgresql://127.0.0.1/x")


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a b?.db"), create=True)
    store.add_predictions([prediction(0)])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes.keys() >= {"a b?.db", "a b?.db-wal"}
    assert set(modes.values()) == {0o600}
    store.close()
