"""The function ``watch-authorise``: whether a WebSocket handshake is let in. When it raises, it is not."""

import os
import time
from typing import TYPE_CHECKING, Any

from evswap_cloud import wiring
from evswap_cloud.watching.limits import SECOND
from evswap_cloud.watching.tickets import may_connect

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Lambda's entry point."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    let_in = may_connect(
        wiring.tickets(),
        (event.get("queryStringParameters") or {}).get("ticket"),
        headers.get("origin"),
        os.environ.get(wiring.LIVE_ORIGINS, "").split(),
        int(time.time() * SECOND),
    )
    return {
        "principalId": "watcher",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow" if let_in else "Deny",
                    "Resource": event["methodArn"],
                }
            ],
        },
    }
