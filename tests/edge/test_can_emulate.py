"""``evswap-edge emulate bms-can`` as others use it: lines in, lines out, and frames on a bus.

The frames are written down here, by the table in docs/drivers-can.md, so that neither the driver nor the
profile's files can agree with the emulator on a mistake.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import can
import pytest

from evswap_edge.drivers.can import Settings
from evswap_edge.drivers.can.bus import Interface
from evswap_edge.emulators import can_wire
from evswap_edge.hal import Unread
from evswap_schema import Battery
from tests.edge.can_bus import OURS, UDP, free_channel, multicast_fails, opened, trouble, until, wired
from tests.edge.can_profiles import theirs

__all__ = ["theirs"]

LONGEST_S = 60
STATE = bytes.fromhex("01 04 d2 1e 16 26")
"""BmsState of a battery that is there, with OverTemperature, 78.9 % charged and 97.5 % healthy; a counter and
a checksum follow."""


class Emulator:
    """The running program."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "evswap_edge", "emulate", "bms-can", *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        return self.line()

    def ended(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=LONGEST_S)
        return self.process.returncode, errors


Start = Callable[..., Emulator]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Emulator] = []

    def begin(*arguments: object) -> Emulator:
        running.append(Emulator(*arguments))
        return running[-1]

    yield begin
    for emulator in running:
        emulator.process.kill()
        emulator.process.communicate()


@pytest.fixture
def channel(skip_aloud: Callable[..., None]) -> str:
    if reason := multicast_fails():
        skip_aloud(reason, could_run=True)
    return free_channel(UDP)


@pytest.fixture
def wire(channel: str) -> Iterator[can.BusABC]:
    with can_wire.opened(UDP, channel) as bus:
        yield bus


def udp(start: Start, channel: str, *more: object) -> Emulator:
    """An emulator that speaks; what it said before it was ready has been said."""
    emulator = start("--interface", UDP, "--channel", channel, "--period-s", 0.02, *more)
    assert emulator.line() == f"ready {channel}"
    return emulator


def frame(wire: can.BusABC, identifier: int, found: Callable[[can.Message], object] = bool) -> can.Message:
    """The next frame of ``identifier`` that is as it should be."""
    for _ in range(10_000):
        message = wire.recv(LONGEST_S)
        assert message is not None
        if message.arbitration_id == identifier and found(message):
            return message
    raise AssertionError(f"no such frame at {identifier:#x}")


def test_the_bytes_on_the_wire(wire: can.BusABC, start: Start, channel: str) -> None:
    emulator = udp(start, channel, "--bays", "1-2")
    for command in (
        "set 2 soc 78.9",
        "report 2 OverTemperature",
        "set 2 serial EVB-0042",
        "set 2 current -10",
    ):
        assert emulator.ask(command) == "ok"
    first = frame(wire, 0x108, lambda message: message.data[:6] == STATE)
    second = frame(wire, 0x108)
    assert not first.is_extended_id
    assert (second.data[6] - first.data[6]) % 16 == 1
    part = frame(wire, 0x10B, lambda message: message.data[0] == 1)
    assert bytes(part.data[:7]) == b"\x0142\x00\x00\x00\x00"
    pack = frame(wire, 0x109)
    assert bytes(pack.data[:6]) == bytes.fromhex("78 14 38 ff 78 00")


def test_the_checksum_on_the_wire_is_that_of_the_standard(
    wire: can.BusABC, start: Start, channel: str
) -> None:
    """CRC-8 SAE J1850 (AUTOSAR SWS CRC library, section 7.2.1.1), here as a long division."""
    udp(start, channel)
    data = frame(wire, 0x101).data
    message = int.from_bytes(data[:7], "big") ^ 0xFF << 48
    remainder = message << 8
    for bit in range(63, 7, -1):
        if remainder >> bit & 1:
            remainder ^= 0x11D << bit - 8
    assert remainder ^ 0xFF == data[7]


def test_identifiers_are_29_bits_where_the_base_says_so(wire: can.BusABC, start: Start, channel: str) -> None:
    udp(start, channel, "--base", "0x18FF4000", "--stride", "0x10", "--bays", "1-3")
    assert frame(wire, 0x18FF4023).is_extended_id


async def test_the_driver_hears_the_program_and_its_faults(start: Start, channel: str) -> None:
    settings = Settings(
        profile=OURS, channel=channel, interface=Interface.UDP_MULTICAST, bays="1-8", stale_after_s=1.0
    )
    emulator = udp(start, channel, "--bays", "1-8")
    async with opened(settings) as driver:
        found = await until(driver, lambda found: all(isinstance(each, Battery) for each in found.values()))
        assert [battery.serial_number for battery in found.values() if isinstance(battery, Battery)] == [
            f"EVB-000{bay}" for bay in range(1, 9)
        ]
        assert emulator.ask("fault 5 silent") == "ok"
        found = await until(driver, lambda found: isinstance(found[5], Unread))
        assert [bay for bay, battery in found.items() if isinstance(battery, Unread)] == [5]
        assert emulator.ask("fault 5 none") == "ok"
        assert emulator.ask("remove 6") == "ok"
        await until(driver, lambda found: found[6] is None and isinstance(found[5], Battery))
        assert emulator.ask("bus off") == "ok"
        assert "bus-off" in (await trouble(driver)).reason
        assert emulator.ask("bus on") == "ok"
        await until(driver, lambda found: isinstance(found[5], Battery))
        emulator.process.kill()
        assert "no bay has been heard for" in (await trouble(driver)).reason
        again = await asyncio.to_thread(udp, start, channel, "--bays", "1-8")
        await until(driver, lambda found: isinstance(found[8], Battery))
        assert again.process.poll() is None


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("set 1 soc 40", "ok"),
        ("set all temperature 61.5", "ok"),
        ("set 1 soc much", "error: 'much' is no number"),
        ("set 1 soc nan", "error: 'nan' is no finite number"),
        (
            "set 1 sco 3",
            "error: no quantity 'sco'; known are serial, soc, soh, voltage, current, temperature, cycles",
        ),
        ("set 1 soc", "error: set BAY QUANTITY VALUE"),
        ("set 9 soc 4", "error: no bay '9'; known are all, 1, 2"),
        ("remove", "ok"),
        ("insert 1 EVB-0007", "ok"),
        ("report 1 OverTemperature", "ok"),
        (
            "report 1 Overheated",
            "error: no fault bit 'Overheated'; known are none, CellOverVoltage, CellUnderVoltage, "
            "OverTemperature, UnderTemperature, OverCurrent, CellImbalance, InternalFault",
        ),
        (
            "fault 1 lazy",
            "error: fault BAY NAME; known are none, silent, partial, wrong-length, crc, frozen, "
            "out-of-range, slow",
        ),
        ("bus stop", "error: bus off, or bus on"),
        ("status 2", "ok bay 2 EVB-0002 soc 80 soh 97.5 voltage 52.4 current 0 temperature 25 cycles 120 "),
        ("dance", "error: no command 'dance'; known are set, remove, insert, report, fault, bus, status"),
    ],
)
def test_every_line_has_its_answer(command: str, answer: str) -> None:
    with wired(bays=2) as spoken:
        said = spoken.emulator.obey(command)
    assert said.startswith(answer) if command.startswith("status") else said == answer


@pytest.mark.parametrize("end", [signal.SIGTERM, None])
def test_it_ends_when_told_to(start: Start, channel: str, end: signal.Signals | None) -> None:
    emulator = udp(start, channel)
    if end:
        emulator.process.send_signal(end)
    code, errors = emulator.ended()
    assert (code, "Traceback" in errors) == (0, False), errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--channel", "can-none"], 1, "can-none: cannot be opened on socketcan"),
        (["--channel", "10.0.0.1:4000", "--interface", UDP], 1, "cannot be opened on udp_multicast"),
        (["--channel", "can0", "--profile", "evswap-bsm"], 1, "no CAN profile is called 'evswap-bsm'"),
        (["--channel", "can0", "--profile", "./none.yaml"], 2, "does not exist"),
        (["--channel", "can0", "--bays", "8-1"], 2, "is no range of bays"),
        (["--channel", "can0", "--bays", "one"], 2, "'one': has to be bays, such as 1-8"),
        (["--channel", "can0", "--base", "six"], 2, "has to be a number, such as 0x600"),
        ([], 2, "--channel"),
    ],
)
def test_what_cannot_begin_says_why(arguments: list[str], code: int, said: str, start: Start) -> None:
    exit_code, errors = start(*arguments).ended()
    assert exit_code == code
    assert said in errors
    assert "Traceback" not in errors


def test_help_teaches_the_commands() -> None:
    command = [sys.executable, "-m", "evswap_edge", "emulate", "bms-can", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=True).stdout
    for part in ("ready CHANNEL", "fault BAY wrong-length", "bus off", "--profile"):
        assert part in told
