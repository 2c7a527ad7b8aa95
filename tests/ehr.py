"""What an EHR knows of a patient, and the keys it signs its calls with."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

ISSUER = "https://ehr.example.org"
HPO = "http://human-phenotype-ontology.org"
PATIENT = {"resourceType": "Patient", "id": "p1", "gender": "male", "birthDate": "2013-04-01"}


def observation(number: int, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {
            "coding": [{"system": "http://human-phenotype-ontology.org", "code": f"HP:{number}", "display": name}]
        },
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2026-03-01",
        **changes,
    }


LENS = observation(1083, "Ectopia lentis")
LENS_IN_WORDS = observation(2, "Dislocated lens of the eye")
FINGERS = observation(1166, "Long, slender fingers")


def condition(code: str, name: str, status: str = "confirmed") -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": f"c{code}",
        "subject": {"reference": "Patient/p1"},
        "verificationStatus": {"coding": [{"code": status}]},
        "code": {"coding": [{"system": "http://www.omim.org", "code": code, "display": name}]},
        "recordedDate": "2026-03-02",
    }


def bundle(*resources: dict[str, Any], kind: str = "collection", **changes: Any) -> dict[str, Any]:
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **changes}


def hook(*observations: dict[str, Any], conditions: Any = (), hook: str = "patient-view", **changes: Any) -> Any:
    """The body of a call."""
    return {
        "hook": hook,
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": "https://ehr.example.org/fhir",
        "fhirAuthorization": {"access_token": "secret-token", "token_type": "Bearer", "expires_in": 300},
        "context": {"userId": "Practitioner/7", "patientId": "p1"},
        "prefetch": {
            "patient": PATIENT,
            "conditions": bundle(*conditions, kind="searchset"),
            "observations": bundle(*observations, kind="searchset"),
        },
        **changes,
    }


class Ehr:
    """Signs with a key of its own; ``address`` is where the public one is."""

    def __init__(self, algorithm: str, address: str = "") -> None:
        self.algorithm, self.address = algorithm, address
        if algorithm.startswith("ES"):
            curve = {"ES384": ec.SECP384R1(), "ES256": ec.SECP256R1()}[algorithm]
            self.key: Any = ec.generate_private_key(curve)
            made = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            made = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self.jwks = {"keys": [{**made, "kid": "k1", "use": "sig"}]}

    def token(self, audience: str, header: dict[str, Any] | None = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": audience, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **changes}
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": "k1", "typ": "JWT", **(header or {})}
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=headers)


@contextmanager
def publishing(ehr: Ehr) -> Iterator[Ehr]:
    """``ehr`` with its public key at its address on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(ehr.jwks).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ehr.address = f"http://127.0.0.1:{server.server_port}/jwks.json"
    try:
        yield ehr
    finally:
        server.shutdown()
        server.server_close()
