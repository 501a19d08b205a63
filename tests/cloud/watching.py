"""Live updates in memory: a client that keeps what it is sent, the way to it, and the stations themselves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from evswap_cloud.errors import LineError, LineGone
from evswap_cloud.watching.frames import Closing, Heartbeat, Refused, States, Synchronised, decode_frame
from evswap_cloud.watching.limits import MAX_FRAME_BYTES, SECOND
from evswap_cloud.watching.push import Clock, Push
from evswap_cloud.watching.session import Sessions
from evswap_cloud.watching.shown import Shown
from evswap_cloud.watching.stations import MemoryShown
from evswap_cloud.watching.tickets import MemoryTickets
from evswap_cloud.watching.watchers import MemoryWatchers
from evswap_schema import StationStatus
from tests.cloud.messages import NOW

START = 1_700_000_000 * SECOND
ENDPOINT = "https://api.example/live"
ALL: dict[str, Any] = {"kind": "all"}


def shown(number: int = 1, **changes: Any) -> Shown:
    """A station, as a watcher sees it."""
    fields: dict[str, Any] = {
        "station_id": f"station-{number:02d}",
        "version": 1,
        "status": StationStatus.OPERATIONAL,
        "battery_available": 5,
        "battery_charging": 3,
        "temperature": 21.5,
        "timestamp": NOW,
    }
    return Shown(**fields | changes)


class Client:
    """What a program that watches does with frames: the highest version of each station counts."""

    def __init__(self) -> None:
        self.stations: dict[str, Shown] = {}
        self.newest = 0
        self.synchronised: int | None = None
        self.problems: list[Refused] = []
        self.beats: list[Heartbeat | Closing] = []
        self.arrivals: list[int] = []

    def take(self, data: bytes, at: int) -> None:
        assert len(data) <= MAX_FRAME_BYTES
        frame = decode_frame(data)
        match frame:
            case States():
                self.arrivals.append(at)
                for one in frame.states:
                    known = self.stations.get(one.station_id)
                    if known is None or one.version > known.version:
                        self.stations[one.station_id] = one
            case Synchronised():
                self.synchronised = frame.stations
            case Refused():
                self.problems.append(frame)
            case Heartbeat() | Closing():
                self.beats.append(frame)
        self.newest = frame.at

    @property
    def have(self) -> dict[str, int]:
        return {name: one.version for name, one in self.stations.items()}


class MemoryLine:
    """Connections in a dictionary. ``failing`` are those to which nothing gets through."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.clients: dict[str, Client] = {}
        self.failing: set[str] = set()
        self.attempts = 0
        self._now = now

    def send(self, endpoint: str, connection_id: str, frame: bytes) -> None:
        assert endpoint == ENDPOINT
        self.attempts += 1
        self._demand(connection_id)
        self.clients[connection_id].take(frame, self._now())

    def close(self, endpoint: str, connection_id: str) -> None:
        assert endpoint == ENDPOINT
        if connection_id in self.failing:
            raise LineError(operation="close", target=connection_id, code="LimitExceededException")
        self.clients.pop(connection_id, None)

    def _demand(self, connection_id: str) -> None:
        if connection_id in self.failing:
            raise LineError(operation="send to", target=connection_id, code="LimitExceededException")
        if connection_id not in self.clients:
            raise LineGone(operation="send to", target=connection_id, code="GoneException")


@dataclass
class World:
    """All of it together, with a clock that only the test and the push move."""

    now: int = START
    stations: MemoryShown = field(default_factory=MemoryShown)
    watchers: MemoryWatchers = field(default_factory=MemoryWatchers)
    tickets: MemoryTickets = field(default_factory=MemoryTickets)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = MemoryLine(lambda: self.now)
        self.sessions = Sessions(watchers=self.watchers, stations=self.stations, line=self.line)
        self.push = Push(
            watchers=self.watchers, line=self.line, clock=Clock(lambda: self.now / SECOND, self._sleep)
        )

    def connect(self, connection_id: str, client: Client | None = None) -> Client:
        self.line.clients[connection_id] = client or Client()
        self.sessions.opened(connection_id, ENDPOINT, self.now)
        return self.line.clients[connection_id]

    def say(self, connection_id: str, message: Any) -> None:
        body = message if isinstance(message, str) else msgspec.json.encode(message).decode()
        self.sessions.received(connection_id, ENDPOINT, body, self.now)

    def subscribe(self, connection_id: str, scope: Any = None, have: Any = None) -> None:
        message = {"action": "subscribe", "scope": scope or ALL}
        self.say(connection_id, message if have is None else {**message, "have": have})

    def alive(self, connection_id: str, at: int) -> None:
        self.say(connection_id, {"action": "alive", "at": at})

    def store(self, stations: Iterable[Shown]) -> None:
        self.stations.stations |= {one.station_id: one for one in stations}

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * SECOND)
