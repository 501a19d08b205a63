"""A Modbus device's half of the conversation, and how it goes wrong on the wire when told to.

Frames and checksums are pymodbus's. What the registers hold is told by whoever makes the device.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
)

from evswap_edge.registers import Table

Registers = Mapping[Table, Mapping[int, int]]

_SILENCE_S: Final = 0.05
"""A pause on the line that ends a frame, whole or not (a real one is 3.5 characters)."""


class WireFault(StrEnum):
    """What can be wrong with an answer on its way."""

    NONE = "none"
    SILENT = "silent"
    CRC = "crc"
    CUT = "cut"
    WRONG_LENGTH = "wrong-length"
    SLOW = "slow"


class ModbusDevice:
    """Answers reads of its registers at one ``unit`` address."""

    def __init__(self, *, unit: int, registers: Callable[[], Registers], slow_s: float) -> None:
        self._unit = unit
        self._registers = registers
        self._slow_s = slow_s
        self.fault = WireFault.NONE
        self.requests = 0
        """Requests heard so far that were meant for this device."""

    def conversation(self, framer: type[FramerBase]) -> "Conversation":
        """A new line or connection to it."""
        return Conversation(self, framer)

    async def answer(self, request: ModbusPDU) -> ModbusPDU | None:
        """The answer to ``request``; None when it is for another device, or none is given."""
        if request.dev_id != self._unit:
            return None
        self.requests += 1
        response = self._read(request)
        response.dev_id, response.transaction_id = request.dev_id, request.transaction_id
        fault = self.fault
        if fault is WireFault.SLOW:
            await asyncio.sleep(self._slow_s)
        if fault is WireFault.WRONG_LENGTH:
            response.registers = response.registers[:-1]
        return None if fault is WireFault.SILENT else response

    def spoil(self, frame: bytes) -> bytes:
        """What becomes of a frame between the device and the far end of the wire."""
        match self.fault:
            case WireFault.CRC:
                return frame[:-2] + bytes(byte ^ 0xFF for byte in frame[-2:])
            case WireFault.CUT:
                return frame[:-3]
        return frame

    def _read(self, request: ModbusPDU) -> ModbusPDU:
        match request:
            case ReadInputRegistersRequest():
                return self._table(request, Table.INPUT, ReadInputRegistersResponse)
            case ReadHoldingRegistersRequest():
                return self._table(request, Table.HOLDING, ReadHoldingRegistersResponse)
        return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_FUNCTION)

    def _table(self, request: ModbusPDU, table: Table, response: type[ModbusPDU]) -> ModbusPDU:
        contents = self._registers().get(table, {})
        wanted = range(request.address, request.address + request.count)
        if any(address not in contents for address in wanted):
            return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_ADDRESS)
        return response(registers=[contents[address] for address in wanted])


class Conversation:
    """Bytes in, bytes out: one serial line (``FramerRTU``) or one TCP connection (``FramerSocket``)."""

    def __init__(self, device: ModbusDevice, framer: type[FramerBase]) -> None:
        self._device = device
        self._framer = framer(DecodePDU(True))
        self._pending = b""
        self._heard_at = 0.0

    async def hear(self, data: bytes) -> bytes:
        """What the device says to ``data``; nothing, when that is no whole request."""
        answers = [await self._device.answer(request) for request in list(self._requests(data))]
        return b"".join(self._device.spoil(self._framer.buildFrame(answer)) for answer in answers if answer)

    def _requests(self, data: bytes) -> Iterator[ModbusPDU]:
        self._begin_anew_after_silence()
        self._pending += data
        while self._pending:
            try:
                used, request = self._framer.handleFrame(self._pending, 0, 0)
            except ModbusIOException:
                used, request = len(self._pending), None
            self._pending = self._pending[used:]
            if request:
                yield request
            if not used:
                return

    def _begin_anew_after_silence(self) -> None:
        now = time.monotonic()
        if isinstance(self._framer, FramerRTU) and now - self._heard_at > _SILENCE_S:
            self._pending = b""
        self._heard_at = now


RTU: Final = FramerRTU
TCP: Final = FramerSocket
