"""The folder that is published: made of a run, the same bytes every time, exactly what will be on the Hub.

Its files are called as those of a run directory, so that :class:`Run` reads a downloaded version, except
that the adapter, or a whole model, stands at the root, where PEFT and transformers look for it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from osler.errors import InputError, show
from osler.evaluation import VALIDATION, report
from osler.monitoring import Monitoring
from osler.recipe import QuestionSource, Recipe, find_tasks, read_task
from osler.reproduction import ReproductionFile, read_expected
from osler.runs import Results, Run
from osler.storage import (
    check_folder,
    read_json,
    read_model,
    sha256_file,
    write_atomically,
    write_json,
    write_model,
)
from osler.succession import deciding


@dataclass(frozen=True)
class File:
    """One file of the publication: its path inside the folder, its bytes and their hash."""

    path: str
    size: int
    sha256: str


def listing(folder: Path, files: Sequence[File]) -> str:
    """Every file with its size, and where to look at the card."""
    lines = [f"{file.size:>13,}  {file.path}" for file in files]
    lines.append(f"{sum(file.size for file in files):>13,}  bytes in {len(files)} files")
    return "\n".join([*lines, "", f"card: {folder / 'README.md'}", ""])


def build(run: Run, folder: Path, repo_id: str, about: Mapping[str, Any], allowed: Mapping[str, str]) -> list[File]:
    """Make ``folder``, all or nothing, in place of one that is there; returns its files in the order of their paths.

    Nothing is moved out of the run: weights are hard links where the file system has them, all else is a copy.
    ``about`` and ``allowed`` go into the card (:func:`osler.publishing.card.render`).

    Raises:
        InputError: a file of the run is missing or is not the one that ``results.json`` was made from; or the run is a
            published version itself.
    """
    if run.adapter_path == run.folder:
        raise InputError(f"{run.folder}: is a published version, not a run directory; publish the run it was made from")
    recipe, results = run.recipe(), run.read_results()
    if recipe.lora is None and recipe.head is None:
        text = "without lora: there is no adapter, and whole language models are not published yet"
        raise InputError(f"{recipe.path}: {text}")
    check_folder(folder)
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link; take it away")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with workplace(folder) as part:
        _weights(run, part)
        _records(run, recipe, part)
        _tasks(recipe, find_tasks(recipe.path), part)
        predictions = _predictions(run, results, part)
        splits = read_task(find_tasks(recipe.path) / recipe.task.name).splits
        output = part / run.results_path().name
        report.write(output, results, predictions, descriptions=splits)  # anew, without the texts of the cases
        _card(Run(part), repo_id, recipe.version, about, allowed)
        files = _hashed(part)
        write_atomically(Run(part).sums_path, "".join(f"{file.sha256}  {file.path}\n" for file in files))
        if folder.is_dir():
            shutil.rmtree(folder)
        part.rename(folder)
    return sorted([*files, _file(folder, Run(folder).sums_path)], key=lambda file: file.path)


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder``, deleted at the end; what a killed publication left in it goes first.

    Raises :class:`InputError` where another process is at it. The lock is the kernel's and ends with its process.
    """
    path, descriptor = folder.with_name(f".{folder.name}-in-work"), os.open(folder.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another process is publishing it; wait until it is done") from None
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _hashed(folder: Path) -> list[File]:
    return [_file(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]


def _file(folder: Path, path: Path) -> File:
    return File(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_file(path))


def task_names(recipe: Recipe) -> list[str]:
    """The recipe's task, and those of its mixture."""
    return [recipe.task.name, *(recipe.mixture.tasks if recipe.mixture else ())]


def _weights(run: Run, part: Path) -> None:
    """The adapter, or the whole model, at the root; the merged model, where there is one."""
    for path in _files(run.adapter_path):
        _copy(path, part, path.name)
    if run.merged_path.is_dir():
        for path in _files(run.merged_path):
            _copy(path, part, f"{run.merged_path.name}/{path.name}")


def _files(folder: Path) -> list[Path]:
    """What a folder of weights holds, besides the card a library left in it; what may not be there is not hidden."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != "README.md")


def _records(run: Run, recipe: Recipe, part: Path) -> None:
    """What says how the weights came about and how good they are."""
    robustness = [run.robustness_path(recipe, split) for split in recipe.evaluation.splits]
    reproductions = sorted(run.folder.glob("reproduction*.json"))
    for path in (run.folder / "recipe.yaml", run.manifest_path, run.panel_path, run.results_path()):
        _copy(path, part, path.name)
    for path in (*robustness, run.explanation_path(VALIDATION), run.exports_file()):
        if path.is_file():
            _copy(path, part, path.name)
    if run.monitoring_path.is_file():
        in_use = read_model(run.monitoring_path, Monitoring)
        large = tuple(group for group in in_use.groups if group.accuracy)  # of few patients not even the number
        write_model(part / run.monitoring_path.name, in_use.model_copy(update={"groups": large}))
    for path in reproductions:
        if read_model(path, ReproductionFile).recipe.sha256 != recipe.sha256:
            raise InputError(f"{path}: of another recipe than {recipe.path}; take it out of the run")
        write_json(part / path.name, _without_folders(read_json(path)))
    decision = run.folder.parent / deciding.DECISION
    if deciding.is_successor(run) and decision.is_file():
        _copy(decision, part, decision.name)
    write_json(part / run.data_report_path.name, _without_folders(read_json(run.data_report_path)))
    for path in sorted((find_tasks(recipe.path).parent / "recipes").rglob("*.expected.json")):
        if read_expected(path).recipe_sha256 == recipe.sha256:
            _copy(path, part, "expected.json")


def _without_folders(value: Any) -> Any:
    """JSON with the last part of every absolute path in place of it: nobody else has the folders of this machine."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return PurePath(value).name if isinstance(value, str) and os.path.isabs(value) else value


def _tasks(recipe: Recipe, tasks: Path, part: Path) -> None:
    """The task files, so that the recipe loads from the folder; never a row of data."""
    sources = [read_task(tasks / name).source for name in task_names(recipe)]
    beside = [name for source in sources if isinstance(source, QuestionSource) for name in source.apart_from]
    for name in dict.fromkeys([*task_names(recipe), *beside]):
        for file in ("task.yaml", read_task(tasks / name).prompt, "README.md"):
            if (tasks / name / file).is_file() or file != "README.md":
                _copy(tasks / name / file, part, f"tasks/{name}/{file}")


def _predictions(run: Run, results: Results, part: Path) -> Sequence[Path]:
    copies = []
    for path, sha256 in run.scored_predictions(results).items():
        copies.append(_place(part, path.relative_to(run.folder).as_posix()))
        if not path.is_file() or sha256_file(path) != sha256:
            raise InputError(f"{path}: not what results.json was made from; run scripts/evaluate.py again")
        _copy(path, part, path.relative_to(run.folder).as_posix())
    return copies


def _card(run: Run, repo_id: str, version: str, about: Mapping[str, Any], allowed: Mapping[str, str]) -> None:
    """The card, its figures and its CHAI export, of what is in the folder already."""
    from osler.publishing import bias, card, chai

    text = card.render(run, repo_id, version, about, allowed)
    card.check(text)
    write_atomically(run.folder / "README.md", text)
    write_atomically(run.folder / "bias.md", bias.render(run, repo_id.rpartition("/")[2], about))
    document = chai.export(run, repo_id, version, about, allowed)
    chai.validate(document)
    write_json(run.folder / "chai.json", document)
    for name, image in card.figures(run).items():
        write_atomically(_place(run.folder, name), image)


def _place(part: Path, name: str) -> Path:
    """Where a file of the publication goes. Names are made of what records say, which others may have written."""
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or "\0" in name:
        raise InputError(f"{show(name)}: is outside the publication; name splits, systems and tasks by plain words")
    return part / name


def _copy(path: Path, part: Path, name: str) -> None:
    copy = _place(part, name)
    if path.is_symlink():
        raise InputError(f"{path}: is a link, and what it points to is no file of the run; put the file itself there")
    copy.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        try:
            os.link(path.resolve(), copy)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(path, copy)
