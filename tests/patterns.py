"""Every regular expression of ``src``, and its worst second on text made from the pattern itself.

A pattern is parsed, and each part of it gives a word that the part matches. A text is such a word again and again, with
and without what the pattern wants before it, and with an end that it does not want. Short texts tell which is the
worst; that one is then as long as ``LENGTH``. ``python tests/patterns.py`` prints the slowest.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

try:
    from re import _constants as sre  # type: ignore[attr-defined]
    from re import _parser as sre_parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_constants as sre  # type: ignore[no-redef]
    import sre_parse as sre_parser  # type: ignore[no-redef]

import osler

LENGTH = 100_000  # characters
PROBES = ((300, 5), (3000, 2))  # lengths, and how many of the slowest texts go on to the next
LIMIT = 1.5  # seconds after which a pattern is given up
SRC = Path(osler.__file__).parent


class Row(NamedTuple):
    """A pattern's place, its worst text in words, and the seconds that it takes for LENGTH characters of it."""

    place: str
    text: str
    seconds: float


@dataclass(frozen=True)
class Use:
    """A pattern and how it is used: ``match`` and ``fullmatch`` begin at one place, everything else at each."""

    place: str
    pattern: re.Pattern[str]
    method: str


# ── the patterns ─────────────────────────────────────────────────────────────────────────────────────────────────────

ANCHORED = ("recipe/strict_yaml.py",)  # PyYAML and a loop use these patterns by `match` and `fullmatch` only
OURS = ("publishing/card.py:", "rendering/plots.py:")  # read what Osler or Matplotlib has written a moment before
_METHODS = ("search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn")


def modules() -> Iterator[ModuleType]:
    for module in pkgutil.walk_packages(osler.__path__, "osler."):
        path = SRC.parent / module.name.replace(".", "/")
        file = path.with_suffix(".py") if not module.ispkg else path / "__init__.py"
        if "\nimport re\n" in file.read_text(encoding="utf-8"):
            yield importlib.import_module(module.name)


def uses() -> tuple[list[Use], list[str]]:
    """All patterns, and the places of those that are made of something that only a run knows."""
    found: dict[tuple[str, int, str], Use] = {}
    unknown = []
    for module in modules():
        path = Path(str(module.__file__))
        place, tree = str(path.relative_to(SRC)), ast.parse(path.read_text(encoding="utf-8"))
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
        anchored = _anchored(calls)
        imported = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        for name, value in vars(module).items():
            for number, pattern in enumerate(_patterns(value)):
                if name not in imported:
                    where = f"{place}: {name}" + (f"[{number}]" if not isinstance(value, re.Pattern) else "")
                    method = "match" if name in anchored or place in ANCHORED else "search"
                    found.setdefault((pattern.pattern, pattern.flags, method), Use(where, pattern, method))
        for call in calls:
            if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "re"):
                continue
            if call.func.attr not in (*_METHODS, "compile"):
                continue
            where = f"{place}:{call.lineno}"
            try:
                pattern = _compiled(call, vars(module))
            except NameError:
                unknown.append(where)
                continue
            method = call.func.attr if call.func.attr in ("match", "fullmatch") else "search"
            if call.func.attr != "compile" or not any(key[:2] == (pattern.pattern, pattern.flags) for key in found):
                found.setdefault((pattern.pattern, pattern.flags, method), Use(where, pattern, method))
    return [use for use in found.values() if not use.place.startswith(OURS)], unknown


def _patterns(value: Any) -> Iterator[re.Pattern[str]]:
    """The patterns in ``value``: itself, or in a list, a mapping or an attribute."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _patterns(item)
    elif isinstance(value, dict):
        yield from _patterns(list(value.values()))
    elif isinstance(getattr(value, "pattern", None), re.Pattern):
        yield value.pattern


def _anchored(calls: Iterable[ast.Call]) -> set[str]:
    """Names of patterns that are only used by ``match`` and ``fullmatch``."""
    methods: dict[str, set[str]] = {}
    for call in calls:
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            methods.setdefault(call.func.value.id, set()).add(call.func.attr)
    return {name for name, used in methods.items() if used and used <= {"match", "fullmatch"}}


def _compiled(call: ast.Call, names: dict[str, Any]) -> re.Pattern[str]:
    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "pattern", "eval"), dict(names))

    flags = [keyword.value for keyword in call.keywords if keyword.arg == "flags"]
    place = {"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(call.func.attr, 2)  # type: ignore[attr-defined]
    flags += call.args[place : place + 1]
    return re.compile(value(call.args[0]), value(flags[0]) if flags else 0)


# ── their worst texts ────────────────────────────────────────────────────────────────────────────────────────────────

_CATEGORY = {
    sre.CATEGORY_DIGIT: "1",
    sre.CATEGORY_NOT_DIGIT: "a",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: "a",
    sre.CATEGORY_WORD: "a",
    sre.CATEGORY_NOT_WORD: ".",
}


def _member(node: Any) -> str:
    """Characters of a set, some of each of its parts; any that is none of them where it is negated."""
    negated = node[0][0] is sre.NEGATE
    parts = []
    for kind, value in node[negated:]:
        if kind is sre.LITERAL:
            parts.append(chr(value))
        elif kind is sre.RANGE:
            parts.append(chr(value[0]))
        elif kind is sre.CATEGORY:
            parts.append(_CATEGORY[value])
    if not negated:
        return "".join(dict.fromkeys(parts))
    pattern = re.compile("[" + "".join(map(re.escape, parts)) + "]", re.I)
    return "".join(c for c in 'aA1 .-"\n(<' if not pattern.match(c)) or "~"


def sample(nodes: Any, choice: int = 0, repeat: int = 1) -> str:
    """A text that matches, as far as looking around allows; ``choice`` takes another branch of alternatives."""
    text = ""
    for kind, value in nodes:
        if kind is sre.LITERAL:
            text += chr(value)
        elif kind is sre.NOT_LITERAL:
            text += "a" if value != ord("a") else "b"
        elif kind is sre.ANY:
            text += "a"
        elif kind is sre.IN:
            members = _member(value)
            text += members[choice % len(members)]
        elif kind is sre.BRANCH:
            text += sample(value[1][choice % len(value[1])], choice, repeat)
        elif kind is sre.SUBPATTERN:
            text += sample(value[3], choice, repeat)
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, inside = value
            text += sample(inside, choice, repeat) * max(int(low), min(int(high), repeat))
    return text


def pumps(nodes: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """What stands before a part of the pattern, and a word of it to be repeated."""
    for choice, repeat in ((0, 0), (0, 2), (1, 1)):
        yield before, sample(nodes, choice, repeat)
    for kind, value in nodes:
        inside: list[Any] = []
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            inside = [value[2]]
        elif kind is sre.SUBPATTERN:
            inside = [value[3]]
        elif kind is sre.BRANCH:
            inside = list(value[1])[:6]
        elif kind in (sre.ASSERT, sre.ASSERT_NOT):
            inside = [value[1]]
        elif kind is sre.IN:
            yield from ((before, character) for character in _member(value)[:4])
        elif kind is sre.LITERAL:
            yield before, chr(value)
        elif kind is sre.ANY:
            yield before, "a"
        for part in inside:
            yield from pumps(part, before)
        if kind not in (sre.ASSERT, sre.ASSERT_NOT, sre.AT):
            before += sample([(kind, value)])


COMMON = (
    "a",
    "A",
    "1",
    " ",
    "\n",
    "Ab ",
    "AB ",
    "ab ",
    "Ab-",
    "1 ",
    "1.",
    "a.",
    "(",
    "<",
    '"',
    "[",
    "- ",
    "A. ",
    "a1",
    "a-",
)


def texts(pattern: re.Pattern[str]) -> list[tuple[str, str, str]]:
    """(before, what is repeated, after) of texts that may take long."""
    tree = sre_parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    found = dict.fromkeys([*pumps(tree), *(("", common) for common in COMMON)])
    pairs = [(before, pump) for before, pump in found if pump and len(pump) < 60]
    pairs += [("", pump) for before, pump in found if before and pump]
    pairs += [("", before) for before, _ in found if before and len(before) < 60]
    return [(before, pump, "\x00") for before, pump in dict.fromkeys(pairs)]


def write(shape: tuple[str, str, str], length: int) -> str:
    before, pump, after = shape
    return before + pump * max(1, (length - len(before)) // len(pump)) + after


def seconds(use: Use, text: str, clock: Callable[[], float] = time.process_time) -> float:
    """How long the pattern takes to go through ``text``; ``LIMIT`` where it is given up."""
    started = clock()
    before = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
    try:
        if use.method in ("match", "fullmatch"):
            getattr(use.pattern, use.method)(text)
        else:
            for _ in use.pattern.finditer(text):
                pass
    except TimeoutError:
        return LIMIT
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return clock() - started


def _give_up(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def worst(use: Use) -> Row:
    """The slowest text for a pattern: the slowest few of the short ones compete at greater lengths."""
    shapes = texts(use.pattern)
    for length, left in PROBES:
        timed = []
        for shape in shapes:
            timed.append((_least(use, write(shape, length)), shape))
            if timed[-1][0] == LIMIT:
                return Row(use.place, shown(shape), LIMIT)
        shapes = [shape for _, shape in sorted(timed, key=lambda pair: -pair[0])[:left]]
    taken, shape = max((seconds(use, write(shape, LENGTH)), shape) for shape in shapes)
    return Row(use.place, shown(shape), taken)


def _least(use: Use, text: str) -> float:
    """Of two tries, by the finer clock: the processor's is too coarse for a short text. One is enough to give up."""
    taken = seconds(use, text, time.perf_counter)
    return taken if taken == LIMIT else min(taken, seconds(use, text, time.perf_counter))


def shown(shape: tuple[str, str, str]) -> str:
    before, pump, _ = shape
    return " + ".join([*([repr(before)] if before else []), f"{pump!r} × n"])


def rows() -> list[Row]:
    """A row for each pattern, the slowest first."""
    return sorted(map(worst, uses()[0]), key=lambda row: -row.seconds)


if __name__ == "__main__":
    for row in rows()[:30]:
        print(f"{row.seconds:7.3f} s  {row.place:70} {row.text[:150]}")
