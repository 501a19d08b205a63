import pytest

from evswap_schema import (
    TOPICS,
    Channel,
    Direction,
    InvalidTopic,
    aws_topic,
    broker_topic,
    rule_source,
    shadow,
    topic_filter,
)

MOST_SLASHES = 7
"""AWS IoT Core quota; the prefix of Basic Ingest does not count."""


@pytest.mark.parametrize(
    ("channel", "topic"),
    [
        (Channel.TELEMETRY, "ev/station/s-1/telemetry"),
        (Channel.CONNECTION, "ev/station/s-1/connection"),
        (Channel.CHANGE, "$aws/rules/evswap_change/ev/station/s-1/telemetry/change"),
        (Channel.BATCH, "$aws/rules/evswap_batch/ev/station/s-1/telemetry/batch"),
        (Channel.EVENT, "$aws/rules/evswap_event/ev/station/s-1/events"),
    ],
)
def test_the_topics_of_a_station(channel: Channel, topic: str) -> None:
    assert aws_topic(channel, "s-1") == topic
    assert topic.endswith(broker_topic(channel, "s-1"))


def test_a_command_has_a_topic_of_its_own() -> None:
    assert aws_topic(Channel.COMMAND, "s-1", "c-9") == "ev/station/s-1/commands/c-9"
    assert aws_topic(Channel.RESULT, "s-1", "c-9") == "ev/station/s-1/commands/c-9/result"


def test_a_station_hears_its_own_commands_by_one_filter() -> None:
    assert topic_filter(Channel.COMMAND, "s-1") == "ev/station/s-1/commands/+"
    assert topic_filter(Channel.ACKNOWLEDGEMENT, "s-1") == broker_topic(Channel.ACKNOWLEDGEMENT, "s-1")


@pytest.mark.parametrize(
    ("channel", "station_id"), [(Channel.COMMAND, "+"), (Channel.COMMAND, "a/b"), (Channel.RESULT, "s-1")]
)
def test_no_filter_reaches_another_station_or_what_goes_up(channel: Channel, station_id: str) -> None:
    with pytest.raises(InvalidTopic):
        topic_filter(channel, station_id)


def test_the_shadow_of_a_station_has_aws_s_topics() -> None:
    assert (
        shadow.shadow_topic("s-1", shadow.DELTA) == "$aws/things/s-1/shadow/name/configuration/update/delta"
    )


@pytest.mark.parametrize(("station_id", "what"), [("+", shadow.GET), ("a/b", shadow.GET), ("s-1", "delete")])
def test_no_other_shadow_topic_is_made(station_id: str, what: str) -> None:
    with pytest.raises(InvalidTopic):
        shadow.shadow_topic(station_id, what)


def test_a_rule_listens_to_all_stations() -> None:
    assert rule_source(Channel.TELEMETRY) == "ev/station/+/telemetry"


@pytest.mark.parametrize("station_id", ["", "a/b", "+", "#", "a\n", "x" * 65, "$aws"])
def test_a_station_id_that_could_reach_another_topic_is_refused(station_id: str) -> None:
    with pytest.raises(InvalidTopic):
        aws_topic(Channel.TELEMETRY, station_id)


@pytest.mark.parametrize("levels", [(), ("a", "b"), ("+",), ("a/b",)])
def test_a_command_id_that_could_reach_another_topic_is_refused(levels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidTopic):
        aws_topic(Channel.RESULT, "s-1", *levels)


def test_every_row_keeps_the_quotas_and_says_where_it_goes() -> None:
    for channel, row in TOPICS.items():
        assert row.channel is channel
        assert f"ev/station/s/{row.suffix}".count("/") <= MOST_SLASHES
        assert not (row.basic_ingest and row.retained), "a broker retains, and Basic Ingest passes it by"
        assert not row.basic_ingest or row.rule
        assert not row.rule or row.direction is Direction.UP
    assert set(TOPICS) == set(Channel)
