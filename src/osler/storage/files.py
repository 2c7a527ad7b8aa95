"""JSON files whole or absent, and the fingerprints of a folder of weights."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from osler.errors import InputError
from osler.storage.hashes import sha256_file, sha256_text


def write_json(path: Path, value: object) -> None:
    """Write ``value`` so that a reader finds the old file or the whole new one, even if the machine stops in between.

    Raises:
        TypeError: JSON has no such type.
        ValueError: a number is NaN or infinite, which JSON cannot say: write null.
    """
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` beside ``path`` and move it there: readers see the old file or the new, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, so that two writers cannot mix their halves; in the same folder, so that replacing is atomic.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            # Bytes, so that file and sha256 are the same on every platform.
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would keep a result from everybody else on the machine
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say of which file
            error.filename = str(path)
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give ``path`` to an ``OSError`` that names no file, as of a write to a full disk, so that it can be told."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def read_text(path: Path) -> str:
    """The text in a UTF-8 file, without its byte order mark. Raises :class:`InputError` where it is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is missing, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=no_number)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{path}: not JSON: nested too deeply") from None


def no_number(name: str) -> None:
    """``parse_constant`` of :func:`json.loads`: Python reads NaN and infinities, which JSON does not have."""
    raise ValueError(f"{name} is no number of JSON")


def repeated(names: Sequence[str]) -> str | None:
    """The first of ``names`` that is there a second time."""
    if len(set(names)) == len(names):
        return None
    return next(name for position, name in enumerate(names) if name in names[:position])


def read_record(path: Path, *keys: str) -> dict[str, Any]:
    """Read a JSON object that has all ``keys``; ``recipe.sha256`` is a key of the object under ``recipe``.

    Raises:
        InputError: as :func:`read_json`; or a key is missing.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds a {type(record).__name__}, not an object; make the file anew")
    for key in keys:
        inside = record
        for name in key.split("."):
            if not isinstance(inside, dict) or name not in inside:
                raise InputError(f"{path}: the key {key} is missing; make the file anew, or bring back the whole one")
            inside = inside[name]
    return dict(record)


def append_line(path: Path, content: Mapping[str, object]) -> None:
    """Add ``content`` to ``path`` as a line of JSON, in one write: lines of two processes do not mix, and a kill leaves
    no half of one. A new file may be read by its owner alone. Raises :class:`OSError` where the disk has no room for
    all of it, and takes back what it had."""
    line = (json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # so that nobody else's line is taken back
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def check_folder(folder: Path) -> None:
    """Raise :class:`~osler.errors.InputError` where nothing can be written into ``folder``, or it cannot be made."""
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise InputError(f"{folder}: {existing} is not a folder; name another place")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: {existing} may not be written into; name another place, or change its permissions")


def safetensors(folder: Path) -> list[Path]:
    """The weights in ``folder``, in the order of their names.

    Raises:
        InputError: there are none.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(f"{folder}: no .safetensors file in it (pickled weights are never loaded: convert them first)")
    return paths


def fingerprint(folder: Path) -> str:
    """The sha256 over the sha256s of a folder's safetensors files, in the order of their names.

    It is that of a base, whose other files a commit or the hash of its GGUF file pins.

    Raises:
        InputError: there are none.
    """
    return sha256_text("".join(sha256_file(path) for path in safetensors(folder)))


# What decides an answer of the model in a folder, whatever else is there: weights, configuration (of an adapter, its
# scale), the tokenizer, also as earlier releases of transformers saved it, and what makes a conversation text.
DECIDING = (
    *("*.safetensors", "*.safetensors.index.json", "adapter_config.json", "config.json", "generation_config.json"),
    *("tokenizer*", "vocab*", "merges.txt", "*.model", "*.spm", "special_tokens_map.json", "added_tokens.json"),
    *("*.jinja", "additional_chat_templates/*.jinja"),
)


def deciding_files(folder: Path) -> list[str]:
    """The names of the files in ``folder`` that decide what the model in it answers, in order."""
    paths = {path for pattern in DECIDING for path in folder.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def model_fingerprint(folder: Path) -> str:
    """The sha256 over names and sha256s of the :func:`deciding_files` of a folder that training or merging made.

    Raises:
        InputError: there are no weights among them.
    """
    safetensors(folder)
    return sha256_text("".join(f"{sha256_file(folder / name)}  {name}\n" for name in deciding_files(folder)))
