"""Which answers are about one patient."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Predictions may say it; of those that are there it is not known."""
    op.add_column("predictions", sa.Column("patient_hmac", sa.Text))
