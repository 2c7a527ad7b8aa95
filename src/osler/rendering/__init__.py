"""Render numbers as tables and plots, and pages from templates."""

from osler.rendering.tables import cell, difference, p_value
from osler.rendering.templates import NOT_STATED, render_template

__all__ = [
    "NOT_STATED",
    "cell",
    "difference",
    "p_value",
    "plots",
    "render_template",
    "tables",
]
