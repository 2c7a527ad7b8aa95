"""Processes that help this one, and end when it does, even by ``kill -9``.

By hand, because only the kernel is still there to do it, and no library asks it to: prctl(2). Linux has that; elsewhere
they run to their own end.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
S = TypeVar("S", bound="SigtermNoted")

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: a forked child must not start to
_PR_SET_PDEATHSIG = 1
_forks_end_with_us = False


class SigtermNoted:
    """A context in which SIGTERM, which schedulers send before they take a machine away, is noted in ``asked``."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self: S) -> S:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_: object) -> None:
        self.asked = True


def end_with_parent(signum: signal.Signals = signal.SIGKILL) -> None:
    """Called by a child: send it ``signum`` when its parent ends. For ``subprocess.run(preexec_fn=…)``, for example."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signum)


@contextmanager
def forks_end_with_us() -> Iterator[None]:
    """While this is open, every fork of this process ends with it: ``datasets.map`` takes no hook for its workers, who
    would wait forever."""
    global _forks_end_with_us
    before, _forks_end_with_us = _forks_end_with_us, True
    try:
        yield
    finally:
        _forks_end_with_us = before


def _after_fork() -> None:
    if _forks_end_with_us:
        end_with_parent()


os.register_at_fork(after_in_child=_after_fork)


class OutOfBounds(Exception):
    """What a child was asked for took more than it was given; says which."""


def in_bounds(work: Callable[[], T], cpu_seconds: int, memory_bytes: int) -> T:
    """What ``work`` returns, which JSON can hold, called in a forked child with a limit on its time and its memory.

    Args:
        memory_bytes: on top of what this process has. macOS does not hold a process to it.

    Raises:
        OutOfBounds: it took more of one.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, write, cpu_seconds, memory_bytes)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as file:
        answer = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        raise OutOfBounds(f"does not end within {cpu_seconds} seconds")
    if status == _NO_MEMORY:
        raise OutOfBounds(f"needs more than {memory_bytes // 2**20} MB")
    if status != 0:
        raise RuntimeError(f"a child ended with status {status}")
    result: T = json.loads(answer)
    return result


_NO_MEMORY = 3


def _work(work: Callable[[], Any], write: int, cpu_seconds: int, memory_bytes: int) -> NoReturn:
    status = 1
    try:
        end_with_parent()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
        if os.path.exists("/proc/self/statm"):
            with open("/proc/self/statm", encoding="ascii") as file:
                most = int(file.read().split()[0]) * resource.getpagesize() + memory_bytes
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        answer = json.dumps(work())
        with os.fdopen(write, "w", encoding="utf-8") as file:
            file.write(answer)
        status = 0
    except MemoryError:
        status = _NO_MEMORY
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)  # not what the parent would do at its end
