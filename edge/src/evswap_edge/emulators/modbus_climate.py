"""A climate sensor on Modbus that is not there: RTU on a pseudo-terminal or an adapter, or TCP.

What it measures and what is wrong with it is told while it runs, by ``obey``.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from evswap_edge.emulators import EmulatorError
from evswap_edge.emulators.encoding import encode
from evswap_edge.emulators.modbus_device import RTU, TCP, ModbusDevice, Registers, WireFault
from evswap_edge.emulators.terminal import serve_adapter, serve_terminal
from evswap_edge.registers import ClimateMap, Table

FROZEN: Final = "frozen"
OUT_OF_RANGE: Final = "out-of-range"
FAULTS: Final = (*WireFault, FROZEN, OUT_OF_RANGE)

_IMPOSSIBLE: Final = 850.0
"""Degrees or percent; a register that cannot hold it shows the most that it can."""
_CHUNK: Final = 4096


class ClimateEmulator:
    """The sensor, whatever wire it hangs on."""

    def __init__(
        self, layout: ClimateMap, *, unit: int, temperature: float, humidity: float, slow_s: float
    ) -> None:
        self._layout = layout
        self.temperature = temperature
        self.humidity = humidity
        self._fault: str = WireFault.NONE
        self._frozen: Registers | None = None
        self._checksums = True
        self._device = ModbusDevice(unit=unit, registers=self._registers, slow_s=slow_s)
        self._commands: Final[Mapping[str, Callable[[str], str]]] = {
            "temperature": self._set_temperature,
            "humidity": self._set_humidity,
            "fault": self._set_fault,
            "status": self._status,
        }

    @asynccontextmanager
    async def on_terminal(self, link: Path) -> AsyncIterator[str]:
        """Serve Modbus RTU at the serial port ``link``; gives its name. Raises ``EmulatorError``."""
        async with serve_terminal(link, self._device.conversation(RTU).hear):
            yield str(link)

    @asynccontextmanager
    async def on_adapter(self, port: Path) -> AsyncIterator[str]:
        """Serve Modbus RTU behind a serial adapter of this machine; gives its name. Raises
        ``EmulatorError``."""
        async with serve_adapter(port, self._layout.factory, self._device.conversation(RTU).hear):
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

    # --- on the wire --------------------------------------------------------------------------------------

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = self._device.conversation(TCP)
        try:
            while data := await reader.read(_CHUNK):
                writer.write(await conversation.hear(data))
                await writer.drain()
        except ConnectionError:
            return

    def _registers(self) -> Registers:
        return self._frozen or self._measured()

    def _measured(self) -> Registers:
        impossible = self._fault == OUT_OF_RANGE
        tables: dict[Table, dict[int, int]] = {table: {} for table in Table}
        for quantity, value in (
            (self._layout.temperature, self.temperature),
            (self._layout.humidity, self.humidity),
        ):
            tables[quantity.table] |= encode(quantity, _IMPOSSIBLE if impossible else value)
        return tables

    # --- commands -----------------------------------------------------------------------------------------

    def _set_temperature(self, text: str) -> str:
        self.temperature = _number(text)
        return "ok"

    def _set_humidity(self, text: str) -> str:
        self.humidity = _number(text)
        return "ok"

    def _set_fault(self, name: str) -> str:
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}; known are {', '.join(FAULTS)}")
        if name == WireFault.CRC and not self._checksums:
            raise ValueError("Modbus TCP has no checksum of its own; try cut or wrong-length")
        self._fault = name
        self._frozen = self._measured() if name == FROZEN else None
        self._device.fault = WireFault(name) if name in tuple(WireFault) else WireFault.NONE
        return "ok"

    def _status(self, _: str) -> str:
        return (
            f"ok temperature {self.temperature:g} humidity {self.humidity:g} "
            f"fault {self._fault} requests {self._device.requests}"
        )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no finite number")
    return number
