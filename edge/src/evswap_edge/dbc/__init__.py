"""Profiles: what a battery management system says on CAN, as data.

A profile is a DBC file, which says where each signal lies in which frame, and a YAML file beside it, which
says what the signals mean to a station. Those in this folder are known by their file's name; a station may
name a file of its own. The driver reads frames by them, and the emulator makes frames by them; each reads the
DBC file and does its arithmetic by itself, so that a mistake in one shows.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.documents import Document, NameOrFile

_FOLDER: Final = Path(__file__).parent
_SUFFIX: Final = ".yaml"

_SIGNAL_PATH: Final = r"^[A-Za-z_]\w*\.[A-Za-z_]\w*\Z"
SignalPath = Annotated[str, Meta(pattern=_SIGNAL_PATH)]
"""A signal by message and name, such as ``BmsState.Soc``."""
Seconds = Annotated[float, Meta(ge=0.05, le=3600)]


_MEASURED: Final = ("soc", "soh", "voltage", "current", "temperature", "cycles")
"""What is a number of a ``Battery``."""


class Silence(StrEnum):
    """What it means when nothing is heard of a bay."""

    EMPTY = "empty"
    FAILED = "failed"


class SerialEncoding(StrEnum):
    """How a serial number is written: as characters, or as one number."""

    ASCII = "ascii"
    DECIMAL = "decimal"
    HEX = "hex"


class ChecksumKind(StrEnum):
    """How a frame is guarded. Each goes over all bytes of the frame but its own, in their order."""

    CRC8_SAE_J1850 = "crc8-sae-j1850"
    """Polynomial 0x1D, begins with 0xFF, inverted at the end (AUTOSAR SWS CRC library, section 7.2.1.1)."""
    CRC8 = "crc8"
    """Polynomial 0x07, begins with 0 (SMBus 3.1, section 6.4)."""
    SUM = "sum"
    """The bytes added up, modulo 256."""
    XOR = "xor"
    """The bytes combined by exclusive or."""


class Measured(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A measured value: what the signal says ``* scale + offset``. Of several signals the highest counts, as
    of the sensors of a pack's cells."""

    signals: Annotated[tuple[SignalPath, ...], Meta(min_length=1)]
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.scale == 0:
            raise ValueError("scale cannot be 0")


class Serial(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A serial number: the signals that hold its parts, first part first. Of a number, the first part is the
    most significant one."""

    signals: Annotated[tuple[SignalPath, ...], Meta(min_length=1)]
    encoding: SerialEncoding = SerialEncoding.ASCII


class Presence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signal that tells whether there is a battery, and what it says then. Any other value is a
    fault."""

    signal: SignalPath
    occupied: tuple[int, ...] = (1,)
    empty: tuple[int, ...] = (0,)


class Checksum(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signal of one byte that holds a frame's checksum."""

    signal: SignalPath
    kind: ChecksumKind


class BatteryMap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each value of a ``Battery`` comes from, in its unit: percent, volts, amperes (positive while
    charging), degrees Celsius."""

    # A string with a pattern cannot stand in a union with a structure: msgspec 0.22 frees memory that is not
    # its own when the process ends. ``read_profile`` looks at the strings instead.
    serial_number: Serial
    soc: str | Measured
    soh: str | Measured
    voltage: str | Measured
    current: str | Measured
    temperature: str | Measured
    cycles: str | Measured

    def measured(self) -> Mapping[str, Measured]:
        """All that is a number, by its name in ``Battery``."""
        return {
            name: value if isinstance(value, Measured) else Measured(signals=(value,))
            for name in _MEASURED
            for value in (getattr(self, name),)
        }


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A battery management system on CAN. ``document`` is the source of it all.

    The DBC file has the identifiers of the first bay; those of the next are ``stride`` higher. ``silence``
    says what a bay is of which nothing is heard; where that is an empty one, ``heartbeat`` may name a message
    of somebody else on the bus that is never silent. ``faults`` are 0 while all is well. ``counters`` grow
    from frame to frame. ``patience_s`` has the messages that are sent so rarely that they need an age limit
    of their own.
    """

    title: str
    document: str
    dbc: Path
    stride: Annotated[int, Meta(ge=1, le=0x1FFF_FFFF)]
    battery: BatteryMap
    presence: Presence | None = None
    silence: Silence = Silence.FAILED
    heartbeat: str | None = None
    faults: tuple[SignalPath, ...] = ()
    counters: tuple[SignalPath, ...] = ()
    checksums: tuple[Checksum, ...] = ()
    patience_s: dict[str, Seconds] = {}

    def __post_init__(self) -> None:
        if self.presence is None and self.silence is Silence.FAILED:
            raise ValueError("needs presence, or silence: empty; an empty bay would look like a broken one")
        if self.heartbeat and self.silence is Silence.FAILED:
            raise ValueError("heartbeat belongs to silence: empty")


class UnknownProfile(Exception):
    """No profile of ours has this name; ``nearest`` may be what was meant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = next(iter(get_close_matches(name, names(), n=1)), None)
        super().__init__(
            f"no CAN profile is called {name!r}; known are {', '.join(names())}, "
            f"or name a file: ./{name}{_SUFFIX}"
        )


def names() -> tuple[str, ...]:
    """The profiles that come with the program."""
    return tuple(sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}")))


def read_profile(choice: NameOrFile) -> tuple[Profile, Document]:
    """The profile, and the file that it stands in. Raises ``UnknownProfile``, or ``ConfigurationError`` for
    what is wrong inside the file."""
    if choice.file is None and choice.name not in names():
        raise UnknownProfile(choice.name)
    document = Document(choice.file or _FOLDER / f"{choice.name}{_SUFFIX}")
    profile = document.convert(document.data, Profile)
    for name, measured in profile.battery.measured().items():
        for signal in measured.signals:
            if not re.match(_SIGNAL_PATH, signal):
                problem = f"has to be a signal, such as BmsState.Soc; found {signal!r}"
                raise document.error(("battery", name), problem)
    return profile, document
