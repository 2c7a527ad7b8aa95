"""A container has less memory than its machine, and what is planned or loaded in it has to fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from osler.runs import memory

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 20 * GIB}))
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(f"{content}\n")


def test_a_container_of_version_2_has_its_limit(groups: Path) -> None:
    (groups / "own").write_text("0::/docker/of-the-host\n")  # a path that is not there from within
    write(groups / "groups", max=3 * GIB, current=2 * GIB, stat=f"anon 7\ninactive_file {GIB}")
    assert memory.free_memory() == 2 * GIB  # the kernel drops cached files when it must
    assert memory.machine_memory() == 3 * GIB


def test_a_group_is_bound_by_those_around_it(groups: Path) -> None:
    (groups / "own").write_text("0::/job/step\n")
    write(groups / "groups" / "job" / "step", max="max", current=GIB, stat="inactive_file 0")
    write(groups / "groups" / "job", max=4 * GIB, current=3 * GIB, stat="inactive_file 0")
    assert memory.free_memory() == GIB


def test_version_1_is_read_too(groups: Path) -> None:
    (groups / "own").write_text("5:devices:/\n4:cpu,memory:/job\n0::/\n")
    write(
        groups / "groups" / "memory" / "job",
        limit_in_bytes=2 * GIB,
        usage_in_bytes=GIB,
        stat="inactive_file 0\ntotal_inactive_file 0",
    )
    write(groups / "groups" / "memory", limit_in_bytes=2**63 - 4096, usage_in_bytes=9 * GIB, stat="inactive_file 0")
    assert memory.free_memory() == GIB


def test_without_a_limit_it_is_the_machines(groups: Path) -> None:
    assert memory.free_memory() == 20 * GIB  # not Linux
    (groups / "own").write_text("0::/\n")
    assert memory.free_memory() == 20 * GIB
