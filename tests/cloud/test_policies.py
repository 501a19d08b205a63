"""The stations' IoT policy: made from the topic table, pinned to the thing, within AWS's limits."""

import json
import re

import pytest

from evswap_cloud.policies import MAX_POLICY_CHARACTERS, main, render, station_policy
from evswap_schema import TOPICS, Channel, Direction, aws_topic
from tests.cloud.messages import STACK

THING = "${iot:Connection.Thing.ThingName}"


def resources(action: str) -> list[str]:
    return [
        resource.rpartition(":${account_id}:")[2]
        for statement in station_policy()["Statement"]
        if statement["Action"] == action
        for resource in statement["Resource"]
    ]


def test_the_file_in_the_stack_is_fresh() -> None:
    written = (STACK / "policies" / "station.json").read_text()
    assert written == render(station_policy()), "run: python -m evswap_cloud.policies --write"


def test_a_station_connects_as_the_thing_its_certificate_is_attached_to() -> None:
    [connect] = [one for one in station_policy()["Statement"] if one["Action"] == "iot:Connect"]
    assert resources("iot:Connect") == [f"client/{THING}"]
    assert connect["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}


@pytest.mark.parametrize("channel", [row.channel for row in TOPICS.values() if row.direction is Direction.UP])
def test_a_station_may_publish_what_the_table_says_as_itself_only(channel: Channel) -> None:
    levels = ["some-id"] * TOPICS[channel].suffix.count("+")
    topic = aws_topic(channel, "station-01", *levels)
    allowed = [one.replace(THING, "station-01").removeprefix("topic/") for one in resources("iot:Publish")]
    assert any(re.fullmatch(re.escape(one).replace(r"\*", "[^/]*"), topic) for one in allowed)
    other = topic.replace("station-01", "station-02")
    assert not any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), other) for one in allowed)


def test_only_what_is_retained_may_be_retained() -> None:
    assert resources("iot:RetainPublish") == [f"topic/ev/station/{THING}/connection"]


def test_a_station_hears_its_own_commands_only() -> None:
    assert resources("iot:Subscribe") == [f"topicfilter/ev/station/{THING}/commands/+"]
    assert resources("iot:Receive") == [f"topic/ev/station/{THING}/commands/*"]


def test_every_resource_is_pinned_to_the_thing() -> None:
    for statement in station_policy()["Statement"]:
        assert all(THING in resource for resource in statement["Resource"])


def test_the_policy_fits_with_the_longest_region_and_account() -> None:
    text = (
        json.dumps(station_policy())
        .replace("${region}", "ap-southeast-22")
        .replace("${account_id}", "0" * 12)
    )
    assert len(re.sub(r"\s", "", text)) <= MAX_POLICY_CHARACTERS


def test_the_command_prints_what_it_would_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert json.loads(capsys.readouterr().out) == station_policy()
