"""The function ``change``: changes of state, straight from their rule."""

from typing import TYPE_CHECKING, Any

from evswap_cloud import wiring
from evswap_cloud.handlers.direct import ingest_direct

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Lambda's entry point."""
    ingest_direct(event, context.aws_request_id, wiring.change_ingest(), wiring.logger("change"))
