"""What a number depends on besides the recipe (versions, hardware, file contents), and JSON files whole or absent."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import osler
from osler.storage import checkout, sha256_file

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


def describe_environment() -> dict[str, Any]:
    """Describe the software and the machine, as JSON; what cannot be known here is null.

    Keys: ``osler``, ``python``, ``packages`` (name: version), ``constraints_sha256``, ``platform``, ``cpu``, ``cores``,
    ``memory_bytes``, ``gpus`` (names), ``git_commit``, ``git_dirty``.
    """
    constraints = checkout.ROOT / "constraints.txt"
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
        **_git(checkout.ROOT),
    }


def peak_memory_bytes() -> dict[str, int | None]:
    """The most memory this process has held so far: ``host`` (resident) and ``gpu`` (allocated, all GPUs; or null)."""
    torch = sys.modules.get("torch")
    gpu = None
    if torch is not None and torch.cuda.is_available():
        gpu = sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
    return {"host": _peak_resident_bytes(), "gpu": gpu}


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


def _git(root: Path) -> dict[str, Any]:
    """The commit of Osler's own checkout: an Osler installed inside somebody else's repository has none."""
    if not (root / ".git").exists():
        return {"git_commit": None, "git_dirty": None}

    def output(*arguments: str) -> str | None:
        try:
            run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return run.stdout.strip()

    # What ran, that is; the data and runs of a user may lie in the checkout, too.
    status = output("status", "--porcelain", "--", *CODE)
    return {"git_commit": output("rev-parse", "HEAD"), "git_dirty": None if status is None else bool(status)}
