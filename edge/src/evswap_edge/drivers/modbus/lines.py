"""One owner for each port: all roles of a station that are on one line share it, and with it the turn to ask.

A port is held as long as one of them uses it.
"""

import asyncio
import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from evswap_edge.drivers.modbus.line import Line, LineAddress, SerialAddress
from evswap_edge.hal import DriverUnavailable


@dataclass(slots=True)
class _Held:
    line: Line
    users: int = 0


_HELD: Final[MutableMapping[asyncio.AbstractEventLoop, list[_Held]]] = WeakKeyDictionary()
"""A line belongs to the loop that it was opened in."""


class Share:
    """A role's part in a line. Whoever gives back the last one closes the port."""

    def __init__(self, held: _Held) -> None:
        self._held: _Held | None = held
        self.line: Final = held.line
        held.users += 1

    def give_back(self) -> None:
        """Safe to call twice."""
        held, self._held = self._held, None
        if held is None:
            return
        held.users -= 1
        if not held.users:
            _held_here().remove(held)
            held.line.close()


def share_line(address: LineAddress) -> Share:
    """A part in the line at ``address``. Raises ``DriverUnavailable`` when it is in use with other
    characters."""
    held = next((each for each in _held_here() if _is_one_port(each.line.address, address)), None)
    if held is None:
        held = _Held(Line(address))
        _held_here().append(held)
    _require_alike(held.line.address, address)
    return Share(held)


def _held_here() -> list[_Held]:
    return _HELD.setdefault(asyncio.get_running_loop(), [])


def _is_one_port(one: LineAddress, other: LineAddress) -> bool:
    """A serial port has many names: under /dev/serial/by-id, as a link of udev's, as /dev/ttyUSB0."""
    if not (isinstance(one, SerialAddress) and isinstance(other, SerialAddress)):
        return one == other
    return one.port == other.port or os.path.realpath(one.port) == os.path.realpath(other.port)


def _require_alike(one: LineAddress, other: LineAddress) -> None:
    if not (isinstance(one, SerialAddress) and isinstance(other, SerialAddress)):
        return
    if one.characters != other.characters:
        reason = (
            f"is used at {one.characters} for another role; all on one line have to talk alike: "
            f"set baudrate, parity and stop_bits of each, here {other.characters}"
        )
        raise DriverUnavailable(device=str(other), reason=reason)
