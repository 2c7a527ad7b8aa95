"""From a recipe to a finished run, with TRL's trainer."""

from osler.training.training import show_plan, train

__all__ = [
    "show_plan",
    "train",
]
