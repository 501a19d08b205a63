"""One Modbus master on one line (RTU) or connection (TCP), and why it gets no answer when it gets none.

pymodbus does the talking. What it does not tell is found out here: its callbacks see every byte, and a port
that it cannot open is looked at for the reason.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException, ModbusIOException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from evswap_edge.drivers.modbus import ports
from evswap_edge.drivers.modbus.decoding import Block
from evswap_edge.hal import DriverUnavailable, SensorError
from evswap_edge.registers import Parity, Table

import_module("serial")  # pymodbus does without, and says so only when a port is opened

_PATIENCE: Final = 3
"""Time-outs for which the answer to a request is waited for before another request is made. A frame of RTU
does not say which request it answers: what arrives late would be taken for the answer to the next one."""
_RTU_OVERHEAD: Final = 5
"""Bytes of an answer beside the registers: unit, function, count and two of the checksum."""
_TCP_OVERHEAD: Final = 9
"""The same on TCP: a header of seven, function and count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialAddress:
    """A serial port and how characters look on it."""

    port: str
    baudrate: int
    parity: Parity
    stop_bits: int

    @property
    def silence_s(self) -> float:
        """What has to pass between two frames: 3.5 characters, 1.75 ms above 19,200 baud (Modbus over serial
        line 1.02, section 2.5.1.1)."""
        return 3.5 * 11 / self.baudrate if self.baudrate <= 19_200 else 0.001_75

    def __str__(self) -> str:
        return self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A Modbus TCP device, or a gateway in front of serial ones."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Line:
    """Asks one question at a time. A port that was lost is opened again by the next question."""

    def __init__(self, address: SerialAddress | TcpAddress, *, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._client: ModbusBaseClient | None = None
        self._heard = b""
        self._owed_until = 0.0
        self._quiet_until = 0.0

    async def connect(self) -> ModbusBaseClient:
        """Open the port, exclusively, unless it is open. Raises ``DriverUnavailable``."""
        if self._client and self._client.connected:
            return self._client
        self.close()
        if isinstance(self._address, SerialAddress):
            await asyncio.to_thread(ports.require_serial, self._address.port)
        client = self._make_client()
        try:
            connected = await client.connect()
        except BaseException:
            client.close()
            raise
        if not connected:
            client.close()
            raise DriverUnavailable(device=str(self._address), reason=await self._why_not())
        self._client = client
        self._owed_until = 0.0
        return client

    def close(self) -> None:
        """Give the port back. Safe to call twice."""
        if self._client:
            self._client.close()
            self._client = None

    async def read(self, unit: int, block: Block) -> Sequence[int]:
        """What the registers of ``block`` hold. Raises ``SensorError``; may be cancelled at any time."""
        async with self._turn:
            try:
                client = await self.connect()
            except DriverUnavailable as error:
                raise SensorError(sensor=error.device, reason=error.reason) from error
            return self._registers(await self._ask(client, unit, block), unit, block)

    # --- one question and its answer ----------------------------------------------------------------------

    async def _ask(self, client: ModbusBaseClient, unit: int, block: Block) -> ModbusPDU:
        await self._wait_for_silence(unit)
        is_input = block.table is Table.INPUT
        ask = client.read_input_registers if is_input else client.read_holding_registers
        self._heard = b""
        self._owed_until = self._now() + _PATIENCE * self._timeout_s
        try:
            answer: ModbusPDU = await ask(block.address, count=block.count, device_id=unit)
        except ModbusException as error:
            raise self.failure(unit, self._why_no_answer(block)) from error
        self._owed_until = 0.0
        return answer

    async def _wait_for_silence(self, unit: int) -> None:
        """Ask nothing while an answer is owed, and not right behind the last one."""
        if self._now() < self._owed_until and isinstance(self._address, SerialAddress):
            raise self.failure(unit, "still owes the answer to an earlier request")
        if (rest_s := self._quiet_until - self._now()) > 0:
            await asyncio.sleep(rest_s)

    def _registers(self, answer: ModbusPDU, unit: int, block: Block) -> Sequence[int]:
        if isinstance(self._address, SerialAddress):
            self._quiet_until = self._now() + self._address.silence_s
        if isinstance(answer, ExceptionResponse):
            raise self.failure(unit, f"{_meaning(answer.exception_code)}; asked for {_described(block)}")
        if len(answer.registers) != block.count:
            raise self.failure(
                unit, f"an answer of the wrong length: {len(answer.registers)} registers for {block.count}"
            )
        return answer.registers

    def failure(self, unit: int, reason: str) -> SensorError:
        """A reading of the device ``unit`` that failed, for ``reason``."""
        return SensorError(sensor=f"{self._address} unit {unit}", reason=reason)

    # --- what pymodbus does not tell ----------------------------------------------------------------------

    def _make_client(self) -> ModbusBaseClient:
        """Neither repeats a request nor opens a port again by itself: the next sample does both."""
        if isinstance(self._address, TcpAddress):
            return AsyncModbusTcpClient(
                self._address.host,
                port=self._address.port,
                timeout=self._timeout_s,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._overhear,
            )
        return AsyncModbusSerialClient(
            self._address.port,
            baudrate=self._address.baudrate,
            parity=self._address.parity[0].upper(),
            stopbits=self._address.stop_bits,
            timeout=self._timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._overhear,
            trace_pdu=self._note_late_answer,
        )

    def _overhear(self, sending: bool, data: bytes) -> bytes:
        """What arrived since the question, whether it makes a frame or not. What cannot be decoded is kept
        from the library: it would raise in the event loop, where nobody could catch it."""
        if sending:
            return data
        if len(data) > len(self._heard):
            self._heard = data
        return data if self._can_be_decoded(data) else b""

    def _can_be_decoded(self, data: bytes) -> bool:
        framer = FramerRTU if isinstance(self._address, SerialAddress) else FramerSocket
        try:
            framer(DecodePDU(False)).handleFrame(data, 0, 0)
        except ModbusIOException:
            return False
        return True

    def _note_late_answer(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """Nothing is owed any more. The question that it belongs to has been given up: nobody gets to see
        it."""
        if not sending:
            self._owed_until = 0.0
        return pdu

    def _why_no_answer(self, block: Block) -> str:
        if not (self._client and self._client.connected):
            return "the port was lost while it was asked"
        if not self._heard:
            return f"no answer within {self._timeout_s:g} s"
        serial = isinstance(self._address, SerialAddress)
        whole = (_RTU_OVERHEAD if serial else _TCP_OVERHEAD) + 2 * block.count
        if len(self._heard) < whole:
            return f"an answer that was cut short: {len(self._heard)} bytes for {whole}"
        if serial and not _checksum_fits(self._heard):
            return f"an answer with a wrong checksum ({len(self._heard)} bytes)"
        if not self._can_be_decoded(self._heard):
            return f"an answer that makes no sense ({len(self._heard)} bytes)"
        return f"an answer that belongs to another question ({len(self._heard)} bytes)"

    async def _why_not(self) -> str:
        if isinstance(self._address, TcpAddress):
            return await ports.why_not_tcp(self._address.host, self._address.port, within_s=self._timeout_s)
        return "the port does not take these settings; look at baudrate, parity and stop_bits"

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _checksum_fits(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))


def _described(block: Block) -> str:
    return f"{block.count} {block.table} registers from {block.address:#06x}"


def _meaning(exception_code: int) -> str:
    """The name that the protocol gives to an exception (Modbus application protocol 1.1b3, section 7)."""
    try:
        name = ExcCodes(exception_code).name
    except ValueError:
        name = "unknown"
    return f"the device answers with exception {exception_code} ({name.lower().replace('_', ' ')})"
