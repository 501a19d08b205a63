"""The bus that emulated management systems speak on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import can

from evswap_edge.emulators import EmulatorError

UDP_MULTICAST: Final = "udp_multicast"
_UDP_PORT: Final = 43113


@contextmanager
def opened(interface: str, channel: str) -> Iterator[can.BusABC]:
    """A bus of python-can: ``can0`` of ``socketcan``, ``239.74.163.2:43113`` of ``udp_multicast`` (not beyond
    this machine). Raises ``EmulatorError``."""
    options: dict[str, Any] = {"channel": channel}
    if interface == UDP_MULTICAST:
        group, _, port = channel.partition(":")
        options = {"channel": group, "port": int(port or _UDP_PORT), "hop_limit": 0, "fd": False}
    try:
        bus = can.Bus(interface=interface, **options)
    except (can.CanError, OSError, ValueError) as error:
        raise EmulatorError(f"{channel}: cannot be opened on {interface}: {error}") from error
    try:
        yield bus
    finally:
        bus.shutdown()
