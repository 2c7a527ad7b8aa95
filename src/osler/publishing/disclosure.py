"""What files would give away: identifiers of persons, and secrets. For everything that is about to be published."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BINARY = (".safetensors", ".png", ".model")
VOCABULARY = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")
HASHES = "SHA256SUMS"  # which has nothing in it besides the names of the other files
IDS = ".worst"  # in records, the ids of cases that overlap with others
PATIENT = "text = "  # in a card, the patient that its code asks about
SHOWN = 3  # characters of what was found: enough to find it, too few to repeat it in a log

SECRETS = {
    "a Hub token": r"\bhf_[A-Za-z0-9]{30,}",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}",
    "a password or key": r"(?i)(?:api[_-]?key|secret[_-]?(?:access[_-]?)?key|passw(?:or)?d|(?:access|auth)[_-]?token)"
    r"[\"']?\s*[:=]\s*[\"']?(?P<x>[\w/+.~-]{8,})",
}
_SECRETS = {name: re.compile(pattern) for name, pattern in SECRETS.items()}

# In a folder's name, the account of whoever trained the model.
_HOME = re.compile(r"(?<![\w.])(?:/home/|/Users/|[A-Z]:\\\\?Users\\\\?)(?P<x>[^/\\\s\"'<>]+)")
# Names of things, not of persons: hashes, terms and publications; in records, keys and file names, too.
_THING = re.compile(r"(?=.*[a-f])[0-9a-f]{12,64}|(?:OMIM|ORPHA|DECIPHER|MONDO|HP|PMID|ISBN(?:-1[03])?):[\d-]+X?")
_KEY = re.compile(r"(?=.*[a-z])[a-z_0-9.]+|[\d.,%\s-]{1,6}")
# What pages and records may hold of itself: who made the model, where and when.
_OF_AUTHORS = ("URL", "IP", "ORGANIZATION", "PLACE", "DATE", "AGE", "DEVICE", "LICENCE", "EMAIL")
# Names in them count where they are called somebody's; others are those of diseases, models and authors.
_OF_PATIENTS = ("name label", "reversed beside number", "name beside number", "capitals reversed")


@dataclass(frozen=True)
class Finding:
    """``what`` was found in ``file`` (its path in the folder), ``place`` is where in it, ``shown`` its beginning."""

    file: str
    place: str
    what: str
    shown: str


def secrets(folder: Path) -> list[Finding]:
    """Tokens, keys and passwords in any text file below ``folder``."""
    findings = []
    for path in files(folder):
        if path.suffix in BINARY or path.is_symlink():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        for name, pattern in _SECRETS.items():
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                value = match.groupdict().get("x") or match[0]
                findings.append(Finding(str(path.relative_to(folder)), f"line {line}", name, _masked(value)))
    return findings


def identifiers(folder: Path) -> list[Finding]:
    """What looks like an identifier of a person in any text below ``folder``, the base's own vocabulary left out.

    Texts a model wrote, and the ids, groups and subgroups of cases, are looked at as clinical notes are. Pages and
    records are Osler's own words, with names of diseases, models and authors, and dates of releases: there, numbers,
    addresses and what is called a patient's name count.

    Raises :class:`~osler.errors.InputError` where the extra ``deid`` is not installed.
    """
    from osler.preparation import load_deidentifier

    texts = [text for path in files(folder) for text in _texts(path, str(path.relative_to(folder)))]
    looked_at = list(
        dict.fromkeys(
            text.text
            for text in texts
            if not _THING.fullmatch(text.text) and (text.of_case or not _KEY.fullmatch(text.text))
        )
    )
    identifiers_by_text = dict(
        zip(looked_at, load_deidentifier("only looked for, not replaced").find_all(looked_at), strict=True)
    )
    findings = []
    for text in texts:
        for identifier in identifiers_by_text.get(text.text, ()):
            if text.of_case or (
                identifier.type not in _OF_AUTHORS and (identifier.type != "NAME" or identifier.rule in _OF_PATIENTS)
            ):
                shown = _masked(text.text[identifier.start : identifier.end])
                findings.append(Finding(text.file, text.place, identifier.type.lower().replace("_", " "), shown))
        for match in _HOME.finditer(text.text):
            findings.append(Finding(text.file, text.place, "account in a path", _masked(match["x"])))
    return findings


@dataclass(frozen=True)
class _Text:
    file: str
    place: str
    text: str
    of_case: bool = False


def _texts(path: Path, name: str) -> Iterator[_Text]:
    """The texts in a file; each is looked at by itself, so that one row's number stands beside no other row's name."""
    if path.suffix in BINARY or path.name in (*VOCABULARY, HASHES) or path.is_symlink():
        return
    content = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".jsonl":
        for number, line in enumerate(content.removesuffix("\n").split("\n"), 1):
            row = json.loads(line)
            of_case = {key: row.get(key) for key in ("case_id", "group", "text")} | (row.get("subgroups") or {})
            of_case |= {f"name of the subgroup {key}": key for key in row.get("subgroups") or {}}
            for key, value in of_case.items():
                if value:
                    yield _Text(name, f"line {number}, {key}", value, of_case=True)
                    if key != "text" and (spaced := re.sub(r"[_./|-]+", " ", value)) != value:
                        yield _Text(name, f"line {number}, {key}", _letters(spaced), of_case=True)
    elif path.suffix == ".json":
        for place, text in _strings(json.loads(content)):
            yield _Text(name, place, text, of_case=place.endswith(IDS))
    elif path.suffix == ".html":
        at = 1
        for node in re.split(r"(<style\b[^<]*</style>|<[^<>]*>)", content):  # cells of a table are no one number
            if node.strip() and not node.startswith("<"):
                yield _Text(name, f"line {at}", html.unescape(node.strip()))
            at += node.count("\n")
    else:
        for number, text in enumerate(content.splitlines(), 1):
            if text.strip():
                yield _Text(name, f"line {number}", text.strip(), of_case=text.startswith(PATIENT))


def _letters(text: str) -> str:
    """Without the words that have a digit: an id's numbers are read where they stand in it."""
    return " ".join(word for word in text.split() if word.isalpha())


def _strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in JSON, keys too, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield where, key
            yield from _strings(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, where)


def _masked(value: str) -> str:
    return f"{value[:SHOWN]}…"


def files(folder: Path) -> list[Path]:
    """Every file below ``folder``, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
