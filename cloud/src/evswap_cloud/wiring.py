"""The one place that makes clients: once a process, when first needed, and only those a function needs.

What only some functions need is imported where it is needed: a cold start pays for every module.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config

from evswap_cloud.archive import S3Archive
from evswap_cloud.errors import MissingSetting
from evswap_cloud.events import RETENTION
from evswap_cloud.ingest import BulkIngest, ChangeIngest, EventIngest, LiveIngest
from evswap_cloud.latest import DynamoLatestStates
from evswap_cloud.quarantine import S3Quarantine

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_iot.client import IoTClient
    from types_boto3_s3.client import S3Client

    from evswap_cloud.acknowledge import Acknowledger, DataPlane
    from evswap_cloud.connection.figures import DynamoFigures
    from evswap_cloud.connection.notes import ConnectionNotes
    from evswap_cloud.connection.store import DynamoContacts
    from evswap_cloud.events import DynamoEvents
    from evswap_cloud.history import DynamoHistory
    from evswap_cloud.ledger import Book, LedgerReader
    from evswap_cloud.provisioning import IotRegistry
    from evswap_cloud.remote import CommandPlane, CommandReports, Dispatcher, DynamoCommands
    from evswap_cloud.watching.line import ApiGatewayLine
    from evswap_cloud.watching.push import Push
    from evswap_cloud.watching.session import Sessions
    from evswap_cloud.watching.tickets import DynamoTickets
    from evswap_cloud.watching.watchers import DynamoWatchers

ARCHIVE_BUCKET: Final = "EVSWAP_ARCHIVE_BUCKET"
COMPACTED_BUCKET: Final = "EVSWAP_COMPACTED_BUCKET"
STATIONS_TABLE: Final = "EVSWAP_STATIONS_TABLE"
FLEET_TABLE: Final = "EVSWAP_FLEET_TABLE"
EVENTS_TABLE: Final = "EVSWAP_EVENTS_TABLE"
BATTERIES_TABLE: Final = "EVSWAP_BATTERIES_TABLE"
LEDGER_TABLE: Final = "EVSWAP_LEDGER_TABLE"
COMMANDS_TABLE: Final = "EVSWAP_COMMANDS_TABLE"
AUTHORISATIONS_TABLE: Final = "EVSWAP_AUTHORISATIONS_TABLE"
TICKETS_TABLE: Final = "EVSWAP_TICKETS_TABLE"
WATCHERS_TABLE: Final = "EVSWAP_WATCHERS_TABLE"
LIVE_ORIGINS: Final = "EVSWAP_LIVE_ORIGINS"
"""From where pages may watch, with spaces between; none when it is empty."""
EVENTS_KEPT_DAYS: Final = "EVSWAP_EVENTS_KEPT_DAYS"
"""How long events and swaps stay in their tables."""
HISTORY_TABLE: Final = "EVSWAP_HISTORY_TABLE"

PARALLEL_WRITES: Final = 8
"""A write to S3 waits some 20-50 ms: one after the other, a batch of 100 would take seconds."""

CLIENT: Final = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=PARALLEL_WRITES,
    parameter_validation=False,
)
"""Short and few: the queue delivers again what failed, which costs less than a function that waits. What a
call is made of was validated when it came; AWS does it once more, and botocore's own would be a fifth of a
call's time."""


@cache
def logger(function: str) -> Logger:
    """JSON lines for CloudWatch; the level comes from the function's environment."""
    return Logger(service=f"evswap-{function}")


@cache
def live_ingest() -> LiveIngest:
    """Ingest of single readings; raises ``MissingSetting``."""
    s3, bucket = _s3(), setting(ARCHIVE_BUCKET)
    return LiveIngest(
        archive=S3Archive(s3, bucket),
        latest=_latest_states(),
        quarantine=S3Quarantine(s3, bucket),
        each=_writers().map,
    )


@cache
def change_ingest() -> ChangeIngest:
    """Ingest of changes; raises ``MissingSetting``."""
    return ChangeIngest(
        latest=_latest_states(),
        quarantine=S3Quarantine(_s3(), setting(ARCHIVE_BUCKET)),
        each=map,
    )


@cache
def bulk_ingest() -> BulkIngest:
    """Ingest of batches; raises ``MissingSetting``."""
    s3, bucket = _s3(), setting(ARCHIVE_BUCKET)
    return BulkIngest(
        archive=S3Archive(s3, bucket),
        latest=_latest_states(),
        history=_history(),
        quarantine=S3Quarantine(s3, bucket),
        each=_writers().map,
    )


@cache
def event_ingest() -> EventIngest:
    """Ingest of events; raises ``MissingSetting``."""
    s3, bucket = _s3(), setting(ARCHIVE_BUCKET)
    return EventIngest(
        archive=S3Archive(s3, bucket),
        events=_events(kept=_events_kept()),
        ledger=ledger(kept=_events_kept()),
        quarantine=S3Quarantine(s3, bucket),
        each=_writers().map,
    )


@cache
def acknowledger() -> "Acknowledger":
    """What tells stations what the cloud has."""
    from evswap_cloud.acknowledge import Acknowledger, IotMessenger

    return Acknowledger(IotMessenger(_iot_data()), each=_writers().map)


@cache
def latest_reader() -> DynamoLatestStates:
    """What the API reads from; raises ``MissingSetting``."""
    return _latest_states()


@cache
def contacts() -> "DynamoContacts":
    """Where what is heard of links goes; raises ``MissingSetting``."""
    from evswap_cloud.connection.store import DynamoContacts

    return DynamoContacts(_dynamodb(), setting(STATIONS_TABLE))


@cache
def connection_notes() -> "ConnectionNotes":
    """What brings it there; raises ``MissingSetting``."""
    from evswap_cloud.connection.notes import ConnectionNotes

    return ConnectionNotes(
        contacts=contacts(),
        quarantine=S3Quarantine(_s3(), setting(ARCHIVE_BUCKET)),
        each=_writers().map,
    )


@cache
def figures() -> "DynamoFigures":
    """Where the fleet's figures are kept; raises ``MissingSetting``."""
    from evswap_cloud.connection.figures import DynamoFigures

    return DynamoFigures(_dynamodb(), setting(FLEET_TABLE))


@cache
def event_reader() -> "DynamoEvents":
    """Where the API finds events; raises ``MissingSetting``."""
    return _events()


@cache
def history_reader() -> "DynamoHistory":
    """Where the API finds minutes; raises ``MissingSetting``."""
    return _history()


@cache
def ledger(*, kept: timedelta = RETENTION) -> "Book":
    """The ledger of batteries, which remembers swaps for so long; raises ``MissingSetting``."""
    from evswap_cloud.ledger import dynamo_book

    return dynamo_book(
        _dynamodb(),
        batteries=setting(BATTERIES_TABLE),
        ledger=setting(LEDGER_TABLE),
        authorisations=setting(AUTHORISATIONS_TABLE),
        swaps=kept,
    )


@cache
def battery_reader() -> "LedgerReader":
    """Where the API finds batteries; raises ``MissingSetting``."""
    from evswap_cloud.ledger import dynamo_reader

    return dynamo_reader(_dynamodb(), batteries=setting(BATTERIES_TABLE), ledger=setting(LEDGER_TABLE))


@cache
def command_store() -> "DynamoCommands":
    """Where commands are; raises ``MissingSetting``."""
    from evswap_cloud.remote import DynamoCommands

    return DynamoCommands(_dynamodb(), setting(COMMANDS_TABLE))


@cache
def dispatcher() -> "Dispatcher":
    """What issues commands and sends them; raises ``MissingSetting``."""
    from evswap_cloud.remote import Dispatcher

    plane: CommandPlane = boto3.client("iot-data", config=CLIENT)
    return Dispatcher(command_store(), plane)


@cache
def command_reports() -> "CommandReports":
    """What takes in what stations say of commands; raises ``MissingSetting``."""
    from evswap_cloud.remote import CommandReports

    return CommandReports(
        store=command_store(),
        dispatcher=dispatcher(),
        quarantine=S3Quarantine(_s3(), setting(ARCHIVE_BUCKET)),
    )


@cache
def tickets() -> "DynamoTickets":
    """Where tickets for live updates are; raises ``MissingSetting``."""
    from evswap_cloud.watching.tickets import DynamoTickets

    return DynamoTickets(_dynamodb(), setting(TICKETS_TABLE))


@cache
def sessions() -> "Sessions":
    """What answers those who watch; raises ``MissingSetting``."""
    from evswap_cloud.watching.session import Sessions
    from evswap_cloud.watching.stations import DynamoShown

    return Sessions(
        watchers=_watchers(), stations=DynamoShown(_dynamodb(), setting(STATIONS_TABLE)), line=_line()
    )


@cache
def push() -> "Push":
    """What sends changes to those who watch; raises ``MissingSetting``."""
    from evswap_cloud.watching.push import Clock, Push

    return Push(watchers=_watchers(), line=_line(), clock=Clock(time.time, time.sleep), each=_writers().map)


def line_endpoint(request: Mapping[str, Any]) -> str:
    """Where connections are managed of the WebSocket API that a call's ``requestContext`` is of. An AWS that
    ``AWS_ENDPOINT_URL`` names has no name for each API: there it stands in the path."""
    elsewhere = os.environ.get("AWS_ENDPOINT_URL")
    if elsewhere:
        return f"{elsewhere}/_aws/execute-api/{request['apiId']}/{request['stage']}"
    return f"https://{request['domainName']}/{request['stage']}"


@cache
def registry() -> "IotRegistry":
    """Where certificates are looked up, and revoked."""
    from evswap_cloud.provisioning import IotRegistry

    return IotRegistry(_iot())


def setting(variable: str, environment: Mapping[str, str] = os.environ) -> str:
    """The value of an environment variable that has to be there; raises ``MissingSetting``."""
    value = environment.get(variable, "")
    if not value:
        raise MissingSetting(variable)
    return value


def _latest_states() -> DynamoLatestStates:
    return DynamoLatestStates(_dynamodb(), setting(STATIONS_TABLE))


def _events(*, kept: timedelta = RETENTION) -> "DynamoEvents":
    from evswap_cloud.events import DynamoEvents

    return DynamoEvents(_dynamodb(), setting(EVENTS_TABLE), kept=kept)


def _events_kept() -> timedelta:
    return timedelta(days=float(setting(EVENTS_KEPT_DAYS)))


def _history() -> "DynamoHistory":
    from evswap_cloud.history import DynamoHistory

    return DynamoHistory(_dynamodb(), setting(HISTORY_TABLE))


def _watchers() -> "DynamoWatchers":
    from evswap_cloud.watching.watchers import DynamoWatchers

    return DynamoWatchers(_dynamodb(), setting(WATCHERS_TABLE))


def _line() -> "ApiGatewayLine":
    from evswap_cloud.watching.line import ApiGatewayLine

    return ApiGatewayLine(
        lambda endpoint: boto3.client("apigatewaymanagementapi", endpoint_url=endpoint, config=CLIENT)
    )


@cache
def _s3() -> "S3Client":
    return boto3.client("s3", config=CLIENT)


@cache
def _iot() -> "IoTClient":
    return boto3.client("iot", config=CLIENT)


@cache
def _iot_data() -> "DataPlane":
    """At the region's endpoint, unless ``AWS_ENDPOINT_URL_IOT_DATA_PLANE`` names another."""
    client: DataPlane = boto3.client("iot-data", config=CLIENT)
    return client


@cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb", config=CLIENT)


@cache
def _writers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=PARALLEL_WRITES, thread_name_prefix="evswap-write")
