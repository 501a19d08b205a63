"""What a message costs the station, from sample to acknowledgement, beside bare SQLite and a bare codec."""

import asyncio
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from evswap_edge.clock import SystemTime, stamp_now
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.modbus import ModbusClimate, Settings, open_modbus
from evswap_edge.outbox import Outbox
from evswap_schema import Reading, encode_reading
from tests.benchmarks.figures import Figure, cost_us
from tests.edge.publishing import Publishing, opened
from tests.shared.cabinets import minute_of_readings

_MESSAGES = 100
_ACKNOWLEDGED_AT_ONCE = 20
_READS = 50
_QUESTION = bytes.fromhex("00 01 00 00 00 06 01 04 00 01 00 02")


def measure() -> list[Figure]:
    reading = minute_of_readings(0, samples=1)[0]
    with TemporaryDirectory() as folder, _bare_table(Path(folder)) as bare:
        floor_us = cost_us(lambda: _insert_and_delete(bare, encode_reading(reading)), items=_MESSAGES)
        return [
            _encoding_cost(reading),
            _outbox_cost(reading, Path(folder), floor_us),
            _delivery_cost(reading, Path(folder), floor_us),
            _modbus_cost(),
        ]


def _encoding_cost(reading: Reading) -> Figure:
    encode = _encoder(reading)
    return Figure(
        name=f"reading given its identity and encoded ({len(encode('s', 1))} bytes)",
        per_item_us=cost_us(lambda: encode("s", 1)),
        floor_name="msgspec.json.encode of a finished reading",
        floor_us=cost_us(lambda: msgspec.json.encode(reading)),
    )


def _outbox_cost(reading: Reading, folder: Path, floor_us: float) -> Figure:
    body = encode_reading(reading)
    return Figure(
        name="sample appended (a commit each) and acknowledged (by 20)",
        per_item_us=cost_us(lambda: asyncio.run(_append_and_acknowledge(folder, body)), items=_MESSAGES),
        floor_name="bare SQLite insert and delete, same pragmas and commits",
        floor_us=floor_us,
    )


def _delivery_cost(reading: Reading, folder: Path, floor_us: float) -> Figure:
    """All that the station does but reading sensors and the network: threads, window, acknowledgements."""
    return Figure(
        name="sample stored, published over a transport without network, acknowledged",
        per_item_us=cost_us(lambda: asyncio.run(_store_and_publish(folder, reading)), items=_MESSAGES),
        floor_name="bare SQLite insert and delete, same pragmas and commits",
        floor_us=floor_us,
    )


def _modbus_cost() -> Figure:
    """Over TCP, since RTU rests between two questions. The sensor is another process, and not counted."""
    with _emulated_sensor() as address:
        return Figure(
            name="climate read over Modbus TCP (two registers), decoded and checked",
            per_item_us=cost_us(lambda: asyncio.run(_read_climate(address)), items=_READS),
            floor_name="the same bytes written to and read from a bare socket",
            floor_us=cost_us(lambda: _ask_barely(address), items=_READS),
        )


def _encoder(reading: Reading) -> Callable[[str, int], bytes]:
    def encode(stream_id: str, sequence: int) -> bytes:
        return encode_reading(msgspec.structs.replace(reading, stream_id=stream_id, sequence=sequence))

    return encode


async def _append_and_acknowledge(folder: Path, body: bytes) -> None:
    async with _outbox(folder) as outbox:
        stamp = stamp_now(SystemTime())
        for _ in range(_MESSAGES // _ACKNOWLEDGED_AT_ONCE):
            for _ in range(_ACKNOWLEDGED_AT_ONCE):
                await outbox.append(lambda stream_id, sequence: body, stamp=stamp)
            samples = await outbox.take_samples(_ACKNOWLEDGED_AT_ONCE)
            await outbox.acknowledge([sample.ticket for sample in samples])


async def _store_and_publish(folder: Path, reading: Reading) -> None:
    time = SystemTime()
    async with _outbox(folder) as outbox, Publishing(outbox, time, window=_ACKNOWLEDGED_AT_ONCE) as run:
        for _ in range(_MESSAGES):
            await run.sample(reading)


async def _read_climate(address: str) -> None:
    settings = Settings(registers=NameOrFile("sht20"), tcp=address, timeout_s=10)
    sensor = await open_modbus(settings, Surroundings(station_id="station-01", time=SystemTime()))
    assert isinstance(sensor, ModbusClimate)
    for _ in range(_READS):
        await sensor.read_climate()
    await sensor.aclose()


def _ask_barely(address: str) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(_READS):
            connection.sendall(_QUESTION)
            connection.recv(64)


@contextmanager
def _emulated_sensor() -> Iterator[str]:
    command = [sys.executable, "-m", "evswap_edge", "emulate", "climate", "--listen", "127.0.0.1:0"]
    sensor = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert sensor.stdout is not None
        ready, _, address = sensor.stdout.readline().strip().partition(" ")
        assert ready == "ready"
        yield address
    finally:
        sensor.communicate()


@asynccontextmanager
async def _outbox(folder: Path) -> AsyncIterator[Outbox]:
    outbox = await opened(folder)
    try:
        yield outbox
    finally:
        await outbox.aclose()


@contextmanager
def _bare_table(folder: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE rows (sequence INTEGER PRIMARY KEY, body BLOB)")
        yield db
    finally:
        db.close()


def _insert_and_delete(db: sqlite3.Connection, body: bytes) -> None:
    for _ in range(_MESSAGES // _ACKNOWLEDGED_AT_ONCE):
        numbers = [
            db.execute("INSERT INTO rows (body) VALUES (?)", (body,)).lastrowid
            for _ in range(_ACKNOWLEDGED_AT_ONCE)
        ]
        db.execute("BEGIN")
        db.executemany("DELETE FROM rows WHERE sequence = ?", ((number,) for number in numbers))
        db.execute("COMMIT")
