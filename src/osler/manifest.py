"""What a number depends on besides the recipe (versions, hardware, file contents), and JSON files whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import osler
from osler.errors import InputError

PACKAGES = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "evaluate",
    "huggingface-hub",
    "peft",
    "scikit-learn",
    "torch",
    "transformers",
    "trl",
)


CODE = ("src", "scripts", "tasks", "recipes", "setup.cfg", "constraints.txt")  # that a number depends on


def environment() -> dict[str, Any]:
    """Describe the software and the machine, as JSON; what cannot be known here is null.

    Keys: ``osler``, ``python``, ``packages`` (name: version), ``constraints_sha256``, ``platform``, ``cpu``, ``cores``,
    ``memory_bytes``, ``gpus`` (names), ``git_commit``, ``git_dirty``.
    """
    checkout = Path(__file__).resolve().parents[2]
    constraints = checkout / "constraints.txt"
    # A process that has not imported torch has used no GPU, and must not spend seconds on importing it to say so.
    torch = sys.modules.get("torch")
    gpus = range(torch.cuda.device_count()) if torch is not None and torch.cuda.is_available() else ()
    return {
        "osler": osler.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "constraints_sha256": sha256_file(constraints) if constraints.is_file() else None,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": [torch.cuda.get_device_name(index) for index in gpus] if torch is not None else [],
        **_git(checkout),
    }


def peak_memory_bytes() -> dict[str, int | None]:
    """The most memory this process has held so far: ``host`` (resident) and ``gpu`` (allocated, all GPUs; or null)."""
    torch = sys.modules.get("torch")
    gpu = None
    if torch is not None and torch.cuda.is_available():
        gpu = sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
    return {"host": _peak_resident_bytes(), "gpu": gpu}


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """The sha256 of a text in UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


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
        with os.fdopen(handle, "wb") as file:
            # Bytes, so that file and sha256 are the same on every platform.
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's 0600 would keep a result from everybody else on the machine
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is missing, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


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


def check_folder(folder: Path) -> None:
    """Raise :class:`~osler.errors.InputError` where ``folder`` is none that can be written into, nor be made."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise InputError(f"{folder}: {there} is not a folder; name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: {there} may not be written into; name another place, or change its permissions")


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

    Raises:
        InputError: there are none.
    """
    return sha256_text("".join(sha256_file(path) for path in safetensors(folder)))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _peak_resident_bytes() -> int:
    # On Linux getrusage starts from the peak of the process that started this one (a launcher, a test runner), VmHWM
    # from zero. Elsewhere getrusage is all there is; macOS counts it in bytes, others in kilobytes.
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _cpu() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)


def _git(checkout: Path) -> dict[str, Any]:
    """The commit of Osler's own checkout: an Osler installed inside somebody else's repository has none."""
    if not (checkout / ".git").exists():
        return {"git_commit": None, "git_dirty": None}

    def output(*arguments: str) -> str | None:
        try:
            run = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return run.stdout.strip()

    # What ran, that is; the data and runs of a user may lie in the checkout, too.
    status = output("status", "--porcelain", "--", *CODE)
    return {"git_commit": output("rev-parse", "HEAD"), "git_dirty": None if status is None else bool(status)}
