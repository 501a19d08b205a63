"""The function ``ticket``: hands out tickets for live updates, to whom API Gateway lets through."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evswap_cloud import wiring
from evswap_cloud.api.answers import CORS, JSON, PROBLEM_JSON, REQUEST_ID
from evswap_cloud.api.problems import ProblemError, method_not_allowed, server_error
from evswap_cloud.errors import TicketError
from evswap_cloud.watching.limits import SECOND
from evswap_cloud.watching.tickets import new_ticket

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

METHODS: Final = "POST,OPTIONS"

_BROWSERS_MAY: Final = {
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "Content-Type,X-Api-Key",
    "Access-Control-Max-Age": "86400",
}


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point."""
    answer = _answer_to(event["httpMethod"])
    answer["headers"][REQUEST_ID] = event["requestContext"]["requestId"]
    return answer


def _answer_to(method: str) -> dict[str, Any]:
    match method:
        case "POST":
            return _issue()
        case "OPTIONS":
            return _answer(HTTPStatus.NO_CONTENT, None, _BROWSERS_MAY)
        case _:
            refused = method_not_allowed(f"This resource has no {method}; it has {METHODS}.")
            return _refuse(refused, {"Allow": METHODS})


def _issue() -> dict[str, Any]:
    ticket = new_ticket(int(time.time() * SECOND))
    try:
        wiring.tickets().keep(ticket)
    except TicketError:
        wiring.logger("ticket").exception("no ticket")
        return _refuse(server_error(), {})
    return _answer(HTTPStatus.CREATED, ticket, {"Content-Type": JSON})


def _refuse(error: ProblemError, headers: Mapping[str, str]) -> dict[str, Any]:
    return _answer(error.problem.status, error.problem, {"Content-Type": PROBLEM_JSON, **headers})


def _answer(status: int, body: msgspec.Struct | None, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "statusCode": int(status),
        "headers": {**CORS, "Cache-Control": "no-store", **headers},
        "body": "" if body is None else msgspec.json.encode(body).decode(),
    }
