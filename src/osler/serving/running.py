"""From the options of ``scripts/serve.py`` to a listening server, and to its end."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from osler.errors import InputError
from osler.serving.access import ENVIRONMENT, Access, is_loopback, is_safe, read_ehrs, read_keys
from osler.serving.model import load_models

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client import CollectorRegistry

    from osler.feedback import store as stores
    from osler.serving.model import ServedModel
    from osler.serving.server import Server
    from osler.serving.watcher import Watcher

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "jwt")
DRAIN = 1.0  # seconds


def open_server(
    names: Sequence[str],
    *,
    host: str,
    port: int,
    keys: Path | None,
    issuer: str | None,
    audience: str | None,
    cds_url: str | None,
    cds_issuers: Sequence[str],
    audit: Path | None,
    audit_days: int,
    keep_text: bool,
    store: str | None,
    shadow: str | None,
    origins: Sequence[str],
    seconds: float,
) -> int:
    """Serve the runs of these ``names`` until SIGTERM or SIGINT, then answer what was accepted and return 0.

    Raises:
        InputError: an option is wrong, the port is taken, or as :func:`osler.serving.model.load_models`.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise InputError(f"{', '.join(missing)}: not installed; pip install 'osler[serve]'")
    if not 0 < seconds < float("inf") or audit_days < 1:
        raise InputError("--seconds and --audit-days: numbers above 0")
    if issuer is not None and not is_safe(issuer):
        raise InputError(f"--oidc-issuer {issuer}: expected https://, or somebody on the way could answer for it")
    access = Access(read_keys(keys), issuer, audience, read_ehrs(cds_url, cds_issuers))
    if access.open and not is_loopback(host):
        raise InputError(
            f"--host {host}: other machines could ask, and nobody needs a key; give --keys FILE (--new-key NAME makes"
            f" one), {ENVIRONMENT}, or --oidc-issuer"
        )
    kept = _open(store) if store is not None else None
    listening = listen(host, port, f"--host {host} --port {port}")  # before minutes are spent on loading

    from osler.preparation import unlinked
    from osler.serving.app import create_app
    from osler.serving.audit import AuditLog
    from osler.serving.keeping import Keeper
    from osler.serving.server import Server

    readable = unlinked() if keep_text else None
    log = AuditLog(audit, audit_days, readable) if audit else None
    # In the thread that will ask them: two threads with pools of workers each would get in each other's way.
    thread = ThreadPoolExecutor(1, thread_name_prefix="model")
    models = thread.submit(load_models, names).result()
    for model in models.values():
        thread.submit(model.share_prefix).result()
    challenger = next(iter(thread.submit(load_models, [shadow]).result().values())) if shadow else None
    keeper = Keeper(kept, models, readable, challenger) if kept is not None else None
    server = Server(models, access, log, keeper, origins, seconds, shadow=challenger, thread=thread)
    for model in models.values():
        cards = "" if model.threshold is not None else "; no threshold, so no cards for CDS Hooks"
        print(f"model    {model.name.name}@{model.name.version}, {len(model.labels):,} labels{cards}", flush=True)
    if challenger is not None:
        print(f"shadow   {challenger.name.name}@{challenger.name.version}: asked, kept, shown to nobody", flush=True)
    if keeper is not None:
        watcher = _watcher(models, str(store), server.metrics.registry)
        keeper.watch = watcher.answered if watcher else None
        print("\n".join([f"keeping  every answer in {keeper.store.place}", *keeper.recognise()]), flush=True)
    addresses = " and ".join(_addresses(host, listening.getsockname()[1]))
    print(f"serving  {addresses} (stop it with Ctrl-C; it is no medical device)", flush=True)
    _run(create_app(server), listening, server)
    return 0


def _watcher(models: Mapping[str, ServedModel], store: str, registry: CollectorRegistry) -> Watcher | None:
    """What watches the models; None, and a line, where it cannot."""
    from osler.monitoring import NEEDED, Gauges
    from osler.serving.watcher import EVERY, Watcher

    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(f"watching nothing: {', '.join(missing)} not installed; pip install 'osler[monitor]'", flush=True)
        return None
    print(f"watching every {EVERY} answers, beside the evaluation; at /metrics and in the log", flush=True)
    folders = {name: model.run.folder for name, model in models.items() if model.run is not None}
    return Watcher(folders, store, Gauges(registry))


def _open(url: str) -> stores.Store:
    from osler.feedback import store as stores

    return stores.open_store(url, create=True)


def listen(host: str, port: int, asked: str) -> socket.socket:
    """A listening socket. Raises :class:`InputError`, which names what was ``asked`` for, where the port is taken or
    the address is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{asked}: {reason}; --port 0 takes a free one") from None
    return listening


def _addresses(host: str, port: int) -> list[str]:
    """Where a browser finds it: here, and where it listens at every address of this machine, from elsewhere, too."""
    if host not in ("0.0.0.0", "::"):
        return [f"http://{f'[{host}]' if ':' in host else host}:{port}"]
    return [f"http://127.0.0.1:{port}", f"http://{socket.gethostname()}:{port}"]


def _run(app: FastAPI, listening: socket.socket, server: Server) -> None:
    """Answer until SIGTERM or SIGINT. Then, for ``DRAIN`` seconds, whoever still comes is told to go elsewhere, and
    what was accepted is answered."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Every request has its own deadline, so this is only for connections that do not read.
        timeout_graceful_shutdown=int(server.seconds) + 5,
    )

    class Ending(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = server.ending and sig == signal.SIGINT  # Ctrl-C twice
            server.ending = True
            threading.Timer(DRAIN, lambda: setattr(self, "should_exit", True)).start()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for listener in self.servers:
                listener.close()
            await asyncio.sleep(DRAIN)  # who has connected, and not yet asked, is still turned away with an answer
            await super().shutdown(sockets)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises it again at the end: an orderly end is status 0
    Ending(config).run(sockets=[listening])
