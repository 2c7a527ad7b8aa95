from __future__ import annotations

import os
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from project import ROOT, make

from osler.errors import InputError
from osler.recipe.loading import load_recipe
from osler.recipe.sections import BaseSection
from osler.runs import environment
from osler.runs.manifest import Environment
from osler.storage import checkout, files, hashes
from osler.storage.contracts import plain, validated


def test_json_comes_back_as_it_was_written_and_looks_the_same_on_every_machine(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    files.write_json(path, {"b": [1, 0.5, None], "a": "naïve"})
    assert path.read_text(encoding="utf-8") == '{\n  "a": "naïve",\n  "b": [\n    1,\n    0.5,\n    null\n  ]\n}\n'
    assert files.read_json(path) == {"a": "naïve", "b": [1, 0.5, None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_a_value_that_is_not_json_leaves_the_old_file_whole(tmp_path: Path, value: object) -> None:
    path = tmp_path / "results.json"
    files.write_json(path, {"accuracy": 0.5})
    with pytest.raises((ValueError, TypeError)):
        files.write_json(path, {"accuracy": value})
    assert files.read_json(path) == {"accuracy": 0.5}


def test_a_writer_that_is_stopped_before_the_end_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "manifest.json"
    files.write_json(path, {"step": 1})

    def stopped(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(KeyboardInterrupt):
        files.write_json(path, {"step": 2})
    assert files.read_json(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_others_may_read_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    files.write_json(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_missing_or_broken_file_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: cannot be read: No such file") as missing:
        files.read_json(tmp_path / "gone.json")
    (tmp_path / "broken.json").write_text('{"a": 1,', encoding="utf-8")
    with pytest.raises(InputError, match=r"broken\.json: not JSON: .*line 1") as broken:
        files.read_json(tmp_path / "broken.json")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    with pytest.raises(InputError, match=r"latin\.json: not JSON"):
        files.read_json(tmp_path / "latin.json")
    assert "\n" not in str(missing.value) + str(broken.value)


def test_hashes_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert hashes.sha256_file(tmp_path / "abc") == hashes.sha256_text("abc")
    assert hashes.sha256_text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_environment_names_the_versions_and_the_machine() -> None:
    described = environment.describe_environment()
    assert validated(Environment, plain(described), "environment") == described
    assert set(described.packages) >= {"torch", "transformers", "trl", "peft", "bitsandbytes", "scikit-learn"}
    assert all(described.packages.values())
    constraints = ROOT / "constraints.txt"
    assert described.constraints_sha256 == hashes.sha256_file(constraints)
    assert described.python == ".".join(map(str, sys.version_info[:3]))
    assert described.cores is not None
    assert described.cores >= 1
    assert described.memory_bytes > 1 << 28


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_oslers_own_and_dirty_means_other_code_than_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    (clone / "src" / "osler").mkdir(parents=True)
    (clone / "src" / "osler" / "__init__.py").touch()
    git(tmp_path, "init", "-q", str(clone))
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "first")
    monkeypatch.setattr(checkout, "ROOT", clone)
    clean = environment.describe_environment()
    assert clean.git_commit == git(clone, "rev-parse", "HEAD")
    assert clean.git_dirty is False
    (clone / "clinic").mkdir()
    (clone / "clinic" / "export.csv").touch()
    assert environment.describe_environment().git_dirty is False, "a user's own data is no code"
    (clone / "src" / "osler" / "new.py").touch()
    assert environment.describe_environment().git_dirty is True

    # installed into a virtual environment that lies inside somebody else's repository
    monkeypatch.setattr(checkout, "ROOT", clone / ".venv" / "lib")
    foreign = environment.describe_environment()
    assert foreign.git_commit is None
    assert foreign.git_dirty is None


@pytest.mark.parametrize(("content", "said"), [("[1]", "holds a list"), ('{"a": NaN}', "NaN is no number")])
def test_a_record_that_is_none_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(InputError, match=said):
        files.read_record(tmp_path / "record.json")


def test_describing_a_run_without_torch_does_not_import_torch() -> None:
    code = (
        "import sys; from osler.runs import describe_environment; describe_environment();"
        " sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_peak_memory_is_in_bytes_and_remembers_what_was_freed() -> None:
    code = (
        "from osler.runs import environment\n"
        "before = environment.peak_memory_bytes().host\n"
        "held = bytearray(256 << 20)\n"
        "held[::4096] = b'x' * (len(held) // 4096)\n"
        "del held\n"
        "print(environment.peak_memory_bytes().host - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 200 << 20 < int(run.stdout) < 320 << 20


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(package: str) -> str:
        if package in ("wandb", "clearml"):
            raise metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(environment, "version", version)
    path = make(tmp_path, BaseSection("org/name"), base={"revision": "a" * 40})
    environment.check_installed(load_recipe(path, ["train.report_to=[tensorboard, trackio]"]))
    for name, way in (("wandb", r"pip install -e '.\[tracking\]'"), ("clearml", "pip install clearml")):
        recipe = load_recipe(path, [f"train.report_to={name}"])  # can be evaluated and published all the same
        with pytest.raises(InputError, match=f"train.report_to: {name}: {name} is not installed here: {way}"):
            environment.check_installed(recipe)
