"""The one exception that means "your input is wrong", and how a script turns it into exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the user gave is wrong: one line that names the place, the value and the way out."""


def exit_status(main: Callable[[], int]) -> int:
    """Run a script's ``main``; an :class:`InputError` becomes one line on stderr and status 2, without a traceback."""
    try:
        return main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
