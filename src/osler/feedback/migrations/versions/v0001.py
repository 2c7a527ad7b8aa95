"""Predictions and verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "about",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "models",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("model", "version", "weights_sha256")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("recipe_sha256", "task")),
        sa.Column("labels", sa.JSON, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("model", "version", "recipe_sha256", "weights_sha256", "task", "text_hmac")
        ),
        sa.Column("text", sa.Text),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("unknown_share", sa.Float),
        sa.Column("language", sa.Text),
        *(sa.Column(name, sa.JSON, nullable=False) for name in ("findings", "subgroups", "diagnoses")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("abstained", "calibrated", "shown")),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("confidence", "lot")),
    )
    for name in ("at", "confidence", "lot"):
        op.create_index(f"predictions_{name}", "predictions", [name, "number"])
    op.create_table(
        "verdicts",
        sa.Column("prediction", sa.String(64), sa.ForeignKey("predictions.id"), primary_key=True),
        sa.Column("rater", sa.String(300), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("right", sa.Boolean, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("codes", sa.JSON, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("blinded", sa.Boolean, nullable=False),
        sa.Column("own_label", sa.Text),
        sa.Column("adjudicated", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_index("verdicts_at", "verdicts", ["at"])
    op.create_index("verdicts_rater", "verdicts", ["rater", "prediction"])
    op.create_index(
        "verdicts_adjudicated",
        "verdicts",
        ["prediction"],
        unique=True,
        sqlite_where=sa.text("adjudicated"),
        postgresql_where=sa.text("adjudicated"),
    )
