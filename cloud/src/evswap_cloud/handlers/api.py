"""The function ``api``: the REST API behind API Gateway."""

from functools import cache
from typing import TYPE_CHECKING, Any

from evswap_cloud import wiring
from evswap_cloud.api.app import build_app
from evswap_cloud.api.serving import Api
from evswap_cloud.api.sources import Sources

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Lambda's entry point."""
    return _app().resolve(event, context)


@cache
def _app() -> Api:
    sources = Sources(
        latest=wiring.latest_reader(),
        places=wiring.latest_reader(),
        events=wiring.event_reader(),
        history=wiring.history_reader(),
        batteries=wiring.battery_reader(),
        figures=wiring.figures(),
        commands=wiring.command_store(),
    )
    return build_app(sources, wiring.logger("api"))
