"""Render pages from Jinja templates: a missing value is an error, and values in HTML are escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from osler.storage import checkout


def render_template(template: str, filters: Mapping[str, Callable[[Any], Any]] | None = None, **values: Any) -> str:
    """Render ``template``, a path inside the package. The same arguments give the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(checkout.PACKAGE),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


NOT_STATED = "*Not stated yet.*"
