"""A device's end of a serial line: a pseudo-terminal with a name of one's own choice, or a real adapter."""

import asyncio
import fcntl
import os
import termios
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from evswap_edge.emulators import EmulatorError
from evswap_edge.registers import Factory, Parity

Hear = Callable[[bytes], list[Coroutine[Any, Any, bytes]]]
"""What the devices will say to what they heard, each in its own time."""

_CHUNK: Final = 4096


@asynccontextmanager
async def serve_terminal(link: Path, hear: Hear) -> AsyncIterator[None]:
    """Let ``hear`` answer at the serial port ``link``. At the end the port is gone, as an adapter that is
    pulled out.

    ``link`` may be what a killed run left behind. Raises ``EmulatorError`` when anything else lies there.
    """
    device, line = os.openpty()
    try:
        tty.setraw(line)
        os.set_blocking(device, False)
        name = os.ttyname(line)
        _place_link(link, name)
        try:
            async with _answering(device, hear):
                yield
        finally:
            _remove_link(link, name)
    finally:
        # As long as ``line`` was open here, a client could come and go without the device seeing a hang-up.
        os.close(line)
        os.close(device)


@asynccontextmanager
async def serve_adapter(port: Path, line: Factory, hear: Hear) -> AsyncIterator[None]:
    """Let ``hear`` answer at the far end of the serial adapter ``port``, which talks as ``line`` says.

    Raises ``EmulatorError`` when the adapter cannot be opened, or is in use.
    """
    try:
        adapter = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise EmulatorError(
            f"{port}: cannot be opened: {error.strerror}; is the adapter plugged in?"
        ) from error
    try:
        _set_up(adapter, port, line)
        async with _answering(adapter, hear):
            yield
    finally:
        os.close(adapter)


def _set_up(adapter: int, port: Path, line: Factory) -> None:
    """Eight data bits, no flow control, no modem lines (termios(3)); and nobody else may use it."""
    speed = getattr(termios, f"B{line.baudrate}", None)
    if speed is None:
        raise EmulatorError(f"{port}: no serial port talks at {line.baudrate} baud; look at the register map")
    parity = {Parity.NONE: 0, Parity.EVEN: termios.PARENB, Parity.ODD: termios.PARENB | termios.PARODD}
    stop = termios.CSTOPB if line.stop_bits == 2 else 0
    try:
        fcntl.flock(adapter, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tty.setraw(adapter)
        attributes = termios.tcgetattr(adapter)
        attributes[2] = termios.CS8 | termios.CREAD | termios.CLOCAL | parity[line.parity] | stop
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(adapter, termios.TCSANOW, attributes)
    except BlockingIOError as error:
        raise EmulatorError(f"{port}: is in use by another program; `fuser -v` on it shows which") from error
    except termios.error as error:
        raise EmulatorError(f"{port}: is no serial port: {error.args[-1]}") from error


class Replies:
    """Says what devices have to say when they come to it: one that takes its time does not hold up the
    others."""

    def __init__(self, say: Callable[[bytes], object]) -> None:
        self._say = say
        self._coming: set[asyncio.Task[None]] = set()

    def begin(self, replies: Iterable[Coroutine[Any, Any, bytes]]) -> None:
        """Wait for each of them, beside those that are being waited for."""
        for reply in replies:
            task = asyncio.create_task(self._when_ready(reply), name="emulated device")
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _when_ready(self, reply: Coroutine[Any, Any, bytes]) -> None:
        if answer := await reply:
            self._say(answer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whoever has not answered by now does not."""
        for task in self._coming:
            task.cancel()
        await asyncio.gather(*self._coming, return_exceptions=True)


@asynccontextmanager
async def _answering(device: int, hear: Hear) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    async with Replies(lambda answer: _write(device, answer)) as replies:
        loop.add_reader(device, lambda: replies.begin(hear(_read(device))))
        try:
            yield
        finally:
            loop.remove_reader(device)


def _read(device: int) -> bytes:
    try:
        return os.read(device, _CHUNK)
    except BlockingIOError:
        return b""


def _write(device: int, answer: bytes) -> None:
    """Nobody who listens may be there; a line does not keep what nobody reads for ever."""
    with suppress(BlockingIOError):
        os.write(device, answer)


def _place_link(link: Path, target: str) -> None:
    """Put a symbolic link to ``target`` in place, in one step."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        if os.path.lexists(link) and not link.is_symlink():
            raise EmulatorError(
                f"{link}: is there and is no symbolic link; it is left alone, name another path"
            )
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise EmulatorError(
            f"{link}: cannot be made: {error.strerror}; name a path that you may write"
        ) from error


def _remove_link(link: Path, target: str) -> None:
    """Unless another emulator has taken the name over."""
    with suppress(OSError):
        if str(link.readlink()) == target:
            link.unlink()
