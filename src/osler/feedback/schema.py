"""The tables of a store, as the newest of ``migrations/`` leaves them, and rows as records."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)

from osler.feedback.records import StoredPrediction, Verdict
from osler.storage import stable_unit

R = TypeVar("R", bound=BaseModel)


class Utc(TypeDecorator[datetime]):
    """A time with its zone. SQLite keeps none, so what goes in and comes out is in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc))


VERSION_TABLE = "osler_version"  # Alembic's; of our own name, for Optuna and MLflow keep theirs under the usual one
TABLES = MetaData()

about = Table("about", TABLES, Column("name", String(32), primary_key=True), Column("value", Text, nullable=False))

models = Table(
    "models",
    TABLES,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("weights_sha256", Text, primary_key=True),
    Column("recipe_sha256", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("labels", JSON, nullable=False),
)

predictions = Table(
    "predictions",
    TABLES,
    # The order in which they were kept. SQLite counts INTEGER alone by itself.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("at", Utc, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("recipe_sha256", Text, nullable=False),
    Column("weights_sha256", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("text_hmac", Text, nullable=False),
    Column("patient_hmac", Text),
    Column("text", Text),
    Column("tokens", Integer, nullable=False),
    Column("unknown_share", Float),
    Column("language", Text),
    Column("findings", JSON, nullable=False),
    Column("subgroups", JSON, nullable=False),
    Column("diagnoses", JSON, nullable=False),
    Column("abstained", Boolean, nullable=False),
    Column("calibrated", Boolean, nullable=False),
    Column("shown", Boolean, nullable=False),
    # What the queues of reviewers are ordered by: the first diagnosis's probability, and a place that is drawn once.
    Column("confidence", Float, nullable=False),
    Column("lot", Float, nullable=False),
    # Whether its verdicts say different things, and none settles it. Kept with each verdict, for counting takes longer.
    Column("disputed", Boolean, nullable=False, server_default=false()),
    Index("predictions_at", "at", "number"),
    Index("predictions_confidence", "shown", "confidence", "number"),
    Index("predictions_lot", "shown", "lot", "number"),
)
Index(
    "predictions_disputed",
    predictions.c.number,
    sqlite_where=predictions.c.disputed,
    postgresql_where=predictions.c.disputed,
)

verdicts = Table(
    "verdicts",
    TABLES,
    Column("prediction", String(64), ForeignKey("predictions.id"), primary_key=True),
    Column("rater", String(300), primary_key=True),
    # The prediction's own, so that a queue steps over what a rater judged by comparing numbers and not texts.
    Column("number", BigInteger, nullable=False),
    Column("at", Utc, nullable=False),
    Column("right", Boolean, nullable=False),
    Column("label", Text),
    Column("codes", JSON, nullable=False),
    Column("comment", Text),
    Column("blinded", Boolean, nullable=False),
    Column("own_label", Text),
    Column("adjudicated", Boolean, nullable=False, server_default=false()),
    Column("quest", JSON(none_as_null=True)),
    Index("verdicts_at", "at"),
    Index("verdicts_rater", "rater", "number"),
)
Index(
    "verdicts_adjudicated",
    verdicts.c.prediction,
    unique=True,
    sqlite_where=verdicts.c.adjudicated,
    postgresql_where=verdicts.c.adjudicated,
)


def prediction_row(one: StoredPrediction) -> dict[str, Any]:
    """A prediction as its row."""
    confidence = one.diagnoses[0].probability if one.diagnoses else None
    return _plain(one) | {"confidence": confidence or 0.0, "lot": stable_unit(f"review/{one.id}")}


def verdict_row(one: Verdict) -> dict[str, Any]:
    """A verdict as its row."""
    return _plain(one)


def as_record(kind: type[R], row: RowMapping) -> R:
    """A row, or one that has more columns, as a record."""
    # Not strict: JSON's lists are a record's tuples.
    return kind.model_validate({name: row[name] for name in kind.model_fields}, strict=False)


def _plain(record: BaseModel) -> dict[str, Any]:
    row = record.model_dump(mode="json")
    for name in ("text", "comment"):
        if row.get(name):
            row[name] = row[name].replace("\0", "\N{REPLACEMENT CHARACTER}")  # PostgreSQL has no such character
    return row | {"at": record.at}  # type: ignore[attr-defined]
