"""Tokens of EHRs and of OpenID providers: of a known issuer, for this address, now, and once."""

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
from ehr import ISSUER, Ehr, publishing

from osler.errors import InputError
from osler.serving.access import Access, Ehrs, RefusedError, read_ehrs

URL, PATH = "https://cds.example.org", "/cds-services/canned"


@pytest.fixture(scope="module")
def ehr() -> Iterator[Ehr]:
    with publishing(Ehr("ES384")) as ehr:
        yield ehr


@pytest.fixture
def ehrs(ehr: Ehr) -> Ehrs:
    made = read_ehrs(URL, [f"{ISSUER}={ehr.address}"])
    assert made is not None
    return made


def test_a_token_for_this_address_is_taken(ehr: Ehr, ehrs: Ehrs) -> None:
    assert ehrs.who(ehr.token(URL + PATH), PATH) == ISSUER
    assert ehrs.who(ehr.token([URL + PATH]), PATH) == ISSUER  # type: ignore[arg-type]
    assert ehrs.who(ehr.token(URL + PATH, {"jku": ehr.address}), PATH) == ISSUER
    for audience in (URL + PATH, f"{URL}{PATH}/feedback"):
        assert ehrs.who(ehr.token(audience), f"{PATH}/feedback") == ISSUER


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aud": "https://other.example.org" + PATH}, "InvalidAudienceError"),
        ({"aud": URL}, "InvalidAudienceError"),
        ({"iss": "https://other.example.org"}, "KeyError"),
        ({"iss": None}, "KeyError"),
        ({"exp": int(time.time()) - 100}, "ExpiredSignatureError"),
        ({"exp": int(time.time()) + 10_000}, "valid for more than 3,600 seconds"),
        ({"exp": "soon"}, "DecodeError"),
        ({"iat": int(time.time()) + 3000, "exp": int(time.time()) + 6000}, "ImmatureSignatureError"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"iat": None}, "MissingRequiredClaimError"),
        ({"jti": None}, "MissingRequiredClaimError"),
    ],
)
def test_a_token_with_another_claim_is_not(ehr: Ehr, ehrs: Ehrs, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        ehrs.who(ehr.token(URL + PATH, **changes), PATH)


def test_a_token_is_signed_with_the_ehrs_key_by_an_algorithm_of_the_specification(ehr: Ehr, ehrs: Ehrs) -> None:
    stranger = Ehr("ES384")
    for token, said in (
        (stranger.token(URL + PATH), "InvalidSignatureError"),
        (ehr.token(URL + PATH, {"kid": "k2"}), "PyJWKClientError"),
        (ehr.token(URL + PATH, {"jku": "https://other.example.org/keys"}), "jku"),
        (jwt.encode(jwt.decode(ehr.token(URL + PATH), options={"verify_signature": False}), None, "none"), "KeyError"),
        ("a.b.c", "DecodeError"),
        ("", "DecodeError"),
    ):
        with pytest.raises(RefusedError, match=said):
            ehrs.who(token, PATH)
    with publishing(Ehr("ES256")) as other:
        made = read_ehrs(URL, [f"{ISSUER}={other.address}"])
        assert made is not None
        with pytest.raises(RefusedError, match="InvalidAlgorithmError"):
            made.who(other.token(URL + PATH), PATH)


def test_keys_that_cannot_be_fetched_let_nobody_in(ehr: Ehr) -> None:
    made = read_ehrs(URL, [f"{ISSUER}=http://127.0.0.1:9/keys"])
    assert made is not None
    with pytest.raises(RefusedError, match="PyJWKClientConnectionError"):
        made.who(ehr.token(URL + PATH), PATH)


def test_a_token_is_taken_once_and_remembered_no_longer_than_it_is_valid(ehr: Ehr, ehrs: Ehrs) -> None:
    token = ehr.token(URL + PATH)
    assert ehrs.who(token, PATH) == ISSUER
    with pytest.raises(RefusedError, match="sent before"):
        ehrs.who(token, PATH)
    # Its clock is past: within the leeway, and then forgotten.
    now = int(time.time())
    ehrs.who(ehr.token(URL + PATH, exp=now - 20), PATH)
    assert len(ehrs._seen) == 2
    ehrs._see_once(("other", "jti"), now + 1000, now + 11)
    assert ehrs._seen == {(ISSUER, jwt.decode(token, options={"verify_signature": False})["jti"]), ("other", "jti")}


@pytest.mark.parametrize(
    ("url", "issuers", "said"),
    [
        (None, ["https://a=https://b/keys"], "go together"),
        ("https://cds.example.org", [], "go together"),
        ("http://cds.example.org", ["https://a=https://b/keys"], "--cds-url http://cds.example.org: not https"),
        ("https://cds.example.org", ["https://a=http://b/keys"], "not ISS=https"),
        ("https://cds.example.org", ["https://a=file:///etc/keys"], "not ISS=https"),
        ("https://cds.example.org", ["https://b/keys"], "not ISS=https"),
        ("https://cds.example.org", ["=https://b/keys"], "not ISS=https"),
        ("https://[", ["https://a=https://b/keys"], "--cds-url"),
    ],
)
def test_a_wrong_option_is_refused_with_the_way_out(url: str | None, issuers: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("[", "\\[")):
        read_ehrs(url, issuers)


def test_the_address_may_be_given_with_the_services() -> None:
    made = read_ehrs("https://cds.example.org/osler/cds-services/", ["https://a=https://b/keys"])
    assert made is not None
    assert made.url == "https://cds.example.org/osler"
    assert read_ehrs(None, []) is None


# Of an OpenID provider

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
