"""Read the secret key of de-identification from its file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from osler.errors import InputError

MIN_KEY_LENGTH = 16  # characters


def read_key(path: Path) -> str:
    """The key in the file at ``path``.

    Raises:
        InputError: the file cannot be read, the key is too short, or the extra ``deid`` is not installed.
    """
    if find_spec("presidio_analyzer") is None:
        raise InputError("--deidentify needs the extra `deid`: pip install 'osler[deid]'")
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read as a key file ({error}); make one: openssl rand -hex 32 > {path}"
        ) from None
    if len(key) < MIN_KEY_LENGTH:
        raise InputError(f"{path}: {len(key)} characters are no secret; make one: openssl rand -hex 32 > {path}")
    return key
