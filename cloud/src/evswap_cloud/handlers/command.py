"""The function ``command``: issues commands to stations, for whom API Gateway has authorised."""

from functools import cache
from typing import TYPE_CHECKING, Any

from evswap_cloud import wiring
from evswap_cloud.api.app import build_issuing_app
from evswap_cloud.api.serving import Api

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry point."""
    return _app().resolve(event, context)


@cache
def _app() -> Api:
    return build_issuing_app(wiring.latest_reader(), wiring.dispatcher(), wiring.logger("command"))
