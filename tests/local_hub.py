"""A Hugging Face Hub on 127.0.0.1: the real clients publish to it, read from it, and meet the faults asked for.

    with LocalHub.serve(tmp_path) as hub:
        token = hub.token("jane")                      # also role="read" or "fineGrained"
        hub.push("jane/base", {"config.json": b"{}"})  # as if somebody had pushed there
        subprocess.run(..., env=hub.environment(token))  # a client in a process of its own
        hub.connect(monkeypatch, token)                # or this very process, until the test ends
        hub.faults[7] = "drop-after"                   # the seventh request from now on: see FAULTS
        hub.faults["POST /api/models/jane/x/commit"] = "500"  # or every request that contains this
        hub.content("jane/x", "v1.0.0"), hub.repository("jane/x").tags, hub.requests

huggingface_hub reads HF_ENDPOINT, HF_HUB_OFFLINE and HF_HUB_DISABLE_XET once, when it is imported, and the tests import
it offline; ``connect`` therefore sets its constants. What took them before is not reached: module-level functions such
as ``huggingface_hub.create_repo`` belong to an ``HfApi`` made at import. Take a new ``HfApi()``, or a process.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn
import yaml
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

FAULTS = {
    "500": "answers 500, nothing done",
    "429": "answers 429 with Retry-After (see `retry_after`), nothing done",
    "drop": "cuts the connection, nothing done",
    "drop-after": "does it, then cuts the connection",
    "timeout": "says nothing until the client gives up, and does it then",
    "kill": "kills the client (see `client`), nothing done",
    "kill-after": "does it, then kills the client",
    "tamper": "does it, and changes the last byte of the answer",
}
LICENSES = {"apache-2.0", "mit", "cc-by-4.0", "cc-by-nc-4.0", "llama3.2", "gemma", "other", "unknown"}
LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".parquet")  # of the .gitattributes that every new repository has
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


@dataclass(frozen=True)
class Call:
    """One request: its number since the log was last cleared (from 1), and what it asked for."""

    number: int
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class User:
    name: str
    role: str
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """A file of a commit. ``oid`` is git's: of the file, or of its LFS pointer."""

    sha256: str
    size: int
    oid: str
    lfs: bool


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Entry]


@dataclass
class Repository:
    kind: str  # "models" or "datasets"
    id: str
    private: bool = False
    gated: bool = False
    readers: set[str] = field(default_factory=set)  # who may download from a gated one, besides its owner
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)  # sha256 of the LFS objects it holds
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)  # multipart uploads that are not complete

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    def commit(self, revision: str) -> Commit:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str = "main") -> list[Commit]:
        """Newest first."""
        commits = [self.commit(revision)]
        while commits[-1].parent is not None:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def advance(self, branch: str, title: str, files: dict[str, Entry]) -> Commit:
        parent = self.branches.get(branch)
        tree = sorted((path, entry.oid) for path, entry in files.items())
        oid = hashlib.sha1(json.dumps([parent, branch, title, tree]).encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, files)
        self.branches[branch] = oid
        return self.commits[oid]


class Refused(Exception):
    """An answer that is an error, as the Hub words it."""

    def __init__(self, status: int, message: str, code: str | None = None, **body: Any) -> None:
        self.status, self.message, self.code, self.body = status, message, code, body


@dataclass
class LocalHub:
    """The state of the Hub, which tests may read and change at any time, and the server in front of it."""

    folder: Path
    endpoint: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # sha256 → content, of all files of all repositories
    users: dict[str, User] = field(default_factory=dict)  # by token
    organizations: dict[str, dict[str, str]] = field(default_factory=dict)  # name → {member: role}
    requests: list[Call] = field(default_factory=list)
    faults: dict[int | str, str] = field(default_factory=dict)  # request number, or part of "METHOD /path" → FAULTS
    client: Callable[[], int] | None = None  # the process that "kill" kills
    large_file: int = 10_000_000  # from this size on a file goes to LFS, whatever its name
    part: int = 20_000_000  # above this size a file is uploaded in parts of it
    retry_after: int = 0  # seconds, of a 429
    working: int = 0  # requests that came in and are not done with
    _transports: dict[Any, asyncio.BaseTransport] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def serve(cls, folder: Path) -> Iterator[LocalHub]:
        """A running Hub without repositories; ``folder`` is for what its clients keep (cache, token)."""
        hub = cls(folder)

        class Protocol(H11Protocol):
            """Remembers the connections, so that they can be cut: ASGI knows no way to do it."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                hub._transports[self.client] = transport

        server = uvicorn.Server(
            uvicorn.Config(_Wire(hub), port=0, http=Protocol, lifespan="off", proxy_headers=False, log_level="error")
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the local Hub did not start")
            time.sleep(0.005)
        hub.endpoint = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        # Server and client mostly share an interpreter, and each answer has to wait for it.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0002)
        try:
            yield hub
        finally:
            sys.setswitchinterval(interval)
            server.should_exit = server.force_exit = True
            thread.join(timeout=10)

    def token(self, name: str, role: str = "write", permissions: tuple[str, ...] = ("repo.write",)) -> str:
        """A new access token of a user; ``permissions`` are those of a fineGrained one, over its own namespace."""
        token = f"hf_{name}{len(self.users)}Secret"
        self.users[token] = User(name, role, permissions if role == "fineGrained" else ())
        return token

    def environment(self, token: str | None = None) -> dict[str, str]:
        """The environment of a client in a process of its own; its cache is ``folder/home/hub``."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        return {
            **env,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.folder / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",  # its uploads go elsewhere, without a way back
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **({"HF_TOKEN": token} if token else {}),
        }

    def connect(self, patch: pytest.MonkeyPatch, token: str | None = None) -> None:
        """Turn this process into a client: the constants that huggingface_hub took from its environment."""
        from huggingface_hub import constants
        from huggingface_hub.utils import _detect_agent, close_session, disable_progress_bars

        home = self.folder / "home"
        for name, value in {
            "ENDPOINT": self.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "AGENT_HARNESSES_PATH": str(home / "agents.json"),
        }.items():
            patch.setattr(constants, name, value)
        # Otherwise asked for once a process, and a test that counts requests would depend on who was first.
        patch.setattr(_detect_agent, "_registry", _detect_agent._EMPTY_REGISTRY)
        patch.delenv("HF_TOKEN", raising=False)
        patch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        if token:
            patch.setenv("HF_TOKEN", token)
        disable_progress_bars()
        close_session()

    def repository(self, repo_id: str, kind: str = "models") -> Repository:
        return self.repositories[kind, repo_id]

    def content(self, repo_id: str, revision: str = "main", kind: str = "models") -> dict[str, bytes]:
        """Path → bytes, without the .gitattributes that the Hub itself writes."""
        files = self.repository(repo_id, kind).commit(revision).files
        return {path: self.objects[entry.sha256] for path, entry in files.items() if path != ".gitattributes"}

    def push(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        kind: str = "models",
        branch: str = "main",
        tag: str | None = None,
        **repository: Any,
    ) -> str:
        """Commit ``files`` past all checks, making the repository if there is none; returns the commit."""
        if (kind, repo_id) not in self.repositories:
            self.create(kind, repo_id, **repository)
        there = self.repositories[kind, repo_id]
        old = there.commit(branch).files if branch in there.branches else {}
        large = {path: len(data) >= self.large_file or path.endswith(LFS_SUFFIXES) for path, data in files.items()}
        new = {path: self.entry(there, data, large[path]) for path, data in files.items()}
        commit = there.advance(branch, "pushed", {**old, **new})
        if tag is not None:
            there.tags[tag] = commit.oid
        return commit.oid

    def create(self, kind: str, repo_id: str, **repository: Any) -> Repository:
        there = self.repositories[kind, repo_id] = Repository(kind, repo_id, **repository)
        there.advance("main", "initial commit", {".gitattributes": self.entry(there, ATTRIBUTES, lfs=False)})
        return there

    def entry(self, repository: Repository, data: bytes, lfs: bool) -> Entry:
        """Store a file's content; returns how a commit refers to it."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.objects[sha256] = data
        if lfs:
            repository.large.add(sha256)
        return _entry(sha256, data, lfs)

    def settle(self) -> None:
        """Wait until every request has had its effect, those too whose client is gone."""
        while self.working:
            time.sleep(0.001)

    def fault(self, call: Call) -> str | None:
        for key, fault in self.faults.items():
            if key == call.number or (isinstance(key, str) and key in str(call)):
                return fault
        return None


def _entry(sha256: str, data: bytes, lfs: bool) -> Entry:
    stored = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
    stored = stored if lfs else data
    return Entry(sha256, len(data), hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest(), lfs)


class _Wire:
    """ASGI: counts and logs requests, and is where the faults happen."""

    def __init__(self, hub: LocalHub) -> None:
        self.hub, self.app = hub, _application(hub)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.hub.working += 1
        try:
            await self._handle(scope, receive, send)
        finally:
            self.hub.working -= 1

    async def _handle(self, scope: Any, receive: Any, send: Any) -> None:
        hub, chunks, more = self.hub, [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message["body"])
            more = message["more_body"]
        body = b"".join(chunks)
        call = Call(len(hub.requests) + 1, scope["method"], scope["path"])
        hub.requests.append(call)
        fault = hub.fault(call)
        if fault is not None and fault not in FAULTS:
            raise ValueError(f"{fault!r} is no fault, expected one of {', '.join(FAULTS)}")
        if fault in ("500", "429"):
            headers = {"Retry-After": str(hub.retry_after)} if fault == "429" else {}
            await JSONResponse({"error": "injected"}, int(fault), headers)(scope, receive, send)
            return
        if fault == "timeout":
            while (await receive())["type"] != "http.disconnect":
                pass
        messages = await self._answer(scope, body) if fault not in ("drop", "kill") else []
        if fault in ("kill", "kill-after"):
            assert hub.client is not None
            os.kill(hub.client(), signal.SIGKILL)
        if fault not in (None, "tamper"):
            hub._transports[scope["client"]].abort()  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)  # uvicorn hears of it on the next turn of the loop
            return
        for message in messages:
            if fault == "tamper" and message.get("body"):
                message["body"] = message["body"][:-1] + bytes([message["body"][-1] ^ 1])
            await send(message)

    async def _answer(self, scope: Any, body: bytes) -> list[Any]:
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        return messages


def _application(hub: LocalHub) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        headers = {"X-Error-Message": error.message, **({"X-Error-Code": error.code} if error.code else {})}
        return JSONResponse({"error": error.message, **error.body}, error.status, headers)

    def user(request: Request) -> User | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        if header.removeprefix("Bearer ") not in hub.users:
            raise Refused(401, "Invalid credentials in Authorization header")
        return hub.users[header.removeprefix("Bearer ")]

    def role(who: User | None, namespace: str) -> str:
        """In a namespace: "write", "read" or ""."""
        if who is None:
            return ""
        member = "write" if who.name == namespace else hub.organizations.get(namespace, {}).get(who.name, "")
        if member and who.role == "fineGrained":
            return "write" if "repo.write" in who.permissions else "read"
        return "read" if member and "read" in (who.role, member) else "write" if member else ""

    def readable(request: Request) -> Repository:
        place = request.path_params
        who = user(request)
        there = hub.repositories.get((place.get("kind", "models"), f"{place['namespace']}/{place['name']}"))
        if there is None or (there.private and not role(who, there.namespace)):
            raise Refused(404 if who else 401, "Repository not found", "RepoNotFound")
        return there

    def writable(request: Request) -> Repository:
        there = readable(request)
        if role(user(request), there.namespace) != "write":
            raise Refused(403, f"Forbidden: you do not have write access to {there.id}")
        return there

    def downloadable(request: Request) -> Repository:
        there, who = readable(request), user(request)
        if there.gated and not role(who, there.namespace) and (who is None or who.name not in there.readers):
            raise Refused(403 if who else 401, f"Access to model {there.id} is restricted", "GatedRepo")
        return there

    @app.get("/api/agent-harnesses")
    async def agents() -> None:
        raise Refused(404, "Not found")

    @app.get("/api/whoami-v2")
    async def whoami(request: Request) -> Any:
        who = user(request)
        if who is None:
            raise Refused(401, "Invalid username or password.")
        token: dict[str, Any] = {"displayName": "test", "role": who.role}
        if who.role == "fineGrained":
            entity = {"type": "user", "name": who.name}
            token["fineGrained"] = {"scoped": [{"entity": entity, "permissions": list(who.permissions)}]}
        orgs = [{"name": name, "roleInOrg": of[who.name]} for name, of in hub.organizations.items() if who.name in of]
        return {"type": "user", "name": who.name, "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}}

    @app.post("/api/repos/create")
    async def create(request: Request) -> Any:
        who, asked = user(request), await request.json()
        if who is None:
            raise Refused(401, "Invalid username or password.")
        namespace = asked.get("organization") or who.name
        repo_id, kind = f"{namespace}/{asked['name']}", f"{asked.get('type', 'model')}s"
        if role(who, namespace) != "write":
            raise Refused(403, f'You don\'t have the rights to create a model under the namespace "{namespace}"')
        url = f"{hub.endpoint}/{'datasets/' if kind == 'datasets' else ''}{repo_id}"
        if (kind, repo_id) in hub.repositories:
            raise Refused(409, f"You already created this {asked.get('type', 'model')} repo", url=url)
        hub.create(kind, repo_id, private=asked.get("visibility") == "private")
        return {"url": url, "name": repo_id}

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Any:
        errors = [{"message": text} for text in _yaml_errors((await request.json())["content"])]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    @app.post("/api/{kind}/{namespace}/{name}/preupload/{revision}")
    async def preupload(request: Request, revision: str) -> Any:
        there = writable(request)
        files, old = [], there.commit(revision).files
        for file in (await request.json())["files"]:
            path, entry = file["path"], old.get(file["path"])
            large = file["size"] >= hub.large_file or path.endswith(LFS_SUFFIXES)
            known = {} if entry is None else {"oid": entry.sha256 if entry.lfs else entry.oid}
            files.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **known})
        return {"files": files}

    async def batch(request: Request) -> Any:
        there = writable(request)
        objects = []
        for item in (await request.json())["objects"]:
            oid, size = item["oid"], item["size"]
            if oid not in there.large:
                base = f"{hub.endpoint}/storage/{there.kind}/{there.id}/{oid}"
                upload: dict[str, Any] = {"href": base}
                if size > hub.part:
                    numbers = range(1, -(-size // hub.part) + 1)
                    parts = {str(number): f"{base}/part/{number}" for number in numbers}
                    upload = {"href": f"{base}/complete", "header": {"chunk_size": str(hub.part), **parts}}
                item = {**item, "actions": {"upload": upload, "verify": {"href": f"{base}/verify"}}}
            objects.append(item)
        return {"transfer": "basic", "objects": objects}

    app.add_api_route("/{namespace}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"])
    app.add_api_route("/{kind}/{namespace}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"])

    def stored(request: Request) -> tuple[Repository, str]:
        """The links of an upload are signed: whoever has one may use it."""
        place = request.path_params
        there = hub.repositories.get((place["kind"], f"{place['namespace']}/{place['name']}"))
        if there is None:
            raise Refused(404, "NoSuchBucket")
        return there, place["oid"]

    def store(there: Repository, oid: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != oid:
            raise Refused(400, "BadDigest")
        hub.entry(there, data, lfs=True)

    @app.put("/storage/{kind}/{namespace}/{name}/{oid}")
    async def put(request: Request) -> Response:
        there, oid = stored(request)
        store(there, oid, await request.body())
        return Response()

    @app.put("/storage/{kind}/{namespace}/{name}/{oid}/part/{number}")
    async def put_part(request: Request, number: int) -> Response:
        there, oid = stored(request)
        data = await request.body()
        there.parts.setdefault(oid, {})[number] = data
        return Response(headers={"ETag": f'"{hashlib.md5(data).hexdigest()}"'})

    @app.post("/storage/{kind}/{namespace}/{name}/{oid}/complete")
    async def complete(request: Request) -> Any:
        there, oid = stored(request)
        if oid not in there.parts:
            raise Refused(404, "NoSuchUpload")  # a second completion of the same upload, too
        parts = there.parts[oid]
        for part in (await request.json())["parts"]:
            if part["etag"] != f'"{hashlib.md5(parts[part["partNumber"]]).hexdigest()}"':
                raise Refused(400, "InvalidPart")
        store(there, oid, b"".join(parts[number] for number in sorted(parts)))
        del there.parts[oid]
        return {"success": True}

    @app.post("/storage/{kind}/{namespace}/{name}/{oid}/verify")
    async def verify(request: Request) -> Any:
        there, oid = stored(request)
        if oid not in there.large or len(hub.objects[oid]) != (await request.json())["size"]:
            raise Refused(404, "the uploaded object is not there")
        return {}

    @app.post("/api/{kind}/{namespace}/{name}/commit/{revision}")
    async def commit(request: Request, revision: str) -> Any:
        there = writable(request)
        if revision not in there.branches:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        header, *changes = [json.loads(line) for line in (await request.body()).splitlines()]
        if header["value"].get("parentCommit", there.branches[revision]) != there.branches[revision]:
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(there.commit(revision).files)
        for change in changes:
            _apply(hub, there, files, change["key"], change["value"])
        new = there.advance(revision, header["value"]["summary"], files)
        return {"success": True, "commitOid": new.oid, "commitUrl": f"{hub.endpoint}/{there.id}/commit/{new.oid}"}

    @app.api_route("/api/{kind}/{namespace}/{name}/branch/{branch}", methods=["POST", "DELETE"])
    async def branch(request: Request, branch: str) -> Any:
        there = writable(request)
        if request.method == "POST":
            start = (await request.json()).get("startingPoint", "main")
            if branch in there.branches:
                raise Refused(409, f"Reference already exists: {branch}")
            there.branches[branch] = there.commit(start).oid
        else:
            if branch == "main":
                raise Refused(403, "main cannot be deleted")
            if branch not in there.branches:
                raise Refused(404, f"Invalid rev id: {branch}", "RevisionNotFound")
            del there.branches[branch]
        return {}

    @app.api_route("/api/{kind}/{namespace}/{name}/tag/{revision}", methods=["POST", "DELETE"])
    async def tag(request: Request, revision: str) -> Any:
        there = writable(request)
        if request.method == "POST":
            name = (await request.json())["tag"]
            if name in there.tags:
                raise Refused(409, f"Tag reference exists already: {name}")
            there.tags[name] = there.commit(revision).oid
        elif there.tags.pop(revision, None) is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return {}

    @app.put("/api/{kind}/{namespace}/{name}/settings")
    async def settings(request: Request) -> Any:
        there, asked = writable(request), await request.json()
        if "visibility" in asked or "private" in asked:
            there.private = asked.get("private", asked.get("visibility") == "private")
        there.gated = bool(asked.get("gated", there.gated))
        return {"private": there.private}

    @app.get("/api/{kind}/{namespace}/{name}")
    @app.get("/api/{kind}/{namespace}/{name}/revision/{revision}")
    async def information(request: Request, revision: str = "main") -> Any:
        there = readable(request)
        now = there.commit(revision)
        siblings = [{"rfilename": path} for path in sorted(now.files)]
        about = {"private": there.private, "gated": "auto" if there.gated else False, "tags": [], "siblings": siblings}
        return {"_id": there.id, "id": there.id, "author": there.namespace, "sha": now.oid, **about}

    @app.get("/api/{kind}/{namespace}/{name}/auth-check")
    async def may_read(request: Request) -> Any:
        downloadable(request)
        return {}

    @app.get("/api/{kind}/{namespace}/{name}/auth-check/write")
    async def may_write(request: Request) -> Any:
        writable(request)
        return {}

    @app.get("/api/{kind}/{namespace}/{name}/refs")
    async def refs(request: Request) -> Any:
        there = readable(request)

        def listed(kind: str, targets: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": oid} for n, oid in targets.items()]

        return {"branches": listed("heads", there.branches), "tags": listed("tags", there.tags), "converts": []}

    @app.get("/api/{kind}/{namespace}/{name}/commits/{revision}")
    async def commits(request: Request, revision: str) -> Any:
        listed = readable(request).history(revision)
        date = "2026-01-01T00:00:00.000Z"
        return [{"id": c.oid, "title": c.title, "message": "", "authors": [], "date": date} for c in listed]

    @app.get("/api/{kind}/{namespace}/{name}/tree/{revision}")
    @app.get("/api/{kind}/{namespace}/{name}/tree/{revision}/{path:path}")
    async def tree(request: Request, revision: str, path: str = "") -> Any:
        files = readable(request).commit(revision).files
        recursive = request.query_params.get("recursive", "").lower() == "true"
        prefix = f"{path}/" if path else ""
        if path and not any(name.startswith(prefix) for name in files):
            raise Refused(404, f"{path} does not exist on {revision}", "EntryNotFound")
        shown = {}
        for name, entry in sorted(files.items()):
            if name.startswith(prefix):
                inside = name[len(prefix) :].split("/")
                for depth in range(1, len(inside) if recursive else min(len(inside), 2)):
                    folder = prefix + "/".join(inside[:depth])
                    shown[folder] = {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
                if recursive or len(inside) == 1:
                    shown[name] = _described(name, entry)
        return list(shown.values())

    @app.post("/api/{kind}/{namespace}/{name}/paths-info/{revision}")
    async def paths_info(request: Request, revision: str) -> Any:
        files = readable(request).commit(revision).files
        asked = parse_qs((await request.body()).decode()).get("paths", [])
        return [_described(path, files[path]) for path in asked if path in files]

    async def resolve(request: Request, revision: str, path: str) -> Response:
        now = downloadable(request).commit(revision)
        headers = {"X-Repo-Commit": now.oid, "Accept-Ranges": "bytes"}
        if path not in now.files:
            message = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return JSONResponse({"error": "Entry not found"}, 404, {**headers, **message})
        entry = now.files[path]
        data, status = hub.objects[entry.sha256], 200
        headers["ETag"] = f'"{entry.oid}"'
        if entry.lfs:
            headers |= {"ETag": f'"{entry.sha256}"', "X-Linked-Etag": f'"{entry.sha256}"'}
            headers["X-Linked-Size"] = str(entry.size)
        if wanted := request.headers.get("range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            start, stop = (int(first), int(last or len(data) - 1) + 1) if first else (-int(last), len(data))
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(data)) - 1}/{len(data)}"
            data, status = data[start:stop], 206
        return Response(data, status, headers, "application/octet-stream")

    app.add_api_route("/{namespace}/{name}/resolve/{revision}/{path:path}", resolve, methods=["GET", "HEAD"])
    app.add_api_route("/{kind}/{namespace}/{name}/resolve/{revision}/{path:path}", resolve, methods=["GET", "HEAD"])
    return app


def _described(path: str, entry: Entry) -> dict[str, Any]:
    pointer = {"lfs": {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}} if entry.lfs else {}
    return {"type": "file", "path": path, "oid": entry.oid, "size": entry.size, **pointer}


def _apply(hub: LocalHub, there: Repository, files: dict[str, Entry], key: str, value: dict[str, Any]) -> None:
    """One line of a commit."""
    path = value["path"]
    if key == "file":
        files[path] = hub.entry(there, base64.b64decode(value["content"]), lfs=False)
    elif key == "lfsFile":
        if value["oid"] not in there.large:
            raise Refused(400, f"Your push was rejected: {path} points to an LFS object that was not uploaded")
        files[path] = _entry(value["oid"], hub.objects[value["oid"]], lfs=True)
        attributes = hub.objects[files[".gitattributes"].sha256]
        line = f"{path} filter=lfs diff=lfs merge=lfs -text\n".encode()
        if not path.endswith(LFS_SUFFIXES) and line not in attributes:
            files[".gitattributes"] = hub.entry(there, attributes + line, lfs=False)
    elif key == "deletedFile" and path in files:
        del files[path]
    elif key == "deletedFolder":
        for inside in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
            del files[inside]
    else:
        raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")


def _yaml_errors(content: str) -> list[str]:
    """A few of the things that the Hub refuses in the metadata of a card."""
    if not content.startswith("---\n"):
        return []
    try:
        card = yaml.safe_load(content.split("---\n")[1]) or {}
    except yaml.YAMLError as error:
        return [f"Invalid YAML: {error}"]
    if not isinstance(card, dict):
        return ["metadata must be an object"]
    errors = []
    licenses = card.get("license", "unknown")
    for name in licenses if isinstance(licenses, list) else [licenses]:
        if name not in LICENSES:
            errors.append(f'"license" must be one of {sorted(LICENSES)}, got {name!r}')
    if card.get("base_model_relation", "adapter") not in ("adapter", "merge", "quantized", "finetune"):
        errors.append(f'"base_model_relation" is not valid: {card["base_model_relation"]!r}')
    for index, model in enumerate(card.get("model-index", [])):
        if not (isinstance(model, dict) and isinstance(model.get("name"), str)):
            errors.append(f'"model-index[{index}].name" is required')
            continue
        for number, result in enumerate(model.get("results", [])):
            where = f"model-index[{index}].results[{number}]"
            if not result.get("task", {}).get("type"):
                errors.append(f'"{where}.task.type" is required')
            if not all(result.get("dataset", {}).get(key) for key in ("type", "name")):
                errors.append(f'"{where}.dataset.type" and ".name" are required')
            for metric in result.get("metrics") or [{}]:
                if not metric.get("type") or "value" not in metric:
                    errors.append(f'"{where}.metrics[].type" and ".value" are required')
    return errors
