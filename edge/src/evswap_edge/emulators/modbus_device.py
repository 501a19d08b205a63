"""A Modbus device's half of the conversation, and how it goes wrong on the wire when told to.

Frames and checksums are pymodbus's. What the registers hold is told by whoever makes the device.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from evswap_edge.registers import Table

Registers = Mapping[Table, Mapping[int, int]]
Write = Callable[[int, int], bool | None]
"""Takes the address of a holding register and a word for it: whether the device takes that word; None: it has
no such register to write."""

_SILENCE_S: Final = 0.05
"""A pause on the line that ends a frame, whole or not (a real one is 3.5 characters)."""
_LAST_UNIT: Final = 247


class WireFault(StrEnum):
    """What can be wrong with an answer on its way."""

    NONE = "none"
    SILENT = "silent"
    CRC = "crc"
    CUT = "cut"
    WRONG_LENGTH = "wrong-length"
    WRONG_UNIT = "wrong-unit"
    EXCEPTION = "exception"
    SLOW = "slow"


class ModbusDevice:
    """Answers for its registers at one ``unit`` address, one question after another."""

    def __init__(
        self,
        *,
        unit: int,
        registers: Callable[[], Registers],
        slow_s: float,
        write: Write | None = None,
    ) -> None:
        self.unit: Final = unit
        self._registers = registers
        self._write = write
        self._slow_s = slow_s
        self._at_work = asyncio.Lock()
        self.fault = WireFault.NONE
        self.exception_code: int = ExcCodes.DEVICE_FAILURE
        """What the fault ``exception`` answers."""
        self.there = True
        self.requests = 0
        """Requests heard so far that were meant for this device."""

    async def answer(self, request: ModbusPDU) -> ModbusPDU | None:
        """The answer to ``request``; None when none is given."""
        if not self.there:
            return None
        self.requests += 1
        async with self._at_work:
            response = self._response(request)
            response.dev_id, response.transaction_id = request.dev_id, request.transaction_id
            fault = self.fault
            if fault is WireFault.SLOW:
                await asyncio.sleep(self._slow_s)
            self._distort(response, fault)
            return None if fault is WireFault.SILENT else response

    def spoil(self, frame: bytes) -> bytes:
        """What becomes of a frame between the device and the far end of the wire."""
        match self.fault:
            case WireFault.CRC:
                return frame[:-2] + bytes(byte ^ 0xFF for byte in frame[-2:])
            case WireFault.CUT:
                return frame[:-3]
        return frame

    def _distort(self, response: ModbusPDU, fault: WireFault) -> None:
        match fault:
            case WireFault.WRONG_LENGTH:
                response.registers = response.registers[:-1]
            case WireFault.WRONG_UNIT:
                response.dev_id = self.unit % _LAST_UNIT + 1

    def _response(self, request: ModbusPDU) -> ModbusPDU:
        if self.fault is WireFault.EXCEPTION:
            return ExceptionResponse(request.function_code, self.exception_code)
        match request:
            case ReadInputRegistersRequest():
                return self._table(request, Table.INPUT, ReadInputRegistersResponse)
            case ReadHoldingRegistersRequest():
                return self._table(request, Table.HOLDING, ReadHoldingRegistersResponse)
            case WriteSingleRegisterRequest() if self._write:
                return self._written(request, self._write)
        return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_FUNCTION)

    def _table(self, request: ModbusPDU, table: Table, response: type[ModbusPDU]) -> ModbusPDU:
        contents = self._registers().get(table, {})
        wanted = range(request.address, request.address + request.count)
        if any(address not in contents for address in wanted):
            return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_ADDRESS)
        return response(registers=[contents[address] for address in wanted])

    def _written(self, request: ModbusPDU, write: Write) -> ModbusPDU:
        (word,) = request.registers
        match write(request.address, word):
            case True:
                return WriteSingleRegisterResponse(address=request.address, registers=[word])
            case False:
                return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_VALUE)
        return ExceptionResponse(request.function_code, ExcCodes.ILLEGAL_ADDRESS)


class Conversation:
    """Bytes in, bytes out: one serial line (``FramerRTU``) or one TCP connection (``FramerSocket``), with
    all the devices on it."""

    def __init__(self, devices: Sequence[ModbusDevice], framer: type[FramerBase]) -> None:
        self._devices = {device.unit: device for device in devices}
        self._framer = framer(DecodePDU(True))
        self._pending = b""
        self._heard_at = 0.0

    def hear(self, data: bytes) -> list[Coroutine[Any, Any, bytes]]:
        """What the devices will say to ``data``: each takes its own time. Nothing, when that is no whole
        request."""
        requests = list(self._requests(data))
        return [self._reply(self._devices[each.dev_id], each) for each in requests if self._is_for_us(each)]

    def _is_for_us(self, request: ModbusPDU) -> bool:
        return request.dev_id in self._devices

    async def _reply(self, device: ModbusDevice, request: ModbusPDU) -> bytes:
        answer = await device.answer(request)
        return device.spoil(self._framer.buildFrame(answer)) if answer else b""

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
