"""The commands of a station, and what became of them. They are issued by a function of its own
(``routes.issuing``): what may only read cannot command."""

import re
from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.asked import demand_station_id, reported
from evswap_cloud.api.commands_shown import command_json, command_page_json
from evswap_cloud.api.paging import parse_cursor, parse_limit
from evswap_cloud.api.problems import not_found
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.sources import Sources
from evswap_cloud.remote import PLACE_PATTERN
from evswap_schema import STATION_ID_PATTERN

RESOURCES: Final = (
    Resource(template="/stations/<station_id>/commands", methods=("GET", "POST")),
    Resource(template="/stations/<station_id>/commands/<command_id>"),
)


def add(app: APIGatewayRestResolver, sources: Sources) -> None:
    """Let ``app`` answer for the commands."""

    @app.get("/stations/<station_id>/commands")
    def list_commands(station_id: str) -> Response[str]:
        demand_station_id(station_id)
        query = app.current_event.query_string_parameters
        before = parse_cursor(query.get("cursor"), PLACE_PATTERN)
        page = sources.commands.page(station_id, limit=parse_limit(query.get("limit")), before=before)
        if not page.records:
            reported(sources.latest, station_id)
        return answer(command_page_json(page))

    @app.get("/stations/<station_id>/commands/<command_id>")
    def get_command(station_id: str, command_id: str) -> Response[str]:
        demand_station_id(station_id)
        record = (
            sources.commands.get(station_id, command_id) if re.match(STATION_ID_PATTERN, command_id) else None
        )
        if record is None:
            raise not_found(f"Station {station_id} has no such command.")
        return answer(command_json(record))
