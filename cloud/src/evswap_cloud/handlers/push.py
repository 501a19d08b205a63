"""The function ``push``: changes from the stream of the table of states to those who watch."""

from typing import TYPE_CHECKING, Any

import msgspec

from evswap_cloud import wiring
from evswap_cloud.watching.shown import news_in

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> None:  # noqa: ARG001
    """Lambda's entry point. When it raises, the same records come again."""
    delivery = wiring.push().deliver(news_in(event["Records"]))
    if delivery.left or delivery.dropped:
        wiring.logger("push").info("connections ended", extra=msgspec.structs.asdict(delivery))
