"""Commands to a station: what is done, what is refused and why, and that each is done once and answered once.

Everything is real but the wire and the cabinet's mechanics; processes that are killed are in
test_remote_crash.py.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.hal import ActionRefused, ActuatorError, SensorError
from evswap_edge.remote import journal
from evswap_edge.remote.journal import Journal, JournalUnusable
from evswap_edge.testing import ManualTime, ScriptedCabinet
from evswap_edge.transports import ReasonCode
from evswap_schema import (
    Action,
    Channel,
    Charge,
    Clock,
    Outcome,
    ReadNow,
    RequestSwap,
    Reserve,
    SetCharging,
    SetConfiguration,
    Unlock,
    broker_topic,
    encode_command,
)
from tests.edge.conftest import Eventually
from tests.edge.remote import STATION, Bench

TOKEN = "0" * 64


@pytest.fixture
def bench(tmp_path: Path, eventually: Eventually) -> Bench:
    return Bench(tmp_path, eventually)


# --- what is done -----------------------------------------------------------------------------------------


async def test_a_door_is_unlocked_and_that_is_seen(bench: Bench) -> None:
    async with bench.at_work():
        result = await bench.done(bench.command("c-1", Unlock(bay=3)))
        assert bench.outcomes("c-1") == [Outcome.ACCEPTED, Outcome.DONE]
        assert (result.station_id, result.reason, result.timestamp) == (STATION, None, bench.time.now())
        assert bench.cabinet.orders == [("unlock", 3)]


async def test_charging_is_stopped_and_allowed_again(bench: Bench) -> None:
    await bench.time.advance(5.0)
    bay = await bench.cabinet.first(Charge.CHARGING)
    async with bench.at_work():
        for command_id, enabled, charge in (("c-1", False, Charge.WAITING), ("c-2", True, Charge.CHARGING)):
            result = await bench.done(bench.command(command_id, SetCharging(bay=bay, enabled=enabled)))
            assert result.outcome is Outcome.DONE
            assert (await bench.cabinet.read_bays())[bay - 1].charge is charge


async def test_a_full_battery_shows_nothing_of_its_charger_and_the_order_counts(bench: Bench) -> None:
    bay = await bench.cabinet.first(Charge.CHARGED)
    async with bench.at_work():
        assert (await bench.done(bench.command("c-1", SetCharging(bay=bay, enabled=False)))).outcome == "done"


async def test_a_battery_is_reserved_until_its_time(bench: Bench) -> None:
    bay = await bench.cabinet.first(Charge.CHARGED)
    until = bench.time.now() + timedelta(seconds=90)
    async with bench.at_work():
        result = await bench.done(bench.command("c-1", Reserve(bay=bay, until=until, id_token=TOKEN)))
        assert result.outcome is Outcome.DONE
        again = await bench.done(bench.command("c-2", Reserve(bay=bay, until=until, id_token=TOKEN)))
        assert (again.outcome, again.reason) == (Outcome.REJECTED, f"bay {bay} is reserved already")
    async with bench.at_work():
        again = await bench.done(bench.command("c-3", Reserve(bay=bay, until=until, id_token=TOKEN)))
        assert again.outcome is Outcome.REJECTED, "a restart takes no promise back"
        await bench.time.advance(91.0)
        later = bench.time.now() + timedelta(seconds=90)
        again = await bench.done(bench.command("c-4", Reserve(bay=bay, until=later, id_token=TOKEN)))
        assert again.outcome is Outcome.DONE
    assert bench.cabinet.orders == []


async def test_a_clock_that_is_behind_reserves_nothing_for_longer_than_was_meant(bench: Bench) -> None:
    bay = await bench.cabinet.first(Charge.CHARGED)
    issued = bench.time.now() + timedelta(days=20)
    reserve = Reserve(bay=bay, until=issued + timedelta(seconds=90), id_token=TOKEN)
    bench.time.clock_state = Clock.ESTIMATED
    async with bench.at_work():
        command = bench.command("c-1", reserve, issued_at=issued, expires_at=issued + timedelta(minutes=1))
        assert (await bench.done(command)).outcome is Outcome.DONE
        await bench.time.advance(91.0)
        again = bench.command("c-2", reserve, issued_at=issued, expires_at=issued + timedelta(minutes=1))
        assert (await bench.done(again)).outcome is Outcome.DONE


async def test_a_reading_is_taken_now(bench: Bench) -> None:
    async with bench.at_work():
        assert (await bench.done(bench.command("c-1", ReadNow()))).outcome is Outcome.DONE
        assert bench.readings == 1


async def test_the_configuration_is_changed(bench: Bench) -> None:
    async with bench.at_work():
        wanted = SetConfiguration(configuration={"sampling": {"interval_s": 10}})
        assert (await bench.done(bench.command("c-1", wanted))).outcome is Outcome.DONE
        assert bench.control.configuration.stations[0].sampling.interval_s == 10
        back = SetConfiguration(configuration={"sampling": None})
        assert (await bench.done(bench.command("c-2", back))).outcome is Outcome.DONE
        assert bench.control.configuration == bench.control.base


async def test_bays_do_not_wait_for_each_other_and_one_bay_does_one_thing_at_a_time(bench: Bench) -> None:
    async with bench.at_work():
        bench.cabinet.obeys = False
        bench.send(bench.command("c-1", Unlock(bay=1)))
        await bench.eventually(lambda: len(bench.cabinet.orders) == 1)
        bench.cabinet.obeys = True
        bench.send(bench.command("c-2", Unlock(bay=1)))
        assert (await bench.done(bench.command("c-3", Unlock(bay=2)))).outcome is Outcome.DONE
        assert bench.cabinet.orders == [("unlock", 1), ("unlock", 2)]
        await bench.passes(lambda: bench.final("c-2"))
        assert (await bench.result("c-2")).outcome is Outcome.DONE


# --- what is not done -------------------------------------------------------------------------------------


async def test_a_command_that_has_expired_is_never_done(bench: Bench) -> None:
    async with bench.at_work():
        command = bench.command("c-1")
        await bench.time.advance(60.0)
        assert (await bench.done(command)).outcome is Outcome.EXPIRED
        assert bench.outcomes("c-1") == [Outcome.EXPIRED]
        assert bench.cabinet.orders == []


async def test_a_command_that_expires_while_another_holds_its_bay_is_not_done(bench: Bench) -> None:
    async with bench.at_work():
        bench.cabinet.obeys = False
        bench.send(bench.command("c-1", Unlock(bay=1)))
        await bench.eventually(lambda: len(bench.cabinet.orders) == 1)
        soon = bench.time.now() + timedelta(seconds=5)
        bench.send(bench.command("c-2", Unlock(bay=1), expires_at=soon))
        await bench.passes(lambda: bench.final("c-2"))
        assert (await bench.result("c-2")).outcome is Outcome.EXPIRED
        assert bench.cabinet.orders == [("unlock", 1)]


async def test_nothing_is_unlocked_by_a_clock_that_may_be_wrong(bench: Bench) -> None:
    bench.time.clock_state = Clock.ESTIMATED
    async with bench.at_work():
        result = await bench.done(bench.command("c-1", Unlock(bay=3)))
        assert result.outcome is Outcome.REJECTED
        assert result.reason == "its age cannot be judged: the station's clock is not synchronized"
        assert (await bench.done(bench.command("c-2", ReadNow()))).outcome is Outcome.DONE
        assert bench.cabinet.orders == []


async def test_a_command_from_the_future_is_refused(bench: Bench) -> None:
    async with bench.at_work():
        future = bench.time.now() + timedelta(minutes=6)
        command = bench.command("c-1", issued_at=future, expires_at=future + timedelta(minutes=1))
        result = await bench.done(command)
        assert result.outcome is Outcome.REJECTED
        assert "issued in the future" in (result.reason or "")
        assert bench.cabinet.orders == []


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Unlock(bay=9), "there is no bay 9; there are 8"),
        (SetCharging(bay=9, enabled=True), "there is no bay 9; there are 8"),
        (RequestSwap(request_id=1, id_token=TOKEN), "unavailable: this station does not run swaps"),
        (SetConfiguration(configuration={"sampling": {"interval_s": 0}}), "sampling.interval_s: expected"),
        (SetConfiguration(configuration={"samplign": {}}), "samplign: unknown key"),
        (SetConfiguration(configuration={"outbox": {"path": "/x"}}), "outbox"),
        (SetConfiguration(configuration={"station_id": "mine"}), "station_id: unknown key"),
        (SetConfiguration(configuration={"transport": {"host": "x"}}), "transport: unknown key"),
    ],
)
async def test_what_is_impossible_is_rejected_with_its_reason(
    bench: Bench, action: Action, reason: str
) -> None:
    async with bench.at_work():
        result = await bench.done(bench.command("c-1", action))
        assert bench.outcomes("c-1") == [Outcome.REJECTED]
        assert (result.reason or "").startswith(reason)
        assert bench.cabinet.orders == []
        assert bench.control.configuration == bench.control.base


@pytest.mark.parametrize("charge", [Charge.NONE, Charge.CHARGING])
async def test_only_a_battery_that_could_be_given_is_reserved(bench: Bench, charge: Charge) -> None:
    bay = await bench.cabinet.first(charge)
    until = bench.time.now() + timedelta(seconds=90)
    async with bench.at_work():
        result = await bench.done(bench.command("c-1", Reserve(bay=bay, until=until, id_token=TOKEN)))
        assert result.outcome is Outcome.REJECTED
        assert (result.reason or "").startswith(f"bay {bay} has no battery to give: charge {charge}")


async def test_a_reservation_whose_time_is_over_is_rejected(bench: Bench) -> None:
    bay = await bench.cabinet.first(Charge.CHARGED)
    async with bench.at_work():
        reserve = Reserve(bay=bay, until=bench.time.now(), id_token=TOKEN)
        assert (await bench.done(bench.command("c-1", reserve))).reason == "its until is over"


async def test_a_station_that_can_only_look_says_so(bench: Bench) -> None:
    async with bench.at_work(cabinet=ScriptedCabinet()):
        result = await bench.done(bench.command("c-1", Unlock(bay=1)))
        assert result.outcome is Outcome.REJECTED
        assert result.reason == "the driver of this station has no actuators"


async def test_what_is_for_another_station_is_refused(bench: Bench) -> None:
    async with bench.at_work():
        result = await bench.done(bench.command("c-1", station_id="station-02"))
        assert (result.outcome, result.reason) == (Outcome.REJECTED, "it is for the station station-02")
        bench.deliver("c-2", encode_command(bench.command("c-3")))
        assert (await bench.result("c-2")).reason == "its command_id is c-3, and its topic says c-2"
        assert bench.cabinet.orders == []


async def test_what_cannot_be_read_is_refused_under_the_id_of_its_topic_and_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.at_work():
        for n in range(1, 4):
            bench.deliver("c-1", b"{ half")
            await bench.has_told("c-1", n)
        assert {(one.outcome, one.station_id) for one in bench.told("c-1")} == {(Outcome.REJECTED, STATION)}
        assert "has to be JSON" in (bench.told("c-1")[0].reason or "")
    assert len([r for r in caplog.records if "command refused" in r.getMessage()]) == 1


@pytest.mark.parametrize("opening", ["[", '{"a":'])
async def test_no_depth_of_nesting_harms_the_station(bench: Bench, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    whole = encode_command(bench.command("c", SetConfiguration(configuration={"sampling": "HERE"}))).decode()
    async with bench.at_work():
        for depth in (1, 100, 500, *range(900, 1_000, 7), 5_000):
            nested = opening * depth + "1" + closing * depth
            for name, text in (("a", whole.replace('"HERE"', nested)), ("b", f'{{"command_id": {nested}}}')):
                command_id = f"{name}-{depth}"
                told = text.replace('"command_id":"c"', f'"command_id":"{command_id}"')
                bench.deliver(command_id, told.encode())
                assert (await bench.result(command_id)).outcome is Outcome.REJECTED
        assert (await bench.done(bench.command("c-1"))).outcome is Outcome.DONE


async def test_a_topic_that_names_no_command_is_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.at_work():
        for _ in range(3):
            bench.link.deliver(f"ev/station/{STATION}/commands/{'x' * 65}", b"{}")
        assert (await bench.done(bench.command("c-1"))).outcome is Outcome.DONE
    assert len([r for r in caplog.records if "topic of a command" in r.getMessage()]) == 1


# --- hardware that fails ----------------------------------------------------------------------------------


async def test_a_relay_that_moves_nothing_within_its_time_is_unknown(bench: Bench) -> None:
    bench.cabinet.obeys = False
    async with bench.at_work():
        bench.send(bench.command("c-1"))
        await bench.eventually(lambda: bench.outcomes("c-1") == [Outcome.ACCEPTED])
        await bench.eventually(lambda: bench.cabinet.orders)
        await bench.passes(lambda: bench.final("c-1"))
        result = await bench.result("c-1")
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "was not seen within 10 s")
        assert bench.cabinet.orders == [("unlock", 3)]


@pytest.mark.parametrize(
    "trouble", ["hangs", ZeroDivisionError("a bug"), ActuatorError(bay=3, reason="stuck")]
)
async def test_an_order_that_fails_half_way_is_judged_by_what_is_seen(bench: Bench, trouble: Any) -> None:
    async with bench.at_work():
        bench.cabinet.before = trouble
        bench.send(bench.command("c-1"))
        await bench.eventually(lambda: bench.cabinet.orders)
        await bench.passes(lambda: bench.final("c-1"))
        result = await bench.result("c-1")
        assert result.outcome is Outcome.UNKNOWN
        assert any(text in (result.reason or "") for text in ("no answer within", "a bug", "stuck"))
        assert bench.cabinet.orders == [("unlock", 3)]


async def test_an_order_that_fails_after_the_door_has_opened_was_done(bench: Bench) -> None:
    bench.cabinet.after = ActuatorError(bay=3, reason="no checksum")
    async with bench.at_work():
        assert (await bench.done(bench.command("c-1"))).outcome is Outcome.DONE


async def test_an_order_that_the_hardware_refuses_is_rejected(bench: Bench) -> None:
    bench.cabinet.before = ActionRefused(bay=3, reason="the interlock is open")
    async with bench.at_work():
        result = await bench.done(bench.command("c-1"))
        assert (result.outcome, result.reason) == (Outcome.REJECTED, "bay 3: the interlock is open")


async def test_nothing_is_ordered_of_bays_that_cannot_be_seen(bench: Bench) -> None:
    bench.cabinet.blind = SensorError(sensor="bays", reason="no answer")
    async with bench.at_work():
        result = await bench.done(bench.command("c-1"))
        assert (result.outcome, result.reason) == (Outcome.REJECTED, "nothing was moved: bays: no answer")
        assert bench.cabinet.orders == []


# --- once ---------------------------------------------------------------------------------------------------


async def test_what_is_delivered_again_is_answered_again_and_done_once(bench: Bench) -> None:
    command = bench.command("c-1")
    async with bench.at_work():
        first = await bench.done(command)
        for n in range(3, 6):
            bench.send(command)
            await bench.has_told("c-1", n)
        assert bench.told("c-1")[1:] == [first] * 4
        assert bench.cabinet.orders == [("unlock", 3)]
    async with bench.at_work():
        await bench.time.advance(120.0)
        assert await bench.done(command) == first
        assert bench.cabinet.orders == [("unlock", 3)]


async def test_what_is_delivered_again_while_it_is_under_way_is_under_way(bench: Bench) -> None:
    bench.cabinet.obeys = False
    async with bench.at_work():
        command = bench.command("c-1")
        for n in range(1, 4):
            bench.send(command)
            await bench.has_told("c-1", n)
        assert set(bench.outcomes("c-1")) == {Outcome.ACCEPTED}
        assert bench.cabinet.orders == [("unlock", 3)]


async def test_a_result_waits_for_the_link_and_is_told_by_the_next_process_if_need_be(bench: Bench) -> None:
    async with bench.at_work():
        bench.link.script.extend([ReasonCode.SUCCESS] * len(bench.link.attempts))
        await bench.eventually(lambda: len(bench.link.accepted) >= 3)  # what is said on every link
        bench.link.go_silent()
        bench.send(bench.command("c-1"))
        await bench.eventually(lambda: bench.cabinet.orders)
        bench.link.take_down()
    assert bench.outcomes("c-1") == []
    async with bench.at_work():
        assert (await bench.result("c-1")).outcome is Outcome.DONE
        assert bench.outcomes("c-1") == [Outcome.DONE]
        assert bench.cabinet.orders == [("unlock", 3)]
    async with bench.at_work():
        await bench.eventually(lambda: len(bench.link.accepted) >= 3)
        assert bench.outcomes("c-1") == []


async def test_a_result_that_the_far_side_refuses_for_now_is_told_again(bench: Bench) -> None:
    async with bench.at_work():
        await bench.eventually(lambda: len(bench.link.accepted) >= 3)
        bench.link.script.extend([ReasonCode.SUCCESS, ReasonCode.QUOTA_EXCEEDED])
        bench.send(bench.command("c-1"))
        await bench.eventually(lambda: not bench.link.script)
        await bench.passes(lambda: bench.final("c-1"))
        assert (await bench.result("c-1")).outcome is Outcome.DONE


async def test_a_result_that_can_never_be_told_is_given_up(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.at_work():
        await bench.eventually(lambda: len(bench.link.accepted) >= 3)
        bench.link.script.extend([ReasonCode.SUCCESS, ReasonCode.TOPIC_NAME_INVALID])
        bench.send(bench.command("c-1"))
        await bench.eventually(lambda: "can never be told" in caplog.text)
        assert (await bench.done(bench.command("c-2"))).outcome is Outcome.DONE
        assert bench.outcomes("c-1") == [Outcome.ACCEPTED]


async def test_every_link_asks_for_what_waits(bench: Bench) -> None:
    async with bench.at_work():
        await bench.eventually(lambda: len(bench.link.accepted) >= 3)
        bench.link.cut()
        await bench.link.connect()
        pending = broker_topic(Channel.PENDING, STATION)

        def asked() -> list[bytes]:
            return [m.payload for m in bench.link.accepted if m.topic == pending]

        await bench.eventually(lambda: len(asked()) == 2)
        assert asked() == [b'{"station_id":"station-01"}'] * 2


async def test_what_nobody_wants_to_hear_is_said_on_every_link_and_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.at_work(connected=False):
        for _ in range(3):
            bench.link.script.extend([ReasonCode.NOT_AUTHORIZED] * 3)
            await bench.link.connect()
            await bench.eventually(lambda: not bench.link.script)
            assert (await bench.done(bench.command(f"c-{bench.link.connects}"))).outcome is Outcome.DONE
            bench.link.cut()
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("saying ")]
    assert sorted(line.partition(":")[0] for line in told) == [
        "saying pending", "saying shadow-get", "saying shadow-report",
    ]  # fmt: skip


async def test_what_cannot_be_written_down_is_neither_done_nor_answered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def full(*_: object) -> None:
        tried.append(1)
        raise JournalUnusable(Path("x"), "database or disk is full")

    async with bench.at_work():
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "begin", full)
            for n in range(3):
                bench.send(bench.command(f"c-{n}"))
            await bench.eventually(lambda: len(tried) == 3)
        assert (await bench.done(bench.command("c-9"))).outcome is Outcome.DONE
        assert bench.cabinet.orders == [("unlock", 3)]
        assert [bench.told(f"c-{n}") for n in range(3)] == [[], [], []]
        # The disk works again, and it is sent again.
        assert (await bench.done(bench.command("c-0"))).outcome is Outcome.DONE
    assert caplog.text.count("neither done nor answered") == 1


async def test_a_journal_that_is_full_lets_those_go_that_nobody_needs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MAX_COMMANDS", 4)
    async with bench.at_work():
        for n in range(10):
            bench.deliver(f"bad-{n}", b"{}")
            assert (await bench.result(f"bad-{n}")).outcome is Outcome.REJECTED
            await bench.time.advance(1.0)
        assert (await bench.done(bench.command("c-1"))).outcome is Outcome.DONE


async def test_a_result_that_cannot_be_written_down_is_told_when_it_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise JournalUnusable(Path("x"), "database or disk is full")

    async with bench.at_work():
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "finish", full)
            bench.send(bench.command("c-1"))
            await bench.eventually(lambda: "disk is full" in caplog.text)
            assert bench.outcomes("c-1") == [Outcome.ACCEPTED]
        await bench.passes(lambda: bench.final("c-1"))
        assert (await bench.result("c-1")).outcome is Outcome.DONE


async def test_after_damage_nothing_older_is_done(bench: Bench) -> None:
    async with bench.at_work():
        await bench.done(bench.command("c-1"))
    (bench.folder / "outbox.sqlite.commands").write_bytes(b"no database" * 1000)
    bench.time = ManualTime()  # its wall clock stands before the damage
    bench.cabinet.orders.clear()
    async with bench.at_work():
        result = await bench.done(bench.command("c-1"))
        assert (result.outcome, bench.cabinet.orders) == (Outcome.UNKNOWN, [])
        assert "was damaged" in (result.reason or "")
    assert list(bench.folder.glob("outbox.sqlite.commands.damaged-*"))


async def test_old_commands_are_forgotten_and_the_journal_stays_short(bench: Bench) -> None:
    known = Journal(bench.config.outbox_path, station_id=STATION)
    async with bench.at_work():
        await bench.done(bench.command("c-1"))
        await bench.eventually(lambda: not known.untold(1))
        await bench.time.advance(journal.KEPT.total_seconds() - 3_600)
        assert known.find("c-1") is not None
        await bench.passes(lambda: known.find("c-1") is None, step_s=3_600)
    known.close()
