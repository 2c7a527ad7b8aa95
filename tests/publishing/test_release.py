"""Publishing to a Hub that fails at every single request, one at a time; and fetching what was published."""

from __future__ import annotations

import copy
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import pytest
from forked import fork
from local_hub import LocalHub

from osler.errors import InputError
from osler.publishing import release
from osler.recipe.sections import BaseSection
from osler.storage import hub as osler_hub
from osler.storage import hub_retries

REPO = "jane/model"
MANIFEST = b'{"recipe": {"name": "%s", "version": "%s"}}'
CARD = b"---\nlicense: apache-2.0\nlibrary_name: peft\n---\n# A model, version %d\n"
VERSIONS: dict[str, dict[str, bytes]] = {
    "v1.0.0": {
        "README.md": CARD % 1,
        "manifest.json": MANIFEST % (b"tiny", b"1.0.0"),
        "adapter_model.safetensors": b"a" * 3000,
        "merged/model.safetensors": b"m" * 7000,
        "tasks/old/task.yaml": b"name: old\n",
    },
    "v1.1.0": {
        "README.md": CARD % 2,
        "manifest.json": MANIFEST % (b"tiny", b"1.1.0"),
        "adapter_model.safetensors": b"A" * 3000,  # one PUT
        "merged/model.safetensors": b"M" * 7000,  # two parts
    },
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    with LocalHub.serve(tmp_path / "hub") as hub:
        hub.part = 4000
        yield hub


@pytest.fixture
def jane(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token that this process has."""
    token = hub.token("jane")
    become(monkeypatch, hub, token)
    return token


def become(patch: pytest.MonkeyPatch, hub: LocalHub, token: str | None) -> None:
    """Be a client that never waits and never tries again by itself (huggingface_hub does), one request at a time."""
    import httpx2
    import huggingface_hub.utils
    from huggingface_hub import _snapshot_download
    from huggingface_hub.utils import _http

    def in_order(function: Callable[..., object], items: list[object], **_: object) -> list[object]:
        return [function(item) for item in items]

    hub.connect(patch, token)
    patch.setattr(hub_retries, "PAUSES", ())
    # Without the certificates, which take longer to load than a whole publication takes.
    hooks = {"request": [_http.hf_request_event_hook]}
    patch.setattr(_http, "default_client_factory", lambda: httpx2.Client(verify=False, event_hooks=hooks, timeout=None))
    patch.setattr(_http, "time", SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None}))
    patch.setattr("huggingface_hub.file_download.time", _http.time)
    patch.setattr(huggingface_hub.utils, "hf_thread_map", in_order)
    patch.setattr(_snapshot_download, "hf_thread_map", in_order)


def folder_of(parent: Path, tag: str, **changes: bytes) -> Path:
    folder = parent / tag
    for path, content in {**VERSIONS[tag], **changes}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def publish(folder: Path, verify: Callable[[Path], None] = lambda copy: None, private: bool = True) -> str:
    return release.publish(folder, REPO, folder.name, private, verify)


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_version_is_one_verified_commit_and_a_tag(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    seen = {}

    def verify(copy: Path) -> None:
        seen.update({path: (copy / path).read_bytes() for path in VERSIONS["v1.0.0"]})
        assert (hub.content(REPO), hub.repository(REPO).tags) == ({}, {})  # nothing is public before it is verified

    url = publish(folder_of(tmp_path, "v1.0.0"), verify)
    there = hub.repository(REPO)
    assert url == f"{hub.endpoint}/{REPO}/tree/v1.0.0"
    assert seen == hub.content(REPO) == hub.content(REPO, "v1.0.0") == VERSIONS["v1.0.0"]
    assert there.private
    assert there.branches == {"main": there.tags["v1.0.0"]}
    assert [commit.title for commit in there.history()] == ["v1.0.0", "initial commit"]
    uploads = [call for call in hub.requests if call.method == "PUT"]
    assert len(uploads) == 1 + 2  # each weight once, for main they are copied


def test_publishing_again_changes_nothing(
    hub: LocalHub, jane: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, "v1.0.0")
    url = publish(folder)
    before = copy.deepcopy(hub.repositories)
    assert capsys.readouterr().out == ""
    assert publish(folder, verify=lambda copy: pytest.fail("verified again")) == url
    assert hub.repositories == before
    assert capsys.readouterr().out == f"{REPO}: v1.0.0 is published already, with exactly this content\n"


def test_a_published_version_never_changes(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    publish(folder_of(tmp_path, "v1.0.0"))
    before = copy.deepcopy(hub.repositories)
    folder = folder_of(tmp_path, "v1.0.0", **{"adapter_model.safetensors": b"b" * 3000, "new.json": b"{}"})
    message = refused(lambda: publish(folder))
    assert message == (
        "jane/model: v1.0.0 is published already, and differs in adapter_model.safetensors and 1 more; a version never"
        " changes: give the recipe a new one"
    )
    assert hub.repositories == before


def test_the_next_version_replaces_the_files_of_the_last_one_on_main(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    for tag in VERSIONS:
        publish(folder_of(tmp_path, tag))
    assert hub.content(REPO) == VERSIONS["v1.1.0"]
    assert {tag: hub.content(REPO, tag) for tag in hub.repository(REPO).tags} == VERSIONS
    assert [commit.title for commit in hub.repository(REPO).history()] == ["v1.1.0", "v1.0.0", "initial commit"]
    assert ".gitattributes" in hub.repository(REPO).commit("main").files
    # Publishing the older version again does not bring main back to it.
    publish(tmp_path / "v1.0.0")
    assert hub.content(REPO) == VERSIONS["v1.1.0"]


def test_a_large_file_that_the_hub_stores_by_its_size_is_published_too(
    hub: LocalHub, jane: str, tmp_path: Path
) -> None:
    hub.large_file = 1000  # tokenizer.json is in LFS only because of its size, so the Hub changes .gitattributes
    folder = folder_of(tmp_path, "v1.0.0", **{"tokenizer.json": b"t" * 5000})
    publish(folder)
    assert hub.content(REPO)["tokenizer.json"] == b"t" * 5000
    assert hub.repository(REPO).commit("main").files["tokenizer.json"].lfs
    publish(folder)
    assert len(hub.repository(REPO).history()) == 2


def test_what_fails_verification_is_not_published_and_not_uploaded_twice(
    hub: LocalHub, jane: str, tmp_path: Path
) -> None:
    def worse(copy: Path) -> None:
        raise InputError("predictions differ by 0.2")

    folder = folder_of(tmp_path, "v1.0.0")
    assert refused(lambda: publish(folder, worse)) == "predictions differ by 0.2"
    assert (hub.content(REPO), hub.repository(REPO).tags) == ({}, {})
    hub.requests.clear()
    publish(folder)
    assert hub.content(REPO, "v1.0.0") == VERSIONS["v1.0.0"]
    assert not [call for call in hub.requests if call.method == "PUT"]


def test_an_error_in_the_verification_is_not_taken_for_one_of_the_hub(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    def broken(copy: Path) -> None:
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        publish(folder_of(tmp_path, "v1.0.0"), broken)


def test_other_bytes_than_were_sent_are_noticed(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    for path in ("merged/model.safetensors", "README.md"):
        hub.faults = {path: "tamper"}
        message = refused(lambda: publish(folder_of(tmp_path, "v1.0.0"), lambda copy: pytest.fail("too late")))
        assert f"{path} came back from the Hub other than it was sent" in message
        hub.faults = {}
    assert (hub.content(REPO), hub.repository(REPO).tags) == ({}, {})


def test_a_staging_branch_of_other_content_is_replaced(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    publish(folder_of(tmp_path, "v1.0.0"))
    stale = {"adapter_model.safetensors": b"z", "leftover.bin": b"z"}
    there = hub.repository(REPO)
    there.branches["staging-v1.1.0"] = there.branches["main"]
    hub.push(REPO, stale, branch="staging-v1.1.0")
    publish(folder_of(tmp_path, "v1.1.0"))
    assert hub.content(REPO) == hub.content(REPO, "v1.1.0") == VERSIONS["v1.1.0"]
    assert set(there.branches) == {"main"}


def test_the_commit_of_somebody_else_is_not_lost(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    publish(folder_of(tmp_path, "v1.0.0"))
    folder = folder_of(tmp_path, "v1.1.0")
    theirs = []

    def verify(copy: Path) -> None:
        if not theirs:
            theirs.append(hub.push(REPO, {"README.md": b"# theirs"}))

    assert "somebody else was faster" in refused(lambda: publish(folder, verify))
    assert hub.repository(REPO).branches["main"] == theirs[0]
    assert set(hub.repository(REPO).tags) == {"v1.0.0"}
    publish(folder, verify)  # asked again, knowing
    assert theirs[0] in [commit.oid for commit in hub.repository(REPO).history()]
    assert hub.content(REPO) == VERSIONS["v1.1.0"]


def test_the_commit_of_somebody_else_is_not_lost_by_trying_again(
    hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_retries, "PAUSES", (0.0, 0.0, 0.0))
    publish(folder_of(tmp_path, "v1.0.0"))
    message = refused(
        lambda: publish(folder_of(tmp_path, "v1.1.0"), lambda copy: void(hub.push(REPO, {"README.md": b"# theirs"})))
    )
    assert "somebody moved main" in message
    assert hub.content(REPO)["README.md"] == b"# theirs"
    assert set(hub.repository(REPO).tags) == {"v1.0.0"}


def void(value: object) -> None:
    pass


def test_a_repository_that_vanishes_on_the_way_is_named(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    message = refused(lambda: publish(folder_of(tmp_path, "v1.0.0"), lambda copy: hub.repositories.clear()))
    assert message.startswith("jane/model: is not there, or not for you")


def test_a_repository_with_something_else_in_it_is_left_alone(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    hub.push(REPO, {"README.md": b"# my thesis", "thesis.pdf": b"%PDF"}, private=True)
    before = copy.deepcopy(hub.repositories)
    message = refused(lambda: publish(folder_of(tmp_path, "v1.0.0")))
    assert "holds thesis.pdf but no manifest.json" in message
    assert hub.repositories == before


@pytest.mark.parametrize(
    ("manifest", "names"),
    [
        (MANIFEST % (b"other", b"0.1.0"), "'other'"),
        (MANIFEST % (b"tiny", b"the first"), "no recipe and version"),
        (b'{"recipe": "tiny"}', "no recipe and version"),
        (b"[1]", "no recipe and version"),
        (b"\xff", "no recipe and version"),
    ],
)
def test_a_repository_with_another_model_in_it_is_left_alone(
    hub: LocalHub, jane: str, tmp_path: Path, manifest: bytes, names: str
) -> None:
    files = {"manifest.json": manifest, "adapter_model.safetensors": b"o" * 3000}
    hub.push(REPO, files, tag="v1.0.0", private=True)
    before = copy.deepcopy(hub.repositories)
    for tag in VERSIONS:
        message = refused(lambda: publish(folder_of(tmp_path, tag)))  # noqa: B023
        assert message == (
            f"{REPO}: holds another model (its manifest.json names {names}, not 'tiny'), and would be replaced; choose"
            " another name"
        )
    assert hub.repositories == before


def test_an_older_version_does_not_replace_a_newer_one(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    def numbered(version: str) -> Path:
        folder = folder_of(tmp_path / version, "v1.0.0", **{"manifest.json": MANIFEST % (b"tiny", version.encode())})
        return folder.rename(folder.with_name(f"v{version}"))

    for version in ("9.0.0-smoke", "9.0.0", "10.0.0-rc.1", "10.0.0"):  # by numbers, not by letters
        publish(numbered(version))
    before = copy.deepcopy(hub.repositories)
    for version in ("1.0.0", "9.1.0-smoke", "10.0.0-rc.2"):
        message = refused(lambda: publish(numbered(version)))  # noqa: B023
        assert message == (
            f"{REPO}: main holds version 10.0.0, which {version} would replace although it is older; give the recipe a"
            " newer one"
        )
    publish(tmp_path / "9.0.0" / "v9.0.0")  # is there already
    assert hub.repositories == before


def test_nothing_private_goes_into_a_public_repository(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    hub.push(REPO, {"README.md": b"# soon"}, private=False)
    folder = folder_of(tmp_path, "v1.0.0")
    assert "is public, but this is to be published privately" in refused(lambda: publish(folder))
    assert hub.content(REPO) == {"README.md": b"# soon"}
    publish(folder, private=False)
    assert hub.content(REPO) == VERSIONS["v1.0.0"]


def test_metadata_that_the_hub_refuses_is_found_before_anything_is_uploaded(
    hub: LocalHub, jane: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, "v1.0.0", **{"README.md": b"---\nlicense: mine\n---\n"})
    message = refused(lambda: publish(folder))
    assert message.startswith('jane/model: the Hub refuses the metadata of README.md, correct it: - "license" must be')
    assert not [call for call in hub.requests if call.method == "PUT" or "/commit/" in call.path]


def test_an_empty_folder_is_not_published(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    assert "no files in it to publish" in refused(lambda: publish(tmp_path / "v1.0.0"))
    assert hub.requests == []


# Access


@pytest.mark.parametrize("role", ["write", "fineGrained"])
def test_access_for_those_who_may_write(hub: LocalHub, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    become(monkeypatch, hub, hub.token("jane", role))
    hub.organizations["hospital"] = {"jane": "write"}
    hub.push("jane/old", {}, private=True)
    for repo_id in ("jane/new", "jane/old", "hospital/new"):
        osler_hub.check_access(repo_id)
    assert str(hub.requests[0]) == "GET /api/whoami-v2"


@pytest.mark.parametrize(
    ("repo_id", "role", "message"),
    [
        ("jane/new", None, "there is no token to publish with; make one at https://huggingface.co/settings/tokens"),
        ("jane/new", "revoked", "the Hub does not know the token"),
        ("jane/new", "read", "the token may read but not write; make one of the role write"),
        ("jane/new", "fineGrained", "the token may read but not write; make one of the role write"),
        (
            "joe/new",
            "write",
            "is of jane, who does not belong to joe; publish as jane/new or hospital/new or clinic/new",
        ),
        ("clinic/new", "write", "jane may only read in clinic; ask its admins"),
        ("jane/data", "write", "a dataset has this name"),
    ],
)
def test_no_access_is_known_before_anything_is_done(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repo_id: str, role: str | None, message: str
) -> None:
    token = None if role is None else hub.token("jane", role, permissions=("repo.content.read",))
    if role == "revoked":
        hub.users.clear()
    hub.organizations.update(hospital={"jane": "write"}, clinic={"jane": "read"})
    hub.push("jane/data", {}, kind="datasets")
    become(monkeypatch, hub, token)
    before = copy.deepcopy(hub.repositories)
    said = refused(lambda: osler_hub.check_access(repo_id))
    assert said.startswith(f"{repo_id}: ")
    assert message in said
    assert token is None or token not in said
    if repo_id != "jane/data":  # nor without asking first
        said = refused(lambda: release.publish(folder_of(tmp_path, "v1.0.0"), repo_id, "v1", True, void))
        assert token is None or token not in said
    assert hub.repositories == before


@pytest.mark.parametrize(
    "repo_id",
    ["model", "jane/a b", "jane/modèle", "jane/a--b", "jane/..", "jane/a/b", "datasets/jane/a", "jane/", "", "/"],
)
def test_an_impossible_id_is_refused_without_asking(hub: LocalHub, jane: str, repo_id: str) -> None:
    for action in (osler_hub.check_access, lambda name: osler_hub.download(name, "main")):
        assert "not the id of a repository; write USER/NAME" in refused(lambda: action(repo_id))  # noqa: B023
    assert hub.requests == []


def test_a_hub_that_cannot_be_reached(hub: LocalHub, jane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    said = refused(lambda: osler_hub.check_access(REPO))
    assert said.startswith(f"{REPO}: no answer from http://127.0.0.1:9 (ConnectError)")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = refused(lambda: osler_hub.check_access(REPO))
    assert said == f"{REPO}: HF_HUB_OFFLINE forbids to ask the Hub; unset it"


def test_the_token_is_never_in_a_message(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in ("hf_jane\N{SNOWMAN}Secret", "hf_jane Secret"):
        become(monkeypatch, hub, token)
        for action in (osler_hub.check_access, lambda repo_id: osler_hub.download(repo_id, "main")):
            said = refused(lambda: action(REPO))  # noqa: B023
            assert said == f"{REPO}: the token, of HF_TOKEN or `hf auth login`, holds characters that no token has"
    assert hub.requests == []
    assert (
        hub_retries.line(ValueError(f"Authorization: Bearer {token}\nis\nwrong"))
        == "Authorization: Bearer <token> is wrong"
    )


# Patience


def test_the_hub_is_given_the_time_it_asks_for(
    hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        hub.faults = {}

    monkeypatch.setattr(hub_retries, "PAUSES", (1.0, 5.0, 20.0))
    monkeypatch.setattr(hub_retries, "time", SimpleNamespace(sleep=sleep))
    hub.retry_after = 42
    hub.faults = {"GET /api/whoami-v2": "429"}
    osler_hub.check_access(REPO)
    assert slept == [42.0]
    assert "the Hub answered 429; try again later (trying again in 42 s)" in caplog.text


def test_patience_ends(hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(hub_retries, "PAUSES", (1.0, 5.0, 20.0))
    monkeypatch.setattr(hub_retries, "time", SimpleNamespace(sleep=slept.append))
    hub.faults = {"GET /api/whoami-v2": "500"}
    assert refused(lambda: osler_hub.check_access(REPO)) == f"{REPO}: the Hub answered 500; try again later"
    assert slept == [1.0, 5.0, 20.0]


# Every single request


def state(hub: LocalHub) -> tuple[dict[str, bytes], dict[str, dict[str, bytes]]]:
    """What main and each tag hold; nothing where there is no repository yet."""
    there = hub.repositories.get(("models", REPO))
    return ({}, {}) if there is None else (hub.content(REPO), {tag: hub.content(REPO, tag) for tag in there.tags})


class Sweep:
    """Publish a version once for each request that this takes, with a fault at that one; then again without."""

    def __init__(self, hub: LocalHub, tmp_path: Path, first: bool) -> None:
        self.hub, self.tag = hub, "v1.0.0" if first else "v1.1.0"
        if not first:
            publish(folder_of(tmp_path, "v1.0.0"))
        self.folder = folder_of(tmp_path, self.tag)
        self.start = copy.deepcopy(hub.repositories)
        self.old = state(hub)
        self.new = (VERSIONS[self.tag], {**self.old[1], self.tag: VERSIONS[self.tag]})
        hub.requests.clear()
        publish(self.folder)
        self.calls = [str(call) for call in hub.requests]
        # An upload in one piece, one in two, and everything around them.
        assert sum(call.startswith("PUT ") for call in self.calls) == 3
        self.commits = len(hub.repository(REPO).history())
        self.check_complete()

    def numbers(self) -> Iterator[int]:
        """Each request, before which the Hub is put back to where it was; and what must hold after it."""
        met = []
        for number in range(1, len(self.calls) + 1):
            self.hub.repositories = copy.deepcopy(self.start)
            self.hub.requests.clear()
            yield number
            self.hub.settle()
            met.append(str(self.hub.requests[number - 1]))
            self.hub.faults = {}
            main, tags = state(self.hub)
            assert main in (self.old[0], self.new[0]), number
            assert tags in (self.old[1], self.new[1]), number
            assert self.tag not in tags or main == self.new[0], number
            publish(self.folder)
            self.check_complete()
        assert met == self.calls  # every one was hit, and they are the same in every run

    def check_complete(self) -> None:
        there = self.hub.repository(REPO)
        assert state(self.hub) == self.new
        assert len(there.history()) == self.commits  # one more than before, however often it was tried
        assert there.branches == {"main": there.tags[self.tag]}


def copies_are_whole(tag: str) -> Callable[[Path], None]:
    def verify(copy: Path) -> None:
        assert {path: (copy / path).read_bytes() for path in VERSIONS[tag]} == VERSIONS[tag]

    return verify


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "fault"),
    [
        *((False, fault) for fault in ("500", "429", "drop", "drop-after", "timeout")),
        *((True, fault) for fault in ("500", "drop-after")),
    ],
)
def test_a_fault_at_any_request_leaves_main_and_tags_whole_and_the_next_call_completes(
    hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, fault: str
) -> None:
    sweep = Sweep(hub, tmp_path, first)
    stopped = 0
    for number in sweep.numbers():
        hub.faults = {number: fault}
        with monkeypatch.context() as patch:
            if fault == "timeout":
                patch.setattr(hub_retries, "TIMEOUT", 0.2)
                for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
                    patch.setattr(f"huggingface_hub.constants.{name}", 0.2)
            with suppress(InputError):
                publish(sweep.folder, copies_are_whole(sweep.tag))
                stopped -= 1
            stopped += 1
    assert stopped > len(sweep.calls) // 3  # the others huggingface_hub survives by itself


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["429", "drop-after"])
def test_a_fault_at_any_request_is_survived_by_trying_again(
    hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(hub_retries, "PAUSES", (0.0, 0.0, 0.0))
    sweep = Sweep(hub, tmp_path, first=False)
    verified: list[Path] = []
    for number in sweep.numbers():
        hub.faults = {number: fault}
        verified.clear()
        publish(sweep.folder, verified.append)
        assert len(verified) == 1
        sweep.check_complete()


def publish_as_a_process(folder: Path, endpoint: str, token: str, version: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        become(patch, LocalHub(folder, endpoint), token)
        publish(version)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "kill-after"])
def test_a_process_killed_at_any_request_leaves_main_and_tags_whole_and_the_next_call_completes(
    hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    sweep = Sweep(hub, tmp_path, first=False)
    for number in sweep.numbers():
        # Which process asks is known once it is started; until then nobody else does.
        hub.client, hub.faults = lambda: pid_of(started), {number: fault}  # noqa: B023
        started: list[BaseProcess] = []
        started.append(fork(publish_as_a_process, hub.folder, hub.endpoint, jane, sweep.folder))
        (process,) = started
        process.join(timeout=60)
        assert process.exitcode == -signal.SIGKILL, number


def pid_of(started: list[BaseProcess]) -> int:
    while not started:
        time.sleep(0.001)
    return started[0].pid or 0


# Fetching


def test_a_version_is_fetched_by_its_tag(hub: LocalHub, jane: str, tmp_path: Path) -> None:
    for tag in VERSIONS:
        publish(folder_of(tmp_path, tag))
    folder, commit = osler_hub.download(REPO, "v1.0.0", tmp_path / "cache")
    assert commit == hub.repository(REPO).tags["v1.0.0"]
    assert {path: (folder / path).read_bytes() for path in VERSIONS["v1.0.0"]} == VERSIONS["v1.0.0"]
    assert osler_hub.download(REPO, commit, tmp_path / "cache") == (folder, commit)


def test_what_cannot_be_fetched_is_named_with_a_way_out(
    hub: LocalHub, jane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(repo_id: str, revision: str = "main") -> str:
        return refused(lambda: osler_hub.download(repo_id, revision, tmp_path / "cache"))

    hub.push("joe/secret", {"a.txt": b"a"}, private=True)
    hub.push("joe/gated", {"a.txt": b"a"}, gated=True)
    hub.push("joe/open", {"a.txt": b"a"})
    for repo_id in ("joe/none", "joe/secret"):
        assert said(repo_id).startswith(f"{repo_id}@main: is not there, or not for you")
    assert said("joe/open", "v9").startswith("joe/open@v9: there is no such version; see which there are at")
    assert said("joe/gated") == (
        f"joe/gated@main: is gated; ask for access at {hub.endpoint}/joe/gated, signed in as the owner of the token"
    )
    hub.repository("joe/gated").readers.add("jane")
    assert (osler_hub.download("joe/gated", "main", tmp_path / "cache")[0] / "a.txt").read_bytes() == b"a"
    hub.faults = {"/resolve/": "500"}
    assert said("joe/open") == "joe/open@main: the Hub answered 500; try again later"
    hub.faults = {"/revision/": "drop"}
    assert "joe/open@main: no answer from" in said("joe/open")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert said("joe/open") == "joe/open@main: HF_HUB_OFFLINE forbids to ask the Hub; unset it"
    assert osler_hub.download("joe/gated", "main", tmp_path / "cache")[0].is_dir()  # it is there already
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub.faults = {}
    hub.users.clear()
    assert "the Hub does not know the token" in said("joe/open")


# The local Hub itself


@pytest.mark.slow
def test_real_clients_use_the_local_hub_from_a_process_of_their_own(
    hub: LocalHub, tiny_base: BaseSection, tmp_path: Path
) -> None:
    base = {path.name: path.read_bytes() for path in Path(tiny_base.model).iterdir() if path.is_file()}
    hub.push("lab/base", base)
    token = hub.token("jane")
    program = """
import peft, torch
from huggingface_hub import HfApi, hf_hub_download
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("lab/base")
tuned = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
HfApi().create_repo("jane/tuned", private=True)
tuned.push_to_hub("jane/tuned")
expected = tuned(torch.tensor([[1, 2, 3]])).logits
again = AutoModelForCausalLM.from_pretrained("jane/tuned")  # the plain way: transformers finds the adapter
again2 = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("lab/base"), "jane/tuned")
for other in (again, again2):
    assert torch.equal(other(torch.tensor([[1, 2, 3]])).logits, expected)
AutoTokenizer.from_pretrained("lab/base")
api = HfApi()
api.create_repo("jane/data", repo_type="dataset")
api.upload_file(
    path_or_fileobj=b'{"text": "a"}\\n', path_in_repo="train.jsonl", repo_id="jane/data", repo_type="dataset"
)
assert open(hf_hub_download("jane/data", "train.jsonl", repo_type="dataset")).read() == '{"text": "a"}\\n'
import datasets
assert datasets.load_dataset("jane/data", split="train")[0] == {"text": "a"}
"""
    run = subprocess.run(
        [sys.executable, "-c", program], env=hub.environment(token), capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stderr
    assert "adapter_model.safetensors" in hub.content("jane/tuned")
    assert hub.content("jane/data", kind="datasets")["train.jsonl"] == b'{"text": "a"}\n'


def test_the_local_hub_refuses_what_the_hub_refuses(hub: LocalHub, jane: str) -> None:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import get_session

    api = HfApi()
    api.create_repo(REPO)
    with pytest.raises(HfHubHTTPError) as error:
        api.create_repo(REPO)
    assert error.value.response.status_code == 409
    parent = hub.repository(REPO).branches["main"]
    weights = CommitOperationAdd("a.bin", b"x" * 9000)
    first = api.create_commit(REPO, [weights], commit_message="one", parent_commit=parent)
    with pytest.raises(HfHubHTTPError) as error:
        api.create_commit(REPO, [CommitOperationAdd("b", b"b")], commit_message="two", parent_commit=parent)
    assert error.value.response.status_code == 412
    api.create_commit(REPO, [CommitOperationCopy("a.bin", "c.bin", src_revision=first.oid)], commit_message="copy")
    assert hub.content(REPO) == {"a.bin": b"x" * 9000, "c.bin": b"x" * 9000}
    part = get_session().get(f"{hub.endpoint}/{REPO}/resolve/main/a.bin", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, b"x" * 10)
    assert part.headers["X-Linked-Etag"] == f'"{hashlib.sha256(b"x" * 9000).hexdigest()}"'
    api.update_repo_settings(REPO, private=True)
    assert hub.repository(REPO).private
    assert get_session().get(f"{hub.endpoint}/{REPO}/resolve/main/a.bin").status_code == 401
    assert os.environ["HF_TOKEN"] == jane
