"""What is said on a bus: identifiers, how often, and which messages of the known profiles they may be."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.dbc import names
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.can import read_layout
from evswap_edge.drivers.can.addressing import BadAddress, places
from evswap_edge.drivers.can.bus import Address, Interface, Key, identifier_of, interfaces
from evswap_edge.drivers.can.frames import Frames
from evswap_edge.drivers.can.layout import Layout
from evswap_edge.drivers.can.listener import Listener
from evswap_edge.hal import SensorError
from evswap_schema.limits import MAX_BAYS


class ScanSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bus, and for how long to listen. ``profile`` is looked for beside those that come with the
    program."""

    channel: Annotated[str, Meta(pattern=r"^\S{1,64}\Z")]
    interface: Interface = Interface.SOCKETCAN
    profile: NameOrFile | None = None
    seconds: Annotated[float, Meta(gt=0, le=600)] = 3.0


NOWHERE: Final = (
    "there is no CAN interface; a HAT needs its overlay in /boot/firmware/config.txt, an adapter its plug"
)
"""What is said where ``everywhere`` finds nothing."""


def everywhere() -> Sequence[Mapping[str, str]]:
    """Where there is something to listen to, in the words of ``ScanSettings``."""
    return [{"channel": name} for name in interfaces()]


@dataclass(frozen=True, slots=True)
class Match:
    """A message that frames may be: of which profile, and of which node, counted from 0. ``length_fits``
    tells whether they are as long as its DBC file has them."""

    profile: str
    message: str
    node: int
    length_fits: bool

    def __str__(self) -> str:
        doubt = "" if self.length_fits else ", of another length"
        return f"{self.message} of {self.profile}, node {self.node}{doubt}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Frames of one identifier: three digits of it are 11 bits, eight are 29. ``data`` is the last one's."""

    identifier: str
    count: int
    per_s: float
    data: bytes
    matches: tuple[Match, ...]

    def __str__(self) -> str:
        meaning = "; ".join(map(str, self.matches)) or "unknown"
        return f"{self.identifier}  {self.per_s:7.1f}/s  {self.data.hex(' '):<23}  {meaning}"


async def scan(settings: ScanSettings) -> Sequence[Finding]:
    """Listen, and tell what was heard, by identifier; nothing is sent. Raises ``DriverUnavailable`` when the
    bus cannot be opened, ``SensorError`` when its controller is bus-off, ``UnknownProfile`` or
    ``ConfigurationError`` about the profile."""
    known = _known(settings.profile)
    heard: dict[Key, tuple[int, bytes]] = {}

    def hear(frames: Frames) -> None:
        for key, data, _ in frames:
            count = heard[key][0] if key in heard else 0
            heard[key] = (count + 1, data)

    loop = asyncio.get_running_loop()
    address = Address(settings.interface, settings.channel)
    listener = Listener(address, wanted=(), hear=hear, monotonic=loop.time)
    listener.open()
    try:
        await asyncio.sleep(settings.seconds)
        listener.catch_up()
        if trouble := listener.trouble():
            raise SensorError(sensor=str(address), reason=trouble)
    finally:
        listener.close()
    return [
        Finding(
            identifier=identifier_of(key),
            count=count,
            per_s=count / settings.seconds,
            data=data,
            matches=tuple(_matches(known, key, data)),
        )
        for key, (count, data) in sorted(heard.items())
    ]


_Known = Mapping[str, Mapping[Key, tuple[int, str, int]]]
"""By profile and key: node, message and its length."""


def _known(profile: NameOrFile | None) -> _Known:
    choices = [NameOrFile(name) for name in names()] + ([profile] if profile is not None else [])
    return {str(choice): _nodes(read_layout(choice)) for choice in choices}


def _nodes(layout: Layout) -> Mapping[Key, tuple[int, str, int]]:
    """As many nodes as have room in the identifiers."""
    for count in range(MAX_BAYS, 0, -1):
        try:
            found = places(layout, bays=range(1, count + 1))
        except BadAddress:
            continue
        return {key: (bay - 1, kind.name, kind.message.length) for key, (bay, kind) in found.items()}
    return {}


def _matches(known: _Known, key: Key, data: bytes) -> Iterator[Match]:
    for profile, nodes in known.items():
        if key in nodes:
            node, message, length = nodes[key]
            yield Match(profile, message, node, length_fits=len(data) == length)
