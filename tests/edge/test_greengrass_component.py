"""A station under a nucleus: configured by it, changed by it, and sent home by it. The nucleus is emulated,
the wire and AWS's client are real; the process is started for real in tests/greengrass."""

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.documents import ConfigurationError
from evswap_edge.drivers import simulated
from evswap_edge.emulators.greengrass.uplink import Published
from evswap_edge.greengrass import run_component
from evswap_edge.hal import DriverUnavailable
from evswap_edge.transports import NotUnderGreengrass, RestartRequired
from evswap_schema import (
    Channel,
    Command,
    Outcome,
    ReadNow,
    broker_topic,
    decode_batch,
    decode_result,
    encode_command,
    shadow,
)
from tests.edge.conftest import Eventually
from tests.edge.nuclei import STATION, Component, component
from tests.edge.publishing import waiting_in


async def test_a_recipe_s_configuration_runs_although_its_numbers_are_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(
        tmp_path, monkeypatch, eventually, STATION | {"log": {"level": "warning"}}
    ) as running:
        await running.until(lambda: len(running.sequences) >= 5)
        assert running.nucleus.operations.configuration.read(("station", "sampling")) == {
            "interval_s": "0.05"
        }
        assert (running.states, running.levels) == (["RUNNING"], ["warning"])
        running.stop.set()
        await running.task
        assert running.sequences == list(range(1, len(running.sequences) + 1))
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


async def test_a_change_is_applied_on_the_same_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="evswap_edge")
    async with component(tmp_path, monkeypatch, eventually) as running:
        await running.until(lambda: len(running.sequences) >= 3)
        changes = {"reporting": {"mode": "on-change"}, "log": {"level": "debug"}}
        running.configure(changes | {"outbox": {"max_bytes": 4 * 1024 * 1024}})
        await running.until(lambda: running.batched)
        running.stop.set()
        await running.task
        alone = running.sequences
        batches = [decode_batch(m.payload) for m in running.nucleus.published if m.topic.endswith("/batch")]
    together = [reading.sequence for batch in batches for reading in batch.readings]
    assert alone + together == list(range(1, len(alone) + len(together) + 1))
    assert running.levels == ["info", "debug"]
    assert "new configuration applied" in caplog.text


async def test_daemons_of_the_nucleus_that_are_not_there_yet_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="evswap_edge")
    async with component(tmp_path, monkeypatch, eventually) as running:
        refuse = running.nucleus.operations.to_refuse
        refuse |= Counter({"SubscribeToConfigurationUpdate": 1, "GetConfiguration": 2, "UpdateState": 3})

        def told() -> list[str]:
            lines = [record.getMessage().partition(": ") for record in caplog.records]
            return [what[:11] for who, _, what in lines if who == "the nucleus"]

        await running.until(lambda: running.sequences and len(told()) == 4)
        assert told() == ["not connect", "works again"] * 2
        assert (+refuse, running.states) == (Counter(), ["RUNNING"])


async def test_a_change_is_still_noticed_when_the_nucleus_has_ended_what_tells_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually) as running:
        await running.until(lambda: running.states == ["RUNNING"])
        running.nucleus.end_subscriptions()
        running.configure({"log": {"level": "debug"}})
        await running.until(lambda: running.levels == ["info", "debug"])
        running.configure({"log": {"level": "error"}})
        await running.until(lambda: running.levels == ["info", "debug", "error"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"sampling": {"interval_s": "often"}},
            "sampling.interval_s: expected float, got str; found 'often'",
        ),
        ({"sampling": {"interval_s": -1}}, "sampling.interval_s: expected float >= 0.005; found -1"),
        ({"samplign": {"interval_s": 1}}, "samplign: unknown key; .*did you mean 'sampling'"),
        ({"driver": {"name": "simulatd"}}, "driver.name: no driver is called 'simulatd'"),
        ({"outbox": {"path": "/elsewhere"}}, "outbox.path: is outbox.sqlite in the component's work folder"),
        ({"outbox": {"max_bytes": 1}}, "outbox.max_bytes: expected int >= "),
        ({"outbox": "/elsewhere"}, "outbox: expected object"),
        ({"provisioning": {"renew_before_days": 30}}, "provisioning: is the nucleus's affair"),
        ({"station_id": "another"}, r"station_id: is the core's thing name \(AWS_IOT_THING_NAME\)"),
        (
            {"transport": {"acknowledge_timeout_s": 0}},
            "transport.acknowledge_timeout_s: expected float >= 0.1",
        ),
    ],
)
async def test_a_change_that_cannot_be_used_is_refused_and_the_station_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
    complaint: str,
) -> None:
    async with component(tmp_path, monkeypatch, eventually) as running:
        await running.until(lambda: running.states == ["RUNNING"])
        running.configure(change)
        await running.until(lambda: "the one before stays" in caplog.text)
        seen = len(running.sequences)
        await running.until(lambda: len(running.sequences) > seen + 3)
        assert (running.states, running.levels) == (["RUNNING"], ["info"])
        # It was not even stopped for it.
        assert not any("hung_up" in event for event in running.events)
    (line,) = [r.getMessage() for r in caplog.records if "the one before stays" in r.getMessage()]
    assert line.startswith(
        "new configuration refused, the one before stays: component configuration, station: "
    )
    assert re.search(complaint, line)


async def test_a_change_whose_hardware_is_not_there_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    opened = simulated.KIND.open

    async def only_eight_bays(settings: Any, *rest: Any) -> Any:
        if settings.bays != 8:
            raise DriverUnavailable(device="cabinet", reason="no ninth bay")
        return await opened(settings, *rest)

    monkeypatch.setattr(
        simulated, "KIND", type(simulated.KIND)(**vars_of(simulated.KIND, open=only_eight_bays))
    )
    async with component(tmp_path, monkeypatch, eventually) as running:
        await running.until(lambda: len(running.sequences) >= 2)
        running.configure({"driver": {"bays": 9}})
        await running.until(lambda: "no ninth bay" in caplog.text)
        seen = len(running.sequences)
        await running.until(lambda: len(running.sequences) > seen + 2)
        assert running.states == ["RUNNING"]


def vars_of(kind: Any, **changed: Any) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in kind.__dataclass_fields__} | changed


@pytest.mark.parametrize(
    ("station", "complaint"),
    [
        (None, "driver: is missing: deploy one"),
        ({}, "driver: is missing: deploy one"),
        ("text", "driver: is missing: deploy one"),
        (STATION | {"sampling": {"interval_s": "0"}}, "sampling.interval_s: expected float >= 0.005"),
        (STATION | {"transport": "mqtt"}, "transport: expected object"),
    ],
)
async def test_without_a_usable_configuration_it_does_not_begin_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, station: Any, complaint: str
) -> None:
    async with component(tmp_path, monkeypatch, eventually, station) as running:
        with pytest.raises(ConfigurationError, match=complaint):
            await running.task
        assert running.states == ["ERRORED"]
    assert not (tmp_path / "outbox.sqlite").exists()


@pytest.mark.parametrize("kept", [True, False], ids=["remembered", "forgotten"])
async def test_a_bad_configuration_that_is_still_there_after_a_reboot_does_not_keep_the_station_down(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    kept: bool,
) -> None:
    async with component(tmp_path, monkeypatch, eventually) as first:
        await first.until(lambda: len(first.sequences) >= 2)
        first.configure({"driver": {"bays": "many"}})
        first.stop.set()
        await first.task
        if not kept:
            (tmp_path / "last-good-configuration.json").write_text("{ half")
        again = first.started_again()
        if kept:
            seen = len(again.sequences)
            await again.until(lambda: len(again.sequences) > seen + 2)
            again.stop.set()
            await again.task
            assert "configuration refused, the last good one stays" in caplog.text
            assert again.states == ["RUNNING", "RUNNING"]
        else:
            with pytest.raises(ConfigurationError, match=r"driver\.bays"):
                await again.task
            assert again.states == ["RUNNING", "ERRORED"]


async def test_commands_come_down_results_go_up_and_what_waits_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually) as running:

        def said(topic: str) -> list[bytes]:
            return [message.payload for message in running.nucleus.published if message.topic == topic]

        def results(command_id: str) -> list[Outcome]:
            topic = broker_topic(Channel.RESULT, "station-01", command_id)
            return [decode_result(payload).outcome for payload in said(topic)]

        await running.until(lambda: said(broker_topic(Channel.PENDING, "station-01")))
        await running.until(lambda: said(shadow.shadow_topic("station-01", shadow.GET)))
        padding = b" " * 5_000  # what is that long vanishes in nucleus lite
        for command_id, end in (("too-long", padding), ("read-now", b"")):
            topic = broker_topic(Channel.COMMAND, "station-01", command_id)
            running.nucleus.deliver(Published(topic, read_now(command_id) + end))
        await running.until(lambda: Outcome.DONE in results("read-now"))
        assert results("too-long") == []


def read_now(command_id: str) -> bytes:
    now = datetime.now(UTC)
    command = Command(
        command_id=command_id,
        station_id="station-01",
        issued_at=now,
        expires_at=now + timedelta(minutes=1),
        action=ReadNow(),
    )
    return encode_command(command)


async def test_a_thing_that_can_be_no_station_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually, thing="core:1") as running:
        with pytest.raises(ConfigurationError, match="AWS_IOT_THING_NAME: the thing name 'core:1'"):
            await running.task


async def test_without_a_nucleus_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_IOT_THING_NAME", raising=False)
    with pytest.raises(NotUnderGreengrass, match="AWS_IOT_THING_NAME"):
        await run_component(SystemTime(), asyncio.Event())


async def test_it_can_be_stopped_while_it_waits_for_the_nucleus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVCUID", "x")
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_IOT_THING_NAME", "station-01")
    stop = asyncio.Event()
    task = asyncio.create_task(run_component(SystemTime(), stop))
    stop.set()
    async with asyncio.timeout(20):
        await task


async def test_a_nucleus_that_is_restarted_ends_it_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """With messages under way and without an answer, several times over."""
    async with component(tmp_path, monkeypatch, eventually) as running:
        last = running
        for _ in range(3):
            last = await outlived_by_the_next(last)
        seen = max(last.sequences)
        await last.until(lambda: set(range(1, seen + 4)) <= set(last.sequences))
        last.stop.set()
        await last.task
        arrived = set(last.sequences)
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0
    assert arrived == set(range(1, max(arrived) + 1))


async def test_a_nucleus_that_goes_is_noticed_also_when_there_is_nothing_to_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(
        tmp_path, monkeypatch, eventually, STATION | {"sampling": {"interval_s": 3600}}
    ) as running:
        await running.until(lambda: len(running.sequences) == 1 and running.states == ["RUNNING"])
        running.nucleus.restart()
        # Whichever learns it first: who watches the connection, or who still awaits an answer by it.
        noticed = "the nucleus ended its connection|the connection to the nucleus has ended"
        with pytest.raises(RestartRequired, match=noticed):
            await running.task


async def outlived_by_the_next(running: Component) -> Component:
    """Let it publish, restart the nucleus while there is no answer, and start it again."""
    seen = len(running.sequences)
    await running.until(lambda: len(running.sequences) > seen + 3)
    running.nucleus.hold_answers()
    await running.until(lambda: len(running.nucleus.operations.held) >= 2)
    running.nucleus.restart()
    with pytest.raises(RestartRequired, match="started again"):
        await running.task
    running.nucleus.release_answers()
    return running.started_again()
