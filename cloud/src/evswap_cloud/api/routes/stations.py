"""The stations: all of them, and one."""

from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.asked import reported_with_bays
from evswap_cloud.api.filters import parse_circle, parse_wanted
from evswap_cloud.api.paging import parse_cursor, parse_limit
from evswap_cloud.api.representation import nearby_json, page_json, station_json
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.sources import Sources
from evswap_cloud.nearby import search
from evswap_schema import STATION_ID_PATTERN

RESOURCES: Final = (Resource(template="/stations"), Resource(template="/stations/<station_id>"))


def add(app: APIGatewayRestResolver, sources: Sources) -> None:
    """Let ``app`` answer for the stations."""

    @app.get("/stations")
    def list_stations() -> Response[str]:
        query = app.current_event.query_string_parameters
        limit, wanted = parse_limit(query.get("limit")), parse_wanted(query)
        if circle := parse_circle(query):
            nearby = search(sources.places, circle.centre, circle.radius_km, limit=limit, wanted=wanted)
            return answer(nearby_json(nearby, sources.now()))
        after = parse_cursor(query.get("cursor"), STATION_ID_PATTERN)
        page = sources.latest.page(limit=limit, after=after, wanted=wanted)
        return answer(page_json(page, sources.now()))

    @app.get("/stations/<station_id>")
    def get_station(station_id: str) -> Response[str]:
        station = reported_with_bays(sources.latest, station_id)
        return answer(station_json(station.state, station.bays, sources.now()))
