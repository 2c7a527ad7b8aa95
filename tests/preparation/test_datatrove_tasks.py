"""``prepare_data.py --engine datatrove``: the same files as without it, and nothing that was finished is done again."""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import signal
import stat
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hospital import export, identified, rows
from project import ROOT

from osler.errors import FailedError, InputError
from osler.preparation import (
    DEFAULT_STEPS,
    Columns,
    Datatrove,
    PreparationSettings,
    datatrove_tasks,
    options,
    parse_steps,
    prepare,
    read,
    read_key,
)
from osler.preparation.workspace import TASKS_FOLDER

COLUMNS = Columns("note", "diagnosis", "record", "patient", None, ("sex",))
# Slurm, as far as datatrove knows it: the tasks of the array one after another, of which one fails the first time.
SBATCH = """#!/bin/bash
for file; do :; done
grep -q launch_pickled "$file" || exit 1
cp "$file" {folder}/job
env > {folder}/environment
[ -e {folder}/refuses ] && exit 1
status=0
for task in $(seq 0 $(sed -n 's/^#SBATCH --array=0-//p' "$file")); do
  if [ $task = 1 ]; then status=1
  else SLURM_ARRAY_TASK_ID=$task SLURM_NODELIST=node1 bash "$file" >> {folder}/printed 2>&1 || status=1; fi
done
echo Submitted batch job 7
exit $status
"""


def large(n: int) -> list[dict[str, str]]:
    """``n`` notes in no order, one in ten with nearly the same or the same ones, and some that cleaning is for."""
    notes = runpy.run_path(str(ROOT / "benchmarks" / "data_scale.py"))
    draw, made = random.Random(0), rows()[240:]
    while len(made) < n:
        text, label = notes["note"](draw), f"diagnosis {draw.choice('abcdefghij')}x"
        copies = draw.randint(1, 3) if draw.random() < 0.1 else 0
        for note in (text, *(notes["edited"](text, draw.randint(0, 4), draw) for _ in range(copies))):
            number = len(made)
            row = {"record": f"n{number}", "patient": f"q{number // 2}", "sex": "female", "seen": ""}
            made.append({**row, "note": note, "diagnosis": label})
    draw.shuffle(made)
    return made[:n]


def prepared(
    source: Path,
    output: Path,
    engine: Datatrove | None = None,
    steps: Sequence[dict[str, Any]] = DEFAULT_STEPS,
    **settings: Any,
) -> dict[str, bytes]:
    """Prepare ``source``; name → content of every file in ``output``."""
    cleaning = parse_steps(list(steps), "cleaning")
    read_rows = ((None, row) for row in read(str(source), COLUMNS))
    prepare(read_rows, output, PreparationSettings(cleaning, **settings), "export", engine)
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the tasks write their ranks to, one after another. The third of them does what ``fault`` says."""
    clean = datatrove_tasks.CleanPart.__call__

    def faulty(self: datatrove_tasks.CleanPart, data: object, rank: int, world_size: int) -> None:
        with (tmp_path / "started").open("a") as file:
            file.write(f"{rank}\n")
        if rank == 2 and (tmp_path / "fault").exists():
            os.kill(os.getpid() if (tmp_path / "fault").read_text() == "a task" else os.getppid(), signal.SIGKILL)
            signal.pause()
        clean(self, data, rank, world_size)

    monkeypatch.setattr(datatrove_tasks.CleanPart, "__call__", faulty)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    return tmp_path / "started"


def ranks(started: Path) -> list[int]:
    """Those that were started since this was asked."""
    found = [int(line) for line in started.read_text().splitlines()]
    started.unlink()
    return found


def test_several_tasks_give_the_same_files_as_one_process(tmp_path: Path) -> None:
    source = export(tmp_path / "export.csv", large(2000))
    in_tasks = prepared(source, tmp_path / "four", Datatrove(4))
    assert in_tasks == prepared(source, tmp_path / "one")
    assert b'"rows_in": 2000' in in_tasks["data_report.json"]
    assert b'"duplicate": ' in in_tasks["data_report.json"]


@pytest.mark.slow
def test_50_000_rows_in_four_tasks_are_those_of_one_machine(tmp_path: Path) -> None:
    # The language of a row hangs on no other row, and takes longer than all the rest; the 2,000 rows are asked for it.
    steps = [step for step in DEFAULT_STEPS if step["step"] != "language"]
    source = export(tmp_path / "export.csv", large(50_000))
    in_tasks = prepared(source, tmp_path / "four", Datatrove(4), steps)
    assert in_tasks == prepared(source, tmp_path / "one", None, steps)
    assert b'"rows_in": 50000' in in_tasks["data_report.json"]


def test_rows_that_were_there_keep_their_splits_and_there_may_be_more_tasks_than_rows(tmp_path: Path) -> None:
    for output, engine in (("many", Datatrove(1000)), ("one", None)):
        prepared(export(tmp_path / "export.csv", rows(18, first=1)), tmp_path / output)
        prepared(export(tmp_path / "export.csv", rows(22, first=1)), tmp_path / output, engine)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


@pytest.mark.parametrize("victim", ["a task", "all"])
def test_after_a_kill_the_tasks_that_were_finished_are_not_run_again(
    tmp_path: Path, started: Path, victim: str
) -> None:
    source, output = export(tmp_path / "export.csv", rows()), tmp_path / "out"
    (tmp_path / "fault").write_text(victim)
    if victim == "a task":
        with pytest.raises(FailedError, match=r"2 of 4 tasks did not end \(2, 3\), because a process was killed"):
            prepared(source, output, Datatrove(4))
    else:
        process = multiprocessing.get_context("fork").Process(target=prepared, args=(source, output, Datatrove(4)))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert ranks(started) == [0, 1, 2]
    assert (output / TASKS_FOLDER / ".gitignore").read_text().endswith("\n*\n"), "there are texts in the folder"
    (tmp_path / "fault").unlink()
    in_tasks = prepared(source, output, Datatrove(4))
    assert ranks(started) == [2, 3]
    assert not (output / TASKS_FOLDER).exists()
    assert in_tasks == prepared(source, tmp_path / "one")


def test_what_another_export_left_is_not_taken(tmp_path: Path, started: Path) -> None:
    made = rows()
    (tmp_path / "fault").write_text("a task")
    with pytest.raises(FailedError):
        prepared(export(tmp_path / "export.csv", made), tmp_path / "out", Datatrove(4))
    (tmp_path / "fault").unlink()
    made[7]["note"] += " Sleeps badly."
    source = export(tmp_path / "export.csv", made)
    assert ranks(started) == [0, 1, 2]
    assert prepared(source, tmp_path / "out", Datatrove(4)) == prepared(source, tmp_path / "one")
    assert ranks(started) == [0, 1, 2, 3]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the commands of Slurm, first in the path."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (
        ("sbatch", SBATCH.format(folder=folder)),
        ("srun", '#!/bin/bash\nshift 3\nexec "$@"\n'),  # -l -n 1
        ("scontrol", "#!/bin/bash\necho node1\n"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    return folder


@pytest.mark.slow
def test_slurm_gets_a_job_array_and_what_failed_is_run_again(tmp_path: Path, slurm: Path) -> None:
    source, output = export(tmp_path / "export.csv", rows()), tmp_path / "out"
    with pytest.raises(FailedError, match=r"1 of 2 tasks did not end \(1\), and sbatch ended with status 1; the logs"):
        prepared(source, output, Datatrove(2, "cpu"))
    for line in ("--array=0-1", "--partition=cpu", "--wait", "--cpus-per-task=1"):
        assert f"#SBATCH {line}\n" in (slurm / "job").read_text()
    assert "qos" not in (slurm / "job").read_text()
    assert "LOGURU_DIAGNOSE=NO\n" in (slurm / "environment").read_text(), "a traceback would show texts, and the key"
    in_tasks = prepared(source, output, Datatrove(2, "cpu"))
    assert "#SBATCH --array=0-0\n" in (slurm / "job").read_text()
    assert in_tasks == prepared(source, tmp_path / "one")


@pytest.mark.slow
def test_identifiers_are_replaced_alike_and_the_key_is_in_no_file(tmp_path: Path, slurm: Path) -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra deid is not installed")
    identified(tmp_path / "export", 60)
    (tmp_path / "key").write_text("a secret that nobody guesses\n")
    settings = {"key": read_key(tmp_path / "key"), "day_first": True, "max_rejected": 2}
    (slurm / "refuses").touch()
    with pytest.raises(FailedError, match="2 of 2 tasks did not end"):
        prepared(tmp_path / "export", tmp_path / "two", Datatrove(2, "cpu", tmp_path / "key"), **settings)
    left = [path.read_bytes() for path in (tmp_path / "two").rglob("*") if path.is_file()]
    assert len(left) > 3
    assert not any(b"a secret that nobody" in content for content in left)
    in_tasks = prepared(tmp_path / "export", tmp_path / "two", Datatrove(2, None, tmp_path / "key"), **settings)
    assert in_tasks == prepared(tmp_path / "export", tmp_path / "one", **settings)
    assert in_tasks["deidentification_audit.jsonl"]


def test_what_cannot_be_run_is_said_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--tasks 4: belongs to --engine datatrove; add it"):
        options.read_engine(Namespace(engine=None, tasks=4, slurm=None, deidentify=None))
    monkeypatch.setattr("shutil.which", lambda name: None)
    for engine, message in (
        (Datatrove(0), "--tasks 0: must be at least 1"),
        (Datatrove(4, "cpu"), "--slurm cpu: there is no sbatch here"),
    ):
        with pytest.raises(InputError, match=message):
            engine.check()
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/sbatch")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    with pytest.raises(InputError, match="itself a task of a job array"):
        Datatrove(4, "cpu").check()
    monkeypatch.setattr(datatrove_tasks, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '\.\[scale\]'"):
        Datatrove(4).check()
