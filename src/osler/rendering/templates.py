"""How a page is made of its template: what is missing is an error, and what is filled into HTML is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from osler.storage import checkout


def render_template(template: str, filters: Mapping[str, Callable[[Any], Any]] | None = None, **values: Any) -> str:
    """The page of ``template``, its path inside the package; the same arguments give the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(checkout.PACKAGE),
        autoescape=template.endswith(".html.jinja"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


NOBODY = "*Nobody has said yet.*"
