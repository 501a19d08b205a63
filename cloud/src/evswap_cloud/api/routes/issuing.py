"""Issuing a command to a station: the one thing that the API changes."""

from http import HTTPStatus

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from evswap_cloud.api.answers import answer
from evswap_cloud.api.asked import reported
from evswap_cloud.api.commanding import IDEMPOTENCY_KEY, caller_of, order_of
from evswap_cloud.api.commands_shown import command_json
from evswap_cloud.api.problems import unprocessable
from evswap_cloud.latest import LatestReader
from evswap_cloud.remote import Dispatcher, Issued, IssuedDifferently


def add(app: APIGatewayRestResolver, latest: LatestReader, dispatcher: Dispatcher, logger: Logger) -> None:
    """Let ``app`` issue commands by ``dispatcher`` to the stations of ``latest``."""

    @app.post("/stations/<station_id>/commands")
    def issue_command(station_id: str) -> Response[str]:
        event = app.current_event
        caller = caller_of(event.raw_event["requestContext"])
        order = order_of(station_id, event.decoded_body, event.headers.get(IDEMPOTENCY_KEY), caller)
        reported(latest, station_id)
        try:
            issued = dispatcher.issue(order)
        except IssuedDifferently as error:
            raise unprocessable(
                IDEMPOTENCY_KEY, f"This {IDEMPOTENCY_KEY} belongs to another command; take a new one."
            ) from error
        _log(issued, logger)
        command_id = issued.record.command.command_id
        return answer(
            command_json(issued.record),
            status=HTTPStatus.ACCEPTED,
            headers={"Location": f"commands/{command_id}"},
        )


def _log(issued: Issued, logger: Logger) -> None:
    """Who ordered what, for whoever has to find out later."""
    command = issued.record.command
    told = {
        "station_id": command.station_id,
        "command_id": command.command_id,
        "action": type(command.action).__struct_config__.tag,
        "issued_by": issued.record.issued_by,
    }
    logger.info("command issued", extra=told)
    if issued.failure is not None:
        logger.warning(
            "command not published, it waits for its station",
            extra={"command_id": command.command_id, "code": issued.failure.code},
        )
