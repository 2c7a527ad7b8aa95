"""The memory that this process may take: the machine's, or its container's where that is less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
# Where a limit stands, what is taken, and which line of memory.stat counts files that the kernel drops when it must.
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def machine_memory() -> int:
    """Bytes in all."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *(limit for limit, _ in _groups())])


def free_memory() -> int:
    """Bytes that nobody has taken yet."""
    return min([psutil.virtual_memory().available, *(max(0, limit - taken) for limit, taken in _groups())])


def _groups() -> Iterator[tuple[int, int]]:
    """The limit of each control group that this process is in, and what that group has taken, both in bytes.

    Source: cgroups(7). Inside a container the path of its group may be the host's, which is not there; its own group is
    the root then.
    """
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, files = (GROUPS / "memory", VERSION_1) if controllers else (GROUPS, VERSION_2)
        own = root / path.strip("/")
        for folder in [own, *own.parents]:
            if folder.is_relative_to(root):
                yield from _limit(folder, *files)


def _limit(folder: Path, limit: str, taken: str, droppable: str) -> Iterator[tuple[int, int]]:
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / taken).read_text())
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # the group is not there, or has no limit
        return
    if most != "max":
        yield int(most), used - int(counts.get(droppable, 0))
