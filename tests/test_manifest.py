from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from osler import manifest
from osler.errors import InputError


def test_json_comes_back_as_it_was_written_and_looks_the_same_on_every_machine(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    manifest.write_json(path, {"b": [1, 0.5, None], "a": "naïve"})
    assert path.read_text(encoding="utf-8") == '{\n  "a": "naïve",\n  "b": [\n    1,\n    0.5,\n    null\n  ]\n}\n'
    assert manifest.read_json(path) == {"a": "naïve", "b": [1, 0.5, None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_a_value_that_is_not_json_leaves_the_old_file_whole(tmp_path: Path, value: object) -> None:
    path = tmp_path / "results.json"
    manifest.write_json(path, {"accuracy": 0.5})
    with pytest.raises((ValueError, TypeError)):
        manifest.write_json(path, {"accuracy": value})
    assert manifest.read_json(path) == {"accuracy": 0.5}


def test_a_writer_that_is_stopped_before_the_end_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest.json"
    manifest.write_json(path, {"step": 1})

    def stopped(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        manifest.write_json(path, {"step": 2})
    assert manifest.read_json(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    manifest.write_json(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_missing_or_broken_file_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: cannot be read: No such file") as missing:
        manifest.read_json(tmp_path / "gone.json")
    (tmp_path / "broken.json").write_text('{"a": 1,', encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.json: not JSON: .*line 1") as broken:
        manifest.read_json(tmp_path / "broken.json")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    with pytest.raises(InputError, match=r"latin\.json: not JSON"):
        manifest.read_json(tmp_path / "latin.json")
    assert "\n" not in str(missing.value) + str(broken.value)


def test_hashes_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert manifest.sha256_file(tmp_path / "abc") == manifest.sha256_text("abc")
    assert manifest.sha256_text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_environment_names_the_versions_and_the_machine() -> None:
    environment = manifest.environment()
    assert json.loads(json.dumps(environment)) == environment
    assert set(environment["packages"]) >= {"torch", "transformers", "trl", "peft", "bitsandbytes", "scikit-learn"}
    assert all(environment["packages"].values())
    constraints = Path(__file__).parents[1] / "constraints.txt"
    assert environment["constraints_sha256"] == manifest.sha256_file(constraints)
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["cores"] >= 1
    assert environment["memory_bytes"] > 1 << 28


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_oslers_own_and_dirty_means_other_code_than_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "src" / "osler").mkdir(parents=True)
    (checkout / "src" / "osler" / "manifest.py").touch()
    git(tmp_path, "init", "-q", str(checkout))
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "first")
    monkeypatch.setattr(manifest, "__file__", str(checkout / "src" / "osler" / "manifest.py"))
    clean = manifest.environment()
    assert clean["git_commit"] == git(checkout, "rev-parse", "HEAD")
    assert clean["git_dirty"] is False
    (checkout / "clinic").mkdir()
    (checkout / "clinic" / "export.csv").touch()
    assert manifest.environment()["git_dirty"] is False, "a user's own data is no code"
    (checkout / "src" / "osler" / "new.py").touch()
    assert manifest.environment()["git_dirty"] is True

    # installed into a virtual environment that lies inside somebody else's repository
    monkeypatch.setattr(manifest, "__file__", str(checkout / ".venv" / "lib" / "osler" / "manifest.py"))
    foreign = manifest.environment()
    assert foreign["git_commit"] is None
    assert foreign["git_dirty"] is None


@pytest.mark.parametrize(("content", "said"), [("[1]", "holds a list"), ('{"a": NaN}', "NaN is no number")])
def test_a_record_that_is_none_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(InputError, match=said):
        manifest.read_record(tmp_path / "record.json")


def test_describing_a_run_without_torch_does_not_import_torch() -> None:
    code = "import sys; from osler import manifest; manifest.environment(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_peak_memory_is_in_bytes_and_remembers_what_was_freed() -> None:
    code = (
        "from osler import manifest\n"
        "before = manifest.peak_memory_bytes()['host']\n"
        "held = bytearray(256 << 20)\n"
        "held[::4096] = b'x' * (len(held) // 4096)\n"
        "del held\n"
        "print(manifest.peak_memory_bytes()['host'] - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 200 << 20 < int(run.stdout) < 320 << 20
