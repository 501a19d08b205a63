"""The routes, and what every answer has in common."""

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from evswap_cloud.api.paging import parse_cursor, parse_limit
from evswap_cloud.api.problems import (
    Problem,
    ProblemError,
    bad_parameter,
    method_not_allowed,
    not_found,
    server_error,
)
from evswap_cloud.api.representation import battery_json, event_page_json, page_json, station_json
from evswap_cloud.bays import BayReader
from evswap_cloud.events import PLACE_PATTERN, EventReader
from evswap_cloud.latest import LatestReader, LatestState
from evswap_cloud.ledger import BatteryReader
from evswap_schema import STATION_ID_PATTERN

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

METHODS: Final = "GET,OPTIONS"
CORS: Final = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT: Final = {
    **CORS,
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "Content-Type,X-Api-Key",
    "Access-Control-Max-Age": "86400",
}

_RESOURCE: Final = re.compile(r"/stations(/[^/]+(/events)?)?|/batteries/[^/]+")

MAX_SERIAL_CHARACTERS: Final = 50
"""As in OCPP 2.1."""


def build_app(
    latest: LatestReader, bays: BayReader, events: EventReader, batteries: BatteryReader, logger: Logger
) -> APIGatewayRestResolver:
    """The API over what ``latest``, ``bays``, ``events`` and ``batteries`` give."""
    app = APIGatewayRestResolver()
    _add_stations(app, latest, bays)
    _add_events(app, latest, events)
    _add_batteries(app, batteries)
    _add_preflights(app)
    _add_problems(app, logger)
    return app


def _add_stations(app: APIGatewayRestResolver, latest: LatestReader, bays: BayReader) -> None:
    @app.get("/stations")
    def list_stations() -> Response[str]:
        query = app.current_event.query_string_parameters
        after = parse_cursor(query.get("cursor"), STATION_ID_PATTERN)
        page = latest.page(limit=parse_limit(query.get("limit")), after=after)
        return _answer(HTTPStatus.OK, JSON, page_json(page))

    @app.get("/stations/<station_id>")
    def get_station(station_id: str) -> Response[str]:
        state = _reported(latest, station_id)
        return _answer(HTTPStatus.OK, JSON, station_json(state, bays.of_station(station_id)))


def _add_events(app: APIGatewayRestResolver, latest: LatestReader, events: EventReader) -> None:
    @app.get("/stations/<station_id>/events")
    def list_events(station_id: str) -> Response[str]:
        _demand_station_id(station_id)
        query = app.current_event.query_string_parameters
        before = parse_cursor(query.get("cursor"), PLACE_PATTERN)
        page = events.page(station_id, limit=parse_limit(query.get("limit")), before=before)
        if not page.events:
            _reported(latest, station_id)
        return _answer(HTTPStatus.OK, JSON, event_page_json(page))


def _add_batteries(app: APIGatewayRestResolver, batteries: BatteryReader) -> None:
    @app.get("/batteries/<serial_number>")
    def get_battery(serial_number: str) -> Response[str]:
        wanted = unquote(serial_number)
        if len(wanted) > MAX_SERIAL_CHARACTERS:
            raise bad_parameter(
                "serial_number", f"serial_number has at most {MAX_SERIAL_CHARACTERS} characters."
            )
        answer = batteries.find(wanted, datetime.now(UTC))
        if answer is None:
            raise not_found("No station has ever seen this battery.")
        return _answer(HTTPStatus.OK, JSON, battery_json(answer))


def _reported(latest: LatestReader, station_id: str) -> LatestState:
    """The station's state; raises ``ProblemError`` where it has none."""
    _demand_station_id(station_id)
    state = latest.get(station_id)
    if state is None:
        raise not_found(f"No station {station_id} has reported.")
    return state


def _demand_station_id(station_id: str) -> None:
    if not re.match(STATION_ID_PATTERN, station_id):
        raise bad_parameter("station_id", f"station_id has to match {STATION_ID_PATTERN}.")


def _add_preflights(app: APIGatewayRestResolver) -> None:
    @app.route("/stations", method="OPTIONS")
    def preflight_stations() -> Response[str]:
        return _preflight()

    @app.route("/stations/<station_id>", method="OPTIONS")
    def preflight_station(station_id: str) -> Response[str]:  # noqa: ARG001
        return _preflight()

    @app.route("/stations/<station_id>/events", method="OPTIONS")
    def preflight_events(station_id: str) -> Response[str]:  # noqa: ARG001
        return _preflight()

    @app.route("/batteries/<serial_number>", method="OPTIONS")
    def preflight_battery(serial_number: str) -> Response[str]:  # noqa: ARG001
        return _preflight()


def _add_problems(app: APIGatewayRestResolver, logger: Logger) -> None:
    @app.not_found
    def no_route(_: NotFoundError) -> Response[str]:
        event = app.current_event
        if _RESOURCE.fullmatch(event.path):
            refusal = method_not_allowed(f"This resource has no {event.http_method}; it has {METHODS}.")
            return _problem(refusal.problem, {"Allow": METHODS})
        return _problem(not_found("There is nothing at this path; try /stations.").problem)

    def refused(error: ProblemError) -> Response[str]:
        return _problem(error.problem)

    def failed(error: Exception) -> Response[str]:
        logger.error("request failed", exc_info=error)
        return _problem(server_error().problem)

    app.exception_handler(ProblemError)(refused)
    app.exception_handler(Exception)(failed)


def _answer(
    status: int, content_type: str, body: str, headers: dict[str, str] | None = None
) -> Response[str]:
    common = {**CORS, "Cache-Control": "no-store"}
    return Response(
        status_code=status, content_type=content_type, body=body, headers={**common, **(headers or {})}
    )


def _problem(problem: Problem, headers: dict[str, str] | None = None) -> Response[str]:
    return _answer(problem.status, PROBLEM_JSON, msgspec.json.encode(problem).decode(), headers)


def _preflight() -> Response[str]:
    return Response(status_code=HTTPStatus.NO_CONTENT, body="", headers=dict(PREFLIGHT))
