"""Battery management systems on CAN that are not there: one in each bay, as their profile has it.

What they say and what is wrong with them is told while they run, by ``obey``.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import can

from evswap_edge.dbc import Checksum, ChecksumKind, Profile, SerialEncoding
from evswap_edge.emulators import EmulatorError
from evswap_edge.emulators.can_dbc import Field, Frame, read_frames

EVERYBODY: Final = "all"
_BUS_OFF: Final = 0x040
_RESTARTED: Final = 0x100
"""Bits of an error frame's identifier (include/uapi/linux/can/error.h)."""
_LAST_STANDARD: Final = 0x7FF


class Fault(StrEnum):
    """What can be wrong with one bay."""

    NONE = "none"
    SILENT = "silent"
    PARTIAL = "partial"
    WRONG_LENGTH = "wrong-length"
    CRC = "crc"
    FROZEN = "frozen"
    OUT_OF_RANGE = "out-of-range"
    SLOW = "slow"


@dataclass
class Bay:
    """A bay and the battery in it. Percent, volts, amperes (positive while charging), degrees Celsius."""

    number: int
    node: int
    serial_number: str
    values: dict[str, float] = field(
        default_factory=lambda: {
            "soc": 80.0,
            "soh": 97.5,
            "voltage": 52.4,
            "current": 0.0,
            "temperature": 25.0,
            "cycles": 120,
        }
    )
    present: bool = True
    reported: tuple[str, ...] = ()
    fault: Fault = Fault.NONE
    rounds: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    frozen: Mapping[tuple[str, int | None], bytes] = field(default_factory=dict)


class BmsEmulator:
    """All bays of one bus. ``base`` and ``stride`` are as the driver's settings have them."""

    def __init__(
        self,
        profile: Profile,
        *,
        bus: can.BusABC,
        bays: Sequence[int],
        base: int | None = None,
        stride: int | None = None,
        slow_rounds: int = 100,
    ) -> None:
        self._bus = bus
        self._profile = profile
        frames = read_frames(profile.dbc)
        self._frames = [frames[name] for name in _messages(profile)]
        self._heartbeat = frames[profile.heartbeat] if profile.heartbeat else None
        self._base = base
        self._stride = stride or profile.stride
        self._slow_rounds = slow_rounds
        self.bays = {number: Bay(number, node, f"EVB-{number:04}") for node, number in enumerate(bays)}
        self._is_off = False
        self._commands: Final[Mapping[str, Callable[[Sequence[str]], str]]] = {
            "set": self._set,
            "remove": self._remove,
            "insert": self._insert,
            "report": self._report,
            "fault": self._set_fault,
            "bus": self._switch_bus,
            "status": self._status,
        }

    async def speak(self, *, period_s: float) -> None:
        """A round every ``period_s`` seconds, for ever. Raises ``EmulatorError``."""
        while True:
            self.speak_once()
            await asyncio.sleep(period_s)

    def speak_once(self) -> None:
        """One round, unless the bus is off. Raises ``EmulatorError``."""
        if not self._is_off:
            for message in self.frames():
                self._send(message)

    def frames(self) -> Iterator[can.Message]:
        """What is said in one round: each message of each bay, and of those in several parts the next
        part."""
        if self._heartbeat is not None:
            yield _message(self._heartbeat, self._heartbeat.identifier, bytes(self._heartbeat.length))
        for bay in self.bays.values():
            bay.rounds += 1
            yield from self._said_by(bay)

    def obey(self, line: str) -> str:
        """Do what one line of text says; the answer is one line that begins with ``ok`` or ``error:``."""
        name, *arguments = line.split()
        command = self._commands.get(name)
        if command is None:
            return f"error: no command {name!r}; known are {', '.join(self._commands)}"
        try:
            return command(arguments)
        except ValueError as error:
            return f"error: {error}"

    # --- on the wire --------------------------------------------------------------------------------------

    def _send(self, message: can.Message) -> None:
        try:
            self._bus.send(message)
        except can.CanError as error:
            raise EmulatorError(f"the bus takes no frame: {error}") from error

    def _said_by(self, bay: Bay) -> Iterator[can.Message]:
        if bay.fault is Fault.SILENT or (bay.fault is Fault.SLOW and bay.rounds % self._slow_rounds):
            return
        frames = self._spoken(bay)
        for frame in frames[:1] if bay.fault is Fault.PARTIAL else frames:
            part = frame.parts[bay.rounds % len(frame.parts)] if frame.parts else None
            data = bay.frozen.get((frame.name, part)) or self._data(bay, frame, part)
            yield _message(
                frame, self._identifier(bay, frame), self._spoiled(bay, frame, data), base=self._base
            )

    def _spoken(self, bay: Bay) -> Sequence[Frame]:
        """An empty bay says that it is empty, or nothing."""
        if bay.present:
            return self._frames
        presence = self._profile.presence
        return [
            frame for frame in self._frames if presence and frame.name == presence.signal.partition(".")[0]
        ]

    def _identifier(self, bay: Bay, frame: Frame) -> int:
        lowest = min(each.identifier for each in self._frames)
        return frame.identifier + bay.node * self._stride + (0 if self._base is None else self._base - lowest)

    def _spoiled(self, bay: Bay, frame: Frame, data: bytes) -> bytes:
        if bay.fault is Fault.WRONG_LENGTH:
            return data[:-1]
        checksum = self._checksum(frame)
        if bay.fault is Fault.CRC and checksum is not None:
            byte, _ = next(_field(frame, checksum.signal).places())
            return data[:byte] + bytes([data[byte] ^ 0x5A]) + data[byte + 1 :]
        return data

    # --- values into frames -------------------------------------------------------------------------------

    def _data(self, bay: Bay, frame: Frame, part: int | None) -> bytes:
        raw = {
            name: number for name, number in self._raw(bay, frame) if frame.fields[name].part in (None, part)
        }
        if frame.multiplexer is not None and part is not None:
            raw[frame.multiplexer.name] = part
        data = frame.pack(raw)
        if checksum := self._checksum(frame):
            byte, _ = next(_field(frame, checksum.signal).places())
            data[byte] = _checksum(checksum.kind, [each for n, each in enumerate(data) if n != byte])
        return bytes(data)

    def _raw(self, bay: Bay, frame: Frame) -> Iterator[tuple[str, int]]:
        """The number of each field that the profile knows, by its name."""
        profile = self._profile
        if profile.presence and (name := _in(frame, profile.presence.signal)):
            yield name, (profile.presence.occupied if bay.present else profile.presence.empty)[0]
        for path in profile.counters:
            if name := _in(frame, path):
                bay.counts[name] = (bay.counts.get(name, 0) + 1) & frame.fields[name].full
                yield name, bay.counts[name]
        for path in profile.faults:
            if name := _in(frame, path):
                yield name, int(name in bay.reported)
        yield from self._measured(bay, frame)
        yield from self._serial(bay, frame)

    def _measured(self, bay: Bay, frame: Frame) -> Iterator[tuple[str, int]]:
        for quantity, measured in self._profile.battery.measured().items():
            value = (bay.values[quantity] - measured.offset) / measured.scale
            for path in measured.signals:
                if name := _in(frame, path):
                    one = frame.fields[name]
                    impossible = one.full >> 1 if one.signed else one.full
                    yield name, impossible if bay.fault is Fault.OUT_OF_RANGE else one.raw(value)

    def _serial(self, bay: Bay, frame: Frame) -> Iterator[tuple[str, int]]:
        number = self._profile.battery.serial_number
        everything = {each.name: each for each in self._frames}
        fields = [_field(everything[path.partition(".")[0]], path) for path in number.signals]
        for path, value in zip(
            number.signals, _parts(bay.serial_number, number.encoding, fields), strict=True
        ):
            if name := _in(frame, path):
                yield name, value

    def _checksum(self, frame: Frame) -> Checksum | None:
        return next((each for each in self._profile.checksums if _in(frame, each.signal)), None)

    # --- commands -----------------------------------------------------------------------------------------

    def _set(self, arguments: Sequence[str]) -> str:
        bay, quantity, text = self._three(arguments, "set BAY QUANTITY VALUE")
        for each in self._chosen(bay):
            if quantity == "serial":
                each.serial_number = text
            elif quantity in each.values:
                each.values[quantity] = _number(text)
            else:
                raise ValueError(f"no quantity {quantity!r}; known are serial, {', '.join(each.values)}")
        return "ok"

    def _remove(self, arguments: Sequence[str]) -> str:
        for bay in self._chosen(*arguments[:1]):
            bay.present = False
        return "ok"

    def _insert(self, arguments: Sequence[str]) -> str:
        for bay in self._chosen(*arguments[:1]):
            bay.present = True
            bay.serial_number = arguments[1] if len(arguments) > 1 else bay.serial_number
        return "ok"

    def _report(self, arguments: Sequence[str]) -> str:
        known = [path.partition(".")[2] for path in self._profile.faults]
        for name in arguments[1:]:
            if name not in (*known, "none"):
                raise ValueError(f"no fault bit {name!r}; known are none, {', '.join(known)}")
        for bay in self._chosen(*arguments[:1]):
            bay.reported = tuple(name for name in arguments[1:] if name != "none")
        return "ok"

    def _set_fault(self, arguments: Sequence[str]) -> str:
        if len(arguments) != 2 or arguments[1] not in tuple(Fault):
            raise ValueError(f"fault BAY NAME; known are {', '.join(Fault)}")
        fault = Fault(arguments[1])
        if fault is Fault.CRC and not self._profile.checksums:
            raise ValueError("the profile has no checksums")
        for bay in self._chosen(arguments[0]):
            bay.fault = fault
            bay.frozen = self._still(bay) if fault is Fault.FROZEN else {}
        return "ok"

    def _still(self, bay: Bay) -> Mapping[tuple[str, int | None], bytes]:
        return {
            (frame.name, part): self._data(bay, frame, part)
            for frame in self._spoken(bay)
            for part in (frame.parts or (None,))
        }

    def _switch_bus(self, arguments: Sequence[str]) -> str:
        if list(arguments) not in (["off"], ["on"]):
            raise ValueError("bus off, or bus on")
        if type(self._bus).__name__ == "SocketcanBus":
            raise ValueError("a real bus goes off by a short between CAN_H and CAN_L, not by a command")
        self._is_off = arguments[0] == "off"
        classes = _BUS_OFF if self._is_off else _RESTARTED
        self._send(
            can.Message(arbitration_id=classes, is_error_frame=True, is_extended_id=False, data=bytes(8))
        )
        return "ok"

    def _status(self, arguments: Sequence[str]) -> str:
        return "ok " + "; ".join(
            f"bay {bay.number} {bay.serial_number if bay.present else 'empty'} "
            + " ".join(f"{name} {value:g}" for name, value in bay.values.items())
            + f" fault {bay.fault} rounds {bay.rounds}"
            for bay in self._chosen(*arguments[:1])
        )

    def _chosen(self, which: str = EVERYBODY) -> Iterable[Bay]:
        if which == EVERYBODY:
            return self.bays.values()
        if not (which.isdecimal() and int(which) in self.bays):
            raise ValueError(f"no bay {which!r}; known are {EVERYBODY}, {', '.join(map(str, self.bays))}")
        return (self.bays[int(which)],)

    @staticmethod
    def _three(arguments: Sequence[str], usage: str) -> tuple[str, str, str]:
        if len(arguments) != 3:
            raise ValueError(usage)
        return arguments[0], arguments[1], arguments[2]


def _messages(profile: Profile) -> Sequence[str]:
    """What the profile reads, presence first."""
    paths = [profile.presence.signal] if profile.presence else []
    for measured in profile.battery.measured().values():
        paths += measured.signals
    paths += [*profile.battery.serial_number.signals, *profile.faults]
    return tuple(dict.fromkeys(path.partition(".")[0] for path in paths))


def _in(frame: Frame, path: str) -> str | None:
    """The name of the signal ``path``, when it is in ``frame``."""
    message, _, name = path.partition(".")
    return name if message == frame.name else None


def _field(frame: Frame, path: str) -> Field:
    return frame.fields[path.partition(".")[2]]


def _message(frame: Frame, identifier: int, data: bytes, *, base: int | None = None) -> can.Message:
    extended = frame.extended or (base is not None and base > _LAST_STANDARD)
    return can.Message(arbitration_id=identifier, is_extended_id=extended, data=data, check=True)


def _parts(serial: str, encoding: SerialEncoding, fields: Sequence[Field]) -> Iterator[int]:
    """What each of the ``fields`` holds of ``serial``."""
    if encoding is SerialEncoding.ASCII:
        room = sum(each.length // 8 for each in fields)
        rest = serial.encode("ascii").ljust(room, b"\0")
        for each in fields:
            own, rest = rest[: each.length // 8], rest[each.length // 8 :]
            yield int.from_bytes(own, "little" if each.little_endian else "big")
        return
    number = int(serial, 10 if encoding is SerialEncoding.DECIMAL else 16)
    behind = sum(each.length for each in fields)
    for each in fields:
        behind -= each.length
        yield number >> behind & each.full


def _checksum(kind: ChecksumKind, data: Sequence[int]) -> int:
    """Bit by bit, as a data sheet has it."""
    match kind:
        case ChecksumKind.SUM:
            return sum(data) % 256
        case ChecksumKind.XOR:
            result = 0
            for byte in data:
                result ^= byte
            return result
        case ChecksumKind.CRC8:
            return _remainder(data, polynomial=0x07, register=0x00)
        case ChecksumKind.CRC8_SAE_J1850:
            return _remainder(data, polynomial=0x1D, register=0xFF) ^ 0xFF


def _remainder(data: Sequence[int], *, polynomial: int, register: int) -> int:
    for byte in data:
        for n in range(7, -1, -1):
            feedback = register >> 7 ^ byte >> n & 1
            register = register << 1 & 0xFF
            if feedback:
                register ^= polynomial
    return register


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no finite number")
    return number
