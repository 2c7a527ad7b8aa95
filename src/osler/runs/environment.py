"""What a number depends on besides the recipe: versions, hardware, code; and what a recipe needs that is not here."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import osler
from osler.errors import InputError
from osler.recipe import TRACKERS, Recipe, trackers_of
from osler.runs.manifest import Environment, PeakMemory
from osler.runs.memory import machine_memory
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


EXTRA = ("mlflow-skinny", "tensorboard", "trackio", "wandb")  # the extra `tracking` of setup.cfg
CODE = ("src", "scripts", "tasks", "recipes", "setup.cfg", "constraints.txt")  # that a number depends on


def check_installed(recipe: Recipe) -> None:
    """Raise :class:`InputError` where a recipe needs a package to train that is not here.

    Not part of reading a recipe: what was trained on one machine is evaluated and published on another.
    """
    needed = {f"train.report_to: {name}": TRACKERS[name] for name in trackers_of(recipe)}
    if recipe.base.attn_implementation == "flash_attention_2":
        needed["base.attn_implementation: flash_attention_2"] = "flash-attn"
    for setting, package in needed.items():
        try:
            version(package)
        except PackageNotFoundError:
            way = "pip install -e '.[tracking]'" if package in EXTRA else f"pip install {package}"
            raise InputError(f"{recipe.path}: {setting}: {package} is not installed here: {way}") from None


def describe_environment() -> Environment:
    """The software and the machine."""
    constraints = checkout.ROOT / "constraints.txt"
    # A process that has not imported torch has used no GPU, and must not spend seconds on importing it to say so.
    torch = sys.modules.get("torch")
    gpus = range(torch.cuda.device_count()) if torch is not None and torch.cuda.is_available() else ()
    commit, dirty = _git(checkout.ROOT)
    return Environment(
        osler=osler.__version__,
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
        constraints_sha256=sha256_file(constraints) if constraints.is_file() else None,
        platform=platform.platform(),
        cpu=_cpu(),
        cores=os.cpu_count(),
        memory_bytes=machine_memory(),
        gpus=tuple(torch.cuda.get_device_name(index) for index in gpus) if torch is not None else (),
        git_commit=commit,
        git_dirty=dirty,
    )


def peak_memory_bytes() -> PeakMemory:
    """The most memory this process has held so far: ``host`` (resident) and ``gpu`` (allocated, all GPUs; or null)."""
    torch = sys.modules.get("torch")
    gpu = None
    if torch is not None and torch.cuda.is_available():
        gpu = sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
    return PeakMemory(host=_peak_resident_bytes(), gpu=gpu)


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


def _git(root: Path) -> tuple[str | None, bool | None]:
    """The commit of Osler's own clone, and whether its code was changed since; None for an Osler that is installed
    inside somebody else's repository."""
    if not (root / ".git").exists():
        return None, None

    def output(*arguments: str) -> str | None:
        try:
            run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return run.stdout.strip()

    # What ran, that is; the data and runs of a user may lie in the clone, too.
    status = output("status", "--porcelain", "--", *CODE)
    return output("rev-parse", "HEAD"), None if status is None else bool(status)
