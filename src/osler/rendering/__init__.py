"""Render numbers as tables and plots, and pages from templates."""

from osler.rendering.markdown import Markdown, bold, code, escaped, fenced, markdown_table
from osler.rendering.schema_table import schema_table
from osler.rendering.settings_table import settings_table
from osler.rendering.tables import aligned, cell, difference, p_value, shorten, signed, signed_cell
from osler.rendering.templates import NOT_STATED, interval_apart, render_template

__all__ = [
    "NOT_STATED",
    "Markdown",
    "aligned",
    "bold",
    "cell",
    "code",
    "difference",
    "escaped",
    "fenced",
    "interval_apart",
    "markdown_table",
    "order_curves",
    "p_value",
    "plots",
    "render_template",
    "schema_table",
    "settings_table",
    "shorten",
    "signed",
    "signed_cell",
    "timelines",
]
