"""How an interface says why there is no answer: a line of JSON, and in FHIR an OperationOutcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

FHIR = "/fhir/"  # paths of the FHIR interface begin so
FHIR_JSON = "application/fhir+json"
# Source: FHIR R4, value set issue-type.
ISSUES = {
    400: "structure",
    401: "login",
    404: "not-found",
    405: "not-supported",
    413: "too-long",
    415: "not-supported",
    422: "invalid",
    429: "throttled",
    500: "exception",
    503: "timeout",
}


def problem(path: str, status: int, error: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer with this ``status`` at ``path``; ``error`` is one line."""
    if not path.startswith(FHIR):
        return JSONResponse({"error": error}, status, headers)
    content: dict[str, Any] = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": ISSUES.get(status, "processing"), "diagnostics": error}],
    }
    return JSONResponse(content, status, headers, media_type=FHIR_JSON)
