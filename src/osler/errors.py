"""The exceptions that end a script in one line: exit status 2 where the input is wrong, 1 where the work failed."""

from __future__ import annotations

import difflib
import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

BROKEN_PIPE = 128 + 13  # the status of a command that SIGPIPE ends
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MAX_PATH = 500  # characters shown of a path: a file may name one that no disk takes


class InputError(Exception):
    """Something the user gave is wrong: one line that names the place, the value and the way out; a line a fault."""


class FailedError(Exception):
    """The work ran, and what came of it may not be used: one line that says where, why and what to do."""


def exit_status(main: Callable[[], int]) -> int:
    """Run a script's ``main``; an :class:`InputError` becomes a line a fault on stderr and status 2, no traceback, a
    :class:`FailedError` one line and status 1.

    So does a file that the system will not open, make or write: the path is the user's, or below $HOME, $OSLER_CACHE or
    $HF_HOME. So does a full disk. Another ``OSError`` that names no file is a failure of another kind.

    Where nobody reads the output any more (``| head -1``), the script ends at once and without a word.

    What a terminal cannot show, such as a label's letters on one that knows only ASCII, is printed as ``\\xef``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has had enough. What is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except InputError as error:
        print_error(error)
        return 2
    except FailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        full = error.errno in DISK_FULL
        if error.filename is None and not full:
            raise
        # Of a copy, the second is the one that is written.
        place = str((error.filename2 if full else None) or error.filename or "the disk")
        way_out = "make room, then run this again" if full else "name another place, or mend that one"
        print(f"error: {place[:MAX_PATH]}: {error.strerror or error}; {way_out}", file=sys.stderr)
        return 2


def print_error(error: InputError) -> None:
    """``error: …`` on stderr, a line a fault."""
    print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def show(value: Any) -> str:
    """A value on one line and not too long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def join(where: str, key: str) -> str:
    """The path of a key; one that is no plain word is shown quoted, because it may hold anything."""
    key = key if re.fullmatch(r"[\w.-]{1,60}", key) else show(key)
    return f"{where}.{key}" if where else key


def nearest(value: Any, known: Iterable[str], where: str = "", cutoff: float = 0.6) -> str:
    """``; did you mean …?`` or nothing. A name that only goes on from ``value`` is nearer than one spelt like it."""
    names = list(known)
    longer = [name for name in names if isinstance(value, str) and len(value) > 3 and name.startswith(value)]
    close = longer or (difflib.get_close_matches(value, names, n=1, cutoff=cutoff) if isinstance(value, str) else [])
    return f"; did you mean {join(where, close[0])}?" if close else ""


def one_line(text: str) -> str:
    """A parser's message may run over several lines; an error here never does."""
    return " ".join(text.split())
