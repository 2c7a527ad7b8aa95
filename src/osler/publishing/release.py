"""Publish a version to the Hugging Face Hub, and fetch published ones: the only module that talks to the Hub for that.

A version gets there in steps that the Hub takes whole or not at all, so that it may stop after any of them::

    create the repository → branch staging-v1.0.0 → one commit on it → download it again, compare, verify
                          → one commit on main, of what was verified → tag v1.0.0 → delete the staging branch

``main`` and each tag are therefore always as before or complete. Which of the two comes first is a choice, for the Hub
moves one at a time. The tag is last and is the receipt: where it is, everything has happened, and publishing again has
nothing to do, even if main has gone on to later versions. Tagging the staged commit first would put tags on commits
that main never had, and publishing again could not tell a main that is still to come from one that has gone on.

Every step looks at what is there before it acts, and each commit names the parent it was made for: the Hub refuses it
where that is no longer the newest, be it that somebody else was faster or that an answer was lost on the way. Trying
again, here or in another process, is hence the same call once more.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from osler.errors import InputError
from osler.publishing.folder import workplace
from osler.storage import ATTRIBUTES, download_once, explained, hub_api, persistently, read_record, sha256_file

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, HfApi
    from huggingface_hub.hf_api import RepoFile


MANIFEST = "manifest.json"


def publish(folder: Path, repo_id: str, tag: str, private: bool, verify: Callable[[Path], None]) -> str:
    """Make ``folder`` the content of ``main`` and of ``tag``; returns the URL of the tagged version.

    ``verify`` gets the downloaded copy and raises :class:`~osler.errors.InputError` where it is not fit to be
    published. Call this again after any failure: it goes on from there, and does nothing where all is done.

    Raises:
        InputError: the tag exists with other content, the repository holds something else, another recipe's model or a
            newer version, or is public although ``private``, somebody else changed ``main`` meanwhile, a file came back
            other than it was sent, ``verify`` failed, the Hub refuses the metadata of README.md; or as
            :func:`check_access` and :func:`download`.
    """
    api = hub_api(repo_id)
    files = _files(folder)
    recipe = read_record(folder / MANIFEST, "recipe.name", "recipe.version")["recipe"]
    with workplace(folder) as place:
        downloads = Path(tempfile.mkdtemp(dir=place))  # huggingface_hub remembers what it listed, by the folder's name
        return persistently(_Publication(api, repo_id, tag, private, recipe, files, verify, downloads).attempt)


@dataclass(frozen=True)
class _File:
    source: Path
    sha256: str
    git: str  # what git calls its content

    def equals(self, there: RepoFile) -> bool:
        return self.git == there.blob_id if there.lfs is None else self.sha256 == there.lfs.sha256


@dataclass
class _Publication:
    """One version on its way. It outlives a failed attempt, so that what was verified is not verified again."""

    api: HfApi
    repo_id: str
    tag: str
    private: bool
    recipe: dict[str, str]  # its name and version, of the manifest
    files: dict[str, _File]
    verify: Callable[[Path], None]
    downloads: Path  # empty at first, so that what is verified did come from the Hub
    main: str | None = None  # its head when we first looked
    verified: bool = False  # these very files
    contents: dict[str, dict[str, RepoFile]] = field(default_factory=dict)  # of commits, which never change

    def attempt(self) -> str:
        staging = f"staging-{self.tag}"
        with explained(self.repo_id):
            first = self.main is None
            branches, tags = self._look()
            main = branches["main"]
            tagged = self.tag in tags
            if tagged:
                self._check_tagged(tags[self.tag])
                if first:
                    print(f"{self.repo_id}: {self.tag} is published already, with exactly this content")
            elif self._different(main):
                new = staging not in branches
                commit = self._stage(staging, branches.setdefault(staging, main), new)
            else:
                commit = main  # an earlier call got this far, but not to the tag
        if not tagged:
            copy = self._verified(commit)
            with explained(self.repo_id):
                self._release(main, commit, copy)
        with explained(self.repo_id):
            if staging in branches:
                self.api.delete_branch(self.repo_id, branch=staging)
        return f"{self.api.endpoint}/{self.repo_id}/tree/{self.tag}"

    def _look(self) -> tuple[dict[str, str], dict[str, str]]:
        """The branches and tags of the repository, name → commit; makes it where there is none."""
        self.api.create_repo(self.repo_id, private=self.private, exist_ok=True)
        if self.private and not self.api.model_info(self.repo_id).private:
            raise InputError(
                f"{self.repo_id}: is public, but this is to be published privately; make it private in its settings on"
                " the Hub, or write `publish: {private: false}` into the recipe"
            )
        refs = self.api.list_repo_refs(self.repo_id)
        branches, tags = ({ref.name: ref.target_commit for ref in some} for some in (refs.branches, refs.tags))
        main = branches["main"]
        if self.main is not None and main != self.main and self._different(main):
            raise InputError(
                f"{self.repo_id}: somebody moved main from {self.main[:8]} to {main[:8]} while this ran; see what they"
                " did, then run this again"
            )
        self.main = main
        there = self._content(main)
        if there.keys() - {"README.md"} and MANIFEST not in there:
            raise InputError(
                f"{self.repo_id}: holds {min(there.keys() - {'README.md'})} but no {MANIFEST}, so it is no earlier"
                " version, and would be replaced; choose another name, or empty it first"
            )
        if MANIFEST in there and self._different(main):
            self._check_earlier(main, tagged=self.tag in tags)
        return branches, tags

    def _check_earlier(self, main: str, tagged: bool) -> None:
        """That what is on main is of our recipe and, where it is to be replaced, no newer."""
        cache = self.downloads / "main"
        content = Path(self.api.hf_hub_download(self.repo_id, MANIFEST, revision=main, cache_dir=cache)).read_bytes()
        ours, version = self.recipe["name"], self.recipe["version"]
        try:
            recipe = json.loads(content)["recipe"]
            name, there = recipe["name"], _version(recipe["version"])
        except (ValueError, TypeError, KeyError):
            name = None
        if name != ours:
            other = repr(name) if isinstance(name, str) else "no recipe and version"
            raise InputError(
                f"{self.repo_id}: holds another model (its {MANIFEST} names {other}, not {ours!r}), and would be"
                " replaced; choose another name"
            )
        if not tagged and there > _version(version):
            raise InputError(
                f"{self.repo_id}: main holds version {there}, which {version} would replace although it is older; give"
                " the recipe a newer one"
            )

    def _check_tagged(self, commit: str) -> None:
        if different := self._different(commit):
            more = f" and {len(different) - 1} more" if len(different) > 1 else ""
            raise InputError(
                f"{self.repo_id}: {self.tag} is published already, and differs in {different[0]}{more}; a version never"
                " changes: give the recipe a new one"
            )

    def _stage(self, branch: str, head: str, new: bool) -> str:
        """Give the staging branch exactly our content, by at most one commit; returns its head."""
        from huggingface_hub import CommitOperationAdd

        if new:
            self.api.create_branch(self.repo_id, branch=branch, revision=head)
        if not self._different(head):
            return head
        return self._commit(
            f"Stage {self.tag}",
            branch,
            head,
            [CommitOperationAdd(path, file.source) for path, file in self.files.items()],
        )

    def _verified(self, commit: str) -> Path:
        """What the Hub gives back for a commit, once it has passed every check."""
        folder, _ = download_once(self.repo_id, commit, self.downloads / "staged")
        here = {path: sha256_file(file) for path, file in _paths(folder).items()}
        for path in sorted(self.files.keys() | here.keys()):
            if path not in self.files or here.get(path) != self.files[path].sha256:
                raise InputError(
                    f"{self.repo_id}: {path} came back from the Hub other than it was sent; main and the tags are as"
                    " they were: run this again"
                )
        if not self.verified:
            self.verify(folder)
            self.verified = True
        return folder

    def _release(self, main: str, commit: str, copy: Path) -> None:
        """Make the verified ``commit``, of which ``copy`` is one, the content of main by one commit, and tag that."""
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy

        if commit != main:
            # The Hub copies large files on its side. Small ones it would have us fetch once more, so they are sent from
            # the copy that was verified.
            there = self._content(commit)
            operations = [
                CommitOperationCopy(path, path, src_revision=commit)
                if there[path].lfs
                else CommitOperationAdd(path, copy / path)
                for path in self.files
            ]
            main = self._commit(self.tag, "main", main, operations)
        self.api.create_tag(self.repo_id, tag=self.tag, revision=main)

    def _commit(
        self, title: str, branch: str, parent: str, files: Sequence[CommitOperationAdd | CommitOperationCopy]
    ) -> str:
        from huggingface_hub import CommitOperationDelete

        gone = [CommitOperationDelete(path, is_folder=False) for path in self._content(parent).keys() - self.files]
        commit = self.api.create_commit(
            self.repo_id, [*files, *gone], commit_message=title, revision=branch, parent_commit=parent
        ).oid
        if different := self._different(commit):
            raise InputError(f"{self.repo_id}: the Hub did not keep {different[0]} as it was sent; run this again")
        return commit

    def _different(self, commit: str) -> list[str]:
        """The paths at which a commit is not what is to be published, in order."""
        there = self._content(commit)
        same = {path for path, file in self.files.items() if path in there and file.equals(there[path])}
        return sorted((self.files.keys() | there.keys()) - same)

    def _content(self, commit: str) -> dict[str, RepoFile]:
        from huggingface_hub.hf_api import RepoFile

        if commit not in self.contents:
            listed = self.api.list_repo_tree(self.repo_id, recursive=True, revision=commit)
            files = {file.path: file for file in listed if isinstance(file, RepoFile)}
            self.contents[commit] = {path: file for path, file in files.items() if path != ATTRIBUTES}
        return self.contents[commit]


def _files(folder: Path) -> dict[str, _File]:
    """Path in the repository → file."""
    files = {}
    for path, source in _paths(folder).items():
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % source.stat().st_size, usedforsecurity=False)
        with source.open("rb") as file:
            while block := file.read(1 << 20):
                sha256.update(block)
                git.update(block)
        files[path] = _File(source, sha256.hexdigest(), git.hexdigest())
    if not files:
        raise InputError(f"{folder}: no files in it to publish; make it anew")
    return files


def _paths(folder: Path) -> dict[str, Path]:
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path for name, path in paths.items() if name != ATTRIBUTES}


def _version(text: str) -> Version:
    """For comparing. A recipe's version may end in a word, as 1.0.0-smoke does: that has no order, its numbers have."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version(text.partition("-")[0])
