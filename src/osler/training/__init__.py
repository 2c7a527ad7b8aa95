"""From a recipe to a finished run, with TRL's trainer."""

__all__ = [
    "training",
]
