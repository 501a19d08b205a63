"""``evswap-edge emulate climate`` as others use it: lines in, lines out, and bytes on a serial port.

The bytes are written down here, out of the manufacturer's document, so that neither the driver nor the
library that both sides use can agree with the emulator on a mistake.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evswap_edge import registers

LONGEST_S = 60
SHORT_S = 0.5
ASK_TEMPERATURE = bytes.fromhex("01 04 00 01 00 01 60 0a")
SAYS_30_5 = bytes.fromhex("01 04 02 01 31 79 74")
"""Question and answer of the XY-MD02's manual."""
ASK_BOTH_OVER_TCP = bytes.fromhex("00 07 00 00 00 06 01 04 00 01 00 02")


class Emulator:
    """The running program."""

    def __init__(self, *arguments: object, stdin: int = subprocess.PIPE) -> None:
        command = [sys.executable, "-m", "evswap_edge", "emulate", "climate", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def says(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        return self.line()

    def ended(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=LONGEST_S)
        return self.process.returncode, errors


Start = Callable[..., Emulator]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the program; it is gone when the test is."""
    started: list[Emulator] = []

    def run(*arguments: object, stdin: int = subprocess.PIPE) -> Emulator:
        started.append(Emulator(*arguments, stdin=stdin))
        return started[-1]

    yield run
    for emulator in started:
        emulator.process.kill()
        emulator.process.communicate()


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "tty"


class Port:
    """A serial port and nothing else: no library between the test and the bytes."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def ask(self, question: bytes, *, expect: int, within_s: float = LONGEST_S) -> bytes:
        os.write(self._descriptor, question)
        return self.read(expect, within_s=within_s)

    def read(self, expect: int, *, within_s: float) -> bytes:
        heard = b""
        while len(heard) < expect and select.select([self._descriptor], [], [], within_s)[0]:
            heard += os.read(self._descriptor, 256)
        return heard

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def port(link: Path, start: Start) -> Iterator[tuple[Port, Emulator]]:
    emulator = start("--link", link, "--temperature", 30.5, "--humidity", 54.6, "--slow-s", 1)
    assert emulator.line() == f"ready {link}"
    port = Port(link)
    yield port, emulator
    port.close()


def test_it_answers_as_the_manual_says(port: tuple[Port, Emulator]) -> None:
    wire, emulator = port
    assert wire.ask(ASK_TEMPERATURE, expect=7) == SAYS_30_5
    assert emulator.says("temperature -20.5") == "ok"
    assert wire.ask(ASK_TEMPERATURE, expect=7)[:5] == bytes.fromhex("01 04 02 ff 33")


def test_each_fault_is_real_on_the_wire(port: tuple[Port, Emulator]) -> None:
    wire, emulator = port
    for fault, expected in (
        ("silent", b""),
        ("crc", bytes.fromhex("01 04 02 01 31 86 8b")),
        ("cut", bytes.fromhex("01 04 02 01")),
    ):
        assert emulator.says(f"fault {fault}") == "ok"
        assert wire.ask(ASK_TEMPERATURE, expect=8, within_s=SHORT_S) == expected
    assert emulator.says("fault wrong-length") == "ok"
    assert wire.ask(ASK_TEMPERATURE, expect=5)[:3] == bytes.fromhex("01 04 00")
    assert emulator.says("fault out-of-range") == "ok"
    assert wire.ask(ASK_TEMPERATURE, expect=7)[3:5] == (8500).to_bytes(2, "big")
    assert emulator.says("fault frozen") == "ok"
    assert emulator.says("temperature 12") == "ok"
    assert wire.ask(ASK_TEMPERATURE, expect=7) == SAYS_30_5
    assert emulator.says("fault slow") == "ok"
    assert wire.ask(ASK_TEMPERATURE, expect=1, within_s=0.2) == b""
    assert wire.read(7, within_s=LONGEST_S)[3:5] == (120).to_bytes(2, "big")
    assert emulator.says("fault none") == "ok"
    assert wire.ask(ASK_TEMPERATURE, expect=7)[3:5] == (120).to_bytes(2, "big")
    assert emulator.says("status") == "ok temperature 12 humidity 54.6 fault none requests 8"


def test_half_a_question_is_forgotten_and_others_questions_are_left_alone(
    port: tuple[Port, Emulator],
) -> None:
    wire, emulator = port
    assert wire.ask(ASK_TEMPERATURE[:5], expect=1, within_s=SHORT_S) == b""
    assert wire.ask(ASK_TEMPERATURE, expect=7) == SAYS_30_5
    assert wire.ask(bytes.fromhex("02 04 00 01 00 01 60 39"), expect=1, within_s=SHORT_S) == b""
    assert emulator.says("status").endswith("requests 1")


def test_what_it_does_not_have_is_refused_by_an_exception(port: tuple[Port, Emulator]) -> None:
    wire, _ = port
    assert wire.ask(bytes.fromhex("01 04 00 09 00 01 e1 c8"), expect=5)[:3] == bytes.fromhex("01 84 02")
    assert wire.ask(bytes.fromhex("01 06 00 01 00 01 19 ca"), expect=5)[:3] == bytes.fromhex("01 86 01")


def test_modbus_tcp(start: Start) -> None:
    emulator = start("--listen", "127.0.0.1:0", "--temperature", 30.5, "--humidity", 54.6)
    name, _, address = emulator.line().partition(" ")
    assert name == "ready"
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=LONGEST_S) as connection:
        connection.sendall(ASK_BOTH_OVER_TCP)
        assert connection.recv(64) == bytes.fromhex("00 07 00 00 00 07 01 04 04 01 31 02 22")
        assert emulator.says("fault cut") == "ok"
        connection.sendall(ASK_BOTH_OVER_TCP)
        assert len(connection.recv(64)) == 10
        assert emulator.says("fault crc").startswith("error: Modbus TCP has no checksum")
        emulator.process.terminate()
        assert connection.recv(64) == b""
    assert emulator.ended()[0] == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("temprature 30", "error: no command 'temprature'; known are temperature, humidity, fault, status"),
        ("temperature warm", "error: 'warm' is no number"),
        ("humidity nan", "error: 'nan' is no finite number"),
        ("temperature", "error: '' is no number"),
        ("temperature " + "9" * 100_000, "error: the line is too long"),
        (
            "fault flood",
            "error: no fault 'flood'; known are none, silent, crc, cut, wrong-length, wrong-unit",
        ),
        ("fault exception 256", "error: '256' is no exception code, 1 to 255"),
        ("fault cut 6", "error: cut stands alone; found '6' behind it"),
    ],
)
def test_a_command_that_is_wrong_is_answered_by_what_would_be_right(
    port: tuple[Port, Emulator], command: str, answer: str
) -> None:
    assert port[1].says(command).startswith(answer)


@pytest.mark.parametrize("end", ["eof", "term", "int"])
def test_it_ends_cleanly_and_takes_its_link_along(link: Path, start: Start, end: str) -> None:
    emulator = start("--link", link)
    emulator.line()
    assert link.is_symlink()
    if end != "eof":
        emulator.process.send_signal(signal.SIGTERM if end == "term" else signal.SIGINT)
    code, errors = emulator.ended()
    assert (code, link.is_symlink(), "Traceback" in errors) == (0, False, False)


def test_commands_may_come_out_of_a_file(link: Path, start: Start, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("temperature 9\n\nstatus\n")
    with script.open() as lines:
        emulator = start("--link", link, stdin=lines.fileno())
        assert [emulator.line() for _ in range(3)] == [
            f"ready {link}",
            "ok",
            "ok temperature 9 humidity 50 fault none requests 0",
        ]
    assert emulator.ended()[0] == 0


def test_what_a_killed_run_left_behind_is_replaced(link: Path, start: Start) -> None:
    first = start("--link", link)
    first.line()
    first.process.kill()
    first.ended()
    assert link.is_symlink()
    second = start("--link", link, "--temperature", 30.5)
    assert second.line() == f"ready {link}"
    port = Port(link)
    assert port.ask(ASK_TEMPERATURE, expect=7) == SAYS_30_5
    port.close()


def test_a_link_that_another_has_taken_over_is_left_to_it(link: Path, start: Start) -> None:
    first = start("--link", link)
    first.line()
    second = start("--link", link)
    second.line()
    assert first.ended()[0] == 0
    assert link.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--link", "FILE"], 1, "is there and is no symbolic link; it is left alone, name another path"),
        (["--link", "FILE/tty"], 1, "cannot be made: "),
        (["--link", "LINK", "--registers", "sth20"], 1, "no register map is called 'sth20'"),
        (["--link", "LINK", "--registers", "./none.yaml"], 2, "does not exist"),
        (["--listen", "127.0.0.1"], 2, "has to be HOST:PORT, such as 127.0.0.1:5020"),
        (["--link", "LINK", "--unit", "300"], 2, "has to be 1 to 247"),
        (["--listen", "192.0.2.1:5020"], 1, "cannot listen on 192.0.2.1:5020"),
        ([], 2, "one of the arguments --link --port --listen is required"),
    ],
)
def test_what_cannot_begin_says_why(
    arguments: list[str], code: int, said: str, link: Path, start: Start
) -> None:
    file = link.with_name("file")
    file.touch()
    given = [each.replace("FILE", str(file)).replace("LINK", str(link)) for each in arguments]
    exit_code, errors = start(*given).ended()
    assert exit_code == code
    assert said in errors
    assert "Traceback" not in errors
    assert file.read_bytes() == b""
    assert not link.is_symlink()


def test_help_teaches_the_commands() -> None:
    command = [sys.executable, "-m", "evswap_edge", "emulate", "climate", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=True).stdout
    for part in ("ready PATH", "fault wrong-length", "status", "--registers"):
        assert part in told


@pytest.fixture
def cable() -> Iterator[tuple[int, int]]:
    """A serial line: our end, and the one that the emulator's adapter is at."""
    ours, theirs = os.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_it_answers_behind_an_adapter(cable: tuple[int, int], start: Start, tmp_path: Path) -> None:
    slow_line = tmp_path / "map.yaml"
    text = (Path(registers.__file__).parent / "sht20.yaml").read_text()
    slow_line.write_text(
        text.replace("9600, parity: none, stop_bits: 1", "19200, parity: even, stop_bits: 2")
    )
    ours, theirs = cable
    name = os.ttyname(theirs)
    emulator = start("--port", name, "--registers", slow_line, "--temperature", 30.5)
    assert emulator.line() == f"ready {name}"
    os.write(ours, ASK_TEMPERATURE)
    heard = b""
    while len(heard) < len(SAYS_30_5) and select.select([ours], [], [], LONGEST_S)[0]:
        heard += os.read(ours, 256)
    assert heard == SAYS_30_5
    _, _, mode, _, speed_in, speed_out, _ = termios.tcgetattr(theirs)
    assert (speed_in, speed_out) == (termios.B19200, termios.B19200)
    assert mode & termios.CSTOPB
    # Parity cannot be looked at: the kernel takes it away from a pseudo-terminal.
    second = start("--port", name)
    code, said = second.ended()
    assert code == 1
    assert "in use by another program" in said


def test_what_is_no_adapter_is_told(start: Start, tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.write_text("")
    for port, reason in ((tmp_path / "none", "is the adapter plugged in?"), (plain, "is no serial port")):
        code, said = start("--port", port).ended()
        assert (code, str(port) in said, reason in said) == (1, True, True), said
