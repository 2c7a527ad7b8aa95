"""Tokens of an OpenID provider, with keys made on the fly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from osler.serving.access import Access, RefusedError

KEY, OTHER = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The address of a provider on this machine."""

    class Provider(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = f"http://127.0.0.1:{self.server.server_address[1]}"
            public = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "1", "use": "sig"}
            content = {"keys": [public]} if self.path == "/jwks" else {"jwks_uri": f"{address}/jwks"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def token(issuer: str, key: Any = KEY, algorithm: str = "ES384", **changes: Any) -> str:
    claims = {"iss": issuer, "aud": "osler", "sub": "dr-ada", "exp": time.time() + 60} | changes
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": "1"})


def test_a_token_says_who_asks(issuer: str) -> None:
    access = Access(issuer=issuer, audience="osler")
    assert access.who(f"Bearer {token(issuer)}", None) == "dr-ada"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"aud": "somebody else"},
        {"iss": "https://elsewhere.example"},
        {"key": OTHER},
        {"key": "a shared secret that is long enough for HMAC, 32 bytes", "algorithm": "HS256"},
        {"key": None, "algorithm": "none"},
    ],
    ids=["expired", "audience", "issuer", "key", "hmac", "none"],
)
def test_any_other_token_is_refused(issuer: str, changes: dict[str, Any]) -> None:
    access = Access(issuer=issuer, audience="osler")
    with pytest.raises(RefusedError, match="the token is not taken"):
        access.who(f"Bearer {token(issuer, **changes)}", None)


def test_a_provider_that_does_not_answer_lets_nobody_in(issuer: str) -> None:
    with pytest.raises(RefusedError, match="the token is not taken"):
        Access(issuer="http://127.0.0.1:9", audience="osler").who(f"Bearer {token(issuer)}", None)
