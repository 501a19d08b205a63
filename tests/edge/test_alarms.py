"""Alarms: told once when they begin and once when they end, whatever happens in between."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.alarms import Alarms, book_beside, sensor_failed
from evswap_edge.clock import SystemTime
from evswap_edge.outbox import Outbox, OutboxFull
from evswap_schema import AlarmEvent, AlarmState, Severity, decode_event
from tests.edge.conftest import Eventually
from tests.edge.publishing import STATION, opened

TIME = SystemTime()


class Watching:
    """Alarms at work over an outbox of their own."""

    def __init__(self, outbox: Outbox, folder: Path) -> None:
        self.outbox = outbox
        self.book = book_beside(folder / "outbox.sqlite")
        self.stored = 0
        self.alarms = Alarms(station_id=STATION, outbox=outbox, time=TIME, book=self.book)
        self.alarms.on_event = self._count
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self.alarms.run(self._stop))

    def _count(self) -> None:
        self.stored += 1

    async def __aenter__(self) -> "Watching":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task

    async def told(self) -> list[AlarmEvent]:
        """The events in the outbox, in their order."""
        events = [decode_event(stored.body) for stored in await self.outbox.take_events(100)]
        return [event for event in events if isinstance(event, AlarmEvent)]


async def test_an_alarm_is_told_when_it_begins_and_when_it_ends_and_not_in_between(tmp_path: Path) -> None:
    outbox = await opened(tmp_path)
    async with Watching(outbox, tmp_path) as watching:
        for active in (False, True, True, True, False, False):
            watching.alarms.set("samples_dropped", active, severity=Severity.INFO, detail="x" * 100, count=7)
            assert watching.alarms.raised == ({"samples_dropped"} if active else set())
    first, last = await watching.told()
    assert [first.state, last.state] == [AlarmState.RAISED, AlarmState.CLEARED]
    assert (first.alarm, first.station_id, first.count) == ("samples_dropped", STATION, 7)
    assert (first.severity, first.detail) == (Severity.INFO, "x" * 64)
    assert (last.stream_id, last.sequence) == (first.stream_id, first.sequence + 1)
    assert watching.stored == 2
    await outbox.aclose()


async def test_each_bay_has_an_alarm_of_its_own_and_keeps_it_over_a_power_cut(tmp_path: Path) -> None:
    outbox = await opened(tmp_path)
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set("bay_quarantined", True, bay=3)
        watching.alarms.set("bay_quarantined", True, bay=4)
        watching.alarms.set("bay_quarantined", False, bay=3)
        assert watching.alarms.raised == {"bay_quarantined/4"}
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set("bay_quarantined", True, bay=4)
        watching.alarms.set("bay_quarantined", False, bay=4)
    told = [(event.alarm, event.bay, event.state) for event in await watching.told()]
    raised, cleared = AlarmState.RAISED, AlarmState.CLEARED
    expected = [(3, raised), (4, raised), (3, cleared), (4, cleared)]
    assert told == [("bay_quarantined", bay, state) for bay, state in expected]
    await outbox.aclose()


async def test_alarms_do_not_mix(tmp_path: Path) -> None:
    outbox = await opened(tmp_path)
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set(sensor_failed("climate"), True)
        watching.alarms.set(sensor_failed("bays"), True)
        watching.alarms.set(sensor_failed("climate"), False)
        assert watching.alarms.raised == {"sensor_failed_bays"}
    assert [(event.alarm, event.state.value) for event in await watching.told()] == [
        ("sensor_failed_climate", "raised"),
        ("sensor_failed_bays", "raised"),
        ("sensor_failed_climate", "cleared"),
    ]
    await outbox.aclose()


async def test_an_alarm_whose_cause_went_while_the_power_was_off_is_cleared(
    tmp_path: Path, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set("outbox_in_memory", True)
        await eventually(watching.book.exists)
    async with Watching(outbox, tmp_path) as watching:
        assert watching.alarms.raised == {"outbox_in_memory"}
        watching.alarms.set("outbox_in_memory", False)
    async with Watching(outbox, tmp_path) as watching:
        assert watching.alarms.raised == set()
    assert [event.state.value for event in await watching.told()] == ["raised", "cleared"]
    await outbox.aclose()


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[1, 2]", "\x00"])
async def test_a_book_that_cannot_be_read_raises_nothing(tmp_path: Path, content: str) -> None:
    outbox = await opened(tmp_path)
    book_beside(tmp_path / "outbox.sqlite").write_text(content)
    async with Watching(outbox, tmp_path) as watching:
        assert watching.alarms.raised == set()
    await outbox.aclose()


async def test_a_book_that_cannot_be_written_costs_no_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = await opened(tmp_path)
    book_beside(tmp_path / "outbox.sqlite").mkdir()
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set("samples_dropped", True)
    assert len(await watching.told()) == 1
    assert any("alarms in" in line for line in caplog.messages)
    await outbox.aclose()


async def test_what_somebody_has_to_see_at_once_goes_before_all_that_waits(
    tmp_path: Path, eventually: Eventually
) -> None:
    outbox = await opened(tmp_path)
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set("sensor_failed_climate", True)
        watching.alarms.set("over_temperature", True, severity=Severity.CRITICAL, bay=3)
        watching.alarms.set("sensor_failed_climate", False)
        watching.alarms.set("over_temperature", False, severity=Severity.CRITICAL, bay=3)
        await eventually(lambda: watching.stored == 4)
    told = [(event.alarm, event.state.value) for event in await watching.told()]
    urgent, others = "over_temperature", "sensor_failed_climate"
    assert told == [(name, state) for name in (urgent, others) for state in ("raised", "cleared")]
    await outbox.aclose()


async def test_an_alarm_waits_until_it_can_be_stored(
    tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = await opened(tmp_path)
    works: Callable[..., Any] = outbox.append_event
    failures = 3

    async def fails_at_first(*arguments: Any, **options: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OutboxFull(outbox.path, "database or disk is full")
        return await works(*arguments, **options)

    monkeypatch.setattr(outbox, "append_event", fails_at_first)
    monkeypatch.setattr("evswap_edge.alarms._TRY_AGAIN_S", 0.001)
    async with Watching(outbox, tmp_path) as watching:
        watching.alarms.set("samples_dropped", True)
        watching.alarms.set("samples_dropped", False)
        await eventually(lambda: watching.stored == 2)
    assert [event.state.value for event in await watching.told()] == ["raised", "cleared"]
    await outbox.aclose()
