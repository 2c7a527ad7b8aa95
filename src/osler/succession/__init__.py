"""A model's successor: trained on what experts corrected, and refused where it is worse in anything."""

from osler.succession.additions import divide
from osler.succession.decision import Check, Decision, Plan, Rules
from osler.succession.gate import Answered, Contest, judge

__all__ = [
    "Answered",
    "Check",
    "Contest",
    "Decision",
    "Plan",
    "Rules",
    "deciding",
    "divide",
    "in_use",
    "judge",
    "planning",
    "shadow",
]
