"""Where a battery is."""

from typing import Final
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.problems import bad_parameter, not_found
from evswap_cloud.api.representation import battery_json
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.sources import Sources

RESOURCES: Final = (Resource(template="/batteries/<serial_number>"),)

MAX_SERIAL_CHARACTERS: Final = 50
"""As in OCPP 2.1."""


def add(app: APIGatewayRestResolver, sources: Sources) -> None:
    """Let ``app`` answer for the batteries."""

    @app.get("/batteries/<serial_number>")
    def get_battery(serial_number: str) -> Response[str]:
        wanted = unquote(serial_number)
        if len(wanted) > MAX_SERIAL_CHARACTERS:
            raise bad_parameter(
                "serial_number", f"serial_number has at most {MAX_SERIAL_CHARACTERS} characters."
            )
        found = sources.batteries.find(wanted, sources.now())
        if found is None:
            raise not_found("No station has ever seen this battery.")
        return answer(battery_json(found))
