"""An independent client with a certificate of its own: what it may do, and what it may not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evswap_hil.deadline import wait_until
from evswap_hil.observers.mqtt import REFUSALS, connect
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message, telemetry_topic

pytestmark = pytest.mark.any_maker(each=True)

VISITOR = "visitor"


def publish(stack: LocalStack, payload: bytes) -> None:
    with stack.visitor() as visitor:
        visitor.publish(telemetry_topic(VISITOR), payload)


def shown(stack: LocalStack, **fields: object) -> dict[str, Any]:
    """The visitor's state once it shows `fields`."""
    with stack.api() as api:
        return wait_until(
            lambda: (state := api.station(VISITOR)) and state.items() >= fields.items() and state,
            what=f"the visitor showing {fields}",
            within=IN_TIME_S,
        ).found


def test_a_seed_message_reaches_the_api_and_the_archive(stack: LocalStack) -> None:
    now = datetime.now(UTC)
    payload = seed_message(VISITOR, at=now, battery_available=7)
    publish(stack, payload)
    assert shown(stack, battery_available=7)["humidity"] == 42.0
    stored = stack.objects(f"telemetry/year={now:%Y}/month={now:%m}/day={now:%d}/{VISITOR}_")
    assert payload in [each.body for each in stored]
    name = next(each.key for each in stored if each.body == payload).rpartition("/")[2]
    station, _timestamp, uuid = name.removesuffix(".json").split("_")
    assert (station, len(uuid)) == (VISITOR, 36)


def test_an_older_message_is_archived_and_changes_nothing(stack: LocalStack) -> None:
    now = datetime.now(UTC)
    publish(stack, seed_message(VISITOR, at=now, battery_available=21))
    shown(stack, battery_available=21)
    old = seed_message(VISITOR, at=now - timedelta(hours=1), battery_available=22)
    publish(stack, old)
    wait_until(lambda: old in archived(stack), what="the old message archived", within=IN_TIME_S)
    publish(stack, seed_message(VISITOR, battery_charging=9, battery_available=21))
    assert shown(stack, battery_charging=9)["battery_available"] == 21


def test_a_message_delivered_twice_has_one_effect(stack: LocalStack) -> None:
    payload = seed_message(VISITOR, battery_available=31)
    publish(stack, payload)
    publish(stack, payload)
    shown(stack, battery_available=31)
    publish(stack, seed_message(VISITOR, battery_available=32))
    shown(stack, battery_available=32)
    assert [each.body for each in stack.objects("telemetry/")].count(payload) == 1


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        pytest.param(b"not json at all \xff\x00", "", id="not JSON"),
        pytest.param(seed_message(VISITOR, battery_available="many"), "battery_available", id="wrong type"),
        pytest.param(seed_message(VISITOR, temperature=1000), "temperature", id="out of range"),
        pytest.param(
            seed_message("station-01", battery_available=999), "station_id", id="another station's id"
        ),
        pytest.param(seed_message(VISITOR, padding="x" * 100_000), "", id="100 KB"),
        pytest.param(
            seed_message(VISITOR, at=datetime.now(UTC) + timedelta(days=9)), "timestamp", id="future"
        ),
    ],
)
def test_an_invalid_message_is_kept_and_never_shown(stack: LocalStack, payload: bytes, field: str) -> None:
    publish(stack, payload)
    [kept] = wait_until(
        lambda: [each for each in stack.objects("quarantine/") if each.body == payload],
        what="the message in quarantine, byte for byte",
        within=IN_TIME_S,
    ).found
    assert kept.metadata["field"] == field
    assert kept.metadata["reason"]
    assert kept.metadata["topic"] == telemetry_topic(VISITOR)
    good = seed_message(VISITOR, battery_charging=len(payload) % 100)
    publish(stack, good)
    shown(stack, battery_charging=len(payload) % 100)
    with stack.api() as api:
        assert (api.station("station-01") or {})["battery_available"] != 999


def test_another_stations_topic_is_refused(stack: LocalStack) -> None:
    started = datetime.now(UTC)
    forged = seed_message("station-01", battery_available=998)
    with stack.visitor() as visitor, pytest.raises(REFUSALS):
        visitor.publish(telemetry_topic("station-01"), forged)
    assert nothing_holds(stack, forged, since=started)


def test_another_stations_client_id_is_refused(stack: LocalStack) -> None:
    started = datetime.now(UTC)
    forged = seed_message("station-01", battery_available=997)
    with pytest.raises(REFUSALS), stack.visitor(client_id="station-01") as visitor:
        visitor.publish(telemetry_topic("station-01"), forged)
    assert nothing_holds(stack, forged, since=started)


def test_no_certificate_is_refused(stack: LocalStack) -> None:
    described = stack.described
    started = datetime.now(UTC)
    forged = seed_message(VISITOR, battery_available=996)
    with (
        pytest.raises(REFUSALS),
        connect(
            described.mqtt_host,
            described.mqtt_port,
            ca=described.ca_file,
            certificate=None,
            client_id=VISITOR,
        ) as visitor,
    ):
        visitor.publish(telemetry_topic(VISITOR), forged)
    assert nothing_holds(stack, forged, since=started)


def test_a_revoked_certificate_is_refused(stack: LocalStack) -> None:
    iot = stack.aws("iot")
    [principal] = iot.list_thing_principals(thingName=VISITOR)["principals"]
    certificate_id = principal.rpartition("/")[2]
    started = datetime.now(UTC)
    forged = seed_message(VISITOR, battery_available=995)
    iot.update_certificate(certificateId=certificate_id, newStatus="REVOKED")
    try:
        with pytest.raises(REFUSALS), stack.visitor() as visitor:
            visitor.publish(telemetry_topic(VISITOR), forged)
    finally:
        iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    assert nothing_holds(stack, forged, since=started), "and an active one publishes again"


def archived(stack: LocalStack) -> list[bytes]:
    return [each.body for each in stack.objects("telemetry/", of=f"{VISITOR}_")]


def nothing_holds(stack: LocalStack, forged: bytes, *, since: datetime) -> bool:
    """Whether `forged` went nowhere: a message that was sent after it has arrived, and it has not."""
    publish(stack, after := seed_message(VISITOR))
    wait_until(lambda: after in archived(stack), what="the message after it archived", within=IN_TIME_S)
    stored = stack.objects("telemetry/", since=since) + stack.objects("quarantine/", since=since)
    return forged not in [each.body for each in stored]
