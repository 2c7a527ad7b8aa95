"""How a store of an older Osler becomes one of this: Alembic's environment and its versions."""
