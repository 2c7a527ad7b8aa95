"""What Alembic runs to bring a store up to date: in the transaction of whoever opens it."""

from alembic import context

from osler.feedback.schema import TABLES, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite's, too, where the transaction is begun as the store does
)
with context.begin_transaction():
    context.run_migrations()
