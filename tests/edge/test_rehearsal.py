"""The real controller on a simulated cabinet: one seed, one story, and nothing told that is not so."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from evswap_edge.command_line import main
from evswap_edge.drivers.simulated import Faults, SimulatedCabinet
from evswap_edge.ocpp21.happenings import requests_of
from evswap_edge.rehearsal import StoryBroken
from evswap_edge.rehearsal.bookkeeping import Book
from evswap_edge.rehearsal.network import Network
from evswap_edge.rehearsal.playing import Play, Result, play
from evswap_edge.rehearsal.virtual_time import NobodyWaits, VirtualLoop, VirtualTime
from evswap_edge.simulation.customers import What
from evswap_edge.simulation.world import Happening
from evswap_edge.swaps.swap import Phase
from evswap_schema import (
    Authority,
    Bay,
    Clock,
    InventoryBay,
    InventoryEvent,
    InventoryReason,
    Occupancy,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    decode_event,
)

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
MORNING = MONDAY + timedelta(hours=7)


def played(folder: Path, **changed: Any) -> tuple[Result, list[bytes]]:
    told: dict[str, Any] = {"station_id": "station-01", "seed": 1, "bays": 8, "days": 0.1, "start": MORNING}
    folder.mkdir(exist_ok=True)
    wanted, lines = Play(**{**told, **changed}), list[bytes]()
    return play(wanted, Network(wanted.seed, folder), lines.append, lambda line: None), lines


# --- virtual time ---------------------------------------------------------------------------------------


def test_a_year_of_waiting_takes_no_time_and_ends_at_the_moment() -> None:
    async def waits() -> tuple[datetime, list[str]]:
        loop = asyncio.get_running_loop()
        time, order = VirtualTime(loop, start=MONDAY), list[str]()
        never, soon = asyncio.Event(), asyncio.Event()

        async def until(moment: float, unless: asyncio.Event, name: str) -> None:
            await time.wait_until(moment, unless=unless)
            order.append(f"{name} {time.monotonic():g}")

        loop.call_later(10.0, soon.set)
        year = 365 * 86_400.0
        await asyncio.gather(
            until(year, never, "last"), until(99.0, soon, "called"), until(5.0, never, "first")
        )
        return time.now(), order

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        now, order = runner.run(waits())
    assert now == MONDAY + timedelta(days=365)
    assert order == ["first 5", "called 10", "last 3.1536e+07"]


def test_what_is_given_to_other_threads_is_done_in_this_one() -> None:
    async def asks() -> None:
        assert await asyncio.to_thread(threading.get_ident) == threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asks())


def test_tasks_that_wait_for_each_other_are_an_error_and_no_silence() -> None:
    loop = VirtualLoop()
    waiting = asyncio.Event().wait()
    try:
        with pytest.raises(NobodyWaits):
            loop.run_until_complete(waiting)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


# --- the story ------------------------------------------------------------------------------------------


def test_one_seed_tells_one_story_bit_for_bit_in_every_process(tmp_path: Path) -> None:
    """The hash seed orders sets of words: another one in each process."""
    printed = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        command = [
            "simulate",
            "--swaps",
            "--stations",
            "2",
            "--bays",
            "8",
            "--days",
            "0.3",
            "--seed",
            "5",
            "--events",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "evswap_edge", *command, str(folder)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        assert list(files) == ["station-01.jsonl", "station-02.jsonl"]
        printed.append((done.stdout, files))
    assert printed[0] == printed[1]


def test_another_seed_and_another_station_have_another_story(tmp_path: Path) -> None:
    digests = [
        played(tmp_path / name, **changed)[0].digest
        for name, changed in (("a", {}), ("b", {"seed": 2}), ("c", {"station_id": "station-02"}))
    ]
    assert len(set(digests)) == 3


def test_how_often_the_controller_looks_is_no_part_of_what_happens(tmp_path: Path) -> None:
    seldom, _ = played(tmp_path / "seldom")
    often, _ = played(tmp_path / "often", watch_s=0.5, idle_s=5.0)
    assert seldom.swaps == often.swaps != {}
    assert seldom.standing == often.standing
    assert seldom.tally.counts == often.tally.counts


def test_all_customers_of_a_quiet_morning_are_served_and_nobody_waits_long(tmp_path: Path) -> None:
    result, lines = played(tmp_path, days=0.2, faults=Faults.NONE)
    counts = result.tally.counts
    assert counts[What.SERVED] == result.swaps[Phase.COMPLETED] == counts[What.PUTS] > 5
    assert result.events["swap"] == 2 * result.swaps[Phase.COMPLETED]
    assert max(result.tally.waits_s) < 180.0
    assert result.contradictions == []
    assert len(lines) == sum(result.events.values())


@pytest.mark.parametrize("seed", [1, 3])
def test_whatever_breaks_the_events_say_what_is_so(tmp_path: Path, seed: int) -> None:
    """Faults a hundred times as often: silent batteries, stuck locks, foreign batteries, forgetful people."""
    result, _ = played(tmp_path, seed=seed, days=0.7, faults=Faults.FREQUENT, start=MONDAY)
    assert result.contradictions == []
    assert set(result.swaps) != {Phase.COMPLETED}


def test_what_was_told_without_a_link_is_delivered_when_there_is_one(tmp_path: Path) -> None:
    prompt, lines = played(tmp_path / "prompt")
    offline, late = played(tmp_path / "offline", offline=True)
    assert list(map(decode_event, late)) == list(map(decode_event, lines))
    assert {json.loads(line)["received_at"] for line in late} == {"2026-06-01T09:24:00Z"}
    assert offline.standing == prompt.standing


def test_every_swap_event_of_a_day_is_a_message_of_ocpp(tmp_path: Path) -> None:
    """``requests_of`` holds each payload to the official schema."""
    result, lines = played(tmp_path, days=1.0, start=MONDAY)
    converted = 0
    for event in map(decode_event, lines):
        requests = requests_of(event)
        if isinstance(event, SwapEvent):
            assert [request.action for request in requests] == ["BatterySwap"]
            converted += 1
    print(f"{converted} swap events are BatterySwap of OCPP 2.1")
    assert converted == result.events["swap"] >= 40


# --- a station that lies --------------------------------------------------------------------------------


def test_a_cabinet_that_shows_one_battery_in_two_bays_breaks_the_story(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = SimulatedCabinet.read_bays

    async def doubled(self: SimulatedCabinet) -> Sequence[Bay]:
        bays = list(await honest(self))
        shown = [bay for bay in bays if bay.battery is not None]
        bays[shown[1].bay - 1] = replace(shown[1], battery=shown[0].battery)
        return bays

    monkeypatch.setattr(SimulatedCabinet, "read_bays", doubled)
    command = ["simulate", "--swaps", "--bays", "8", "--days", "0.1", "--events"]
    assert main([*command, str(tmp_path)]) == 1
    assert "is said to be in the bays" in capsys.readouterr().err


def put(seconds: float, bay: int, serial_number: str) -> Happening:
    return Happening(seconds, What.PUTS, f"{bay} {serial_number}")


def came(sequence: int, bay: int, serial_number: str, *, after_s: float = 60.0) -> SwapEvent:
    return SwapEvent(
        station_id="station-01",
        stream_id="a",
        sequence=sequence,
        timestamp=MONDAY + timedelta(seconds=after_s),
        clock=Clock.SYNCHRONIZED,
        step=SwapStep.BATTERY_IN,
        request_id=sequence,
        id_token="a" * 64,
        batteries=(SwappedBattery(bay=bay, serial_number=serial_number, soc=20.0, soh=90.0),),
        authority=Authority.OFFLINE,
        authorisation_id="one",
    )


def listed(sequence: int, **serial_numbers: str) -> InventoryEvent:
    return InventoryEvent(
        station_id="station-01",
        stream_id="a",
        sequence=sequence,
        timestamp=MONDAY,
        clock=Clock.SYNCHRONIZED,
        reason=InventoryReason.START,
        bays=tuple(
            InventoryBay(bay=int(bay[1:]), occupancy=Occupancy.OCCUPIED, serial_number=serial)
            for bay, serial in serial_numbers.items()
        ),
    )


@pytest.mark.parametrize(
    ("happened", "told", "expected"),
    [
        ([put(30, 1, "B-1")], [came(1, 1, "B-1")], []),
        ([], [came(1, 1, "B-1")], ["did not happen by then"]),
        ([put(90, 1, "B-1")], [came(1, 1, "B-1")], ["did not happen by then"]),
        ([put(30, 1, "B-1")], [came(1, 1, "B-1"), came(2, 1, "B-1")], ["or was told before"]),
        ([put(30, 1, "B-1")], [listed(1, b2="B-1"), came(2, 1, "B-1")], ["in the bays [2, 1]"]),
        ([], [listed(1, b2="B-1", b3="B-1")], ["in the bays [2, 3]"]),
    ],
)
def test_the_book_finds_what_is_told_and_is_not_so(
    happened: list[Happening], told: list[Any], expected: list[str]
) -> None:
    book = Book(MONDAY)
    for happening in happened:
        book.note(happening)
    for event in told:
        book.take(event)
    assert len(book.broken) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, book.broken, strict=True))


def test_an_event_that_is_kept_from_the_book_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Book.take

    def forgetful(book: Book, event: Any) -> None:
        if getattr(event, "sequence", None) != 3:
            honest(book, event)

    monkeypatch.setattr(Book, "take", forgetful)
    result, _ = played(tmp_path)
    assert any("nobody was told that a customer takes" in sentence for sentence in result.contradictions)
    with pytest.raises(StoryBroken, match="station-01 tells what is not so"):
        result.demand_truth()


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_tells_what_became_of_the_customers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["simulate", "--swaps", "--stations", "2", "--bays", "8", "--days", "0.4", "--json", "--events"]
    assert main([*command, str(tmp_path / "events")]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    lines = [line for path in (tmp_path / "events").iterdir() for line in path.read_text().splitlines()]
    assert sum(told["events"].values()) == len(lines)
    assert told["swaps"]["completed"] == told["customers"]["served"] > 0
    assert told["contradictions"] == 0
    assert "days of a station in" in err


@pytest.mark.parametrize(
    "command",
    [
        "--stations 2",
        "--offline",
        "--events x",
        "--swaps --plots x",
        "--swaps --stations 0",
    ],
)
def test_what_does_not_go_together_is_refused(command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *command.split()])
    assert ended.value.code == 2


def test_a_folder_that_takes_no_events_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["simulate", "--swaps", "--bays", "8", "--days", "0.1", "--events", str(file)]) == 1
    assert "name another folder" in capsys.readouterr().err
