"""Where a preparation works: nobody else meanwhile, and nothing of the user's is written over."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from osler.errors import InputError
from osler.preparation.workspace import check_apart, move_into_output, workspace

NAMES = ("train.jsonl", "report.json")


def test_two_at_once_are_refused_and_the_next_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with workspace(output, "report.json", NAMES) as work:
        (work / "half").touch()
        with (
            pytest.raises(InputError, match=r"another prepare_data\.py is writing to it"),
            workspace(output, "report.json", NAMES),
        ):
            pass
        assert (work / "half").exists()
    assert not output.exists(), "nothing came of it"


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".preparing").mkdir()
    (tmp_path / ".preparing" / "half").touch()
    (tmp_path / "train.jsonl").touch()
    with workspace(tmp_path, "report.json", NAMES) as work:
        assert not list(work.iterdir())


def test_an_output_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(InputError, match="cannot be written to"), workspace(output, "report.json", NAMES):
            pass


def test_output_and_source_lie_apart(tmp_path: Path) -> None:
    check_apart(str(tmp_path / "export.csv"), tmp_path, NAMES)
    with pytest.raises(InputError, match="would be overwritten"):
        check_apart(str(tmp_path / "train.jsonl"), tmp_path, NAMES)
    with pytest.raises(InputError, match="all files are read"):
        check_apart(str(tmp_path), tmp_path / "out", NAMES)


def test_what_was_finished_is_moved_in_first_and_either_all_files_are_moved_or_none(tmp_path: Path) -> None:
    with workspace(tmp_path, "report.json", NAMES) as work:
        for name in NAMES:
            (work / name).write_text("old")
        move_into_output(work, NAMES)
    (tmp_path / ".prepared").mkdir()  # of a run that was killed after the first of two files
    (tmp_path / ".prepared" / "01-report.json").write_text("new")
    (tmp_path / "train.jsonl").write_text("new")
    with workspace(tmp_path, "report.json", NAMES):
        assert [(tmp_path / name).read_text() for name in NAMES] == ["new", "new"]
    assert {path.name for path in tmp_path.iterdir()} == {*NAMES, ".gitignore"}


def test_a_process_that_helps_does_not_hold_the_lock(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready = fork.Event()

    def help_and_hang() -> None:
        ready.set()
        time.sleep(60)

    helper = fork.Process(target=help_and_hang)
    with workspace(tmp_path / "out", "report.json", NAMES) as work:
        (work.parent / "report.json").touch()
        helper.start()
        assert ready.wait(30)
    with workspace(tmp_path / "out", "report.json", NAMES):
        assert helper.is_alive()
    helper.kill()
