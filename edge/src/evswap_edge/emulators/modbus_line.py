"""The wire that emulated Modbus devices hang on, RTU or TCP, and the orders that they take while they run."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from evswap_edge.emulators import EmulatorError
from evswap_edge.emulators.modbus_device import RTU, TCP, Conversation, ModbusDevice, WireFault
from evswap_edge.emulators.terminal import Replies, serve_adapter, serve_terminal
from evswap_edge.registers import Factory

Command = Callable[[str], str]
"""Obeys what stands behind the command's name; the answer begins with ``ok``. Raises ``ValueError``."""

FROZEN: Final = "frozen"
OUT_OF_RANGE: Final = "out-of-range"

_CHUNK: Final = 4096


class EmulatedLine:
    """Some devices on one wire. What is wrong with them is told while they run, by ``obey``."""

    def __init__(self, devices: Sequence[ModbusDevice], factory: Factory) -> None:
        self.devices: Final = tuple(devices)
        self._factory = factory
        self._checksums = True
        self._commands: Mapping[str, Command] = {}

    @asynccontextmanager
    async def on_terminal(self, link: Path) -> AsyncIterator[str]:
        """Serve Modbus RTU at the serial port ``link``; gives its name. Raises ``EmulatorError``."""
        async with serve_terminal(link, Conversation(self.devices, RTU).hear):
            yield str(link)

    @asynccontextmanager
    async def on_adapter(self, port: Path) -> AsyncIterator[str]:
        """Serve Modbus RTU behind a serial adapter of this machine; gives its name. Raises
        ``EmulatorError``."""
        async with serve_adapter(port, self._factory, Conversation(self.devices, RTU).hear):
            yield str(port)

    @asynccontextmanager
    async def on_tcp(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve Modbus TCP; gives ``host:port``, with the port that was found for 0. Raises
        ``EmulatorError``."""
        self._checksums = False
        conversations: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversation = asyncio.create_task(self._converse(reader, writer))
            conversations.add(conversation)
            await asyncio.wait({conversation})
            conversations.discard(conversation)
            writer.transport.abort()

        try:
            server = await asyncio.start_server(serve, host, port)
        except OSError as error:
            raise EmulatorError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        try:
            yield f"{host}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for conversation in conversations:
                conversation.cancel()
            while conversations:
                await asyncio.sleep(0)
            await server.wait_closed()

    def obey(self, line: str) -> str:
        """Do what one line of text says; the answer is one line that begins with ``ok`` or ``error:``."""
        name, _, argument = line.strip().partition(" ")
        command = self._commands.get(name)
        if command is None:
            return f"error: no command {name!r}; known are {', '.join(self._commands)}"
        try:
            return command(argument.strip())
        except ValueError as error:
            return f"error: {error}"

    def _set_wire_fault(self, device: ModbusDevice, name: str, code: str) -> None:
        """``name`` is a ``WireFault``, or something else, which is none on the wire. Raises
        ``ValueError``."""
        if name == WireFault.CRC and not self._checksums:
            raise ValueError("Modbus TCP has no checksum of its own; try cut or wrong-length")
        if code and name != WireFault.EXCEPTION:
            raise ValueError(f"{name} stands alone; found {code!r} behind it")
        if code:
            device.exception_code = exception_code(code)
        device.fault = WireFault(name) if name in tuple(WireFault) else WireFault.NONE

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(self.devices, TCP)
        async with Replies(writer.write) as replies:
            try:
                while data := await reader.read(_CHUNK):
                    replies.begin(conversation.hear(data))
                    await writer.drain()
            except ConnectionError:
                return


def exception_code(text: str) -> int:
    """The number of a Modbus exception. Raises ``ValueError``."""
    if not (text.isdecimal() and 1 <= int(text) <= 255):
        raise ValueError(f"{text!r} is no exception code, 1 to 255, such as 6 (device busy)")
    return int(text)


def number(text: str) -> float:
    """A number as people write it. Raises ``ValueError``."""
    try:
        found = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(found):
        raise ValueError(f"{text!r} is no finite number")
    return found
