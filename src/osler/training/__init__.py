"""From a recipe to a finished run, with TRL's trainer; and what a run would need."""

from osler.training import device_check, planner
from osler.training.hardware import HARDWARE
from osler.training.training import show_plan, train

__all__ = [
    "HARDWARE",
    "device_check",
    "planner",
    "show_plan",
    "train",
]
