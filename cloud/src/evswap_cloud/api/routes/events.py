"""What happened at a station."""

from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.asked import demand_station_id, reported
from evswap_cloud.api.paging import parse_cursor, parse_limit
from evswap_cloud.api.representation import event_page_json
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.sources import Sources
from evswap_cloud.events import PLACE_PATTERN

RESOURCES: Final = (Resource(template="/stations/<station_id>/events"),)


def add(app: APIGatewayRestResolver, sources: Sources) -> None:
    """Let ``app`` answer for the events."""

    @app.get("/stations/<station_id>/events")
    def list_events(station_id: str) -> Response[str]:
        demand_station_id(station_id)
        query = app.current_event.query_string_parameters
        before = parse_cursor(query.get("cursor"), PLACE_PATTERN)
        page = sources.events.page(station_id, limit=parse_limit(query.get("limit")), before=before)
        if not page.events:
            reported(sources.latest, station_id)
        return answer(event_page_json(page))
