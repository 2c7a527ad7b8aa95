"""A page and an endpoint on the Hub's servers for a published version: the folder of both, and its upload as a Space.

The version itself stays as it is: ``hosted/`` is code that downloads it, in a repository of its own, with the Osler
that is running here beside it, for Osler is not on PyPI.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

import osler
from osler.errors import InputError
from osler.publishing.folder import workplace
from osler.rendering import render_template
from osler.runs import Run
from osler.storage import check_folder, checkout, explained, hub_api, persistently, write_atomically

HOSTED = Path(__file__).with_name("hosted")
CODE = ("app.py", "handler.py")
MODEL = "model.txt"
GRADIO = "6.31.0"  # what app.py was tried with
AS_ASKED = {"pillow"}  # Gradio wants an older one than Osler is tested with; Osler takes both


def check(run: Run) -> None:
    """Raise :class:`InputError` where a Space could not ask the model of ``run``."""
    from osler.serving import check_served  # imports torch

    try:
        check_served(run, run.recipe())
    except InputError as error:
        raise InputError(f"--space: {error}; publish it without --space") from None


def build(folder: Path, repo_id: str, tag: str) -> Path:
    """Make ``folder``, all or nothing, in place of one that is there: what asks ``repo_id@tag``; returns it.

    Raises:
        InputError: what Osler needs is not known, because it is not installed.
    """
    try:
        distribution = importlib.metadata.distribution("osler")
    except importlib.metadata.PackageNotFoundError:
        raise InputError("--space: osler is not installed here, so what it needs is not known; make install") from None
    licence = distribution.read_text("licenses/LICENSE")
    if licence is None:
        raise InputError("--space: osler was installed without its LICENSE; make install")
    check_folder(folder)
    model = f"{repo_id}@{tag}"
    title = repo_id.partition("/")[2]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with workplace(folder) as part:
        shutil.copytree(checkout.PACKAGE, part / "osler", ignore=shutil.ignore_patterns("__pycache__"))
        for name in CODE:
            shutil.copyfile(HOSTED / name, part / name)
        card = render_template(
            "publishing/hosted/README.jinja",
            repo_id=repo_id,
            tag=tag,
            model=model,
            title=title,
            gradio=GRADIO,
            python=python,
            osler=osler.__version__,
        )
        files = {
            "README.md": card,
            MODEL: f"{model}\n",
            "LICENSE": licence,
            "requirements.txt": "".join(f"{line}\n" for line in _requirements(distribution)),
        }
        for name, text in files.items():
            write_atomically(part / name, text)
        if folder.is_dir():
            shutil.rmtree(folder)
        part.rename(folder)
    return folder


def _requirements(distribution: importlib.metadata.Distribution) -> list[str]:
    """What Osler needs without its extras, in the versions that are installed here."""
    lines = []
    for line in distribution.requires or ():
        needed = Requirement(line)
        if needed.marker is None:
            # The public part: +cpu is of an index that others may not have.
            version = Version(importlib.metadata.version(needed.name)).public
            lines.append(str(needed) if needed.name in AS_ASKED else f"{needed.name}=={version}")
    return sorted(lines)


def publish(folder: Path, repo_id: str, tag: str, private: bool) -> str:
    """Make ``folder`` the content of the Space ``repo_id``; returns its address.

    Raises:
        InputError: the Space holds something that was not made here, or is public although ``private``; or as
            :func:`osler.publishing.release.publish`.
    """
    api = hub_api(repo_id)

    def attempt() -> str:
        with explained(repo_id):
            api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
            there = api.space_info(repo_id)
            names = {file.rfilename for file in there.siblings or ()} - {"README.md", ".gitattributes"}
            if names and MODEL not in names:
                raise InputError(
                    f"{repo_id}: there is a Space of this name that holds {min(names)} and no {MODEL}, so it was not"
                    " made here, and would be replaced; choose another name, or empty it first"
                )
            if private and not there.private:
                raise InputError(
                    f"{repo_id}: the Space is public, but this is to be published privately; make it private in its"
                    " settings on the Hub"
                )
            api.upload_folder(
                repo_id=repo_id, repo_type="space", folder_path=folder, commit_message=tag, delete_patterns="*"
            )
            return f"{api.endpoint}/spaces/{repo_id}"

    return persistently(attempt)
