"""Clean, de-identify and sketch rows as tasks of datatrove, in processes of this machine or as a job array of Slurm.

Only what is done to one row at a time is divided. Reading comes before, because rows are found, and their ids compared,
in order; what needs all rows (copies, clusters, splits, the report) comes after, of the files that the tasks leave. So
the result is that of one machine.

The files stay in the output until it is written. Whoever runs the same command again after a fault gets them back:
datatrove skips the tasks that it marked as completed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

import osler
from osler.data import duplicates
from osler.errors import FailedError, InputError
from osler.preparation.arrow_rows import BATCH, BatchCleaner
from osler.preparation.cleaning import Cleaning
from osler.preparation.deidentification.key_file import read_key
from osler.preparation.workspace import tasks_folder
from osler.storage import sha256_file

if TYPE_CHECKING:
    from datasets import Dataset
    from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor

MAX_LISTED = 10  # tasks, in an error message
# What sbatch reads from its own variables (SBATCH_TIMELIMIT, SBATCH_MEM_PER_CPU, SBATCH_ACCOUNT, …) counts instead.
HOURS, MEMORY_GB = 12, 4  # of a task


@dataclass(frozen=True)
class Datatrove:
    """How rows are divided.

    Attributes:
        tasks: their number.
        partition: of Slurm; None for processes of this machine, one a core.
        key_file: of de-identification. The key itself is written into no file of a task.
    """

    tasks: int
    partition: str | None = None
    key_file: Path | None = None

    def check(self) -> None:
        """Raise :class:`InputError` where the tasks could not be run."""
        if find_spec("datatrove") is None:
            raise InputError("--engine datatrove: is not installed: pip install -e '.[scale]'")
        if self.tasks < 1:
            raise InputError(f"--tasks {self.tasks}: must be at least 1")
        if self.partition is not None and shutil.which("sbatch") is None:
            raise InputError(
                f"--slurm {self.partition}: there is no sbatch here; start this where jobs are submitted, or leave it"
                " out to run the tasks on this machine"
            )
        if self.partition is not None and "SLURM_ARRAY_TASK_ID" in os.environ:
            raise InputError(
                f"--slurm {self.partition}: this is itself a task of a job array, whose number datatrove would take for"
                " its own; start it outside of one"
            )


def clean_rows(
    raw: Dataset,
    work: Path,
    cleaning: Cleaning,
    key: str | None,
    day_first: Mapping[str, bool | None],
    engine: Datatrove,
) -> tuple[Dataset, duplicates.Fingerprints]:
    """As :func:`osler.preparation.arrow_rows.clean_rows`, in tasks; and what :func:`duplicates.clusters_of` needs.

    Args:
        raw: the rows of ``raw.arrow`` in ``work``, which with Slurm has to be on a disk that all nodes have.

    Raises:
        FailedError: a task ended before its rows were done.
    """
    from datasets import Dataset, concatenate_datasets

    tasks = min(engine.tasks, len(raw))
    what = (sha256_file(work / "raw.arrow"), tasks, cleaning.description, key, sorted(day_first.items()))
    folder = tasks_folder(work, hashlib.sha256(repr((osler.__version__, *what)).encode()).hexdigest()[:16])
    step = CleanPart(work.resolve() / "raw.arrow", folder.resolve(), cleaning, engine.key_file, day_first)
    _run(step, tasks, engine.partition)
    cleaned = concatenate_datasets([Dataset.from_file(str(folder / f"{rank:05}.arrow")) for rank in range(tasks)])
    return cleaned, _join(folder, work, len(raw), tasks)


class CleanPart:
    """The step of datatrove's pipeline: it cleans one of the parts, and takes and gives no documents."""

    def __init__(
        self, raw: Path, folder: Path, cleaning: Cleaning, key_file: Path | None, day_first: Mapping[str, bool | None]
    ) -> None:
        self._raw, self.folder, self._cleaning = raw, folder, cleaning
        self._key_file, self._day_first = key_file and key_file.resolve(), day_first

    def __call__(self, data: Any, rank: int, world_size: int) -> None:
        """Write the rows of part ``rank`` of ``world_size``, and their fingerprints."""
        from datasets import Dataset, Features, Value
        from datasets.arrow_writer import ArrowWriter

        raw = Dataset.from_file(str(self._raw))
        start, end = (len(raw) * number // world_size for number in (rank, rank + 1))
        key = None if self._key_file is None else read_key(self._key_file)
        clean = BatchCleaner(self._cleaning, key, self._day_first)
        kinds = {"text": "large_string", "words": "int64", "text_hash": "int64", "raw_text_hash": "int64"}
        names = ("text", "label", "dropped", "changed", "identifiers", "words", "text_hash", "raw_text_hash")
        features = Features({name: Value(kinds.get(name, "string")) for name in names})
        # Two processes can have one part: what Slurm requeues may still be running. Each replaces whole files.
        mine = self.folder / f".{rank:05}-{os.uname().nodename}-{os.getpid()}"
        prints = []
        with ArrowWriter(path=f"{mine}.arrow", features=features) as writer:
            for first in range(start, end, BATCH):
                batch = clean(raw[first : min(first + BATCH, end)])
                writer.write_batch(batch)
                prints.append(duplicates.fingerprints(batch["text"]))
            writer.finalize()
        joined = duplicates.Fingerprints(*(np.concatenate(parts) for parts in zip(*prints, strict=True)))
        np.savez(f"{mine}.npz", **joined._asdict())
        for suffix in (".arrow", ".npz"):
            os.replace(f"{mine}{suffix}", self.folder / f"{rank:05}{suffix}")


def _run(step: CleanPart, tasks: int, partition: str | None) -> None:
    """Have datatrove run the tasks that are not completed."""
    # loguru would show the values of variables in a traceback: texts, and the key.
    os.environ |= {"LOGURU_DIAGNOSE": "NO"}
    from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor

    logs = str(step.folder / "datatrove")
    if partition is None:
        executor: LocalPipelineExecutor | SlurmPipelineExecutor = LocalPipelineExecutor([step], tasks, logging_dir=logs)
        why = _run_here(step, executor.get_incomplete_ranks(), tasks, logs)
    else:
        executor = SlurmPipelineExecutor(
            [step],
            tasks,
            time=f"{HOURS}:00:00",
            partition=partition,
            mem_per_cpu_gb=MEMORY_GB,
            job_name="osler-prepare",
            qos=None,
            env_command=f'export PATH="{Path(sys.executable).parent}:$PATH"',  # where datatrove's commands are
            sbatch_args={"wait": ""},  # sbatch returns when the job has ended
            logging_dir=logs,
        )
        why = _submit(executor)
    if missing := executor.get_incomplete_ranks():
        named = ", ".join(map(str, missing[:MAX_LISTED])) + (" …" if len(missing) > MAX_LISTED else "")
        raise FailedError(
            f"{logs}: {len(missing):,} of {tasks:,} tasks did not end ({named}){why}; the logs there say why: run the"
            " same command again, and the others are not repeated"
        )


def _run_here(step: CleanPart, ranks: list[int], tasks: int, logs: str) -> str:
    """Run the tasks ``ranks`` in as many processes as there are cores. Returns what the message on a fault adds."""
    done = tqdm(total=tasks, initial=tasks - len(ranks), desc="cleaning", unit=" tasks")
    # By an executor a task, because datatrove's own pool waits forever for a process that the kernel killed.
    processes = min(os.cpu_count() or 1, max(1, len(ranks)))
    with done, ProcessPoolExecutor(processes, get_context("fork"), _keep_quiet) as pool:
        try:
            for _ in pool.map(partial(_run_one, step, tasks, logs), ranks):
                done.update()
        except BrokenProcessPool:
            return ", because a process was killed: if memory was short, with more --tasks a task takes less"
    return ""


def _run_one(step: CleanPart, tasks: int, logs: str, rank: int) -> None:
    from datatrove.executor import LocalPipelineExecutor

    LocalPipelineExecutor([step], tasks, workers=1, logging_dir=logs, local_tasks=1, local_rank_offset=rank).run()


def _keep_quiet() -> None:
    """What datatrove prints is in its logs, too."""
    from loguru import logger

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)
    logger.remove()


def _submit(executor: SlurmPipelineExecutor) -> str:
    """Run the job array and wait. Returns what the message on a fault adds."""
    try:
        executor.run()
    except subprocess.CalledProcessError as error:
        # So it ends, too, where a task failed, or datatrove's job that adds up statistics did, which nobody needs.
        return f", and sbatch ended with status {error.returncode}"
    return ""


def _join(folder: Path, work: Path, rows: int, tasks: int) -> duplicates.Fingerprints:
    """The fingerprints of all parts. The larger arrays are files in ``work``, so that memory holds 8 bytes a row."""
    words, whole = np.empty(rows, np.uint64), {}
    for start, end, part in _parts(folder, rows, tasks):
        words[start:end] = part["words"]
        for name in ("bands", "sketch"):
            if name not in whole:
                shape = (part[name].shape[1], rows) if name == "bands" else (rows, part[name].shape[1])
                whole[name] = np.lib.format.open_memmap(work / f"{name}.npy", "w+", part[name].dtype, shape)
        whole["bands"][:, start:end] = part["bands"].T  # a band is read at once, so it lies together
        whole["sketch"][start:end] = part["sketch"]
    return duplicates.Fingerprints(words, whole["bands"].T, whole["sketch"])


def _parts(folder: Path, rows: int, tasks: int) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    for rank in range(tasks):
        with np.load(folder / f"{rank:05}.npz") as part:
            yield rows * rank // tasks, rows * (rank + 1) // tasks, {name: part[name] for name in part.files}
