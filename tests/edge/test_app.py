"""A whole station in one process: sampled, stored, sent, stopped."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import StationConfig, read_station
from evswap_edge.hal import DriverUnavailable
from evswap_edge.message import Message
from evswap_edge.outbox.v1 import Outbox
from evswap_edge.transports import CredentialsError, memory
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import decode_batch, decode_reading
from tests.edge.conftest import Eventually


def station(folder: Path, *, mode: str = "every-sample") -> StationConfig:
    file = folder / "station.yaml"
    file.write_text(
        "station_id: station-01\ndriver: {name: simulated, bays: 35}\noutbox: {path: outbox.sqlite}\n"
        f"sampling: {{interval_s: 0.05}}\nreporting: {{mode: {mode}, batch_age_s: 3600}}\n"
        "transport: {name: memory}\n"
    )
    (config,) = read_station(file).stations
    return config


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> MemoryTransport:
    """The transport that the station will open."""
    transport = MemoryTransport()
    monkeypatch.setattr(memory, "MemoryTransport", lambda **_: transport)
    return transport


async def run_until(config: StationConfig, condition: Any, eventually: Eventually) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(run_station(config, SystemTime(), stop))
    await eventually(lambda: condition() or task.done())
    stop.set()
    await task


def waiting(folder: Path) -> int:
    outbox = Outbox(folder / "outbox.sqlite", station_id="station-01", boot_id="b", machine="m")
    depth = outbox.depth
    outbox.close()
    return depth


async def test_every_sample_is_sent_and_nothing_is_left_when_it_stops(
    tmp_path: Path, link: MemoryTransport, eventually: Eventually
) -> None:
    await run_until(station(tmp_path), lambda: len(link.accepted) >= 5, eventually)
    readings = [decode_reading(message.payload) for message in link.accepted]
    assert [reading.sequence for reading in readings] == list(range(1, len(readings) + 1))
    assert len({reading.stream_id for reading in readings}) == 1
    assert all(reading.bays is None for reading in readings)
    assert waiting(tmp_path) == 0


async def test_batches_hold_the_bays_and_leave_when_it_stops(
    tmp_path: Path, link: MemoryTransport, eventually: Eventually
) -> None:
    stored = tmp_path / "outbox.sqlite-wal"
    config = station(tmp_path, mode="on-change")
    await run_until(config, lambda: stored.exists() and stored.stat().st_size > 200_000, eventually)
    batches = [decode_batch(message.payload) for message in link.accepted]
    readings = [reading for batch in batches for reading in batch.readings]
    assert all(reading.bays for reading in readings)
    assert {reading.sequence for reading in readings} == set(
        range(1, len({r.sequence for r in readings}) + 1)
    )
    assert waiting(tmp_path) == 0


async def test_what_an_earlier_run_could_not_send_the_next_one_sends_first(
    tmp_path: Path, link: MemoryTransport, eventually: Eventually
) -> None:
    link.take_down()
    config = station(tmp_path)
    wal = tmp_path / "outbox.sqlite-wal"
    await run_until(config, lambda: wal.exists() and wal.stat().st_size > 100_000, eventually)
    unsent = waiting(tmp_path)
    assert unsent > 0
    assert link.accepted == []
    link.bring_up()
    await run_until(config, lambda: len(link.accepted) > unsent, eventually)
    sequences = [sequence for message in link.accepted for sequence in message.sequences]
    assert sequences == list(range(1, len(sequences) + 1))


async def test_a_change_of_the_mode_keeps_what_is_stored(
    tmp_path: Path, link: MemoryTransport, eventually: Eventually
) -> None:
    link.take_down()
    wal = tmp_path / "outbox.sqlite-wal"
    batched = station(tmp_path, mode="on-change")
    await run_until(batched, lambda: wal.exists() and wal.stat().st_size > 100_000, eventually)
    unsent = waiting(tmp_path)
    link.bring_up()
    await run_until(station(tmp_path), lambda: len(link.accepted) > unsent, eventually)
    assert [decode_reading(message.payload).sequence for message in link.accepted][:unsent] == list(
        range(1, unsent + 1)
    )


async def test_a_part_that_fails_ends_the_station_with_its_own_error(
    tmp_path: Path, link: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise CredentialsError(Path("station-01.cert.pem"), "expired")

    monkeypatch.setattr(link, "connect", refuse)
    with pytest.raises(CredentialsError, match="expired"):
        await run_station(station(tmp_path), SystemTime(), asyncio.Event())
    assert waiting(tmp_path) >= 0  # its outbox was closed


async def test_a_bug_in_a_transport_is_not_hidden(
    tmp_path: Path, link: MemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bug(message: Message) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(link, "send", bug)
    with pytest.raises(LookupError, match="a bug"):
        await run_station(station(tmp_path), SystemTime(), asyncio.Event())


async def test_a_driver_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    config = station(tmp_path)

    async def unavailable(*_: object) -> NoReturn:
        raise DriverUnavailable(device="i2c-1", reason="no such bus")

    broken = replace(config.driver, kind=replace(config.driver.kind, open=unavailable))
    with pytest.raises(DriverUnavailable, match="no such bus"):
        await run_station(replace(config, driver=broken), SystemTime(), asyncio.Event())
    assert waiting(tmp_path) == 0
