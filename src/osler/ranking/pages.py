"""A differential for readers: lines for a terminal, and a page that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import osler
from osler.errors import InputError
from osler.ranking.diagnosis import Candidate, Differential, Matched
from osler.rendering import render_template
from osler.storage import check_folder
from osler.terminology import mid_sentence_case

SHARES = (
    "A percentage beside a finding estimates how many of the disease's patients have it. It is 41% where HPO gives no"
    " number, and rests on few patients where a disease has few."
)


def check_page(path: Path, option: str = "--html") -> None:
    """Raise :class:`~osler.errors.InputError` where no page can be written at ``path``."""
    check_folder(path.parent)
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; name a file, such as page.html")


def render_lines(differential: Differential) -> str:
    """For a terminal."""
    return "\n".join(_lines(differential))


def _lines(differential: Differential) -> Iterator[str]:
    yield f"present: {', '.join(f'{term.name} ({term.id})' for term in differential.present)}"
    if differential.absent:
        yield f"absent:  {', '.join(f'{term.name} ({term.id})' for term in differential.absent)}"
    for number, candidate in enumerate(differential.candidates, 1):
        yield ""
        yield f"{number:2}. {candidate.probability:6.1%}  {candidate.name} ({candidate.disease})"
        yield from (f"            {kind}: {', '.join(parts)}" for kind, parts in told(candidate) if parts)
    yield ""
    first = f"the {differential.compared} that come first"
    yield f"    {differential.none_of_these:6.1%}  none of {first} among {differential.diseases:,} diseases"
    yield ""
    yield SHARES
    yield f"HPO's annotations of {differential.annotations}. This is no clinical evidence."


def told(candidate: Candidate) -> Sequence[tuple[str, list[str]]]:
    """The evidence, each kind in words; :data:`SHARES` says what a percentage is."""
    general = candidate.matched_more_generally
    return (
        ("matched", [f"{match.finding.name} {match.share:.0%}" for match in candidate.matched]),
        ("more general", [f"{match.finding.name} as {match.term.name} {match.share:.0%}" for match in general]),
        ("unexplained", [term.name for term in candidate.unexplained]),
        ("expected, absent", list(map(_missed, candidate.expected_but_absent))),
        ("contradicted", [term.name for term in candidate.contradicted]),
    )


def _missed(match: Matched) -> str:
    own = "" if match.finding.id == match.term.id else f" (no {mid_sentence_case(match.finding.name)})"
    return f"{match.term.name} {match.share:.0%}{own}"


def render_page(differential: Differential) -> str:
    """An HTML page. It holds the findings of the patient, and nothing else of the note they were found in."""
    return render_template(
        "ranking/differential.html.jinja",
        version=osler.__version__,
        differential=differential,
        told=told,
        shares=SHARES,
    )
