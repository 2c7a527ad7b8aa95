"""Numbers as tables and plots, and pages made of templates."""

from osler.rendering.tables import aligned, cell, difference, markdown, p_value, shorten, signed
from osler.rendering.templates import NOBODY, render_template

__all__ = [
    "NOBODY",
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
