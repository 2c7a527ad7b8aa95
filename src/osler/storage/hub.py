"""Versions on the Hub: who may write, and downloads."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osler.errors import InputError
from osler.storage.hub_retries import TOKENS, explained, limit_waiting, offline, persistently

if TYPE_CHECKING:
    from huggingface_hub import HfApi


ATTRIBUTES = ".gitattributes"  # the Hub writes it, and adds to it when it stores a large file


def check_access(repo_id: str) -> None:
    """See whether the token of this machine may publish as ``repo_id``, before anything else is done.

    Raises:
        InputError: the id is malformed, the Hub cannot be reached, there is no token, it is invalid, may only read or
            belongs to somebody who may not write there, or a dataset has that name.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    api = hub_api(repo_id)

    def check() -> None:
        with explained(repo_id):
            _check_may_write(api.whoami(), repo_id)
            with suppress(RepositoryNotFoundError):  # it will be made
                api.auth_check(repo_id, write=True)
            with suppress(RepositoryNotFoundError):
                api.dataset_info(repo_id)
                raise InputError(
                    f"{repo_id}: a dataset has this name, and would be taken for the model; choose another one"
                )

    persistently(check)


def download(repo_id: str, revision: str, cache: Path | None = None) -> tuple[Path, str]:
    """Fetch a version; returns its folder (of links into the cache: do not write there) and its commit.

    ``cache`` is huggingface_hub's own unless given. Without a network, what is in it already is enough.

    Raises:
        InputError: there is no such repository or revision, or not for this token, it is gated, the token can be none,
            or the Hub fails.
    """
    from huggingface_hub import get_token

    check_id(repo_id)
    if token := get_token():
        _check_token(token, repo_id)
    limit_waiting()
    return persistently(lambda: download_once(repo_id, revision, cache))


def download_once(repo_id: str, revision: str, cache: Path | None) -> tuple[Path, str]:
    from huggingface_hub import get_token, snapshot_download

    with explained(repo_id, revision):
        folder = Path(
            snapshot_download(
                repo_id, revision=revision, cache_dir=cache, token=get_token(), ignore_patterns=ATTRIBUTES
            )
        )
    return folder, folder.name


def check_id(repo_id: str) -> None:
    """Raise :class:`InputError` where ``repo_id`` cannot be one."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo_id)
        if "/" not in repo_id:
            raise HFValidationError("no namespace")
    except HFValidationError:
        raise InputError(
            f"{repo_id!r}: not the id of a repository; write USER/NAME in letters, digits, '-', '_' and '.' (at most"
            " 96; no '--' or '..', neither '-' nor '.' at either end, no '.git')"
        ) from None


def _check_token(token: str, repo_id: str) -> None:
    """It goes into a header, as ASCII, and must not come out in what the library says where that fails."""
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError(f"{repo_id}: the token, of HF_TOKEN or `hf auth login`, holds characters that no token has")


def _check_may_write(who: dict[str, Any], repo_id: str) -> None:
    """``who`` is what whoami says."""
    namespace, name = repo_id.split("/")
    roles = {who["name"]: "admin", **{org["name"]: org.get("roleInOrg") for org in who.get("orgs", [])}}
    if namespace not in roles:
        raise InputError(
            f"{repo_id}: the token is of {who['name']}, who does not belong to {namespace}; publish as "
            f"{' or '.join(f'{own}/{name}' for own in roles)}, or use another token"
        )
    if roles[namespace] == "read":
        raise InputError(f"{repo_id}: {who['name']} may only read in {namespace}; ask its admins for the role write")
    token = who.get("auth", {}).get("accessToken", {})  # there is none in an OAuth login
    scopes = token.get("fineGrained", {}).get("scoped", [])
    granted = [right for scope in scopes for right in scope.get("permissions", [])]
    may = any(right.startswith("repo.") and right.endswith("write") for right in granted)
    if token.get("role") == "read" or (token.get("role") == "fineGrained" and not may):
        raise InputError(f"{repo_id}: the token may read but not write; make one of the role write at {TOKENS}")


def hub_api(repo_id: str) -> HfApi:
    """A client with the token of this machine, to publish as ``repo_id``."""
    from huggingface_hub import HfApi, constants, get_token

    check_id(repo_id)
    if constants.is_offline_mode():
        raise offline(repo_id)
    token = get_token()
    if token is None:
        raise InputError(f"{repo_id}: there is no token to publish with; make one at {TOKENS}, then `hf auth login`")
    _check_token(token, repo_id)
    limit_waiting()
    return HfApi(token=token)
