"""Who listens on this machine, from the kernel's own tables."""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"
"""The state TCP_LISTEN in /proc/net/tcp (see proc(5))."""

KERNEL_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        mapped = getattr(self.address, "ipv4_mapped", None)
        return (mapped or self.address).is_loopback

    def __str__(self) -> str:
        host = f"[{self.address}]" if isinstance(self.address, ipaddress.IPv6Address) else str(self.address)
        return f"{host}:{self.port}"


def listeners(ports: Iterable[int], tables: Iterable[Path] = KERNEL_TABLES) -> list[Listener]:
    """Every socket that listens on one of `ports`."""
    wanted = set(ports)
    return [
        listener
        for table in tables
        if table.exists()
        for listener in parse_table(table.read_text())
        if listener.port in wanted
    ]


def parse_table(text: str) -> Iterator[Listener]:
    """The listening sockets of a table in the format of /proc/net/tcp and /proc/net/tcp6."""
    for line in text.splitlines()[1:]:
        _slot, local, _remote, state, *_rest = line.split()
        if state == _LISTEN:
            address, port = local.split(":")
            yield Listener(_address(address), int(port, 16))


def _address(hexadecimal: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # The kernel prints the address as 32-bit words in the byte order of the machine.
    words = [int(hexadecimal[start : start + 8], 16) for start in range(0, len(hexadecimal), 8)]
    return ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
