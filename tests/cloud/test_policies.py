"""The IoT policies: made from the contract, pinned to the thing or to provisioning, within AWS's limits."""

import json
import re
from typing import Any

import pytest

from evswap_cloud.policies import (
    MAX_POLICY_CHARACTERS,
    POLICIES,
    claim_policy,
    greengrass_policy,
    main,
    render,
    renewal_policy,
    shadow_policy,
    station_policy,
)
from evswap_schema import STATION_ID_PATTERN, TOPICS, Channel, Direction, aws_topic, shadow
from evswap_schema.provisioning import CERTIFICATE_REQUEST_TOPIC, CLAIM_CLIENT_ID_PREFIX, registration_topic
from tests.cloud.messages import STACK

THING = "${iot:Connection.Thing.ThingName}"


def resources(action: str, policy: dict[str, Any] | None = None) -> list[str]:
    return [
        resource.partition(":${account_id}:")[2]
        for statement in (policy or station_policy())["Statement"]
        if statement["Action"] == action
        for resource in statement["Resource"]
    ]


@pytest.mark.parametrize("name", POLICIES)
def test_the_files_in_the_stack_are_fresh(name: str) -> None:
    written = (STACK / "policies" / name).read_text()
    assert written == render(POLICIES[name]()), "run: python -m evswap_cloud.policies --write"


def test_no_policy_lies_there_that_nothing_makes() -> None:
    assert {path.name for path in (STACK / "policies").iterdir()} == POLICIES.keys()


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


def test_a_station_hears_what_is_for_itself_only() -> None:
    assert resources("iot:Subscribe") == [
        f"topicfilter/ev/station/{THING}/commands/+",
        f"topicfilter/ev/station/{THING}/acknowledgement",
    ]
    assert resources("iot:Receive") == [
        f"topic/ev/station/{THING}/commands/*",
        f"topic/ev/station/{THING}/acknowledgement",
    ]


def test_every_resource_is_pinned_to_the_thing() -> None:
    for statement in station_policy()["Statement"]:
        assert all(THING in resource for resource in statement["Resource"])


# --- the shadow ---


def test_a_station_follows_its_own_shadow_and_no_other() -> None:
    policy = shadow_policy()
    asks = [f"topic/$aws/things/{THING}/shadow/name/configuration/{ask}" for ask in ("get", "update")]
    assert resources("iot:Publish", policy) == asks
    for answer in shadow.ANSWERS:
        heard = "topic/" + shadow.shadow_topic("station-01", answer)
        for action, kind in (("iot:Receive", "topic/"), ("iot:Subscribe", "topicfilter/")):
            allowed = [one.replace(THING, "station-01") for one in resources(action, policy)]
            wanted = heard.replace("topic/", kind, 1)
            assert any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), wanted) for one in allowed)
    assert all(THING in one for statement in policy["Statement"] for one in statement["Resource"])


# --- renewal ---


def test_a_station_asks_for_certificates_and_hears_the_answers_and_connects_by_its_other_policy() -> None:
    registration = registration_topic("T").replace("/T/", "/${prefix}-station/")
    asks = [f"topic/{CERTIFICATE_REQUEST_TOPIC}", f"topic/{registration}"]
    policy = renewal_policy()
    assert resources("iot:Publish", policy) == asks
    assert resources("iot:Receive", policy) == [f"{ask}/*" for ask in asks]
    assert resources("iot:Subscribe", policy) == [
        f"{ask}/*".replace("topic/", "topicfilter/", 1) for ask in asks
    ]
    assert {one["Action"] for one in policy["Statement"]} == {"iot:Publish", "iot:Subscribe", "iot:Receive"}


# --- the claim ---


def test_a_claim_does_nothing_but_provisioning() -> None:
    registration = registration_topic("T").replace("/T/", "/${prefix}-station/")
    asks = [f"topic/{CERTIFICATE_REQUEST_TOPIC}", f"topic/{registration}"]
    replies = {f"{ask}/{answer}" for ask in asks for answer in ("accepted", "rejected")}
    assert resources("iot:Publish", claim_policy()) == asks
    assert set(resources("iot:Receive", claim_policy())) == replies
    assert {
        topic.replace("topicfilter/", "topic/") for topic in resources("iot:Subscribe", claim_policy())
    } == replies
    assert {one["Action"] for one in claim_policy()["Statement"]} == {
        "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive",
    }  # fmt: skip


def test_a_claim_cannot_connect_under_the_id_of_any_station() -> None:
    assert resources("iot:Connect", claim_policy()) == [f"client/{CLAIM_CLIENT_ID_PREFIX}*"]
    assert not re.match(STATION_ID_PATTERN, f"{CLAIM_CLIENT_ID_PREFIX}station-01")


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_fits_with_the_longest_region_and_account(name: str) -> None:
    text = (
        json.dumps(POLICIES[name]())
        .replace("${region}", "ap-southeast-22")
        .replace("${account_id}", "0" * 12)
    )
    assert len(re.sub(r"\s", "", text)) <= MAX_POLICY_CHARACTERS


def test_the_command_prints_what_it_would_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "station.json": station_policy(),
        "shadow.json": shadow_policy(),
        "renewal.json": renewal_policy(),
        "claim.json": claim_policy(),
        "greengrass.json": greengrass_policy(),
    }


def test_a_core_s_own_policy_holds_nothing_of_a_station_and_only_its_own_thing() -> None:
    """The nucleus has both policies; what a station says is in the other one."""
    policy = greengrass_policy()
    for action in ("iot:Publish", "iot:Subscribe", "iot:Receive"):
        for resource in resources(action, policy):
            assert re.match(rf"topic(filter)?/\$aws/things/{re.escape(THING)}/", resource), resource
    assert resources("iot:Connect", policy) == []
    assert resources("iot:AssumeRoleWithCertificate", policy) == ["rolealias/${prefix}-greengrass"]
    everywhere = [one["Action"] for one in policy["Statement"] if "*" in one["Resource"]]
    assert [all(action.startswith("greengrass:") for action in actions) for actions in everywhere] == [True]
