"""A CAN interface and what can be wrong with it: opened, closed, and frames as they come.

No thread is needed: what is opened here does not block (a socket of the kernel's, one of UDP, or a queue),
and the event loop tells when there is something to read.
"""

import errno
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import can
from can.typechecking import CanFilters

from evswap_edge.hal import DriverUnavailable

_EXTENDED: Final = 0x8000_0000
_REMOTE: Final = 0x4000_0000
_KERNEL_FILTERS: Final = 512
"""CAN_RAW_FILTER_MAX of include/uapi/linux/can/raw.h: with more, everything is taken."""
_INTERFACES: Final = Path("/sys/class/net")
_ARPHRD_CAN: Final = "280"
_IFF_UP: Final = 0x1
_BRING_UP: Final = "`sudo ip link set {0} up type can bitrate 250000 restart-ms 100`, with the bus's bit rate"
_UDP_PORT: Final = 43113

_REASONS: Final[Mapping[int, str]] = {
    errno.ENETDOWN: "went down; " + _BRING_UP,
    errno.ENODEV: "has gone; was the adapter pulled out?",
    errno.ENXIO: "has gone; was the adapter pulled out?",
    errno.EAFNOSUPPORT: "cannot be used: this kernel has no SocketCAN (`sudo modprobe can_raw`)",
    errno.EPERM: "may not be opened by this user",
    errno.EACCES: "may not be opened by this user",
}


class Interface(StrEnum):
    """How the bus is reached: through the kernel, or without hardware between processes or inside one."""

    SOCKETCAN = "socketcan"
    UDP_MULTICAST = "udp_multicast"
    VIRTUAL = "virtual"


Key = int
"""An identifier, told apart by its length: 29-bit ones have bit 31 set, as in the kernel."""


def key_of(identifier: int, *, extended: bool) -> Key:
    """The key of frames with ``identifier``."""
    return identifier | _EXTENDED if extended else identifier


def identifier_of(key: Key) -> str:
    """As people write it: three or eight digits."""
    return f"{key & ~_EXTENDED:#010x}" if key & _EXTENDED else f"{key:#05x}"


@dataclass(frozen=True, slots=True)
class Address:
    """Which bus. ``channel`` is the name of an interface, for UDP a multicast group with or without a port,
    and inside a process any name."""

    interface: Interface
    channel: str

    def __str__(self) -> str:
        return self.channel

    def group(self) -> tuple[str, int]:
        """Multicast group and port. Raises ``ValueError``."""
        group, _, port = self.channel.partition(":")
        if not ipaddress.IPv4Address(group).is_multicast:
            raise ValueError(f"{group} is no multicast group, 224.0.0.0 to 239.255.255.255")
        number = int(port or _UDP_PORT)
        if not 0 < number < 0x1_0000:
            raise ValueError("the port has to be 1 to 65535")
        return group, number


def open_bus(address: Address, wanted: Sequence[Key] = ()) -> can.BusABC:
    """Open it for the frames that are ``wanted``; without any, for all. Raises ``DriverUnavailable``."""
    try:
        match address.interface:
            case Interface.SOCKETCAN:
                _require_up(address.channel)
                return can.Bus(
                    interface=address.interface, channel=address.channel, can_filters=_filters(wanted)
                )
            case Interface.UDP_MULTICAST:
                group, port = address.group()
                return can.Bus(interface=address.interface, channel=group, port=port, hop_limit=0, fd=False)
            case _:
                return can.Bus(interface=address.interface, channel=address.channel)
    except (can.CanError, OSError) as error:
        raise DriverUnavailable(device=str(address), reason=why(address, error)) from error


def why(address: Address, error: Exception) -> str:
    """What ``error`` of the library means, and what to do."""
    number = error.errno if isinstance(error, OSError) else getattr(error, "error_code", None)
    if number is None and isinstance(error.__cause__, OSError):
        number = error.__cause__.errno
    if isinstance(error, can.CanInterfaceNotImplementedError):
        return f"{error}; `pip install msgpack`"
    return _REASONS.get(number or 0, str(error)).format(address)


def _require_up(name: str) -> None:
    """The library opens an interface that is down, and hears nothing. Raises ``DriverUnavailable``."""
    folder = _INTERFACES / name
    try:
        if (folder / "type").read_text().strip() != _ARPHRD_CAN:
            raise DriverUnavailable(device=name, reason=f"is no CAN interface; {_known()}")
        is_up = int((folder / "flags").read_text(), 16) & _IFF_UP
    except OSError as error:
        reason = f"no such interface; {_known()}; is the adapter plugged in, or its overlay in config.txt?"
        raise DriverUnavailable(device=name, reason=reason) from error
    if not is_up:
        raise DriverUnavailable(device=name, reason=f"is down; {_BRING_UP.format(name)}")


def interfaces() -> list[str]:
    """The CAN interfaces that the kernel knows, up or down."""
    return sorted(kind.parent.name for kind in _INTERFACES.glob("*/type") if _is_can(kind))


def _known() -> str:
    found = interfaces()
    return f"there are {', '.join(found)}" if found else "there is none on this machine"


def _is_can(kind: Path) -> bool:
    try:
        return kind.read_text().strip() == _ARPHRD_CAN
    except OSError:
        return False


def _filters(wanted: Iterable[Key]) -> CanFilters | None:
    """For the kernel, so that what is not wanted costs nothing. Filters that name all bits, that of remote
    frames included, it finds by the identifier, and need not try one after the other."""
    filters: list[can.typechecking.CanFilter] = [
        {
            "can_id": key & ~_EXTENDED,
            "can_mask": _REMOTE | (0x1FFF_FFFF if key & _EXTENDED else 0x7FF),
            "extended": bool(key & _EXTENDED),
        }
        for key in wanted
    ]
    return filters if 0 < len(filters) <= _KERNEL_FILTERS else None
