"""A profile and its DBC file, made ready for looking at frames: no I/O but reading the file.

BadMapping   the profile does not fit the DBC file, or asks for what this driver cannot do
"""

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Final, Literal

import cantools.errors
from cantools.database import Database, load_file
from cantools.database.can import Message, Signal

from evswap_edge.dbc import Measured, Presence, Profile, SerialEncoding, Silence
from evswap_edge.documents import ConfigurationError, KeyPath
from evswap_edge.drivers.can.checksums import Guard, guard_of

LAST_STANDARD: Final = 0x7FF
LAST_EXTENDED: Final = 0x1FFF_FFFF
_FLOATS: Final = {16: "<e", 32: "<f", 64: "<d"}
"""How ``struct`` reads an IEEE 754 number, by its bits."""

Slot = tuple[str, int | None]
"""One frame's place in the memory of a bay: the message, and the part of it where it comes in several."""


class BadMapping(Exception):
    """The profile cannot be used. ``key`` is the path of the key at fault."""

    def __init__(self, key: KeyPath, problem: str, *, nearest: str | None = None) -> None:
        self.key = key
        self.problem = problem
        self.nearest = nearest
        super().__init__(problem)


Column = Callable[[Sequence[int]], list[float]]
"""What a signal is in each of many frames, which are little-endian numbers: one after the other, frames cost
several times as much."""


@dataclass(frozen=True, slots=True)
class Bits:
    """A field of a frame as an unsigned number."""

    order: Literal["little", "big"]
    shift: int
    mask: int

    def of(self, data: bytes) -> int:
        """What ``data`` holds there."""
        return int.from_bytes(data, self.order) >> self.shift & self.mask

    def placed(self, number: int, *, frame_length: int) -> int:
        """A frame, read as one little-endian number, with ``number`` in this field and nothing else.

        With ones in the field it is a mask: what two frames say there is compared by it in one operation.
        """
        return int.from_bytes((number << self.shift).to_bytes(frame_length, self.order), "little")


def bits_of(signal: Signal, *, frame_length: int) -> Bits:
    """Where ``signal`` lies. A DBC file counts the bits of each byte from its least significant one; a
    big-endian signal is named by its most significant bit, a little-endian one by its least significant."""
    mask = (1 << signal.length) - 1
    if signal.byte_order == "little_endian":
        return Bits("little", signal.start, mask)
    bits_before = 8 * (signal.start // 8) + 7 - signal.start % 8
    return Bits("big", 8 * frame_length - bits_before - signal.length, mask)


@dataclass(frozen=True, slots=True, eq=False)
class PartKind:
    """What the frames of one part of a message are for: the slots that they fill, and the mask of where they
    say which battery it is."""

    slots: tuple[Slot, ...]
    identity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameKind:
    """A message of the profile. ``part`` tells its frames apart where it comes in several: ``parts`` are
    those that are read, by what is left of a frame under ``part_mask``, and ``any_part`` is what all others
    are good for. Where there is no such field, its mask is 0."""

    name: str
    length: int
    message: Message
    part: Bits | None = None
    part_mask: int = 0
    counter: Bits | None = None
    counter_mask: int = 0
    guard: Guard | None = None
    """Its checksum, where there is one."""
    parts: Mapping[int, PartKind]
    any_part: PartKind
    patience_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A part of a serial number: the field, its bytes in the order of the frame."""

    slot: Slot
    bits: Bits
    width: int
    read: Callable[[Sequence[int]], list[int]]
    """What the field holds in each of many frames."""


@dataclass(frozen=True, slots=True)
class Place:
    """A signal that is measured, and the limits that the DBC file gives it."""

    slot: Slot
    signal: Signal
    read: Column
    """In the unit of the DBC file."""
    least: float
    greatest: float

    @property
    def name(self) -> str:
        """As a profile names it."""
        return f"{self.slot[0]}.{self.signal.name}"


def place_of(slot: Slot, signal: Signal, *, frame_length: int) -> Place:
    """Where ``signal`` is to be found, made ready."""
    return Place(
        slot,
        signal,
        _column(signal, frame_length=frame_length),
        least=-math.inf if signal.minimum is None else signal.minimum,
        greatest=math.inf if signal.maximum is None else signal.maximum,
    )


def _column(signal: Signal, *, frame_length: int) -> Column:
    """One signal. The library decodes all of a frame, also what nobody reads."""
    scale, offset = signal.conversion.scale, signal.conversion.offset
    raw = _raw_column(bits_of(signal, frame_length=frame_length), frame_length=frame_length)
    if signal.conversion.is_float:
        form = struct.Struct(_FLOATS[signal.length])
        return lambda words: [
            form.unpack(each.to_bytes(form.size, "little"))[0] * scale + offset for each in raw(words)
        ]
    sign = 1 << signal.length - 1 if signal.is_signed else 0
    return lambda words: [((each ^ sign) - sign) * scale + offset for each in raw(words)]


def _raw_column(bits: Bits, *, frame_length: int) -> Callable[[Sequence[int]], list[int]]:
    """What is in a field, as an unsigned number."""
    shift, mask = bits.shift, bits.mask
    if bits.order == "little":
        return lambda words: [word >> shift & mask for word in words]
    return lambda words: [
        int.from_bytes(word.to_bytes(frame_length, "little")) >> shift & mask for word in words
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """All that is to be known for reading the bays of one bus."""

    profile: Profile
    kinds: Mapping[str, FrameKind]
    presence: tuple[Slot, Bits, Presence] | None
    serial: tuple[Text, ...]
    encoding: SerialEncoding
    measured: Mapping[str, tuple[Measured, tuple[Place, ...]]]
    faults: tuple[Place, ...]
    fault_masks: Mapping[Slot, int] | None
    """In which bits of a frame a fault would show: where all of them are 0, there is none. None: the DBC file
    has bits that are 0 for a fault."""
    slots: tuple[Slot, ...]
    """What a bay has to have said, presence first."""
    heartbeat: Message | None

    @property
    def silence(self) -> Silence:
        return self.profile.silence


def make_layout(profile: Profile) -> Layout:
    """Look all signals up. Raises ``BadMapping``, or ``ConfigurationError`` about the DBC file."""
    return _Compiler(profile, _database(profile.dbc)).layout()


def _database(file: Path) -> Database:
    try:
        database = load_file(file, database_format="dbc", strict=True)
    except OSError as error:
        problem = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise ConfigurationError(file=file, line=None, key="", problem=problem) from error
    except (cantools.errors.Error, UnicodeDecodeError, ValueError) as error:
        problem = f"is no valid DBC file: {' '.join(str(error).split())}"
        raise ConfigurationError(file=file, line=None, key="", problem=problem) from error
    if not isinstance(database, Database):
        raise ConfigurationError(file=file, line=None, key="", problem="is no DBC file")
    return database


class _Compiler:
    def __init__(self, profile: Profile, database: Database) -> None:
        self._profile = profile
        self._messages = {message.name: message for message in database.messages}

    def layout(self) -> Layout:
        battery = self._profile.battery
        serial = tuple(self._serial())
        measured = {
            name: (value, tuple(self._places(("battery", name), value.signals)))
            for name, value in battery.measured().items()
        }
        faults = tuple(self._places(("faults",), self._profile.faults))
        presence = self._presence()
        places = [*faults, *(place for _, several in measured.values() for place in several)]
        measuring = tuple(dict.fromkeys(place.slot for place in places))
        known = [*([presence[0]] if presence else []), *(text.slot for text in serial)]
        slots = tuple(dict.fromkeys([*known, *measuring]))
        identifying = [*([presence[:2]] if presence else []), *((text.slot, text.bits) for text in serial)]
        return Layout(
            profile=self._profile,
            kinds=self._kinds(slots, identifying),
            presence=presence,
            serial=serial,
            encoding=battery.serial_number.encoding,
            measured=measured,
            faults=faults,
            fault_masks=self._fault_masks(faults),
            slots=slots,
            heartbeat=self._heartbeat(),
        )

    # --- frames -------------------------------------------------------------------------------------------

    def _fault_masks(self, faults: Iterable[Place]) -> Mapping[Slot, int] | None:
        masks: dict[Slot, int] = {}
        for place in faults:
            message = self._messages[place.slot[0]]
            if place.read([0]) != [0] or not place.least <= 0 <= place.greatest:
                return None
            own = _mask(self._bits(message, place.signal), message)
            masks[place.slot] = masks.get(place.slot, 0) | own
        return masks

    def _kinds(
        self, slots: Iterable[Slot], identifying: Iterable[tuple[Slot, Bits]]
    ) -> Mapping[str, FrameKind]:
        counters = dict(self._per_message(("counters",), self._profile.counters))
        guards = {
            message: guard_of(
                checksum.kind,
                byte=self._whole_byte(key, message, signal),
                length=self._messages[message].length,
            )
            for n, checksum in enumerate(self._profile.checksums)
            for key in [("checksums", n, "signal")]
            for message, signal in self._per_message(key[:2], (checksum.signal,))
        }
        used = tuple(dict.fromkeys(name for name, _ in slots))
        patience = self._profile.patience_s
        for key, named in (("counters", counters), ("checksums", guards), ("patience_s", patience)):
            for name in named:
                if name not in used:
                    raise BadMapping(
                        (key,), f"{name} holds nothing that is read", nearest=_nearest(name, used)
                    )
        wanted, identities = frozenset(slots), tuple(identifying)
        return {
            name: self._kind(name, counters.get(name), guards.get(name), wanted, identities) for name in used
        }

    def _kind(
        self,
        name: str,
        counter: Signal | None,
        guard: Guard | None,
        wanted: frozenset[Slot],
        identities: Iterable[tuple[Slot, Bits]],
    ) -> FrameKind:
        message = self._messages[name]
        part = self._part(message)
        counter_bits = None if counter is None else self._bits(message, counter)
        identity = _identity(name, identities)
        any_part = _part_kind(name, None, wanted, identity, message)
        numbers = {number for of, number in (*wanted, *((name, part) for part in identity)) if of == name}
        return FrameKind(
            name=name,
            message=message,
            length=message.length,
            part=part,
            part_mask=_mask(part, message),
            parts={
                part.placed(number, frame_length=message.length): _part_kind(
                    name, number, wanted, identity, message
                )
                for number in numbers
                if part is not None and number is not None
            },
            any_part=any_part,
            counter=counter_bits,
            counter_mask=_mask(counter_bits, message),
            guard=guard,
            patience_s=self._profile.patience_s.get(name),
        )

    def _per_message(self, key: KeyPath, paths: Iterable[str]) -> Iterator[tuple[str, Signal]]:
        """Signals that stand in every frame of their message, by message."""
        seen: set[str] = set()
        for path in paths:
            message, signal = self._signal(key, path)
            if signal.multiplexer_ids is not None:
                raise BadMapping(key, f"{path} is not in every frame of {message.name}")
            if message.name in seen:
                raise BadMapping(key, f"{message.name} has a second one: {path}")
            seen.add(message.name)
            yield message.name, signal

    def _part(self, message: Message) -> Bits | None:
        multiplexers = [signal for signal in message.signals if signal.is_multiplexer]
        return self._bits(message, multiplexers[0]) if multiplexers else None

    def _whole_byte(self, key: KeyPath, name: str, signal: Signal) -> int:
        bits = self._bits(self._messages[name], signal)
        if signal.length != 8 or bits.shift % 8:
            raise BadMapping(key, f"{name}.{signal.name} is not one whole byte")
        place = bits.shift // 8
        return place if bits.order == "little" else self._messages[name].length - 1 - place

    def _heartbeat(self) -> Message | None:
        name = self._profile.heartbeat
        if name is None:
            return None
        if name not in self._messages:
            raise BadMapping(
                ("heartbeat",), f"no message is called {name!r}", nearest=_nearest(name, self._messages)
            )
        return self._messages[name]

    # --- signals ------------------------------------------------------------------------------------------

    def _presence(self) -> tuple[Slot, Bits, Presence] | None:
        presence = self._profile.presence
        if presence is None:
            return None
        key = ("presence", "signal")
        message, signal = self._signal(key, presence.signal)
        if message.is_multiplexed():
            raise BadMapping(key, f"{message.name} comes in parts; presence has to be in one of its own")
        return (message.name, None), self._bits(message, signal), presence

    def _serial(self) -> Iterator[Text]:
        number = self._profile.battery.serial_number
        for n, path in enumerate(number.signals):
            key = ("battery", "serial_number", "signals", n)
            message, signal = self._signal(key, path)
            bits = self._bits(message, signal)
            if number.encoding is SerialEncoding.ASCII and (signal.length % 8 or bits.shift % 8):
                raise BadMapping(key, f"{path} is no whole bytes, which characters have to be")
            read = _raw_column(bits, frame_length=message.length)
            yield Text(_slot(message, signal), bits, signal.length, read)

    def _places(self, key: KeyPath, paths: Iterable[str]) -> Iterator[Place]:
        for path in paths:
            message, signal = self._signal(key, path)
            yield place_of(_slot(message, signal), signal, frame_length=message.length)

    def _signal(self, key: KeyPath, path: str) -> tuple[Message, Signal]:
        name, _, wanted = path.partition(".")
        message = self._messages.get(name)
        if message is None:
            nearest = _nearest(name, self._messages)
            raise BadMapping(key, f"{path}: the DBC file has no message {name!r}", nearest=nearest)
        _require_plain(key, message)
        for signal in message.signals:
            if signal.name == wanted:
                return message, signal
        nearest = _nearest(wanted, [signal.name for signal in message.signals])
        raise BadMapping(key, f"{path}: {name} has no signal {wanted!r}", nearest=nearest)

    @staticmethod
    def _bits(message: Message, signal: Signal) -> Bits:
        return bits_of(signal, frame_length=message.length)


def _require_plain(key: KeyPath, message: Message) -> None:
    """One level of parts is what battery management systems send."""
    if message.is_container or sum(signal.is_multiplexer for signal in message.signals) > 1:
        raise BadMapping(key, f"{message.name} is nested; only one multiplexer in a message can be read")
    if any(len(signal.multiplexer_ids or ()) > 1 for signal in message.signals):
        raise BadMapping(key, f"{message.name} has a signal in several parts, which cannot be read")


def _slot(message: Message, signal: Signal) -> Slot:
    return message.name, signal.multiplexer_ids[0] if signal.multiplexer_ids else None


def _identity(name: str, identifying: Iterable[tuple[Slot, Bits]]) -> Mapping[int | None, tuple[Bits, ...]]:
    found: dict[int | None, tuple[Bits, ...]] = {}
    for (message, part), bits in identifying:
        if message == name:
            found[part] = (*found.get(part, ()), bits)
    return found


def _part_kind(
    name: str,
    part: int | None,
    wanted: frozenset[Slot],
    identity: Mapping[int | None, tuple[Bits, ...]],
    message: Message,
) -> PartKind:
    own = dict.fromkeys([(name, part), (name, None)])
    masks = (_mask(bits, message) for bits in identity.get(part, ()))
    return PartKind(tuple(slot for slot in own if slot in wanted), reduce(or_, masks, 0))


def _mask(bits: Bits | None, message: Message) -> int:
    return 0 if bits is None else bits.placed(bits.mask, frame_length=message.length)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(name, list(known), n=1)), None)
