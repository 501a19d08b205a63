"""The fleet in figures."""

from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.problems import not_found
from evswap_cloud.api.representation import fleet_json
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.sources import Sources

RESOURCES: Final = (Resource(template="/fleet"),)


def add(app: APIGatewayRestResolver, sources: Sources) -> None:
    """Let ``app`` answer for the fleet."""

    @app.get("/fleet")
    def get_fleet() -> Response[str]:
        figures = sources.figures.get()
        if figures is None:
            raise not_found("The fleet has not been counted yet; it is, once a minute.")
        return answer(fleet_json(figures))
