"""What a station's messages become in the cloud: given to the real functions, over moto, in the groups in
which their queues would hand them over, and metered.

One station by itself: of a thousand each has its own records in an invocation, and its own items in the
tables. Only the archive's objects are shared, so their bytes are measured apart.
"""

import json
import math
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import yaml

from evswap_cloud.handlers import api, bulk, change, events, live
from evswap_cloud.ledger.shelves import EXPIRY
from evswap_schema import Channel, broker_topic
from tests.cloud.api_client import EVENT
from tests.cloud.messages import STACK, bay, delivered, delivery, reading, sqs_event
from tests.cost.metering import Counting, Meter, item_bytes
from tests.cost.traffic import Sent
from tests.integration import aws

_CREDENTIALS: Final = {
    "POWERTOOLS_LOG_LEVEL": "ERROR",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": aws.REGION,
}


def _environment() -> dict[str, str]:
    """What the functions of the stack are told, in moto's account."""
    functions = yaml.safe_load((STACK / "functions.yaml").read_text())["functions"].values()
    named = {variable for function in functions for variable in function["environment"]}
    tables = {name: f"evswap-{name.split('_')[1].lower()}" for name in named if name.endswith("_TABLE")}
    return _CREDENTIALS | {"EVSWAP_ARCHIVE_BUCKET": aws.BUCKET, "EVSWAP_EVENTS_KEPT_DAYS": "30"} | tables


_ITEM_OVERHEAD: Final = 100
"""Bytes that DynamoDB bills for each item that it stores, beside the item."""


@dataclass(slots=True)
class Work:
    """What a function did with this station's records, in so many groups."""

    meter: Meter = field(default_factory=Meter)
    groups: int = 0


@dataclass(frozen=True, slots=True)
class Replayed:
    """By channel, and what lay in each table at the end."""

    works: Mapping[Channel, Work]
    stored_bytes: dict[str, int]
    grown_bytes: dict[str, int]
    """Of what passes, by what was counted alone."""


def replay(sent: Sequence[Sent], windows_s: Mapping[Channel, float], *, counted_from: datetime) -> Replayed:
    """``windows_s`` is how long a queue gathers records of all stations before it hands them over; a channel
    without one is invoked for each message. What was sent before ``counted_from`` is done, and not counted. A
    record that a function leaves undone is an error of this measurement."""
    works = {channel: Work() for channel in (Channel.BATCH, Channel.CHANGE, Channel.EVENT)}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, _environment()))
        account = stack.enter_context(aws.aws())
        counting = Counting(account.dynamodb, indexed={aws.EVENTS})
        settled: dict[str, int] | None = None
        for channel, group in _groups(sent, windows_s):
            counts = group[0].at >= counted_from
            if counts and settled is None:
                settled = _stored_bytes(account.dynamodb, _passes)
            work = works[channel] if counts else Work()
            counting.meter = work.meter
            work.groups += 1
            _invoke(channel, [envelope_of(one) for one in group])
        before = settled or {}
        passing = _stored_bytes(account.dynamodb, _passes)
        return Replayed(
            works=works,
            stored_bytes=_stored_bytes(account.dynamodb),
            grown_bytes={table: size - before.get(table, 0) for table, size in passing.items()},
        )


def page_of_stations(stations: int = 100) -> tuple[Meter, int]:
    """What `GET /stations` reads of the tables, with the bays in their items, and how many bytes it answers
    with."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, _environment()))
        account = stack.enter_context(aws.aws())
        cabinet = tuple(map(bay, range(1, 36)))
        for number in range(stations):
            one = reading(station_id=f"station-{number:03}", stream_id="s", sequence=1, bays=cabinet)
            live.handler(sqs_event([delivered(one)]), SimpleNamespace())
        counting = Counting(account.dynamodb, indexed=())
        aws._forget_clients()
        answer = api.handler(EVENT | {"path": "/stations"}, SimpleNamespace())  # type: ignore[arg-type]
        assert answer["statusCode"] == 200
        return counting.meter, len(answer["body"])


def _stored_bytes(
    dynamodb: Any, of: Callable[[str, Mapping[str, Any]], bool] = lambda *_: True
) -> dict[str, int]:
    return {
        table.removeprefix("evswap-"): sum(
            _ITEM_OVERHEAD + item_bytes(item)
            for page in dynamodb.get_paginator("scan").paginate(TableName=table)
            for item in page["Items"]
            if of(table, item)
        )
        for table in dynamodb.list_tables()["TableNames"]
    }


def _passes(table: str, item: Mapping[str, Any]) -> bool:
    """Whether it is of something that happened, and not of a station, a bay or a battery, of which there are
    no more tomorrow than today."""
    return table in {aws.EVENTS, aws.HISTORY, aws.AUTHORISATIONS} or (table == aws.LEDGER and EXPIRY in item)


def envelope_of(one: Sent) -> str:
    """As the rule writes it. AWS IoT takes the rule off the topic of Basic Ingest."""
    station_id = one.topic.split("/station/")[1].split("/")[0]
    return json.dumps(
        {
            "payload": b64encode(one.payload).decode(),
            "topic": broker_topic(one.channel, station_id),
            "station_id": station_id,
            "client_id": station_id,
            "principal": "a" * 64,
            "received_at": round(one.at.timestamp() * 1_000),
        },
        separators=(",", ":"),
    )


_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
"""Its multiples, without what is before the point, are spread evenly over a unit, however many there are."""


def _groups(sent: Sequence[Sent], windows_s: Mapping[Channel, float]) -> Iterator[tuple[Channel, list[Sent]]]:
    """Groups in the order in which they are handed over. The windows of a queue go by the records of a
    thousand stations: this one's find some share of a window left, any share as often as any other."""
    waiting: dict[Channel, list[Sent]] = {}
    until: dict[Channel, datetime] = {}
    shares = (number * _GOLDEN % 1.0 for number in count(1))
    for one in sent:
        for channel in [channel for channel in waiting if one.at >= until[channel]]:
            yield channel, waiting.pop(channel)
        if one.channel not in windows_s:
            yield one.channel, [one]
            continue
        if one.channel not in waiting:
            until[one.channel] = one.at + timedelta(seconds=windows_s[one.channel] * next(shares))
        waiting.setdefault(one.channel, []).append(one)
    yield from waiting.items()


def _invoke(channel: Channel, bodies: Sequence[str]) -> None:
    if channel is Channel.CHANGE:
        change.handler(json.loads(bodies[0]), SimpleNamespace(aws_request_id="r"))  # type: ignore[arg-type]
        return
    handler = bulk.handler if channel is Channel.BATCH else events.handler
    answer = handler(
        sqs_event([delivery(body, f"r{number}") for number, body in enumerate(bodies)]), SimpleNamespace()
    )
    assert answer == {"batchItemFailures": []}, answer
