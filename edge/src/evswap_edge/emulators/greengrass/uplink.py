"""The nucleus's link to AWS IoT Core, and a broker behind it that a test can take away."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_UNACKNOWLEDGED: Final = 10
"""QoS 1 publishes without a PUBACK."""


class Broker(StrEnum):
    """What becomes of a publish."""

    UP = "up"
    """It is acknowledged at once."""
    SILENT = "silent"
    """It stays without a PUBACK, as on a link that has died unnoticed."""
    DOWN = "down"
    """There is no link: the nucleus says so at once and spools nothing."""


class NoUplink(Exception):
    """The publish cannot be sent: no link, or too many without a PUBACK."""


@dataclass(frozen=True, slots=True)
class Published:
    """A message that the broker has."""

    topic: str
    payload: bytes


class Uplink:
    """Hands to ``arrived`` what the broker has acknowledged. What waits for a PUBACK when the link breaks is
    lost, although the component was told of success."""

    def __init__(self, arrived: Callable[[Published], None]) -> None:
        self._arrived = arrived
        self._broker = Broker.UP
        self._unacknowledged: deque[Published] = deque()

    @property
    def unacknowledged(self) -> int:
        return len(self._unacknowledged)

    def publish(self, message: Published, *, qos: int) -> None:
        """Send ``message``. Raises ``NoUplink``."""
        if self._broker is Broker.DOWN:
            raise NoUplink
        if self._broker is Broker.UP:
            self._arrived(message)
        elif qos > 0:
            self._unacknowledged.append(message)

    def become(self, broker: Broker) -> int:
        """From now on the broker is like this. Returns how many messages that lost."""
        self._broker = broker
        if broker is Broker.UP:
            while self._unacknowledged:
                self._arrived(self._unacknowledged.popleft())
        lost = len(self._unacknowledged) if broker is Broker.DOWN else 0
        if lost:
            self._unacknowledged.clear()
        return lost
