"""What a station's minutes were."""

from datetime import UTC, datetime
from typing import Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.asked import demand_station_id, reported
from evswap_cloud.api.history_shown import course_json
from evswap_cloud.api.periods import parse_fields, parse_period
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.sources import Sources
from evswap_cloud.history import course_of

RESOURCES: Final = (Resource(template="/stations/<station_id>/history"),)


def add(app: APIGatewayRestResolver, sources: Sources) -> None:
    """Let ``app`` answer for the history."""

    @app.get("/stations/<station_id>/history")
    def get_history(station_id: str) -> Response[str]:
        demand_station_id(station_id)
        query = app.current_event.query_string_parameters
        period = parse_period(query, now=datetime.now(UTC))
        fields = parse_fields(query.get("fields"))
        quarters = sources.history.between(station_id, period.begin, period.end)
        state = sources.latest.get(station_id) if quarters else reported(sources.latest, station_id)
        course = course_of(
            quarters, begin=period.begin, end=period.end, resolution=period.resolution, fields=fields
        )
        return answer(course_json(station_id, period, course, fields, state))
