"""The form of a review."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Verdicts may have one."""
    op.add_column("verdicts", sa.Column("quest", sa.JSON))
