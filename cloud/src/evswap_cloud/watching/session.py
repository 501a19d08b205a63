"""One connection, from its handshake to its end: what it is answered."""

from collections.abc import Iterable

from evswap_cloud.api.problems import Problem, ProblemError, bad_parameter, server_error
from evswap_cloud.errors import LineGone, StoreError
from evswap_cloud.watching.frames import Closing, Heartbeat, Refused, Synchronised, encode_frame, state_frames
from evswap_cloud.watching.limits import MAX_SNAPSHOT, SUBSCRIBE_EVERY, WARNING
from evswap_cloud.watching.line import Line
from evswap_cloud.watching.requests import Alive, Scope, Subscribe, read_request
from evswap_cloud.watching.shown import Shown
from evswap_cloud.watching.stations import ShownReader
from evswap_cloud.watching.watchers import Watcher, Watchers


class Sessions:
    """Answers what clients say. Methods raise ``StoreError`` where even the client cannot be told."""

    def __init__(self, *, watchers: Watchers, stations: ShownReader, line: Line) -> None:
        self._watchers = watchers
        self._stations = stations
        self._line = line

    def opened(self, connection_id: str, endpoint: str, now: int) -> None:
        """The handshake was let in."""
        self._watchers.open(
            Watcher(connection_id=connection_id, endpoint=endpoint, opened_at=now, heard_at=now)
        )

    def closed(self, connection_id: str) -> None:
        """The client has left, as far as anybody knows."""
        self._watchers.close(connection_id)

    def received(self, connection_id: str, endpoint: str, body: str, now: int) -> None:
        """The client has said ``body``."""
        watcher = self._watchers.find(connection_id)
        if watcher is None or watcher.is_over(now):
            end(self._watchers, self._line, connection_id, endpoint)
            return
        try:
            self._answer(watcher, body, now)
        except LineGone:
            self._watchers.close(connection_id)

    def _answer(self, watcher: Watcher, body: str, now: int) -> None:
        try:
            match read_request(body):
                case Subscribe(scope=scope, have=have):
                    self._subscribe(watcher, scope, have, now)
                case Alive(at=at):
                    self._beat(watcher, min(at, now), now)
        except ProblemError as error:
            self._refuse(watcher, error.problem, now)
        except LineGone:
            raise
        except StoreError:
            self._refuse(watcher, server_error().problem, now)
            raise

    def _subscribe(self, watcher: Watcher, scope: Scope, have: dict[str, int], now: int) -> None:
        """The scope is kept before the snapshot is read. So a change is in the snapshot, or is sent, or both:
        of both the version says which counts."""
        if now - watcher.subscribed_at < SUBSCRIBE_EVERY:
            raise bad_parameter("action", f"Subscribe at most once in {SUBSCRIBE_EVERY} ms.")
        if not self._watchers.subscribe(watcher.connection_id, scope, now):
            return
        stations = self._stations.of(scope, limit=MAX_SNAPSHOT)
        if stations is None:
            raise bad_parameter(
                "scope", f"These are more than {MAX_SNAPSHOT} stations: subscribe to a region."
            )
        self._send(watcher, state_frames(_newer(stations, have), now))
        self._send(watcher, [encode_frame(Synchronised(at=now, stations=len(stations)))])

    def _beat(self, watcher: Watcher, at: int, now: int) -> None:
        self._watchers.heard(watcher.connection_id, max(at, watcher.heard_at))
        closes_at = watcher.closes_at
        frame = Closing if closes_at - now <= WARNING else Heartbeat
        self._send(watcher, [encode_frame(frame(at=now, closes_at=closes_at))])

    def _refuse(self, watcher: Watcher, problem: Problem, now: int) -> None:
        self._send(watcher, [encode_frame(Refused(at=now, problem=problem))])

    def _send(self, watcher: Watcher, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self._line.send(watcher.endpoint, watcher.connection_id, frame)


def end(watchers: Watchers, line: Line, connection_id: str, endpoint: str) -> None:
    """Drop a connection: forgotten first, so that nothing more is sent where closing fails."""
    watchers.close(connection_id)
    line.close(endpoint, connection_id)


def _newer(stations: Iterable[Shown], have: dict[str, int]) -> Iterable[Shown]:
    return (one for one in stations if one.version > have.get(one.station_id, -1))
