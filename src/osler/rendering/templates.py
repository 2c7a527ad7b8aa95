"""Render pages from Jinja templates: a missing value is an error, and values are escaped, in HTML and in Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from markupsafe import Markup, escape

from osler.rendering.markdown import Markdown, escaped
from osler.storage import checkout


def render_template(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Render ``template``, a path inside the package. The same arguments give the same bytes.

    In a ``.md.jinja`` every value is :func:`~osler.rendering.escaped`, also what was joined of Markdown; the filter
    ``markdown`` says that a text, such as what a macro gives, is Markdown.
    """
    of_markdown = template.endswith(".md.jinja")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(checkout.PACKAGE),
        autoescape=template.endswith(".html.jinja"),
        finalize=escaped if of_markdown else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": Markdown, **(filters or {})}
    return environment.get_template(template).render(**values)


def interval_apart(number: str) -> Markup:
    """``0.308 [0.216, 0.417]`` with the interval as an element of its own, to be put below the number."""
    return Markup(re.sub(r"\[[^][]*]", r'<span class="interval">\g<0></span>', str(escape(number))))


NOT_STATED = Markdown("*Not stated yet.*")
