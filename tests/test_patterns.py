"""No pattern and no function takes a second for 100 kB of the worst text for it, and no range in one is an accident."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from patterns import COMMON, LENGTH, Use, rows, sre, sre_parser, uses, worst

from osler.preparation.cleaning_steps import DEFAULT_STEPS, parse_steps
from osler.preparation.deidentification.protected_terms import ProtectedTerms
from osler.preparation.label_masking import LabelNames
from osler.scoring.differential import differential
from osler.tasks.perturbation import TEXT_PERTURBATIONS, Perturbation
from osler.terminology import canonical, normal_form

# Made when a program runs: of a label, a key or a number of a recipe, or of constants that are tested as such.
MADE_BY_A_RUN = 22
RANGES = {"09", "az", "AZ", "af", "AF", "ah", "19", "12", "29", "ÀÖ", "ØÞ", "ÀÞ", "\ud800\udfff", "\0\x1f", "Ạỹ"}
# Scripts without spaces, whole.
RANGES |= {"\u0e00\u0eff", "\u1000\u109f", "\u1780\u17ff", "\u3040\u30ff", "\u3400\u9fff", "\uac00\ud7af"}


@pytest.mark.slow
def test_no_pattern_takes_a_second_for_its_worst_text() -> None:
    slow = [row for row in rows() if row.seconds > 1]
    assert not slow, "\n".join(f"{row.place}: {row.seconds:.1f} s for {row.text}" for row in slow)


@pytest.mark.parametrize("pattern", [r"(?:a|a)*c", r"[a-z]+\d", r"<!--.*?-->"])
def test_a_slow_pattern_would_be_found(pattern: str) -> None:
    assert worst(Use("", re.compile(pattern), "search")).seconds > 1


def test_few_patterns_are_made_of_what_only_a_run_knows() -> None:
    assert len(uses()[1]) <= MADE_BY_A_RUN, "test what it is made of, and how long it can be"


def test_no_range_of_characters_is_an_accident() -> None:
    """[ -–] was meant as a space, a hyphen or a dash, and is nearly every character."""

    def ranges(node: Any) -> Iterator[str]:
        if isinstance(node, tuple) and node and node[0] is sre.RANGE:
            yield "".join(map(chr, node[1]))
        elif isinstance(node, (list, tuple, sre_parser.SubPattern)):
            for part in node:
                yield from ranges(part)

    for use in uses()[0]:
        for both in ranges(sre_parser.parse(use.pattern.pattern, use.pattern.flags & ~re.DEBUG)):
            assert both in RANGES or (both[0].isalnum() and both[1].isalnum() and ord(both[1]) - ord(both[0]) < 26), (
                use.place,
                both,
            )


WORST = (
    *COMMON, "<!--", "<script>", "</p", "&#", "(AB)", "type 1 ", "flu ", "gout ", "- x\n", "1. x\n", "[1,", '{"a":',
    '["{",', "a, ", "; ", "**", "is less likely ", "most likely ", "he ", "her ", "aged 1 ", "not ", "Dr. ", "\u00c3",
    "é", "e\u0301", "😀",
)  # fmt: skip
NAMES = LabelNames(["gout", "type 1 diabetes", "痛風"])
FUNCTIONS: dict[str, Callable[[str], object]] = {
    "normal form": normal_form,
    "canonical": canonical,
    "differential": differential,
    "terms": lambda text: [ProtectedTerms(["gout"]).spans(text), ProtectedTerms([]).eponyms(text)],
    **{
        f"step {name}": lambda text, step=step: step(text, "gout", NAMES)
        for name, step in parse_steps(list(DEFAULT_STEPS), "").items()
        if name not in ("encoding", "language")
    },
    **{
        f"perturbation {name}": lambda text, name=name: Perturbation(name, 1.0).text("c", text, "gout")
        for name in TEXT_PERTURBATIONS
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_takes_seconds_for_a_hundred_thousand_characters(function: str) -> None:
    for word in WORST:
        started = time.process_time()
        FUNCTIONS[function](word * (LENGTH // len(word)))
        assert time.process_time() - started < 2, word
