"""Tell systemd how the service fares, as sd_notify(3) describes: ready, still alive, stopping.

The protocol is one datagram a message to the socket that ``NOTIFY_SOCKET`` names. Where there is none, nobody
asked and nothing is said. A service that stops to say that it is alive is ended and begun again by systemd
(``WatchdogSec=``), so it is said only while the station does its work, and not by a thread of its own, which
would go on talking over a station that hangs.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.stopping import first_of

_SHARE_OF_DEADLINE: Final = 1 / 3
"""sd_watchdog_enabled(3) asks for half; at a third one message may get lost."""
_LOOK_EVERY_S: Final = 10.0
"""For trouble, where no watchdog sets the pace."""

_log: Final = logging.getLogger(__name__)


class Systemd:
    """The supervisor that started this process, if it wants to be told."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.deadline_s = _deadline_s(environment) if self._address else None
        """Within which it wants to hear that the service is alive; None: it does not."""

    @classmethod
    def of_this_process(cls) -> "Systemd":
        """As the environment tells."""
        return cls(os.environ)

    def tell(self, *states: str) -> None:
        """Send ``states``, such as ``READY=1``. A supervisor that does not listen is no reason to stop."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            try:
                channel.sendto("\n".join(states).encode(), self._address)
            except OSError as error:
                _log.warning("systemd cannot be told %s: %s", " ".join(states), error)


async def keep_informed(
    systemd: Systemd,
    time: TimeSource,
    stop: asyncio.Event,
    *,
    begun: asyncio.Event,
    healthy: Callable[[], bool],
    trouble: Callable[[], str | None] = lambda: None,
) -> None:
    """Tell ``systemd`` when the service has ``begun``, that it is alive for as long as it is ``healthy``,
    what ``trouble`` it has, and when it is to ``stop`` or this is cancelled."""
    try:
        await first_of(begun, stop)
        if not stop.is_set():
            systemd.tell("READY=1", _status(None))
            await _say_how_it_fares(systemd, time, stop, healthy, trouble)
    finally:
        systemd.tell("STOPPING=1")


async def _say_how_it_fares(
    systemd: Systemd,
    time: TimeSource,
    stop: asyncio.Event,
    healthy: Callable[[], bool],
    trouble: Callable[[], str | None],
) -> None:
    told: str | None = None
    while not stop.is_set():
        if systemd.deadline_s is not None:
            _say_alive(systemd, healthy=healthy())
        if (present := trouble()) != told:
            told = present
            systemd.tell(_status(told))
        pause_s = _LOOK_EVERY_S if systemd.deadline_s is None else systemd.deadline_s * _SHARE_OF_DEADLINE
        await time.wait_until(time.monotonic() + pause_s, unless=stop)


def _say_alive(systemd: Systemd, *, healthy: bool) -> None:
    if healthy:
        systemd.tell("WATCHDOG=1")
    else:
        _log.error("no sample was taken for too long: systemd is not told that this station is alive")


def _status(trouble: str | None) -> str:
    """The line that ``systemctl status`` shows."""
    what = f"STATUS=process {os.getpid()} samples"
    return what if trouble is None else f"{what}, but nothing can be sent: {' '.join(trouble.split())}"


def _address(told: str) -> str | None:
    """A path, or with ``@`` a name in the abstract namespace; whatever else it may be is not for us."""
    if told.startswith("@"):
        return f"\0{told[1:]}"
    return told if told.startswith("/") else None


def _deadline_s(environment: Mapping[str, str]) -> float | None:
    """As sd_watchdog_enabled(3): ``WATCHDOG_PID``, where given, says whom it concerns."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        if (microseconds := int(environment.get("WATCHDOG_USEC", ""))) > 0:
            return microseconds / 1e6
    return None
