"""AWS in this process: moto with the stack's table and bucket, and faults that strike where a test says."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.loaders import create_loader
from moto import mock_aws

from evswap_cloud import events, latest, wiring
from evswap_cloud.handlers import api
from tests.cloud.api_client import event_of

REGION = "us-east-1"
BUCKET = "evswap-archive"
TABLE = "evswap-stations"
FLEET = "evswap-fleet"
EVENTS = "evswap-events"
BATTERIES = "evswap-batteries"
LEDGER = "evswap-ledger"
HISTORY = "evswap-history"
AUTHORISATIONS = "evswap-authorisations"
COMMANDS = "evswap-commands"

_models = create_loader()
"""The descriptions of AWS's services, read once: they are what making a client costs."""


class _Raw(io.BytesIO):
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


@dataclass
class Aws:
    """What stands in for AWS; ``s3`` and ``dynamodb`` look at it without disturbing a fault's count."""

    s3: Any
    dynamodb: Any

    def refuse(self, operation: str, code: str, *, where: str = "") -> Callable[[], None]:
        """Refuse ``operation`` (``s3.PutObject``) where its URL or body holds ``where``: AWS does nothing.

        Calling what is returned repairs it. As with ``lose_answer``, only clients made afterwards notice.
        """
        active = [True]

        def strike(params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]] | None:
            if not active or not _holds(params["url"], params["body"], where):
                return None
            parsed = {
                "Error": {"Code": code, "Message": "made up"},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
            return AWSResponse(params["url"], 400, HTTPHeaders(), _Raw()), parsed

        _session_events().register_first(f"before-call.{operation}", strike)
        return active.clear

    def observe(self, operation: str, seen: Callable[[dict[str, Any]], object]) -> None:
        """Give the arguments of every ``operation`` to ``seen``. Only clients made afterwards notice."""

        def look(params: dict[str, Any], **_: object) -> None:
            seen(dict(params))

        _session_events().register_first(f"provide-client-params.{operation}", look)

    def count_items(self) -> list[int]:
        """A list to which each call of DynamoDB adds how many items it examined: what was filtered away, and
        keys of an index, among them. Only clients made afterwards notice."""
        examined: list[int] = []

        def count(parsed: dict[str, Any], **_: object) -> None:
            many = sum(map(len, parsed.get("Responses", {}).values()))
            examined.append(parsed.get("ScannedCount", many + ("Item" in parsed)))

        _session_events().register_first("after-call.dynamodb", count)
        return examined

    def lose_answer(self, operation: str, *, where: str = "") -> Callable[[], None]:
        """Let AWS carry out ``operation`` and answer, every time, that it is unavailable."""
        active = [True]

        def strike(request: AWSPreparedRequest, **_: object) -> AWSResponse | None:
            if not active or not _holds(request.url, request.body, where):
                return None
            return AWSResponse(request.url, 503, HTTPHeaders(), _Raw())

        _session_events().register_first(f"before-send.{operation}", strike)
        return active.clear

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def body(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def metadata(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self.s3.head_object(Bucket=BUCKET, Key=key)["Metadata"]
        return found

    def item(self, station_id: str) -> dict[str, Any] | None:
        answer = self.dynamodb.get_item(TableName=TABLE, Key={"station_id": {"S": station_id}})
        found: dict[str, Any] | None = answer.get("Item")
        return found


def answer_to(path: str, query: Mapping[str, str] | None = None) -> str:
    """What the API's function answers to a GET that it grants."""
    answer = api.handler(event_of(path, query or {}), SimpleNamespace())  # type: ignore[arg-type]
    assert answer["statusCode"] == 200, answer
    text: str = answer["body"]
    return text


@contextmanager
def aws() -> Iterator[Aws]:
    """A fresh account with empty tables and an empty bucket; the functions' clients are made anew."""
    with mock_aws():
        _start_session()
        s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        _make_stations(dynamodb)
        _make_table(dynamodb, FLEET, "figures")
        _make_table(dynamodb, BATTERIES, "serial_number")
        _make_table(dynamodb, LEDGER, "station_id", "entry")
        _make_table(dynamodb, HISTORY, "station_id", "quarter", sort_type="N")
        _make_table(dynamodb, AUTHORISATIONS, "authorisation_id")
        _make_events(dynamodb)
        _make_commands(dynamodb)
        _start_session()
        _forget_clients()
        try:
            yield Aws(s3=s3, dynamodb=dynamodb)
        finally:
            _forget_clients()
            boto3.DEFAULT_SESSION = None


def _make_table(dynamodb: Any, name: str, *key: str, sort_type: str = "S") -> None:
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": part, "KeyType": kind}
            for part, kind in zip(key, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[
            {"AttributeName": part, "AttributeType": kind}
            for part, kind in zip(key, ("S", sort_type), strict=False)
        ],
    )


def _make_stations(dynamodb: Any) -> None:
    def key(*names: str) -> list[dict[str, str]]:
        return [
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
        ]

    index = {
        "IndexName": latest.INDEX,
        "KeySchema": key("cell", "geohash"),
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=key("station_id"),
        GlobalSecondaryIndexes=[index],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("station_id", "cell", "geohash")
        ],
    )


def _make_events(dynamodb: Any) -> None:
    def key(sort: str) -> list[dict[str, str]]:
        return [
            {"AttributeName": "station_id", "KeyType": "HASH"},
            {"AttributeName": sort, "KeyType": "RANGE"},
        ]

    index = {"IndexName": events.INDEX, "KeySchema": key("place"), "Projection": {"ProjectionType": "ALL"}}
    dynamodb.create_table(
        TableName=EVENTS,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=key("event_id"),
        LocalSecondaryIndexes=[index],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("station_id", "event_id", "place")
        ],
    )


def _make_commands(dynamodb: Any) -> None:
    def key(*names: str) -> list[dict[str, str]]:
        return [
            {"AttributeName": name, "KeyType": kind}
            for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
        ]

    def index(name: str, *names: str, kind: str) -> dict[str, Any]:
        return {"IndexName": name, "KeySchema": key(*names), "Projection": {"ProjectionType": kind}}

    dynamodb.create_table(
        TableName=COMMANDS,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=key("station_id", "command_id"),
        LocalSecondaryIndexes=[
            index("by-time", "station_id", "place", kind="ALL"),
            index("waiting", "station_id", "waiting", kind="ALL"),
        ],
        GlobalSecondaryIndexes=[index("by-deadline", "waits", "deadline", kind="KEYS_ONLY")],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"}
            for name in ("station_id", "command_id", "place", "waiting", "waits", "deadline")
        ],
    )


def _session_events() -> Any:
    session = boto3.DEFAULT_SESSION
    assert session is not None
    return session.events


def _holds(url: str, body: object, where: str) -> bool:
    return where in url or (isinstance(body, bytes) and where.encode() in body)


def _start_session() -> None:
    session = botocore.session.Session()
    session.register_component("data_loader", _models)
    boto3.setup_default_session(botocore_session=session, region_name=REGION)


def _forget_clients() -> None:
    for made in (*vars(wiring).values(), api._app):
        if hasattr(made, "cache_clear"):
            made.cache_clear()
