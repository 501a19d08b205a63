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
    LOSING = "losing"
    """Every publish is a success, and reaches nobody: what `silent` does to ten messages, to any number."""


class NoUplink(Exception):
    """The publish cannot be sent: no link, or too many without a PUBACK."""


@dataclass(frozen=True, slots=True)
class Published:
    """A message that the broker has."""

    topic: str
    payload: bytes


class Uplink:
    """Hands to ``arrived`` what the broker has acknowledged. What waits for a PUBACK when the link breaks is
    lost, although the component was told of success; ``lost`` counts that.

    Down comes only what the broker has while it is up: the session is a clean one, nobody keeps it.
    """

    def __init__(self, arrived: Callable[[Published], None]) -> None:
        self.lost = 0
        self._arrived = arrived
        self._broker = Broker.UP
        self._unacknowledged: deque[Published] = deque()

    @property
    def unacknowledged(self) -> int:
        return len(self._unacknowledged)

    @property
    def brings_down(self) -> bool:
        """Whether what the cloud says reaches the nucleus."""
        return self._broker is Broker.UP

    def subscribe(self) -> None:
        """Ask the broker for a topic filter. Raises ``NoUplink``."""
        if self._broker is Broker.DOWN:
            raise NoUplink

    def publish(self, message: Published, *, qos: int) -> None:
        """Send ``message``. Raises ``NoUplink``."""
        match self._broker:
            case Broker.DOWN:
                raise NoUplink
            case Broker.UP:
                self._arrived(message)
            case Broker.SILENT if qos:
                self._unacknowledged.append(message)
            case _:
                self.lost += 1

    def become(self, broker: Broker) -> int:
        """From now on the broker is like this. Returns how many messages that lost."""
        self._broker = broker
        if broker is Broker.UP:
            while self._unacknowledged:
                self._arrived(self._unacknowledged.popleft())
        lost = len(self._unacknowledged) if broker is not Broker.SILENT else 0
        if lost:
            self._unacknowledged.clear()
        self.lost += lost
        return lost
