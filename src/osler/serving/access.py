"""Who may ask: holders of an API key, of which only hashes are kept, of a token of an OpenID provider, and EHRs."""

from __future__ import annotations

import hashlib
import heapq
import ipaddress
import json
import os
import re
import secrets
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from osler.errors import InputError

ENVIRONMENT = "OSLER_API_KEYS"
_LINE = re.compile(r"(?P<name>[\w.@-]{1,64})[ :](?P<sha256>[0-9a-f]{64})")
ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384"]  # signed with a private key; never "none", never HMAC
SECONDS = 5  # for the provider to answer
CDS = "/cds-services"  # the path below which tokens of EHRs are taken
EHR_ALGORITHMS = ["RS384", "ES384"]  # what CDS Hooks 2.0 recommends
LEEWAY = 30  # seconds that clocks may differ by
LIFETIME = 3600  # seconds: a token is remembered as long as it is valid, to see it once


class RefusedError(Exception):
    """Whoever asks has not shown that they may."""


def new_key(name: str) -> tuple[str, str]:
    """A new key for ``name`` and the line that lets it in. Raises :class:`InputError` for a name with odd letters."""
    key = secrets.token_urlsafe(32)
    line = f"{name}:{_hash(key)}"
    if _LINE.fullmatch(line) is None:
        raise InputError(f"--new-key {name}: letters, digits and . @ - _ alone, 64 at most")
    return key, line


def read_keys(file: Path | None) -> dict[str, str]:
    """sha256 of a key → whose it is; from ``file``, or from ``OSLER_API_KEYS`` with commas between the lines.

    Raises:
        InputError: the file cannot be read, or a line is no ``NAME:SHA256``.
    """
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--keys {file}: cannot be read: {error}") from None
        place = str(file)
    else:
        lines, place = os.environ.get(ENVIRONMENT, "").split(","), ENVIRONMENT
    keys = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            # The line may be a key that somebody put there by mistake, so it is not shown.
            raise InputError(f"{place}:{number}: not NAME:SHA256; scripts/serve.py --new-key NAME prints such a line")
        keys[found["sha256"]] = found["name"]
    if not keys and (file is not None or ENVIRONMENT in os.environ):
        raise InputError(
            f"{place}: has no key, so that nobody would need one; scripts/serve.py --new-key NAME makes one"
        )
    return keys


@dataclass
class Ehrs:
    """EHRs that sign their calls of CDS services. Source: CDS Hooks 2.0, Trusting CDS Clients.

    Attributes:
        url: where EHRs call this server: what stands before ``/cds-services``.
        issuers: the ``iss`` of each EHR → the address of its public keys.
    """

    url: str
    issuers: Mapping[str, str]
    _clients: dict[str, Any] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _ends: list[tuple[int, tuple[str, str]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def signed(self, token: str) -> bool:
        """Whether a token says that one of these EHRs made it."""
        import jwt

        try:
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.PyJWTError:
            return False
        return isinstance(issuer, str) and issuer in self.issuers

    def who(self, token: str, path: str) -> str:
        """The EHR that signed a token for the endpoint at ``path``; may fetch the EHR's keys.

        Raises:
            RefusedError: none of these EHRs, not for this endpoint, not now, too long valid, or seen before.
        """
        import jwt

        try:
            issuer = jwt.decode(token, options={"verify_signature": False})["iss"]
            address = self.issuers[issuer]
            header = jwt.get_unverified_header(token)
            if header.get("jku", address) != address:
                raise RefusedError("the token is not taken: its jku is another address than this EHR's")
            client = self._clients.setdefault(issuer, jwt.PyJWKClient(address, timeout=SECONDS))
            claims = jwt.decode(
                token,
                client.get_signing_key(header["kid"]).key,
                algorithms=EHR_ALGORITHMS,
                # Feedback may be sent with a token for its own address, or for its service's.
                audience=[self.url + path, self.url + path.removesuffix("/feedback")],
                issuer=issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "jti"]},
            )
        except (jwt.PyJWTError, KeyError, OSError, TypeError, ValueError) as error:
            raise RefusedError(f"the token is not taken: {type(error).__name__}") from None
        if int(claims["exp"]) - int(claims["iat"]) > LIFETIME:
            raise RefusedError(f"the token is not taken: it is valid for more than {LIFETIME:,} seconds")
        self._see_once((issuer, str(claims["jti"])), int(claims["exp"]) + LEEWAY, int(time.time()))
        return str(issuer)

    def _see_once(self, token: tuple[str, str], end: int, now: int) -> None:
        """Note a token until its ``end``. Raises :class:`RefusedError` where it is noted."""
        with self._lock:
            while self._ends and self._ends[0][0] < now:
                self._seen.discard(heapq.heappop(self._ends)[1])
            if token in self._seen:
                raise RefusedError("the token is not taken: it was sent before")
            self._seen.add(token)
            heapq.heappush(self._ends, (end, token))


def read_ehrs(url: str | None, issuers: Sequence[str]) -> Ehrs | None:
    """From ``--cds-url`` and ``--cds-issuer ISS=ADDRESS …``; None where there are none.

    Raises:
        InputError: one is given without the other, or an address is not of HTTPS.
    """
    if not url and not issuers:
        return None
    if not url or not issuers:
        raise InputError("--cds-url and --cds-issuer go together: a token says which EHR it is of, and for which URL")
    known = {}
    for pair in issuers:
        issuer, _, address = pair.partition("=")
        if not issuer or not is_safe(address):
            raise InputError(
                f"--cds-issuer {pair}: not ISS=https://…, the EHR's iss and the address of its public keys"
            )
        known[issuer] = address
    if not is_safe(url):
        raise InputError(f"--cds-url {url}: not https://…, the address that EHRs call, without /cds-services")
    return Ehrs(url.rstrip("/").removesuffix(CDS), known)


def is_safe(address: str) -> bool:
    """Whether nobody on the way could read or change what is sent to an address."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(str(host))))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, seen from itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Access:
    """Who is let in.

    Attributes:
        keys: sha256 of an API key → whose it is.
        issuer: the address of an OpenID provider whose tokens are taken, too; ``audience`` is who they are for.
        ehrs: whose tokens are taken for the services of CDS Hooks, and nowhere else.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    issuer: str | None = None
    audience: str | None = None
    ehrs: Ehrs | None = None
    _client: Any = None

    @property
    def open(self) -> bool:
        """Whether everybody may ask."""
        return not self.keys and self.issuer is None and self.ehrs is None

    @property
    def fetches(self) -> bool:
        """Whether somebody else may have to be asked for public keys, which takes time."""
        return self.issuer is not None or self.ehrs is not None

    def knows(self, authorization: str | None, api_key: str | None) -> bool:
        """Whether an API key is shown that is known, so that nobody else has to be asked."""
        return _hash(_shown(authorization, api_key)) in self.keys

    def who(self, authorization: str | None, api_key: str | None, path: str = "") -> str:
        """Who asks at ``path``, by the headers ``Authorization: Bearer …`` and ``X-API-Key``.

        Raises:
            RefusedError: nobody who may.
        """
        if self.open:
            return "anybody"
        shown = _shown(authorization, api_key)
        if not shown:
            signed = ", or, from an EHR, a signed token" if self.ehrs is not None and path.startswith(CDS) else ""
            raise RefusedError(f"no key: send it as Authorization: Bearer KEY, or as X-API-Key{signed}")
        known = self.keys.get(_hash(shown))
        if known is not None:
            return known
        if self.ehrs is not None and path.startswith(CDS) and self.ehrs.signed(shown):
            return self.ehrs.who(shown, path)
        if self.issuer is None:
            raise RefusedError("this key is not known here")
        return self._of_token(shown)

    def _of_token(self, token: str) -> str:
        import jwt

        try:
            if self._client is None:
                self._client = jwt.PyJWKClient(_jwks_address(str(self.issuer)), timeout=SECONDS)
            claims = jwt.decode(
                token,
                self._client.get_signing_key_from_jwt(token).key,
                algorithms=ALGORITHMS,
                audience=self.audience,
                issuer=self.issuer,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, OSError, ValueError) as error:
            raise RefusedError(f"the token is not taken: {type(error).__name__}") from None
        return str(claims["sub"])


def _shown(authorization: str | None, api_key: str | None) -> str:
    """The key or token in the headers; empty where there is none."""
    scheme, _, bearer = (authorization or "").partition(" ")
    return api_key or (bearer.strip() if scheme.lower() == "bearer" else "")


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def _jwks_address(issuer: str) -> str:
    """Where a provider has its public keys. Source: OpenID Connect Discovery 1.0, section 4."""
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        return str(json.load(answer)["jwks_uri"])
