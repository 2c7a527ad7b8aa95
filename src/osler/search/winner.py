"""The best trial as the recipe's next version: its file, with the comments of the one it was made of, and its study."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from osler.errors import InputError
from osler.recipe import Recipe, SearchSection, dump_yaml, load_recipe
from osler.runs import describe_environment
from osler.search.study import Study
from osler.search.study_file import StudiedTrial, StudyFile
from osler.storage import plain, read_text, validated, write_atomically, write_model

VERSIONED = re.compile(r"(.+)-v(\d+)")


def write(
    recipe: Recipe,
    section: SearchSection,
    study: Study,
    best: StudiedTrial,
    given: Sequence[str],
    settled: Mapping[str, Any],
) -> str:
    """Write the next version of ``recipe`` and its study; says what was written.

    ``given`` are the command's overrides, ``settled`` what every trial had besides. Where the best values are those
    that the recipe has, there is nothing to write but the study. A recipe that is there is never overwritten.

    Raises :class:`InputError` where another file has the name meanwhile.
    """
    changes = {key: value for key, value in {**settled, **best.values}.items() if _said(recipe, key) != value}
    if not changes and not given:
        _write_study(recipe, recipe.path, section, study, best, given)
        return f"nothing was better than the recipe's own values; the study is in {_study_path(recipe.path)}"
    before = study.written
    path = recipe.path.with_name(before[1]) if before and before[0] == best.trial else None
    if path is None or not path.is_file():
        path, number = _next(recipe)
        study.set_written(best.trial, path.name)
        texts = {key: _flow(value) for key, value in changes.items()}
        texts |= {key: text for key, _, text in (override.partition("=") for override in given) if key != "version"}
        _write_recipe(recipe, path, {**texts, "version": f"{number}.0.0"})
    _write_study(recipe, path, section, study, best, given)
    return f"{path} has the values of trial {best.trial}; {_study_path(path)} has every trial"


def _next(recipe: Recipe) -> tuple[Path, int]:
    """The file of the next version that nobody has yet, and its number."""
    found = VERSIONED.fullmatch(recipe.path.stem)
    stem = found[1] if found else recipe.path.stem
    numbers = [int(recipe.version.partition(".")[0]), int(found[2]) if found else 1]
    for path in recipe.path.parent.glob("*.*"):
        if (other := VERSIONED.fullmatch(path.name.partition(".")[0])) and other[1] == stem:
            numbers.append(int(other[2]))
    number = max(numbers) + 1
    return recipe.path.with_name(f"{stem}-v{number}{recipe.path.suffix}"), number


def _write_recipe(recipe: Recipe, path: Path, texts: Mapping[str, str]) -> None:
    """Write ``recipe`` with the YAML ``texts`` of its changed keys to ``path``."""
    expected = load_recipe(recipe.path, [*(f"{key}={text}" for key, text in texts.items()), "search=null"])
    found = (
        f"# Its values were found by scripts/search.py from {recipe.path.name}; every trial: {_study_path(path).name}\n"
    )
    text = read_text(recipe.path)
    head = re.match(r"(#[^\n]*\n)*", text)
    header = (head[0] if head else "").replace(recipe.path.stem, path.stem) + found
    part = path.with_name(f".{path.name}.part")
    try:
        body = text[head.end() if head else 0 :]
        write_atomically(part, header + edited(body, texts))
        if not _reads_as(part, expected):  # YAML that is written in a way that was not thought of: without its comments
            write_atomically(part, header + dump_yaml(expected.to_dict()))
        os.link(part, path)  # unlike a rename, it refuses to replace
    except FileExistsError:
        raise InputError(f"{path}: another process has written it; start the same command again") from None
    finally:
        part.unlink(missing_ok=True)


def _reads_as(path: Path, expected: Recipe) -> bool:
    try:
        return load_recipe(path) == expected
    except InputError:
        return False


def _write_study(
    recipe: Recipe, path: Path, section: SearchSection, study: Study, best: StudiedTrial, given: Sequence[str]
) -> None:
    trials = study.trials()
    content = {
        "schema": 1,
        "recipe": {
            "name": recipe.name,
            "version": recipe.version,
            "sha256": recipe.sha256,
            "overrides": list(given),
        },
        "file": path.name,
        "metric": section.metric,
        "minutes": float(section.minutes),
        "seconds": round(sum(trial.seconds for trial in trials), 1),
        "seed": recipe.seed,
        "space": recipe.to_dict()["search"]["space"],
        "best": best.trial,
        "trials": [plain(trial) for trial in trials],
        "optuna": metadata.version("optuna"),
        "environment": plain(describe_environment()),
    }
    write_model(_study_path(path), validated(StudyFile, content, str(_study_path(path))))


def _study_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.study.json")


def _said(recipe: Recipe, key: str) -> Any:
    value: Any = recipe.to_dict()
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


# ── YAML changed in its place ────────────────────────────────────────────────────────────────────────────────────────


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    return json.dumps(value) if isinstance(value, list | dict) else dump_yaml({"x": value})[3:].strip()


def edited(text: str, texts: Mapping[str, str]) -> str:
    """A recipe's YAML with the values of some keys replaced or added, and without ``search:``. What else is there stays
    as it is, but for the comment behind a value that is replaced: it is about the old one.

    Right for the YAML that recipes are written in; whoever calls it reads the result to see.
    """
    text = _without(text, "search")
    for key, value in texts.items():
        text = _put(text, key, value)
    return text


def _put(text: str, key: str, value: str) -> str:
    mapping: Any = yaml.compose(text, Loader=yaml.BaseLoader)
    *sections, last = key.split(".")
    for depth, name in enumerate(sections):
        inner = _child(mapping, name)
        if not isinstance(inner, yaml.MappingNode):
            for missing in reversed([*sections[depth + 1 :], last]):
                value = f"{{{missing}: {value}}}"
            last = name
            break
        mapping = inner
    target = _child(mapping, last)
    if target is not None:
        start, end = target.start_mark.index, _end(target)
        if not mapping.flow_style:
            end += len(re.match(r"[ \t]*#[^\n]*|", text[end:])[0])  # type: ignore[index]
        return f"{text[:start]}{' ' if text[start - 1] == ':' else ''}{value}{text[end:]}"
    end = _end(mapping)
    if mapping.flow_style:
        comma = ", " if mapping.value else ""
        return f"{text[: end - 1].rstrip()}{comma}{last}: {value}{text[end - 1 :]}"
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    indent = " " * mapping.start_mark.column
    return f"{text[:line_end]}\n{indent}{last}: {value}{text[line_end:]}"


def _without(text: str, name: str) -> str:
    """``text`` without a key at its top, and the comments right above it."""
    mapping: Any = yaml.compose(text, Loader=yaml.BaseLoader)
    for key, value in mapping.value:
        if key.value == name:
            start, end = key.start_mark.index, text.find("\n", _end(value))
            while start and (above := text.rfind("\n", 0, start - 1) + 1) < start and text[above] == "#":
                start = above
            return text[:start] + ("" if end < 0 else text[end + 1 :])
    return text


def _child(mapping: Any, name: str) -> yaml.Node | None:
    return next((value for key, value in mapping.value if key.value == name), None)


def _end(node: Any) -> int:
    """Where a value ends: what PyYAML calls the end of a block is the beginning of what follows its comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
