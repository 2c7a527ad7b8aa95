"""Render numbers as tables and plots, and pages from templates."""

from osler.rendering.tables import aligned, cell, difference, markdown, p_value, shorten, signed
from osler.rendering.templates import NOT_STATED, render_template

__all__ = [
    "NOT_STATED",
    "aligned",
    "cell",
    "difference",
    "markdown",
    "p_value",
    "plots",
    "render_template",
    "shorten",
    "signed",
]
