"""``evswap-edge emulate bms-modbus`` and ``charger-modbus`` as others use them: lines in, lines out, bytes on
the wire.

The bytes are written down here, out of the manufacturers' documents, so that neither the driver nor the
library that both sides use can agree with the emulator on a mistake.
"""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

LONGEST_S = 60


class Emulator:
    """The running program, and a connection to it."""

    def __init__(self, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", "evswap_edge", "emulate", name, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def connect(self) -> "Emulator":
        ready, _, address = self.line().partition(" ")
        assert ready == "ready"
        host, _, port = address.rpartition(":")
        self.connection = socket.create_connection((host, int(port)), timeout=LONGEST_S)
        return self

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def says(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        return self.line()

    def ask(self, unit: int, pdu: str) -> str:
        """What is behind the unit in the answer."""
        question = bytes([unit]) + bytes.fromhex(pdu)
        self.connection.sendall(bytes.fromhex("00 07 00 00") + len(question).to_bytes(2, "big") + question)
        return self.connection.recv(300)[7:].hex(" ")


Start = Callable[..., Emulator]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the program; it is gone when the test is."""
    started: list[Emulator] = []

    def run(*arguments: object) -> Emulator:
        started.append(Emulator(*map(str, arguments)))
        return started[-1]

    yield run
    for emulator in started:
        if hasattr(emulator, "connection"):
            emulator.connection.close()
        emulator.process.kill()
        emulator.process.communicate()


def test_a_pace_battery_says_what_its_document_says(start: Start) -> None:
    emulator = start("bms-modbus", "--registers", "pace-bms", "--bays", 2, "--unit", 5).connect()
    assert emulator.says("set 2 current -12.5") == "ok"
    assert emulator.says("set 2 voltage 51.2") == "ok"
    assert emulator.says("set 2 soc 64") == "ok"
    assert emulator.ask(6, "03 00 00 00 04") == "03 08 fb 1e 14 00 00 40 00 62"
    assert emulator.says("insert 1 AB12") == "ok"
    assert emulator.ask(5, "03 00 aa 00 0a") == "03 14 41 42 31 32" + " 00" * 16
    assert emulator.ask(5, "04 00 00 00 01") == "84 02"
    assert emulator.says("fault 1 exception 6") == "ok"
    assert emulator.ask(5, "03 00 00 00 01") == "83 06"
    assert emulator.says("status 2").startswith("ok PACK-0002 soc 64 soh 98 voltage 51.2 current -12.5")


def test_a_charger_obeys_and_tells(start: Start) -> None:
    emulator = start("charger-modbus", "--bays", 2).connect()
    assert emulator.says("current 2 12.5") == "ok"
    assert emulator.ask(129, "04 00 61 00 01") == "04 02 04 e2"
    assert emulator.ask(129, "06 00 00 00 00") == "06 00 00 00 00"
    assert emulator.ask(129, "03 00 40 00 01") == "03 02 00 40"
    assert emulator.ask(129, "04 00 61 00 01") == "04 02 00 00"
    assert emulator.ask(129, "06 00 00 00 07") == "86 03"
    assert emulator.ask(129, "06 00 20 00 01") == "86 02"
    assert emulator.says("flag 1 yes short circuit") == "ok"
    assert emulator.ask(128, "03 00 40 00 01") == "03 02 00 10"
    assert emulator.says("status 2") == "ok output off current 12.5 fault none requests 6"
    assert emulator.says("output 2 on") == "ok"
    assert emulator.ask(129, "03 00 00 00 01") == "03 02 00 00"


@pytest.mark.parametrize(
    ("name", "command", "answer"),
    [
        ("bms-modbus", "set 5 soc 1", "error: no bay '5'; there are 1 to 4"),
        ("bms-modbus", "set 1 sox 1", "error: no 'sox'; known are soc, soh, voltage"),
        ("bms-modbus", "set 1 soc full", "error: 'full' is no number"),
        ("bms-modbus", "fault 1 flood", "error: no fault 'flood'; known are none, silent, crc"),
        ("bms-modbus", "insert 1", "error: a battery has a serial number"),
        (
            "bms-modbus",
            "flag 1 yes hot",
            "error: has to be yes or no and a name; known are temperature sensor",
        ),
        ("charger-modbus", "output 1 half", "error: 'half' is neither on nor off"),
        ("charger-modbus", "sell 1", "error: no command 'sell'; known are current, output, flag, fault"),
        ("charger-modbus", "fault 1 crc", "error: Modbus TCP has no checksum of its own"),
    ],
)
def test_a_command_that_is_wrong_is_answered_by_what_would_be_right(
    start: Start, name: str, command: str, answer: str
) -> None:
    assert start(name).connect().says(command).startswith(answer)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bms-modbus", "--registers", "hep-2300"), "is a map for charger, and one for battery is needed"),
        (("charger-modbus", "--registers", "hep-23"), "no register map is called 'hep-23'"),
        (("charger-modbus", "--unit", 247, "--bays", 2), "the last unit would be 248, and can be 247"),
        (("bms-modbus", "--bays", 0), "has to be 1 to 250"),
    ],
)
def test_what_cannot_begin_says_why(start: Start, arguments: tuple[object, ...], said: str) -> None:
    emulator = start(*arguments)
    _, errors = emulator.process.communicate(timeout=LONGEST_S)
    assert said in errors
    assert "Traceback" not in errors
    assert emulator.process.returncode != 0
