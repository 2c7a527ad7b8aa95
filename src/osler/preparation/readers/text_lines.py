"""Read a text file line by line, plain or gzipped, and note what is wrong with a line instead of stopping at it."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO, cast

from osler.errors import InputError
from osler.preparation.readers.record import MAX_FIELD_BYTES

MAX_LINE_BYTES = 64 * MAX_FIELD_BYTES  # a longer line is skipped
UTF8_BOM = b"\xef\xbb\xbf"


def open_binary(path: Path) -> BinaryIO:
    """The file at ``path``, decompressed if its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


class TextLines:
    """Iterates over the lines of ``file`` as text.

    Attributes:
        number: the number of the last line, counted from 1.
        line: the last line. One that is not UTF-8 is still given, so that CSV sees its quotation marks.
        flaw: what was wrong with a line since the caller last set this to None.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.number = 0
        self.line = ""
        self.flaw: str | None = None
        self._offset = 0
        self._file = file
        head = file.read(4096)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) > len(head) // 4:
            raise InputError(
                f"{path}: is UTF-16 or UTF-32; convert it to UTF-8: iconv -f UTF-16 -t UTF-8, or in Excel save it as"
                " CSV UTF-8"
            )
        file.seek(0)
        if b"\r" in head and b"\n" not in head:
            self._file = io.BufferedReader(_CarriageReturns(file))
        if head.startswith(UTF8_BOM):
            self._offset = len(self._file.read(len(UTF8_BOM)))

    def __iter__(self) -> TextLines:
        return self

    def __next__(self) -> str:
        content = self._file.readline(MAX_LINE_BYTES)
        if not content:
            raise StopIteration
        self.number += 1
        start, self._offset = self._offset, self._offset + len(content)
        if len(content) == MAX_LINE_BYTES and not content.endswith(b"\n"):
            while content and not content.endswith(b"\n"):
                content = self._file.readline(MAX_LINE_BYTES)
                self._offset += len(content)
            self.flaw = f"a line of {self._offset - start:,} bytes; at most {MAX_LINE_BYTES:,} are read"
            content = b"\n"
        try:
            self.line = content.decode("utf-8")
        except UnicodeDecodeError as error:
            self.flaw = self.flaw or (
                f"not UTF-8 at byte {start + error.start:,} of the file ({error.reason}); if Windows"
                " wrote it, convert it: iconv -f WINDOWS-1252 -t UTF-8"
            )
            self.line = content.decode("utf-8", "backslashreplace")
        return self.line


class _CarriageReturns(io.RawIOBase):
    """The bytes of ``file``, whose lines end with a carriage return alone, as Excel for Mac writes them, with \\n."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(content)] = content
        return len(content)
