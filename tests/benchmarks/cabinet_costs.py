"""What a sample of a cabinet of 35 bays costs the station, by driver, listening included, beside bare wires.

Each sample goes the whole way: from the devices, which are other processes and not counted, through a station
of composed drivers and the sampler to the encoded reading.
"""

import asyncio
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unittest.mock import patch

import can
import msgspec
from can.interfaces.socketcan.socketcan import capture_message
from pymodbus.client import AsyncModbusTcpClient

from evswap_edge.clock import Stamp, SystemTime, TimeSource
from evswap_edge.config import read_station
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Surroundings, open_cabinet
from evswap_edge.drivers.can import bursts, listener
from evswap_edge.drivers.modbus.bank import Together
from evswap_edge.drivers.modbus.decoding import MOST_REGISTERS, Block
from evswap_edge.drivers.modbus.seats import Seating
from evswap_edge.registers import BatteryMap, ChargerMap, Table, read_battery_map, read_charger_map
from evswap_edge.sampler import Sampler
from evswap_edge.testing import ManualTime
from evswap_edge.vitals import Vitals
from evswap_schema import Health, Reading, encode_reading
from tests.benchmarks.figures import FULL, Figure, cost_us
from tests.benchmarks.kernel_frames import PERIOD_S, rounds_of_frames
from tests.edge.can_bus import UDP, free_channel, multicast_fails

BAYS: Final = 35
INTERVAL_S: Final = 5.0 if FULL else 0.5
"""From sample to sample; the default of a station, and shorter where it is only tried."""
_SAMPLES: Final = 8 if FULL else 2
_IN_A_ROW: Final = 20 if FULL else 2
_SETTLED_WITHIN_S: Final = 30.0
_OPENED_WITHIN_S: Final = 2.0 if FULL else 0.0
"""For what nobody waits for, such as the pins of locks."""
_SO_TIMESTAMPNS: Final = 35
_BURST: Final = 128
"""Frames that wait at once, as the driver has it."""

_CAN: Final = """\
  climate: {{name: simulated}}
  batteries: {{name: can, bays: 1-35, interface: udp_multicast, channel: "{can}", profile: evswap-bms}}
"""
_SOCKETCAN: Final = """\
  climate: {name: simulated}
  batteries: {name: can, bays: 1-35, channel: can0, profile: evswap-bms}
"""
_MODBUS: Final = """\
  climate: {{name: simulated}}
  batteries: {{name: modbus, bays: 1-35, tcp: "{batteries}", registers: {battery_map}}}
  chargers: {{name: modbus, bays: 1-35, tcp: "{chargers}", registers: {charger_map}}}
"""


def measure() -> list[Figure]:
    figures = [
        _simulated(),
        *_modbus("a unit for each bay", "seplos-v3", "hep-2300"),
        *_modbus("one controller", "bay-batteries", "bay-chargers"),
        *_kernel_frames(),
    ]
    return figures if multicast_fails() else [*figures, _can()]


@dataclass(frozen=True)
class _Spent:
    """For one sample: processor time, how much of it the kernel had for taking frames, and time on the
    clock."""

    cpu_us: float
    kernel_us: float
    wall_ms: float


class _Clocked:
    """A call into the kernel, and the processor time that went there."""

    def __init__(self, call: Callable[..., int]) -> None:
        self._call = call
        self.spent_s = 0.0

    def __call__(self, *arguments: object) -> int:
        before_s = time.thread_time()
        count = self._call(*arguments)
        self.spent_s += time.thread_time() - before_s
        return count


_take_frames: Final = _Clocked(bursts._recvmmsg)


# --- drivers ----------------------------------------------------------------------------------------------


def _simulated() -> Figure:
    clock = ManualTime()

    async def five_seconds_later() -> None:
        clock.stall(5.0)

    driver = "  {name: simulated, bays: 35, faults: none}"
    spent, reading = asyncio.run(_sample(driver, clock=clock, samples=_IN_A_ROW, between=five_seconds_later))
    return Figure(
        name=f"simulated ({spent.wall_ms:.1f} ms on the clock)",
        per_item_us=spent.cpu_us,
        floor_name="the reading encoded",
        floor_us=cost_us(lambda: msgspec.json.encode(reading)),
    )


def _modbus(how: str, battery_map: str, charger_map: str) -> list[Figure]:
    """Batteries and chargers, each on a connection of its own."""
    with (
        _emulator("bms-modbus", "--listen", "127.0.0.1:0", "--registers", battery_map) as batteries,
        _emulator("charger-modbus", "--listen", "127.0.0.1:0", "--registers", charger_map) as chargers,
    ):
        driver = _MODBUS.format(
            batteries=batteries, chargers=chargers, battery_map=battery_map, charger_map=charger_map
        )
        spent, _ = asyncio.run(_sample(driver, samples=_IN_A_ROW, between=_at_once))
        questions = {
            batteries: _questions(read_battery_map(NameOrFile(battery_map))),
            chargers: _questions(read_charger_map(NameOrFile(charger_map))),
        }
        count = sum(map(len, questions.values()))
        floor_us = cost_us(lambda: _ask_barely(questions))
        library_us = asyncio.run(_ask_by_the_library(questions))
    name = f"Modbus TCP, {how}: batteries and chargers in {count} questions"
    return [
        Figure(
            name=f"{name} ({spent.wall_ms:.0f} ms on the clock)",
            per_item_us=spent.cpu_us,
            floor_name="the same questions over bare sockets",
            floor_us=floor_us,
        ),
        Figure(
            name=f"{name}: of that the library",
            per_item_us=library_us,
            floor_name="the same questions over bare sockets",
            floor_us=floor_us,
        ),
    ]


def _can() -> Figure:
    channel = free_channel(UDP)

    async def an_interval() -> None:
        await asyncio.sleep(INTERVAL_S)

    with _emulator("bms-can", "--interface", UDP, "--channel", channel):
        driver = _CAN.format(can=channel)
        spent, _ = asyncio.run(_sample(driver, samples=_SAMPLES, between=an_interval))
        floor_us, frames = _listen_barely(channel)
    return Figure(
        name=f"CAN over UDP, listening for {INTERVAL_S:g} s included: {frames} frames",
        per_item_us=spent.cpu_us,
        floor_name="the same frames from a bare socket",
        floor_us=floor_us,
    )


def _kernel_frames() -> list[Figure]:
    """The path of SocketCAN, which needs a kernel that has it, over another socket of datagrams: all that a
    sample takes, waking up included, and what of it the kernel had in the same sample: frames that have lain
    there for seconds cost it more than those that have just come."""

    async def an_interval() -> None:
        await asyncio.sleep(INTERVAL_S)

    with _line() as (far, ours):
        with (
            _batteries_that_speak_to(ours),
            patch.object(listener, "open_bus", lambda address, wanted: _Opened(ours)),
            patch.object(bursts, "_recvmmsg", _take_frames),
        ):
            spent, _ = asyncio.run(_sample(_SOCKETCAN, samples=_SAMPLES, between=an_interval))
        _empty(ours)
        frames = _bursts_of_an_interval()
        floor_s = _cpu_of_bursts(frames, far, lambda: _empty(ours))
        library_s = _cpu_of_bursts(frames, far, lambda: _listen_by_the_library(ours))
    name = (
        f"CAN as the kernel has it, listening for {INTERVAL_S:g} s included: {sum(map(len, frames))} frames"
    )
    costs_us = {
        f"{name} ({spent.wall_ms:.1f} ms on the clock)": spent.cpu_us,
        f"{name}: of that the kernel": spent.kernel_us,
        f"{name}: python-can alone": library_s * 1e6,
    }
    return [
        Figure(
            name=name,
            per_item_us=spent_us,
            floor_name="the same frames from a bare socket",
            floor_us=floor_s * 1e6,
        )
        for name, spent_us in costs_us.items()
    ]


# --- samples ----------------------------------------------------------------------------------------------


async def _at_once() -> None: ...


async def _sample(
    driver: str,
    *,
    samples: int,
    between: Callable[[], Awaitable[None]],
    clock: TimeSource | None = None,
) -> tuple[_Spent, Reading]:
    """The least that a sample took, with what was done since the one before; and the last one."""
    surroundings = Surroundings(station_id="station-01", time=clock or SystemTime(), answer_within_s=4.0)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "station.yaml"
        file.write_text(
            f"station_id: station-01\ndriver:\n{driver}\n"
            "outbox: {path: outbox.sqlite}\ntransport: {name: memory}\n"
        )
        (station,) = read_station(file).stations
    cabinet = await open_cabinet(station.driver.kind, station.driver.settings, surroundings)
    sampler = Sampler(
        station_id="station-01",
        cabinet=cabinet,
        record=_encode,
        time=surroundings.time,
        interval_s=5.0,
        sensor_timeout_s=4.0,
        vitals=Vitals(),
    )
    try:
        await _until_all_is_read(sampler)
        await asyncio.sleep(_OPENED_WITHIN_S)
        spent = [await _spent_on(sampler, between) for _ in range(samples)]
        reading = await sampler.sample()
    finally:
        await cabinet.aclose()
    return min(spent, key=lambda one: one.cpu_us), reading


async def _spent_on(sampler: Sampler, between: Callable[[], Awaitable[None]]) -> _Spent:
    cpu_s, kernel_s = time.process_time(), _take_frames.spent_s
    await between()
    wall_s = time.perf_counter()
    await sampler.sample()
    wall_s = time.perf_counter() - wall_s
    cpu_s, kernel_s = time.process_time() - cpu_s, _take_frames.spent_s - kernel_s
    return _Spent(cpu_us=cpu_s * 1e6, kernel_us=kernel_s * 1e6, wall_ms=wall_s * 1e3)


async def _encode(measured: Sequence[tuple[Reading, Stamp]]) -> None:
    for reading, _ in measured:
        encode_reading(msgspec.structs.replace(reading, stream_id="s", sequence=1))


async def _until_all_is_read(sampler: Sampler) -> None:
    async with asyncio.timeout(_SETTLED_WITHIN_S):
        while True:
            bays = (await sampler.sample()).bays or ()
            if len(bays) == BAYS and all(bay.health is Health.HEALTHY for bay in bays):
                return


# --- bare wires -------------------------------------------------------------------------------------------


def _questions(layout: BatteryMap | ChargerMap) -> list[tuple[int, Block]]:
    """All that is asked in one round: the unit, and its registers."""
    seating = Seating(bays=tuple(range(1, BAYS + 1)), first_unit=layout.factory.unit, units_apart=1)
    return [
        (unit, block)
        for unit, seats in groupby(seating.seats(layout), key=lambda seat: seat.unit)
        for block in Together(
            [seat.blocks for seat in seats], read_across=layout.read_across, most=MOST_REGISTERS
        ).wholes
    ]


def _on_the_wire(unit: int, block: Block) -> bytes:
    function = 4 if block.table is Table.INPUT else 3
    return struct.pack(">HHHBBHH", 0, 0, 6, unit, function, block.address, block.count)


async def _ask_by_the_library(questions: dict[str, list[tuple[int, Block]]]) -> float:
    """Microseconds of processor time of all questions, asked by pymodbus and nothing else: the least of
    several rounds."""
    least_s = float("inf")
    for _ in range(_IN_A_ROW):
        total_s = 0.0
        for address, several in questions.items():
            host, _, port = address.rpartition(":")
            client = AsyncModbusTcpClient(host, port=int(port), retries=0, reconnect_delay=0)
            await client.connect()
            before_s = time.process_time()
            for unit, block in several:
                is_input = block.table is Table.INPUT
                read = client.read_input_registers if is_input else client.read_holding_registers
                await read(block.address, count=block.count, device_id=unit)
            total_s += time.process_time() - before_s
            client.close()
        least_s = min(least_s, total_s)
    return least_s * 1e6


def _ask_barely(questions: dict[str, list[tuple[int, Block]]]) -> None:
    for address, several in questions.items():
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for question in several:
                connection.sendall(_on_the_wire(*question))
                connection.recv(512)


def _listen_barely(channel: str) -> tuple[float, int]:
    """Microseconds of processor time of one interval, in which the socket is emptied twice a second; and the
    frames of that interval."""
    group, _, port = channel.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        ours.bind(("", int(port)))
        membership = socket.inet_aton(group) + struct.pack("@I", socket.INADDR_ANY)
        ours.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        ours.setblocking(False)
        least_s, most = float("inf"), 0
        for _ in range(_SAMPLES):
            before_s, frames = time.process_time(), 0
            for _ in range(round(INTERVAL_S / 0.5)):
                time.sleep(0.5)
                frames += _empty(ours)
            least_s, most = min(least_s, time.process_time() - before_s), max(most, frames)
    return least_s * 1e6, most


def _bursts_of_an_interval() -> list[list[bytes]]:
    """What 35 bays say in that time, as the kernel hands it out."""
    said = list(chain.from_iterable(rounds_of_frames(BAYS)[: round(INTERVAL_S / PERIOD_S)]))
    return [said[at : at + _BURST] for at in range(0, len(said), _BURST)]


def _cpu_of_bursts(bursts: list[list[bytes]], far: socket.socket, take: Callable[[], object]) -> float:
    """Seconds of processor time of ``take`` for all bursts, and not of sending them: the least of several
    rounds."""
    return min(_cpu_of_round(bursts, far, take) for _ in range(7 if FULL else 2))


def _cpu_of_round(bursts: list[list[bytes]], far: socket.socket, take: Callable[[], object]) -> float:
    total_s = 0.0
    for burst in bursts:
        for frame in burst:
            far.send(frame)
        before_s = time.process_time()
        take()
        total_s += time.process_time() - before_s
    return total_s


def _listen_by_the_library(ours: socket.socket) -> None:
    with suppress(can.CanOperationError):
        while True:
            capture_message(ours)


def _empty(ours: socket.socket) -> int:
    count = 0
    try:
        while True:
            ours.recv(512)
            count += 1
    except BlockingIOError:
        return count


@contextmanager
def _line() -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as sockets:
        far = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        ours = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        ours.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        ours.bind(("127.0.0.1", 0))
        far.connect(ours.getsockname())
        yield far, ours


@dataclass(frozen=True)
class _Opened:
    """In the place of a CAN interface that python-can has opened."""

    socket: socket.socket

    def fileno(self) -> int:
        return self.socket.fileno()

    def shutdown(self) -> None: ...


@contextmanager
def _batteries_that_speak_to(ours: socket.socket) -> Iterator[None]:
    host, port = ours.getsockname()
    command = [sys.executable, "-m", "tests.benchmarks.kernel_frames", f"{host}:{port}", str(BAYS)]
    batteries = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        batteries.communicate()


@contextmanager
def _emulator(name: str, *arguments: str) -> Iterator[str]:
    """The devices of 35 bays in a process of their own; where they are."""
    bays = f"1-{BAYS}" if name == "bms-can" else str(BAYS)
    command = [sys.executable, "-m", "evswap_edge", "emulate", name, *arguments, "--bays", bays]
    devices = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert devices.stdout is not None
        ready, _, place = devices.stdout.readline().strip().partition(" ")
        assert ready == "ready"
        yield place
    finally:
        devices.communicate()
