"""The one exception that means "your input is wrong", and how a script turns it into exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the user gave is wrong: one line that names the place, the value and the way out."""


def exit_status(main: Callable[[], int]) -> int:
    """Run a script's ``main``; an :class:`InputError` becomes one line on stderr and status 2, without a traceback.

    So does a file that the system will not open, make or write: the path is the user's, or below $HOME, $OSLER_CACHE or
    $HF_HOME. An ``OSError`` that names no file is a failure of another kind.
    """
    try:
        return main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}; name another place, or mend that one", file=sys.stderr)
        return 2
