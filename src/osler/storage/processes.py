"""Processes that help this one, and end when it does, even by ``kill -9``.

By hand, because only the kernel is still there to do it, and no library asks it to: prctl(2). Linux has that; elsewhere
they run to their own end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: a forked child must not start to
_PR_SET_PDEATHSIG = 1
_forks_end_with_us = False


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
