"""What every answer has in common."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from aws_lambda_powertools.event_handler import Response

from evswap_cloud.api.problems import Problem

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

REQUEST_ID: Final = "X-Request-Id"

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": f"ETag,Location,Retry-After,{REQUEST_ID}",
}


def answer(
    body: str, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response[str]:
    """JSON that a page from another origin may read, with ``headers`` beside those of every answer."""
    return _response(status, JSON, body, headers or {})


def problem_answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[str]:
    """``problem``, RFC 9457, with ``headers`` beside those of every answer."""
    return _response(problem.status, PROBLEM_JSON, msgspec.json.encode(problem).decode(), headers or {})


def preflight(methods: str) -> Response[str]:
    """What a browser may do with a resource that has ``methods``."""
    headers = {
        **CORS,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization,Content-Type,Idempotency-Key,If-None-Match,X-Api-Key",
        "Access-Control-Max-Age": "86400",
    }
    return Response(status_code=HTTPStatus.NO_CONTENT, body="", headers=headers)


def _response(status: int, content_type: str, body: str, headers: Mapping[str, str]) -> Response[str]:
    common = {**CORS, "Cache-Control": "no-store"}
    return Response(status_code=status, content_type=content_type, body=body, headers={**common, **headers})
