"""Both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgres import postgres

NUMBERS = count()


@pytest.fixture(scope="session")
def new_database() -> Iterator[Callable[[], str]]:
    """Makes an empty database of a real PostgreSQL server, and gives its address."""
    with postgres() as address:
        engine = sa.create_engine(
            address.format("postgres").replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT"
        )

        def make() -> str:
            name = f"store_{next(NUMBERS)}"
            with engine.connect() as connection:
                connection.execute(sa.text(f"CREATE DATABASE {name}"))
            return address.format(name)

        yield make
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that is not made yet, in each database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/answers.db"
    made: str = request.getfixturevalue("new_database")()
    return made
