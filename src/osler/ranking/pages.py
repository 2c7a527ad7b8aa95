"""A differential for readers: lines for a terminal, and a page that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import osler
from osler.ranking.diagnosis import Candidate, Differential
from osler.ranking.fusion import CANDIDATES
from osler.rendering import render_template


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
    yield f"    {differential.none_of_these:6.1%}  none of these, nor of the {CANDIDATES} that were ranked"
    yield f"HPO's annotations of {differential.annotations}. This is no clinical evidence."


def told(candidate: Candidate) -> Sequence[tuple[str, list[str]]]:
    """The evidence, each kind in words; a percentage is the share of the disease's patients who have it."""
    general = candidate.matched_more_generally
    return (
        ("matched", [f"{match.finding.name} {match.share:.0%}" for match in candidate.matched]),
        ("more general", [f"{match.finding.name} as {match.term.name} {match.share:.0%}" for match in general]),
        ("unexplained", [term.name for term in candidate.unexplained]),
        ("expected, absent", [f"{match.term.name} {match.share:.0%}" for match in candidate.expected_but_absent]),
        ("contradicted", [term.name for term in candidate.contradicted]),
    )


def render_page(differential: Differential) -> str:
    """An HTML page. It holds the findings of the patient, and nothing else of the note they were found in."""
    return render_template(
        "ranking/differential.html.jinja", version=osler.__version__, differential=differential, told=told
    )
