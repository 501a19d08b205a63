"""One Modbus master on one line (RTU) or connection (TCP), and why it gets no answer when it gets none.

pymodbus does the talking. What it does not tell is found out here: its callbacks see every byte, and a port
that it cannot open is looked at for the reason.

    SensorError
    ├── LineDown   the port or the connection is not there: nobody on it can be asked
    ├── Silence    this device has said nothing at all
    └── Refusal    this device does not have what was asked for
"""

import asyncio
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusException, ModbusIOException
from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, ReadInputRegistersResponse

from evswap_edge.drivers.modbus import ports
from evswap_edge.drivers.modbus.decoding import MOST_REGISTERS, Block
from evswap_edge.hal import DriverUnavailable, SensorError
from evswap_edge.registers import Parity, Table

import_module("serial")  # pymodbus does without, and says so only when a port is opened

_PATIENCE: Final = 3
"""Time-outs for which the answer to a request is waited for before the same device is asked again. A frame of
RTU does not say which request it answers: what arrives late would be taken for the answer to the next one."""
_RTU_OVERHEAD: Final = 5
"""Bytes of an answer beside the registers: unit, function, count and two of the checksum."""
_TCP_OVERHEAD: Final = 9
"""The same on TCP: a header of seven, function and count."""
_RTU_ECHO: Final = 8
_TCP_ECHO: Final = 12
"""Bytes of the answer to a write of one register, which repeats the question."""
_NOT_THERE: Final = {ExcCodes.ILLEGAL_ADDRESS, ExcCodes.ILLEGAL_VALUE}
"""Exceptions that a question for these registers always gets."""
_BITS_A_CHARACTER: Final = 11
_SHARE_OF_TIMEOUT: Final = 0.5
_TCP_UNIT: Final = 6
"""Which byte of a TCP frame names the unit."""
_NEVER: Final[Any] = None
"""The library's own time-out costs two turns of the event loop for each answer."""
_HELD_UP_S: Final = 0.05
"""A time-out that falls due by so much too late tells of this process, not of the device."""
_MOST_IN_VAIN: Final = 4
"""Questions in a row without an answer, after which a TCP connection is taken for dead and is made anew."""


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
        return 3.5 * _BITS_A_CHARACTER / self.baudrate if self.baudrate <= 19_200 else 0.001_75

    @property
    def characters(self) -> str:
        """As people write it, such as ``9600 8N1``."""
        return f"{self.baudrate} 8{self.parity[0].upper()}{self.stop_bits}"

    def __str__(self) -> str:
        return self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """A Modbus TCP device, or a gateway in front of serial ones."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


LineAddress = SerialAddress | TcpAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a device is to be asked: ``timeout_s`` is how long its answer may take, ``pause_s`` what it needs
    between its answer and the next question to anybody."""

    timeout_s: float
    pause_s: float = 0.0


class LineDown(SensorError):
    """The port or the connection is not there: nobody on it can be asked."""


class Silence(SensorError):
    """This device has said nothing at all."""


class Refusal(SensorError):
    """This device does not have what was asked for: it says so by an exception."""


class _InputRegisters(ReadInputRegistersResponse):
    """The library's own unpacks register by register, and writes each of them into a text for its debugging,
    whether it is on or not: that is half of what an answer of 125 costs."""

    def decode(self, data: bytes) -> None:
        """As the library's own: raises ``struct.error`` for fewer bytes than the first one announces."""
        self.registers = list(struct.unpack_from(f">{data[0] // 2}H", data, 1))

    def __str__(self) -> str:
        return f"{len(self.registers)} registers"


class _HoldingRegisters(_InputRegisters):
    """The same."""

    function_code = ReadHoldingRegistersResponse.function_code


class _QuietFramer(FramerBase):
    """The library's own raise for what cannot be decoded, in the event loop, where nobody could catch it."""

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:
        """As the library's own, and no answer where that raises."""
        try:
            return super().handleFrame(data, exp_devid, exp_tid)
        except ModbusIOException:
            return 0, None


class _QuietTcp(_QuietFramer, FramerSocket): ...


class _QuietRtu(_QuietFramer, FramerRTU): ...


def _pdu_decoder() -> DecodePDU:
    decoder = DecodePDU(False)
    decoder.register(_InputRegisters)
    decoder.register(_HoldingRegisters)
    return decoder


class Line:
    """Asks one question at a time, in the order in which they came, whoever asks. A port that was lost is
    opened again by the next question."""

    def __init__(self, address: LineAddress) -> None:
        self.address: Final = address
        self._serial: Final = isinstance(address, SerialAddress)
        self._trial: Final = (FramerRTU if self._serial else FramerSocket)(_pdu_decoder())
        self._turn = asyncio.Lock()
        self._client: ModbusBaseClient | None = None
        self._asked = 0
        self._heard = b""
        self._stranger: int | None = None
        self._owed_until: dict[int, float] = {}
        self._quiet_until = 0.0
        self._in_vain = 0

    async def connect(self, *, within_s: float) -> ModbusBaseClient:
        """Open the port, exclusively, unless it is open. Raises ``DriverUnavailable``."""
        if self._client and self._client.connected:
            return self._client
        self.close()
        if isinstance(self.address, SerialAddress):
            await asyncio.to_thread(ports.require_serial, self.address.port)
        client = self._make_client(within_s)
        try:
            connected = await client.connect()
        except termios.error:
            connected = False
        except BaseException:
            client.close()
            raise
        if not connected:
            client.close()
            raise DriverUnavailable(device=str(self.address), reason=await self._why_not(within_s))
        client.ctx.comm_params.timeout_connect = _NEVER
        self._client = client
        self._owed_until.clear()
        self._in_vain = 0
        return client

    def close(self) -> None:
        """Give the port back. Safe to call twice."""
        if self._client:
            self._client.close()
            self._client = None

    async def read(self, unit: int, block: Block, manners: Manners) -> Sequence[int]:
        """What the registers of ``block`` hold. Raises ``SensorError``; may be cancelled at any time."""

        def question(client: ModbusBaseClient) -> Awaitable[ModbusPDU]:
            is_input = block.table is Table.INPUT
            read = client.read_input_registers if is_input else client.read_holding_registers
            return read(block.address, count=block.count, device_id=unit)

        whole = (_RTU_OVERHEAD if self._serial else _TCP_OVERHEAD) + 2 * block.count
        answer = await self._ask(unit, question, manners, whole=whole, what=_described(block))
        if len(answer.registers) != block.count:
            raise self.failure(
                unit, f"an answer of the wrong length: {len(answer.registers)} registers for {block.count}"
            )
        return answer.registers

    async def write(self, unit: int, address: int, word: int, manners: Manners) -> None:
        """Write ``word`` to a holding register (function 6). Raises ``SensorError``: unless it is a
        ``LineDown``, the device may have taken it all the same."""

        def question(client: ModbusBaseClient) -> Awaitable[ModbusPDU]:
            return client.write_register(address, word, device_id=unit)

        whole = _RTU_ECHO if self._serial else _TCP_ECHO
        answer = await self._ask(
            unit, question, manners, whole=whole, what=f"{word} for register {address:#06x}"
        )
        if (answer.address, answer.registers) != (address, [word]):
            raise self.failure(unit, f"repeats {answer.registers} at {answer.address:#06x} for {word}")

    def most_registers(self, manners: Manners) -> int:
        """How many one question may ask for: on a slow line an answer has to be there within half of the
        time-out."""
        if not isinstance(self.address, SerialAddress):
            return MOST_REGISTERS
        characters = _SHARE_OF_TIMEOUT * manners.timeout_s * self.address.baudrate / _BITS_A_CHARACTER
        return max(1, min(MOST_REGISTERS, int((characters - _RTU_OVERHEAD) / 2)))

    async def until_nothing_is_owed(self, unit: int) -> None:
        """Wait until ``unit`` may be asked again."""
        owed_for_s = self._owed_until.get(unit, 0.0) - self._now()
        if self._serial and owed_for_s > 0:
            await asyncio.sleep(owed_for_s)

    def failure(self, unit: int, reason: str) -> SensorError:
        """A reading of the device ``unit`` that failed, for ``reason``."""
        return SensorError(sensor=self._name(unit), reason=reason)

    # --- one question and its answer ----------------------------------------------------------------------

    async def _ask(
        self,
        unit: int,
        question: Callable[[ModbusBaseClient], Awaitable[ModbusPDU]],
        manners: Manners,
        *,
        whole: int,
        what: str,
    ) -> ModbusPDU:
        """``whole`` is how many bytes the answer has when it is whole; ``what`` was asked for."""
        async with self._turn:
            try:
                client = await self.connect(within_s=manners.timeout_s)
            except DriverUnavailable as error:
                raise LineDown(sensor=error.device, reason=error.reason) from error
            await self._wait_for_silence(unit)
            answer = await self._answer(client, unit, question, manners, whole)
            if isinstance(answer, ExceptionResponse):
                raise self._refusal(unit, answer.exception_code, what)
            return answer

    async def _answer(
        self,
        client: ModbusBaseClient,
        unit: int,
        question: Callable[[ModbusBaseClient], Awaitable[ModbusPDU]],
        manners: Manners,
        whole: int,
    ) -> ModbusPDU:
        self._asked, self._heard, self._stranger = unit, b"", None
        self._owed_until[unit] = self._now() + _PATIENCE * manners.timeout_s
        try:
            async with _answered_within(manners.timeout_s):
                answer = await question(client)
        except (ModbusException, TimeoutError) as error:
            raise self._no_answer(unit, manners, whole) from error
        self._owed_until.pop(unit, None)
        self._in_vain = 0
        self._rest(manners)
        return answer

    async def _wait_for_silence(self, unit: int) -> None:
        """Do not ask who still owes an answer, and nobody right behind the last answer.

        Others may be asked meanwhile: a late answer names who gives it, and is thrown away.
        """
        if self._serial and self._now() < self._owed_until.get(unit, 0.0):
            raise self.failure(unit, "still owes the answer to an earlier request")
        if (rest_s := self._quiet_until - self._now()) > 0:
            await asyncio.sleep(rest_s)

    def _rest(self, manners: Manners) -> None:
        silence_s = self.address.silence_s if isinstance(self.address, SerialAddress) else 0.0
        self._quiet_until = self._now() + max(silence_s, manners.pause_s)

    # --- what can go wrong --------------------------------------------------------------------------------

    def _no_answer(self, unit: int, manners: Manners, whole: int) -> SensorError:
        lost = not (self._client and self._client.connected)
        self._in_vain += 1
        if not self._serial and self._in_vain >= _MOST_IN_VAIN:
            self.close()
        if lost:
            return self.failure(unit, "the port was lost while it was asked")
        if not self._heard and self._stranger is None:
            return Silence(sensor=self._name(unit), reason=f"no answer within {manners.timeout_s:g} s")
        return self.failure(unit, self._what_was_wrong(unit, whole))

    def _what_was_wrong(self, unit: int, whole: int) -> str:
        """With what was heard in the place of an answer of ``whole`` bytes."""
        heard, size = self._heard, len(self._heard)
        if self._stranger is not None and not heard:
            return f"unit {self._stranger} answers in its place"
        if size < whole:
            return f"an answer that was cut short: {size} bytes for {whole}"
        if self._serial and not _checksum_fits(heard):
            return f"an answer with a wrong checksum ({size} bytes)"
        if not self._can_be_decoded(heard):
            return f"an answer that makes no sense ({size} bytes)"
        if not self._serial and heard[_TCP_UNIT] != unit:
            return f"unit {heard[_TCP_UNIT]} answers in its place"
        return f"an answer that belongs to another question ({size} bytes)"

    def _refusal(self, unit: int, code: int, what: str) -> SensorError:
        if code == ExcCodes.GATEWAY_NO_RESPONSE:
            return Silence(sensor=self._name(unit), reason="the gateway gets no answer from it")
        failure = Refusal if code in _NOT_THERE else SensorError
        return failure(sensor=self._name(unit), reason=f"{_meaning(code)}; asked for {what}")

    def _name(self, unit: int) -> str:
        return f"{self.address} unit {unit}"

    # --- what pymodbus does not tell ----------------------------------------------------------------------

    def _make_client(self, within_s: float) -> ModbusBaseClient:
        """Neither repeats a request nor opens or drops a connection by itself: that is done here."""
        client: ModbusBaseClient
        if isinstance(self.address, TcpAddress):
            client = AsyncModbusTcpClient(
                self.address.host,
                port=self.address.port,
                timeout=within_s,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._overhear,
            )
        else:
            client = AsyncModbusSerialClient(
                self.address.port,
                baudrate=self.address.baudrate,
                parity=self.address.parity[0].upper(),
                stopbits=self.address.stop_bits,
                timeout=within_s,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._overhear,
                trace_pdu=self._note_late_answer,
            )
        client.set_max_no_responses(sys.maxsize)
        client.ctx.framer = (_QuietRtu if self._serial else _QuietTcp)(_pdu_decoder())
        return client

    def _overhear(self, sending: bool, data: bytes) -> bytes:
        """What arrived since the question, whether it makes a frame or not."""
        if sending:
            return data
        own = self._without_others(data) if self._serial else data
        if len(own) > len(self._heard):
            self._heard = own
        return own

    def _without_others(self, data: bytes) -> bytes:
        """Whole frames of units that were not asked now are late answers, or somebody's mistake."""
        while data and data[0] != self._asked and (frame := self._whole_frame(data)):
            if self._owed_until.pop(data[0], None) is None:
                self._stranger = data[0]
            data = data[len(frame) :]
        return data

    def _whole_frame(self, data: bytes) -> bytes:
        """The RTU frame at the beginning of ``data``; nothing, when there is none, or not all of it."""
        if len(data) < FramerRTU.MIN_SIZE or not (kind := self._trial.decoder.lookupPduClass(data)):
            return b""
        size = kind.calculateRtuFrameSize(data)
        return data[:size] if 0 < size <= len(data) and _checksum_fits(data[:size]) else b""

    def _can_be_decoded(self, data: bytes) -> bool:
        try:
            self._trial.handleFrame(data, 0, 0)
        except ModbusIOException:
            return False
        return True

    def _note_late_answer(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """Nothing is owed any more. The question that it belongs to has been given up: nobody gets to see
        it."""
        if not sending:
            self._owed_until.pop(pdu.dev_id, None)
        return pdu

    async def _why_not(self, within_s: float) -> str:
        if isinstance(self.address, TcpAddress):
            return await ports.why_not_tcp(self.address.host, self.address.port, within_s=within_s)
        return "the port does not take these settings; look at baudrate, parity and stop_bits"

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def _answered_within(timeout_s: float) -> AsyncIterator[None]:
    """Raises ``TimeoutError`` for a device that has had ``timeout_s`` to answer, and whose answer could have
    been read: where this process was itself held up meanwhile, by a card that is busy or a machine that is,
    what has arrived waits to be read, and the device is waited for once more."""
    async with asyncio.timeout(None) as limit:
        patience = _Patience(limit, timeout_s)
        try:
            yield
        finally:
            patience.end()


class _Patience:
    """Ends ``limit`` after ``timeout_s``, or after twice that where the loop came to look too late."""

    def __init__(self, limit: asyncio.Timeout, timeout_s: float) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(timeout_s, self._look)

    def _look(self) -> None:
        if self._loop.time() - self._timer.when() > _HELD_UP_S:
            self._timer = self._loop.call_later(self._timeout_s, self._give_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._limit.reschedule(self._loop.time())

    def end(self) -> None:
        self._timer.cancel()


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
