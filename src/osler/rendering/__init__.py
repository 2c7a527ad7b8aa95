"""Numbers as tables and plots, and pages made of templates."""

from osler.rendering.tables import cell, difference, p_value
from osler.rendering.templates import NOBODY, render_template

__all__ = [
    "NOBODY",
    "cell",
    "difference",
    "p_value",
    "plots",
    "render_template",
    "tables",
]
