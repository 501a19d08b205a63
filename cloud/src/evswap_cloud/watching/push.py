"""Changes on their way to those who watch: one frame a second and connection, whoever is slow is dropped."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from evswap_cloud.errors import LineError, LineGone
from evswap_cloud.ingest.records import Each
from evswap_cloud.watching.frames import state_frames
from evswap_cloud.watching.limits import ATTEMPTS, FRAME_EVERY, SECOND
from evswap_cloud.watching.line import Line
from evswap_cloud.watching.requests import Scope
from evswap_cloud.watching.session import end
from evswap_cloud.watching.shown import Shown
from evswap_cloud.watching.watchers import Watcher, Watchers


class End(StrEnum):
    """What became of a connection that was to be sent something."""

    SERVED = "served"
    LEFT = "left"
    DROPPED = "dropped"


class Delivery(Struct, frozen=True, kw_only=True):
    """How many stations had news, and what became of the connections that watch them."""

    stations: int
    served: int
    left: int
    dropped: int


class Clock:
    """Milliseconds since 1970, and waiting for some to pass."""

    def __init__(self, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._now = now
        self._sleep = sleep

    def now(self) -> int:
        return int(self._now() * SECOND)

    def wait_until(self, moment: int) -> None:
        if (left := moment - self.now()) > 0:
            self._sleep(left / SECOND)


class Push:
    """The only one of its kind that runs: it remembers when it last sent to whom (``reserved_concurrency``
    1)."""

    def __init__(self, *, watchers: Watchers, line: Line, clock: Clock, each: Each = map) -> None:
        self._watchers = watchers
        self._line = line
        self._clock = clock
        self._each = each
        self._sent: dict[str, int] = {}

    def deliver(self, news: Sequence[Shown]) -> Delivery:
        """Send ``news`` to all who watch any of it. Raises ``WatcherError`` before anything was sent; what
        was sent twice does no harm, as it has the same version."""
        watchers = self._watchers.all() if news else ()
        ends = tuple(self._each(self._end_silent, watchers))
        frames = _frames(news, watchers, self._clock.now())
        served = [
            watcher
            for watcher, ended in zip(watchers, ends, strict=True)
            if ended is None and frames[watcher.scope]
        ]
        self._keep_pace(served)
        ends += tuple(self._each(lambda watcher: self._serve(watcher, frames[watcher.scope]), served))
        return Delivery(
            stations=len(news),
            served=ends.count(End.SERVED),
            left=ends.count(End.LEFT),
            dropped=ends.count(End.DROPPED),
        )

    def _end_silent(self, watcher: Watcher) -> End | None:
        if not watcher.is_over(self._clock.now()):
            return None
        return self._drop(watcher)

    def _keep_pace(self, watchers: Sequence[Watcher]) -> None:
        """Wait for the rest of a second in which one of ``watchers`` has had a frame: the changes of
        meanwhile lie in the stream and are the next call's, together."""
        now = self._clock.now()
        self._sent = {name: at for name, at in self._sent.items() if at + FRAME_EVERY > now}
        due = max((self._sent.get(one.connection_id, 0) + FRAME_EVERY for one in watchers), default=0)
        self._clock.wait_until(due)
        self._sent |= dict.fromkeys((one.connection_id for one in watchers), self._clock.now())

    def _serve(self, watcher: Watcher, frames: Sequence[bytes]) -> End:
        for frame in frames:
            if (ended := self._send(watcher, frame)) is not End.SERVED:
                return ended
        return End.SERVED

    def _send(self, watcher: Watcher, frame: bytes) -> End:
        for _ in range(ATTEMPTS):
            try:
                self._line.send(watcher.endpoint, watcher.connection_id, frame)
            except LineGone:
                self._watchers.close(watcher.connection_id)
                return End.LEFT
            except LineError:
                continue
            return End.SERVED
        return self._drop(watcher)

    def _drop(self, watcher: Watcher) -> End:
        """Forgotten, so it is sent nothing more, also where its API does not close it: then it falls silent
        to its client, which comes back by itself."""
        try:
            end(self._watchers, self._line, watcher.connection_id, watcher.endpoint)
        except LineError:
            return End.DROPPED
        return End.DROPPED


def _frames(news: Sequence[Shown], watchers: Sequence[Watcher], at: int) -> dict[Scope | None, list[bytes]]:
    """The frames of each scope, made once however many watch it."""
    return {
        scope: list(state_frames(filter(scope.covers, news), at)) if scope is not None else []
        for scope in {watcher.scope for watcher in watchers}
    }
