"""The interlock at work, over a cabinet that can be made dangerous and a real outbox."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evswap_edge.alarms import book_beside
from evswap_edge.config import SafetyRules
from evswap_edge.hal import ActionRefused, Cabinet, Climate, Safety, SensorError, TokenReader
from evswap_edge.safety import releasing
from evswap_edge.safety.deciding import CABINET, Cause, NotReleased
from evswap_edge.safety.guard import guarded
from evswap_edge.safety.latch import latch_beside, read_latch
from evswap_edge.testing import ManualTime, ScriptedCabinet
from evswap_schema import Bay, Health
from tests.edge.interlocking import RULES, Rack, Watch, watching

STATED_S = 2.0
"""The longest that the interlock takes from danger to order, while the driver answers at once."""


class Station:
    """A cabinet and a folder that outlive the processes at work on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = ManualTime()
        self.rack = Rack(time=self.time)

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox.sqlite"

    @asynccontextmanager
    async def watched(self, **changed: Any) -> AsyncIterator[Watch]:
        async with watching(self.folder, self.rack, self.time, **changed) as watch:
            yield watch


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


# --- danger -----------------------------------------------------------------------------------------------


async def test_a_quiet_cabinet_is_left_alone(station: Station) -> None:
    async with station.watched() as watch:
        await watch.passes(60)
        assert not station.rack.orders
        assert not await watch.told()
    assert not latch_beside(station.outbox).exists()


async def test_an_over_temperature_is_cut_in_time(station: Station) -> None:
    async with station.watched() as watch:
        await watch.passes(5)
        station.rack.heat(2, 61.5)
        began = station.time.monotonic()
        await watch.until(station.rack.cuts)
        (when, number), *_ = station.rack.cuts()
        assert number == 2
        assert when - began <= STATED_S
        assert station.rack.charging == {1, 3}
        (event,) = await watch.events()
        assert (event.alarm, event.bay, event.severity) == ("safety_over_temperature", 2, "critical")
        assert event.detail == "61.5 °C, limit 60 °C"


async def test_smoke_cuts_everything(station: Station) -> None:
    async with station.watched() as watch:
        await watch.passes(5)
        station.rack.safety = Safety(smoke=True)
        began = station.time.monotonic()
        await watch.until(lambda: not station.rack.charging)
        assert station.time.monotonic() - began <= STATED_S
        assert await watch.told() == [("safety_smoke", None, "raised")]
        assert all(watch.interlock.veto(number) for number in (1, 2, 3))


async def test_an_order_is_given_until_it_shows(station: Station) -> None:
    station.rack.deaf = {1}
    async with station.watched() as watch:
        await watch.passes(2)
        station.rack.heat(1, 70.0)
        await watch.passes(10)
        assert len(station.rack.cuts()) >= 8
        assert ("safety_charging_not_cut", 1, "raised") in await watch.told()
        station.rack.deaf = set()
        await watch.until(lambda: not station.rack.enabled[1])
        await watch.passes(3)
        assert ("safety_charging_not_cut", 1, "cleared") in await watch.told()
        orders = len(station.rack.orders)
        await watch.passes(10)
        assert len(station.rack.orders) == orders, "what shows is not ordered again"


async def test_an_order_that_fails_is_told_at_once(station: Station) -> None:
    station.rack.failing["orders"] = OSError("no such port")
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.passes(3)
        told = {event.alarm: event for event in await watch.events()}
        assert told["safety_charging_not_cut"].detail == "no such port"
        assert told["safety_charging_not_cut"].severity == "critical"
        del station.rack.failing["orders"]
        await watch.until(lambda: 1 not in station.rack.charging)


async def test_a_charger_that_somebody_switches_on_is_cut_again(station: Station) -> None:
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.until(lambda: not station.rack.enabled[1])
        await watch.passes(3)
        station.rack.enabled[1] = True
        await watch.until(lambda: not station.rack.enabled[1])


async def test_a_station_without_actuators_says_that_nothing_was_cut(tmp_path: Path) -> None:
    cabinet = ScriptedCabinet(climate=Climate(temperature=75.0, humidity=20.0))
    async with watching(tmp_path, cabinet, ManualTime()) as watch:
        await watch.until(lambda: len(watch.alarms.raised) == 3)
        assert sorted(watch.alarms.raised) == [
            "safety_charging_not_cut/1",
            "safety_charging_not_cut/2",
            "safety_hot_cabinet",
        ]


# --- what hangs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hanging", ["bays", "inputs", "climate"])
async def test_a_reading_that_hangs_does_not_hide_what_another_shows(station: Station, hanging: str) -> None:
    station.rack.hanging = {hanging}
    async with station.watched(bays=(1, 2, 3)) as watch:
        await watch.passes(5)
        if hanging == "inputs":
            station.rack.heat(1, 70.0)
        else:
            station.rack.safety = Safety(smoke=True)
        began = station.time.monotonic()
        await watch.until(station.rack.cuts)
        assert station.time.monotonic() - began <= STATED_S


async def test_bays_that_hang_for_too_long_are_cut_blindly(station: Station) -> None:
    async with station.watched(bays=(1, 2, 3)) as watch:
        station.rack.hanging = {"bays"}
        await watch.passes(RULES.unread_s - 1)
        assert not station.rack.orders
        await watch.until(lambda: not station.rack.charging)
        assert set(watch.interlock.state.latched) == {1, 2, 3}


async def test_an_order_that_hangs_costs_only_its_own_bay(station: Station) -> None:
    async with station.watched() as watch:
        station.rack.hanging = {"orders"}
        station.rack.heat(1, 70.0)
        await watch.until(lambda: "safety_charging_not_cut/1" in watch.alarms.raised)
        station.rack.hanging = set()
        station.rack.heat(2, 70.0)
        await watch.until(lambda: station.rack.charging == {3})


async def test_a_driver_that_gives_nonsense_is_not_read(station: Station) -> None:
    station.rack.failing["bays"] = TypeError("a bug")
    station.rack.failing["inputs"] = SensorError(sensor="smoke", reason="no answer")
    async with station.watched(bays=(1, 2, 3)) as watch:
        await watch.passes(RULES.unread_s + 2)
        assert set(watch.interlock.state.latched) == {CABINET, 1, 2, 3}
        assert not station.rack.charging


async def test_an_air_sensor_that_fails_is_no_danger(station: Station) -> None:
    station.rack.failing["climate"] = SensorError(sensor="climate", reason="no answer")
    async with station.watched() as watch:
        await watch.passes(120)
        assert not watch.interlock.state.latched


# --- power cuts -------------------------------------------------------------------------------------------


async def test_what_is_locked_out_stays_so_over_a_restart(station: Station) -> None:
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.until(station.rack.cuts)
    station.rack.heat(1, 30.0)
    station.rack.enabled[1] = True
    async with station.watched() as watch:
        assert watch.interlock.veto(1) is not None, "from the first moment"
        await watch.until(lambda: not station.rack.enabled[1])
        await watch.passes(60)
        assert watch.interlock.veto(1) is not None
        assert await watch.told() == [("safety_over_temperature", 1, "raised")], "and told once"


async def test_alarms_agree_with_what_is_locked_out_after_a_kill(station: Station) -> None:
    """The alarms' book was written before the latch, and the process killed in between."""
    book = ["safety_fault/2", "safety_charging_not_cut/3", "safety_latch_unkept", "sensor_failed_climate"]
    book_beside(station.outbox).write_text(json.dumps(book))
    async with station.watched() as watch:
        await watch.passes(2)
        assert watch.alarms.raised == {"sensor_failed_climate"}


async def test_a_damaged_latch_locks_everything_out(station: Station) -> None:
    latch_beside(station.outbox).write_bytes(b'{"latched":{}}\n00000000\n')
    async with station.watched() as watch:
        assert watch.interlock.veto(3) is not None
        await watch.until(lambda: not station.rack.charging)
        # On a slow machine a charger may be told of, too, that is slow to answer.
        told = [alarm for alarm in await watch.told() if alarm[0] != "safety_charging_not_cut"]
        assert told == [("safety_latch_damaged", None, "raised")]
        await watch.kept()
        assert await watch.interlock.release(CABINET, who="Ama", reason="looked") == "the cabinet is released"
        await watch.until(lambda: station.rack.charging == {1, 2, 3})
    assert read_latch(latch_beside(station.outbox)).latched == {}


async def test_a_disk_that_takes_nothing_delays_no_cut(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with station.watched() as watch:
        with monkeypatch.context() as patch:
            patch.setattr("evswap_edge.safety.interlock.write_latch", full)
            station.rack.heat(1, 70.0)
            await watch.until(lambda: "safety_latch_unkept" in watch.alarms.raised)
            assert station.rack.charging == {2, 3}
        await watch.kept()
        assert "safety_latch_unkept" not in watch.alarms.raised
    assert Cause.OVER_TEMPERATURE in read_latch(latch_beside(station.outbox)).latched[1]


# --- release ----------------------------------------------------------------------------------------------


async def test_a_person_releases_what_is_safe(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.until(station.rack.cuts)
        with pytest.raises(NotReleased, match="the cause persists"):
            await watch.interlock.release(1, who="Ama Mensah", reason="looked")
        station.rack.heat(1, 30.0)
        await watch.passes(2)
        await watch.interlock.release(1, who="Ama Mensah", reason="pack was in the sun")
        await watch.until(lambda: station.rack.enabled[1])
        await watch.passes(5)
        assert not watch.interlock.state.latched
        raised, cleared = await watch.events()
        assert (raised.state, cleared.state) == ("raised", "cleared")
        assert cleared.detail == "released by Ama Mensah: pack was in the sun"
    assert "bay 1 is released by Ama Mensah: pack was in the sun" in caplog.text
    assert read_latch(latch_beside(station.outbox)).latched == {}


async def test_a_release_is_finished_by_the_next_process(station: Station) -> None:
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.until(lambda: not station.rack.enabled[1])
        station.rack.heat(1, 30.0)
        await watch.passes(2)
        station.rack.failing["orders"] = OSError("no such port")
        await watch.interlock.release(1, who="Ama", reason="looked")
        await watch.passes(3)
    assert read_latch(latch_beside(station.outbox)).restore == (1,)
    del station.rack.failing["orders"]
    async with station.watched() as watch:
        await watch.until(lambda: station.rack.enabled[1])
        await watch.until(lambda: read_latch(latch_beside(station.outbox)).restore == ())


async def ask(station: Station, watch: Watch, **changed: Any) -> releasing.Answer:
    """As the command does, in a process of its own."""
    request = releasing.new_request(changed.pop("place", 1), who="Ama", reason="looked", time=station.time)
    request = msgspec.structs.replace(request, **changed)
    asking = asyncio.create_task(asyncio.to_thread(releasing.ask, station.outbox, request, within_s=2.0))
    await watch.until(asking.done, step_s=0.01)
    return asking.result()


async def test_a_release_is_asked_for_by_a_file(station: Station) -> None:
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.until(station.rack.cuts)
        answer = await ask(station, watch)
        assert not answer.released
        assert "the cause persists: over_temperature" in answer.detail
        station.rack.heat(1, 30.0)
        await watch.passes(2)
        assert (await ask(station, watch)).detail == "bay 1 is released"
        assert (await ask(station, watch)).detail == "bay 1 is not locked out"
    assert not releasing.request_path(station.outbox).exists()


@pytest.mark.parametrize(
    "changed", [{"uptime": 0.0}, {"uptime": 1e9}, {"boot_id": "another"}], ids=["old", "to come", "boot"]
)
async def test_a_request_of_another_time_is_thrown_away(station: Station, changed: dict[str, Any]) -> None:
    async with station.watched() as watch:
        station.rack.heat(1, 70.0)
        await watch.until(station.rack.cuts)
        station.rack.heat(1, 30.0)
        with pytest.raises(releasing.ReleaseError, match="no answer within 2 s"):
            await ask(station, watch, **changed)
        assert watch.interlock.veto(1) is not None


async def test_rubbish_in_the_place_of_a_request_is_thrown_away(station: Station) -> None:
    async with station.watched() as watch:
        for rubbish in (b"", b"{}", json.dumps({"place": 1}).encode(), b"\xff" * 10_000):
            releasing.request_path(station.outbox).write_bytes(rubbish)
            await watch.until(lambda: not releasing.request_path(station.outbox).exists())


def test_who_and_why_have_to_be_said(station: Station) -> None:
    for who, reason in ((" ", "looked"), ("Ama", ""), ("A" * 65, "looked")):
        with pytest.raises(releasing.ReleaseError, match="cannot be asked for"):
            releasing.new_request(1, who=who, reason=reason, time=station.time)


# --- what others may do -----------------------------------------------------------------------------------


async def test_nothing_is_done_to_a_bay_that_is_locked_out(station: Station) -> None:
    async with station.watched() as watch:
        cabinet: Any = guarded(station.rack, watch.interlock)
        station.rack.heat(1, 70.0)
        await watch.until(station.rack.cuts)
        with pytest.raises(ActionRefused, match=r"bay 1: locked out by the safety interlock: over_temp"):
            await cabinet.unlock(1)
        with pytest.raises(ActionRefused):
            await cabinet.set_charging(1, enabled=True)
        await cabinet.unlock(2)
        assert station.rack.unlocked == [2]
        shown: list[Bay] = await cabinet.read_bays()
        assert [bay.health for bay in shown] == [Health.QUARANTINED, Health.HEALTHY, Health.HEALTHY]


async def test_what_others_want_off_stays_off_after_a_release(station: Station) -> None:
    async with station.watched() as watch:
        cabinet: Any = guarded(station.rack, watch.interlock)
        station.rack.heat(1, 70.0)
        await watch.until(station.rack.cuts)
        await cabinet.set_charging(1, enabled=False)
        station.rack.heat(1, 30.0)
        await watch.passes(2)
        await watch.interlock.release(1, who="Ama", reason="looked")
        await watch.passes(5)
        assert not station.rack.enabled[1]
        await cabinet.set_charging(1, enabled=True)
        assert station.rack.enabled[1]


async def test_an_order_that_comes_late_does_not_undo_a_cut(station: Station) -> None:
    """Somebody's order to charge was on its way when the bay was locked out."""
    async with station.watched() as watch:
        cabinet: Any = guarded(station.rack, watch.interlock)
        station.rack.hanging = {"orders"}
        late = asyncio.create_task(cabinet.set_charging(1, enabled=True))
        await asyncio.sleep(0)
        station.rack.hanging = set()
        station.rack.heat(1, 70.0)
        await watch.until(lambda: not station.rack.enabled[1])
        station.rack.enabled[1] = True
        late.cancel()
        await asyncio.wait({late})
        await watch.until(lambda: not station.rack.enabled[1])


class WithReader(Rack):
    async def read_token(self) -> str:
        return "token"


async def test_a_guarded_cabinet_can_do_what_it_could_before(station: Station) -> None:
    async with station.watched() as watch:
        for cabinet in (station.rack, WithReader()):
            outside = guarded(cabinet, watch.interlock)
            assert isinstance(outside, Cabinet)
            assert isinstance(outside, TokenReader) is isinstance(cabinet, TokenReader)
        only_shows = ScriptedCabinet()
        assert guarded(only_shows, watch.interlock) is only_shows


def test_rules_that_would_call_every_pause_a_danger_are_refused() -> None:
    with pytest.raises(ValueError, match="unread_s has to be at least"):
        SafetyRules(unread_s=1, every_s=1, read_timeout_s=1)


async def test_the_outbox_of_an_outage_hands_the_alarm_out_first(station: Station) -> None:
    async with station.watched() as watch:
        for number in range(50):
            watch.alarms.set(f"older_{number}", True)
        await watch.until(lambda: not watch.alarms._turns)
        station.rack.heat(3, 66.0)
        await watch.until(station.rack.cuts)
        told = await watch.told()
        assert told[0] == ("safety_over_temperature", 3, "raised")
        assert len(told) == 51
