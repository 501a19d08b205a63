"""The function ``watch``: what clients say over the WebSocket API, from the handshake to the end."""

import time
from typing import TYPE_CHECKING, Any

from evswap_cloud import wiring
from evswap_cloud.watching.limits import SECOND

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_TAKEN = {"statusCode": 200}


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point."""
    request, sessions = event["requestContext"], wiring.sessions()
    connection_id, now = request["connectionId"], int(time.time() * SECOND)
    match request["eventType"]:
        case "CONNECT":
            sessions.opened(connection_id, wiring.line_endpoint(request), now)
        case "DISCONNECT":
            sessions.closed(connection_id)
        case _:
            endpoint = wiring.line_endpoint(request)
            sessions.received(connection_id, endpoint, event.get("body") or "", now)
    return _TAKEN
