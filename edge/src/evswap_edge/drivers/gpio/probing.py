"""Look for GPIO chips, and whether what talks to them is there. No pin is touched."""

import asyncio
import fcntl
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

from evswap_edge.drivers.gpio.pins import INSTALL
from evswap_edge.drivers.probing import Finding, Found, Hindered

_DEVICES: Final = Path("/dev")
_GET_CHIP_INFO: Final = 0x8044_B401
"""``GPIO_GET_CHIPINFO_IOCTL`` of include/uapi/linux/gpio.h: name and label of 32 bytes each, and the number
of lines."""
_CHIP_INFO: Final = struct.Struct("32s32sI")


class ScanSettings(Struct, frozen=True, kw_only=True):
    """There is nothing to choose."""


def everywhere() -> Sequence[Mapping[str, str]]:
    """One look finds all there is."""
    return [{}]


async def scan(_: ScanSettings) -> Sequence[Finding]:
    """Ask each chip who it is."""
    return await asyncio.to_thread(lambda: [*_chips(), *_library()])


def _chips() -> Iterator[Finding]:
    files = sorted(_DEVICES.glob("gpiochip*"))
    if not files:
        yield Hindered(place="GPIO", reason="there is no GPIO chip (/dev/gpiochip*): no pins on this machine")
    for file in files:
        try:
            yield Found(place=str(file), what=_described(file))
        except PermissionError:
            reason = "permission denied; `sudo usermod -aG gpio $USER` and a new login give it"
            yield Hindered(place=str(file), reason=reason)
        except OSError as error:
            yield Hindered(place=str(file), reason=error.strerror or str(error))


def _described(file: Path) -> str:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, _GET_CHIP_INFO, bytes(_CHIP_INFO.size))
    finally:
        os.close(descriptor)
    _, label, lines = _CHIP_INFO.unpack(answer)
    return f"{label.partition(bytes(1))[0].decode(errors='replace')}, {lines} lines"


def _library() -> Iterator[Finding]:
    if find_spec("lgpio") is None:
        yield Hindered(place="GPIO", reason=f"the library lgpio is missing: {INSTALL}")
