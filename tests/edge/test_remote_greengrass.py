"""A component that is configured by two, its deployment and its shadow, and commanded through the nucleus:
nothing that it sampled is lost by any of it. The shadow's service is played here, as the nucleus has none."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.emulators.greengrass.uplink import Published
from evswap_schema import (
    Action,
    Channel,
    Command,
    Outcome,
    SetCharging,
    SetConfiguration,
    broker_topic,
    decode_result,
    encode_command,
    shadow,
)
from tests.edge.conftest import Eventually
from tests.edge.nuclei import STATION, Component, component

THING = "station-01"


def said(running: Component, topic: str) -> list[Any]:
    return [json.loads(one.payload or b"null") for one in running.nucleus.published if one.topic == topic]


def reported(running: Component) -> dict[str, Any]:
    updates = said(running, shadow.shadow_topic(THING, shadow.UPDATE))
    told = [update["state"]["reported"] for update in updates if "reported" in update["state"]]
    return dict(told[-1]) if told else {}


def wish(running: Component, desired: Any, *, version: int) -> None:
    told = json.dumps({"state": desired, "version": version}).encode()
    running.nucleus.deliver(Published(shadow.shadow_topic(THING, shadow.DELTA), told))


def command(running: Component, command_id: str, action: Action) -> None:
    now = datetime.now(UTC)
    wanted = Command(
        command_id=command_id,
        station_id=THING,
        issued_at=now,
        expires_at=now + timedelta(minutes=1),
        action=action,
    )
    topic = broker_topic(Channel.COMMAND, THING, command_id)
    running.nucleus.deliver(Published(topic, encode_command(wanted)))


def outcomes(running: Component, command_id: str) -> list[Outcome]:
    topic = broker_topic(Channel.RESULT, THING, command_id)
    return [decode_result(one.payload).outcome for one in running.nucleus.published if one.topic == topic]


async def asked(running: Component, times: int) -> None:
    """It has asked for its shadow so often: it hears what is said from now on."""
    get = shadow.shadow_topic(THING, shadow.GET)
    await running.until(lambda: len(said(running, get)) >= times)


async def test_what_is_wished_for_lies_over_what_was_deployed_and_costs_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually) as running:
        await asked(running, 1)
        wish(running, {"sampling": {"interval_s": 0.06}}, version=5)
        await running.until(lambda: reported(running).get("sampling", {}).get("interval_s") == 0.06)
        running.configure(STATION | {"reporting": {"batch_age_s": 2}})
        await running.until(lambda: reported(running)["reporting"]["batch_age_s"] == 2)
        assert reported(running)["sampling"]["interval_s"] == 0.06
        await asked(running, 3)
        wish(running, {"sampling": {"interval_s": "fast"}}, version=6)
        await running.until(lambda: reported(running).get(shadow.REFUSED))
        assert reported(running)[shadow.REFUSED]["key"] == "sampling.interval_s"
        seen = len(running.sequences)
        await running.until(lambda: len(running.sequences) > seen + 5)
        running.stop.set()
        await running.task
        again = running.started_again()
        before = len(said(again, shadow.shadow_topic(THING, shadow.UPDATE)))
        await again.until(lambda: len(said(again, shadow.shadow_topic(THING, shadow.UPDATE))) > before)
        assert reported(again)["sampling"]["interval_s"] == 0.06
        again.stop.set()
        await again.task
        arrived = set(again.sequences)
    assert arrived == set(range(1, max(arrived) + 1))


async def test_a_command_through_the_nucleus_is_done_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually) as running:
        await asked(running, 1)
        command(running, "c-1", SetCharging(bay=1, enabled=False))
        await running.until(lambda: outcomes(running, "c-1") == [Outcome.ACCEPTED, Outcome.DONE])
        command(running, "c-2", SetConfiguration(configuration={"sampling": {"interval_s": 0.07}}))
        await running.until(lambda: Outcome.DONE in outcomes(running, "c-2"))
        await running.until(lambda: reported(running).get("sampling", {}).get("interval_s") == 0.07)
        assert said(running, shadow.shadow_topic(THING, shadow.UPDATE)).count(
            {"state": {"desired": {"sampling": {"interval_s": 0.07}}}}
        )
        command(running, "c-1", SetCharging(bay=1, enabled=False))
        await running.until(lambda: len(outcomes(running, "c-1")) == 3)
        assert outcomes(running, "c-1")[1:] == [Outcome.DONE] * 2
