"""What may happen between here and the Hub: how long to wait, what to try again, and how to say it in one line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from osler.errors import DISK_FULL, InputError

# Seconds without a byte from the Hub; huggingface_hub itself would wait for ever.
TIMEOUT = 60.0
# Seconds before the second, third and fourth try. huggingface_hub tries uploads, listings and downloads again by itself
# (five times, up to eight seconds apart), but not whoami, create, refs, commit, branch and tag.
PAUSES = (1.0, 5.0, 20.0)
LONGEST_PAUSE = 300.0  # where the Hub asks for one: it counts requests over five minutes
# Asking too often, being overtaken (409: it is there already, 412: another commit was faster), and failures of the Hub.
PASSING = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})
TOKENS = "https://huggingface.co/settings/tokens"

T = TypeVar("T")
log = logging.getLogger(__name__)


class Interrupted(InputError):
    """The Hub, or the way to it, failed; the same call may succeed later, after the ``pause`` seconds it asks for."""

    def __init__(self, text: str, pause: float = 0.0) -> None:
        super().__init__(text)
        self.pause = pause


def limit_waiting() -> None:
    """Have huggingface_hub give up on a silent Hub after :data:`TIMEOUT` seconds."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def limit(request: Any) -> None:
        # Not a timeout of the client: huggingface_hub asks for none at all in some of its requests.
        limits = request.extensions["timeout"]
        request.extensions["timeout"] = {kind: seconds or TIMEOUT for kind, seconds in limits.items()}

    def client() -> Any:
        client = default_client_factory()
        client.event_hooks = {"request": [*client.event_hooks["request"], limit]}
        return client

    set_client_factory(client)


def persistently(action: Callable[[], T]) -> T:
    """Do ``action``, and again where it is :class:`Interrupted`: it has to be one that may be done twice."""
    for pause in PAUSES:
        try:
            return action()
        except Interrupted as error:
            pause = min(max(pause, error.pause), LONGEST_PAUSE)
            log.warning("%s (trying again in %.0f s)", error, pause)
            time.sleep(pause)
    return action()


@contextmanager
def explained(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line that names the place and the way out.

    Raises:
        Interrupted: another try may succeed.
        InputError: it would not.
    """
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_FULL):
            raise  # of the disk
        raise _explanation(error, repo_id if revision is None else f"{repo_id}@{revision}") from None


def offline(place: str) -> InputError:
    return InputError(f"{place}: HF_HUB_OFFLINE forbids to ask the Hub; unset it")


def line(error: BaseException) -> str:
    """What an error says, in one line of at most 300 characters, and never the token."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HfHubHTTPError

    message = (error.server_message if isinstance(error, HfHubHTTPError) else None) or str(error)
    return " ".join(message.replace(get_token() or "\0", "<token>").split())[:300]


def _explanation(error: Exception, place: str) -> InputError:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    # Behind what the library made of it: what happened on the wire.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (HTTPError, OfflineModeIsEnabled)):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, OfflineModeIsEnabled):
        return offline(place)
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata in README.md"):
        reason = line(error).removeprefix("Invalid metadata in README.md.")
        return InputError(f"{place}: the Hub refuses the metadata of README.md, correct it:{reason}")
    if isinstance(cause, HfHubHTTPError):
        # The links for an upload expire, and a finished one cannot be finished again: the next try gets new ones.
        upload = isinstance(error, RuntimeError) and cause.response.status_code != 401
        return _refusal(cause, place, passing=upload or cause.response.status_code in PASSING)
    if cause is not None:
        why = type(cause).__name__  # what it says may hold the request's headers
        return Interrupted(f"{place}: no answer from {constants.ENDPOINT} ({why}); see to the network, then try again")
    if isinstance(
        error, (OSError, RuntimeError, json.JSONDecodeError)
    ):  # half an answer; or of hf_xet, which is not HTTP
        return Interrupted(f"{place}: the transfer failed ({line(error)}); try again later")
    return InputError(f"{place}: {line(error)}")


def _refusal(error: Any, place: str, passing: bool) -> InputError:
    """In words, an ``HfHubHTTPError``: an answer that says no, and whether that may change by itself."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    page = f"{constants.ENDPOINT}/{place.split('@')[0]}"
    status = error.response.status_code
    if passing:
        overtaken = status in (409, 412)
        why = "somebody else was faster" if overtaken else f"the Hub answered {status}"
        return Interrupted(f"{place}: {why}; try again later", _pause(error.response.headers))
    if isinstance(error, GatedRepoError):
        return InputError(f"{place}: is gated; ask for access at {page}, signed in as the owner of the token")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{place}: there is no such version; see which there are at {page}/tree/main")
    if isinstance(error, RepositoryNotFoundError):
        return InputError(
            f"{place}: is not there, or not for you; mind the spelling, and for a private one `hf auth login` or set"
            " HF_TOKEN to a token that may read it"
        )
    if status == 401:
        return InputError(f"{place}: the Hub does not know the token; make one at {TOKENS}, then `hf auth login`")
    if status == 403:
        return InputError(f"{place}: the token may not do this ({line(error)}); take one of the role write: {TOKENS}")
    return InputError(f"{place}: the Hub refuses this ({status}: {line(error)})")


def _pause(headers: Any) -> float:
    """The seconds that the Hub asks to wait."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0
    after = headers.get("retry-after", "")
    return float(after) if after.isdigit() else 0.0
