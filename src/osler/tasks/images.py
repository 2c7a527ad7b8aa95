"""Images of cases: read, checked and stripped to their pixels before a model or anybody else gets them."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageOps

from osler.errors import InputError, one_line, show

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF")  # not all that Pillow opens: some of its formats run other programs
COLOURS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")  # modes of eight bits or less a channel
MOST_PIXELS = 2**26  # 67 million: a chest X-ray has about 10 million; a file of a few bytes can ask for far more


@dataclass(frozen=True)
class CaseImage:
    """An image that has been read once and found right.

    Attributes:
        sha256: of the file's bytes.
        pixels_sha256: of what :meth:`read` gives: saved again, with other metadata, an image is the same.
        size: width and height in pixels, upright.
        path: the file; None where ``data`` is its content, as it stands in a table.
    """

    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)

    def read(self) -> Image.Image:
        """The pixels, in colour and upright, and nothing else that was in the file.

        Raises :class:`InputError` where the file is another one than was checked, or gone.
        """
        if self.path is None:
            return decoded(self.data or b"", "an image in the table")
        data = read_file(self.path)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise InputError(f"{self.path}: has changed since this run began; start again")
        return decoded(data, str(self.path))


def case_image(path: Path | None, data: bytes | None, where: str) -> CaseImage:
    """The image in the file ``path``, or in ``data``, read and checked. ``where`` is the row that names it.

    Raises :class:`InputError` where it is missing, no image that is understood, or absurdly large.
    """
    content = read_file(path, where) if path is not None else data or b""
    image = decoded(content, f"{where}: {path.name}" if path is not None else where)
    pixels = hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()
    return CaseImage(hashlib.sha256(content).hexdigest(), pixels, image.size, path, None if path else data)


def read_file(path: Path, where: str | None = None) -> bytes:
    """Its bytes. Raises :class:`InputError`, with ``where`` it is named, where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        named = f"{where}: " if where else ""
        reason = "no such image" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(f"{named}{path}: {reason}; paths of images are read from the table's folder") from None


def decoded(data: bytes, where: str) -> Image.Image:
    """The pixels of an encoded image: RGB, turned as its metadata says, and without any metadata.

    Raises :class:`InputError` for what is no image, has more than ``MOST_PIXELS``, more than one picture, more than
    eight bits a channel, or parts one can see through: each could be shown in several ways, and a model sees one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below Pillow's
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        with opened as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise InputError(f"{where}: {width:,} × {height:,} pixels; expected {MOST_PIXELS:,} at most: scale it")
            if (pictures := getattr(image, "n_frames", 1)) > 1:
                raise InputError(f"{where}: {pictures} pictures in one file; expected one: write a row for each")
            if image.mode not in COLOURS:
                text = f"its pixels are {show(image.mode)}; expected eight bits a channel, grey or RGB: "
                raise InputError(f"{where}: {text}map the window of values that matters to 0-255, and save it so")
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data and upright.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise InputError(f"{where}: one can see through parts of it; lay it on a background, and save it so")
            rgb = upright.convert("RGB")
    except Image.DecompressionBombError:
        raise InputError(f"{where}: far more than {MOST_PIXELS:,} pixels; scale it") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError) as error:  # what Pillow ends with
        known = f"expected one whole {' or '.join(FORMATS)} file (DICOM: export it as PNG)"
        raise InputError(f"{where}: is no image that can be read ({one_line(str(error))[:100]}); {known}") from None
    return Image.frombytes("RGB", rgb.size, rgb.tobytes())
