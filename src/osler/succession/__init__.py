"""A model's successor: trained on what experts corrected, and refused where it is worse in anything."""

from osler.succession.deciding import decide, render, sign
from osler.succession.decision import Check, Decision, Plan, Rules
from osler.succession.gate import Answered, Contest, judge
from osler.succession.in_use import put_in_use, roll_back
from osler.succession.planning import plan_successor, read_plan, recipe_path

__all__ = [
    "Answered",
    "Check",
    "Contest",
    "Decision",
    "Plan",
    "Rules",
    "decide",
    "judge",
    "plan_successor",
    "put_in_use",
    "read_plan",
    "recipe_path",
    "render",
    "roll_back",
    "sign",
]
