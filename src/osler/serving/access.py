"""Who may ask: holders of an API key, of which only hashes are kept, or of a token of an OpenID provider."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from osler.errors import InputError

ENVIRONMENT = "OSLER_API_KEYS"
_LINE = re.compile(r"(?P<name>[\w.@-]{1,64})[ :](?P<sha256>[0-9a-f]{64})")
ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384"]  # signed with a private key; never "none", never HMAC
SECONDS = 5  # for the provider to answer


class RefusedError(Exception):
    """Whoever asks has not shown that they may."""


def new_key(name: str) -> tuple[str, str]:
    """A new key for ``name`` and the line that lets it in. Raises :class:`InputError` for a name with odd letters."""
    key = secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
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
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--keys {file}: cannot be read: {error}") from None
        place = str(file)
    else:
        lines, place = os.environ.get(ENVIRONMENT, "").split(","), ENVIRONMENT
    keys = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            # The line may be a key that somebody put there by mistake, so it is not shown.
            raise InputError(f"{place}:{number}: not NAME:SHA256; scripts/serve.py --new-key NAME prints such a line")
        keys[found["sha256"]] = found["name"]
    return keys


@dataclass
class Access:
    """Who is let in.

    Attributes:
        keys: sha256 of an API key → whose it is.
        issuer: the address of an OpenID provider whose tokens are taken, too; ``audience`` is who they are for.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    issuer: str | None = None
    audience: str | None = None
    _client: Any = None

    @property
    def open(self) -> bool:
        """Whether everybody may ask."""
        return not self.keys and self.issuer is None

    def who(self, authorization: str | None, api_key: str | None) -> str:
        """Who asks, by the headers ``Authorization: Bearer …`` and ``X-API-Key``; may ask the provider for its keys.

        Raises:
            RefusedError: nobody who may.
        """
        if self.open:
            return "anybody"
        scheme, _, bearer = (authorization or "").partition(" ")
        shown = api_key or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not shown:
            raise RefusedError("no key: send it as Authorization: Bearer KEY, or as X-API-Key")
        known = self.keys.get(hashlib.sha256(shown.encode(errors="replace")).hexdigest())
        if known is not None:
            return known
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


def _jwks_address(issuer: str) -> str:
    """Where a provider has its public keys. Source: OpenID Connect Discovery 1.0, section 4."""
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        return str(json.load(answer)["jwks_uri"])
