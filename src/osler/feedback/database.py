"""The database of a store, SQLite in a file or PostgreSQL: how it is reached, made and brought up to date."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import osler
from osler.errors import FailedError, InputError, one_line

if missing := [name for name in ("sqlalchemy", "alembic") if importlib.util.find_spec(name) is None]:
    raise InputError(f"{', '.join(missing)}: not installed, and a store needs it; pip install 'osler[feedback]'")

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from osler.feedback.schema import VERSION_TABLE, about

BUSY = 30.0  # seconds that a writer waits for another one
FORMS = "a file's path, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
MIGRATING = 0x0512E5  # the lock of PostgreSQL that one process at a time holds


class Database:
    """An open database; ``place`` is how errors name it."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine, self.place = engine, place

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees the store as it is at its first statement. Raises as :meth:`writing`."""
        with self._told(), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are kept, all or none.

        Raises:
            FailedError: the database does not do it: its disk is full, its server is gone.
        """
        with self._told(), self._engine.execution_options(writing=True).begin() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            # PostgreSQL quotes from its second line on what was being kept.
            said = one_line(str(error.orig).strip().partition("\n")[0]) or type(error.orig).__name__
            raise FailedError(f"{self.place}: {said}") from None

    def compact(self) -> None:
        """Give back the room of what was deleted; of a SQLite file, and the log beside it, its bytes are gone.

        Raises as :meth:`writing`, where another process does not let go of it.
        """
        with self._told(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self._engine.dialect.name == "postgresql":
                connection.exec_driver_sql("VACUUM")
                return
            file = connection.connection.driver_connection
            assert isinstance(file, sqlite3.Connection)
            try:
                connection.rollback()  # SQLAlchemy has begun a transaction, and a file is not rewritten in one
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    file.execute(statement).close()
            except sqlite3.Error as error:
                raise FailedError(f"{self.place}: {error}; end what uses it, and run this again") from None

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def open_database(url: str, create: bool) -> Database:
    """The database at ``url``, up to date; arguments and errors as of :func:`osler.feedback.store.open_store`."""
    database = _reached(url, create)
    try:
        _bring_up_to_date(database, create)
    except FailedError as error:
        raise InputError(f"{error}; expected {FORMS}") from None
    return database


def _reached(url: str, create: bool) -> Database:
    if "://" not in url:
        return _sqlite(url, create)
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(f"store: not a database's address; expected {FORMS}") from None
    place, kind = parsed.render_as_string(hide_password=True), parsed.get_backend_name()
    if kind == "sqlite":
        return _sqlite(parsed.database or "", create)
    if kind != "postgresql":
        raise InputError(f"{place}: expected {FORMS}")
    if importlib.util.find_spec("psycopg") is None:
        raise InputError(f"{place}: psycopg is not installed; pip install 'osler[feedback]'")
    parsed = parsed.set(drivername="postgresql+psycopg")
    # hide_parameters: errors of SQLAlchemy would quote what was being kept.
    return Database(sa.create_engine(parsed, hide_parameters=True, pool_pre_ping=True), place)


def _sqlite(file: str, create: bool) -> Database:
    path = Path(file)
    if file in ("", ":memory:"):
        raise InputError(f"store: no file is named; expected {FORMS}")
    if not path.is_file():
        if not create or path.exists():
            raise InputError(f"{path}: no store is there; scripts/serve.py RUN --store {path} makes one")
        if not path.absolute().parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}; make it, or name another place")
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # for its owner alone, as are SQLite's files beside it
    url = sa.URL.create("sqlite+pysqlite", database=str(path))
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY})

    @sa.event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin below; Python begins them before writes alone
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        # A transaction that reads first and then writes could not wait for another one's end.
        writes = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Database(engine, str(path))


def _bring_up_to_date(database: Database, create: bool) -> None:
    config = Config()
    config.set_main_option("script_location", "osler.feedback:migrations")
    config.set_main_option("path_separator", "os")
    versions = ScriptDirectory.from_config(config)
    newest = versions.get_current_head()
    with database.reading() as connection:
        if _version(connection) == newest:
            return
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATING)))
        there = _version(connection)
        if there == newest:  # another process was faster
            return
        if there is None and sa.inspect(connection).get_table_names():
            raise InputError(f"{database.place}: a database of something else; name one of the store's own")
        if there is None and not create:
            raise InputError(f"{database.place}: is empty; scripts/serve.py RUN --store {database.place} makes a store")
        if there is not None and there not in {one.revision for one in versions.walk_revisions()}:
            maker = connection.scalar(sa.select(about.c.value).where(about.c.name == "osler"))
            raise InputError(
                f"{database.place}: its schema {there} is osler {maker}'s, and this is osler {osler.__version__} with"
                f" {newest}; pip install --upgrade osler"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(sa.delete(about).where(about.c.name == "osler"))
        values = {"osler": osler.__version__}
        if there is None:
            values |= {"store": uuid.uuid4().hex, "secret": secrets.token_hex(32)}
        connection.execute(sa.insert(about), [{"name": name, "value": value} for name, value in values.items()])
    if there is not None:
        print(f"{database.place}: brought from schema {there} to {newest}", file=sys.stderr)


def _version(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
