"""An image is read to its pixels and no further, or refused with what to do about it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from drawings import png
from PIL import Image

from osler.errors import InputError
from osler.tasks.images import case_image, decoded


def test_what_a_file_says_of_a_person_does_not_leave_it() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe, born 1950-01-01"  # ImageDescription
    with_name = png(90, mode="RGB", format="JPEG", exif=exif, comment="Jane Doe")
    assert b"Jane Doe" in with_name
    read = case_image(None, with_name, "row").read()
    assert read.info == {}
    assert not read.getexif()
    kept = io.BytesIO()
    read.save(kept, "PNG")
    assert b"Jane" not in kept.getvalue()


def test_an_image_is_turned_as_its_metadata_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    turned = decoded(png(90, exif=exif), "row")
    assert turned.size == decoded(png(90), "row").size[::-1]


def test_the_same_pixels_with_other_metadata_are_the_same_image() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken on Tuesday"
    plain, other = case_image(None, png(90), "row"), case_image(None, png(90, exif=exif), "row")
    assert plain.sha256 != other.sha256
    assert plain.pixels_sha256 == other.pixels_sha256
    assert plain.pixels_sha256 != case_image(None, png(91), "row").pixels_sha256


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it has ``side`` × ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def frames() -> bytes:
    file = io.BytesIO()
    pictures = [Image.new("L", (8, 8), grey) for grey in (0, 255)]
    pictures[0].save(file, "TIFF", save_all=True, append_images=pictures[1:])
    return file.getvalue()


def sixteen_bits() -> bytes:
    file = io.BytesIO()
    Image.new("I;16", (8, 8), 3000).save(file, "PNG")
    return file.getvalue()


def see_through() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 100)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no image that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image that can be read"),
        (b"\0" * 128 + b"DICM", "DICOM: export it as PNG"),
        (png(90, side=200)[:-60], "is no image that can be read"),
        (png(90, mode="RGB", side=200, format="JPEG")[:-300], "is no image that can be read"),
        (bomb(10_000), "10,000 × 10,000 pixels; expected 67,108,864 at most"),
        (bomb(60_000), "far more than 67,108,864 pixels"),
        (frames(), "2 pictures in one file"),
        (sixteen_bits(), "eight bits a channel"),
        (see_through(), "one can see through parts of it"),
    ],
)
def test_what_no_model_should_be_shown_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InputError) as refused:
        case_image(None, data, "table.csv:7: file")
    assert reason in str(refused.value)
    assert str(refused.value).startswith("table.csv:7: file")
    assert "\n" not in str(refused.value)


def test_a_file_that_changes_while_a_run_reads_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(png(90))
    image = case_image(path, None, "row")
    path.write_bytes(png(91))
    with pytest.raises(InputError, match=r"one\.png: has changed since this run began"):
        image.read()


def test_a_missing_image_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"table\.csv:3: .*none\.png: no such image"):
        case_image(tmp_path / "none.png", None, "table.csv:3")
