"""The topic table: who says what where.

A channel goes over the broker (subscribers and rules see it) or by Basic Ingest, straight into one rule: no
message charge, and no subscriber. Rule names are part of the contract: a rule has to exist before a station
publishes to it. The IoT policies in ``cloud/stack`` are generated from this table.
"""

import re
from enum import StrEnum
from typing import Final

from msgspec import Struct

from evswap_schema.errors import InvalidTopic
from evswap_schema.fields import STATION_ID_PATTERN

ROOT: Final = "ev/station"

_STATION_ID: Final = re.compile(STATION_ID_PATTERN)


class Channel(StrEnum):
    """What a message is; its topic tells."""

    TELEMETRY = "telemetry"
    CONNECTION = "connection"
    CHANGE = "change"
    BATCH = "batch"
    EVENT = "event"
    COMMAND = "command"
    RESULT = "result"
    PENDING = "pending"
    ACKNOWLEDGEMENT = "acknowledgement"
    CERTIFICATE = "certificate"


class Direction(StrEnum):
    """Up: station to cloud. Down: cloud to station."""

    UP = "up"
    DOWN = "down"


class TopicRow(Struct, frozen=True, kw_only=True):
    """One row of the table.

    ``suffix`` follows ``ev/station/<station_id>/``; a ``+`` in it stands for one level that differs from
    message to message (a command's id). ``rule`` names the topic rule that takes the channel in the cloud;
    with ``basic_ingest`` the station publishes straight to it. ``retained``: the broker keeps the last
    message.
    """

    channel: Channel
    suffix: str
    direction: Direction
    rule: str | None = None
    basic_ingest: bool = False
    retained: bool = False


TOPICS: Final = {
    row.channel: row
    for row in (
        TopicRow(
            channel=Channel.TELEMETRY, suffix="telemetry", direction=Direction.UP, rule="evswap_telemetry"
        ),
        TopicRow(
            channel=Channel.CONNECTION,
            suffix="connection",
            direction=Direction.UP,
            rule="evswap_connection",
            retained=True,
        ),
        TopicRow(
            channel=Channel.CHANGE,
            suffix="telemetry/change",
            direction=Direction.UP,
            rule="evswap_change",
            basic_ingest=True,
        ),
        TopicRow(
            channel=Channel.BATCH,
            suffix="telemetry/batch",
            direction=Direction.UP,
            rule="evswap_batch",
            basic_ingest=True,
        ),
        TopicRow(
            channel=Channel.EVENT,
            suffix="events",
            direction=Direction.UP,
            rule="evswap_event",
            basic_ingest=True,
        ),
        TopicRow(channel=Channel.COMMAND, suffix="commands/+", direction=Direction.DOWN),
        TopicRow(
            channel=Channel.RESULT, suffix="commands/+/result", direction=Direction.UP, rule="evswap_result"
        ),
        TopicRow(channel=Channel.PENDING, suffix="pending", direction=Direction.UP, rule="evswap_pending"),
        TopicRow(channel=Channel.ACKNOWLEDGEMENT, suffix="acknowledgement", direction=Direction.DOWN),
        TopicRow(
            channel=Channel.CERTIFICATE,
            suffix="certificate",
            direction=Direction.UP,
            rule="evswap_certificate",
            basic_ingest=True,
        ),
    )
}


def aws_topic(channel: Channel, station_id: str, *levels: str) -> str:
    """The topic on which a station meets ``channel`` in AWS IoT; ``levels`` fill the row's ``+``.

    Raises ``InvalidTopic`` for a ``station_id``, or a level, that cannot be one level of a topic.
    """
    row = TOPICS[channel]
    topic = broker_topic(channel, station_id, *levels)
    return f"$aws/rules/{row.rule}/{topic}" if row.basic_ingest else topic


def broker_topic(channel: Channel, station_id: str, *levels: str) -> str:
    """The topic of ``channel`` on a plain broker, and what ``topic()`` gives in a rule.

    Raises ``InvalidTopic``.
    """
    suffix = TOPICS[channel].suffix
    if suffix.count("+") != len(levels):
        raise InvalidTopic(topic=suffix, rule=f"needs {suffix.count('+')} more levels, not {len(levels)}")
    for level in (station_id, *levels):
        if not _STATION_ID.match(level):
            raise InvalidTopic(topic=level, rule=f"a level has to match {STATION_ID_PATTERN}")
    for level in levels:
        suffix = suffix.replace("+", level, 1)
    return f"{ROOT}/{station_id}/{suffix}"


def topic_filter(channel: Channel, station_id: str) -> str:
    """The filter by which a station hears all of ``channel``, on AWS IoT as on a plain broker.

    Raises ``InvalidTopic``.
    """
    row = TOPICS[channel]
    if row.direction is not Direction.DOWN:
        raise InvalidTopic(topic=row.suffix, rule="only what comes down can be heard")
    if not _STATION_ID.match(station_id):
        raise InvalidTopic(topic=station_id, rule=f"a level has to match {STATION_ID_PATTERN}")
    return f"{ROOT}/{station_id}/{row.suffix}"


def rule_source(channel: Channel) -> str:
    """The topic filter in the FROM clause of the rule that takes ``channel``."""
    return f"{ROOT}/+/{TOPICS[channel].suffix}"
