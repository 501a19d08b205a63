"""What is wrong with the station, told once when it begins and once when it ends.

An alarm is an event like a swap: it has its place in the outbox, and reaches the cloud whatever happens.
Which alarms are raised is kept in a small file beside the outbox, so that one whose cause went while the
power was off is cleared after all.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evswap_edge.clock import Stamp, TimeSource, stamp_now
from evswap_edge.episode import Episode
from evswap_edge.files import write_private
from evswap_edge.outbox import Outbox, OutboxError
from evswap_schema import AlarmEvent, AlarmState, Severity, encode_event

OUTBOX_IN_MEMORY: Final = "outbox_in_memory"
"""The disk takes nothing; what is sampled would not outlive a power cut."""
SAMPLES_DROPPED: Final = "samples_dropped"
"""The outbox had to give samples up for want of room; ``count`` is of all since the outbox was made."""
CERTIFICATE_ENDS: Final = "certificate_ends"
"""The station's certificate nears its end and was not replaced; nothing is sent without one."""
CREDENTIALS_UNUSABLE: Final = "credentials_unusable"
"""Certificate or key are missing, expired, no pair, or refused by the far side: nothing can be sent."""
_SENSOR_FAILED: Final = "sensor_failed"

_TRY_AGAIN_S: Final = 5.0
_LONGEST_DETAIL: Final = 64
"""The contract's ``ShortText``."""

_log: Final = logging.getLogger(__name__)


def sensor_failed(sensor: str) -> str:
    """The name of the alarm that ``sensor`` gives no values."""
    return f"{_SENSOR_FAILED}_{sensor}"


def book_beside(outbox: Path) -> Path:
    """Where it is written down which alarms are raised."""
    return outbox.with_name(f"{outbox.name}.alarms")


@dataclass(frozen=True, slots=True)
class _Turn:
    """An alarm that was raised or cleared."""

    name: str
    state: AlarmState
    severity: Severity
    bay: int | None
    detail: str | None
    count: int | None
    stamp: Stamp


class Alarms:
    """A station's alarms. ``set`` may be called as often as one likes: only a change is told."""

    def __init__(
        self,
        *,
        station_id: str,
        outbox: Outbox,
        time: TimeSource,
        book: Path,
    ) -> None:
        """``book`` is where it is written down which are raised."""
        self._station_id = station_id
        self._outbox = outbox
        self._time = time
        self._book = book
        self.on_event: Callable[[], None] = lambda: None
        """Called when an event was stored."""
        self._raised = raised_in(book)
        self._turns: deque[_Turn] = deque()
        self._wake = asyncio.Event()
        self._storage = Episode(_log, "storing alarms", monotonic=time.monotonic)
        self._noting = Episode(_log, f"alarms in {book}", monotonic=time.monotonic)

    @property
    def of_sensors(self) -> bool:
        """Whether one is raised that some sensor gives no values."""
        return any(name.startswith(_SENSOR_FAILED) for name in self._raised)

    @property
    def raised(self) -> frozenset[str]:
        """The alarms that are raised now: names, followed by ``/`` and the bay where they are about one."""
        return frozenset(self._raised)

    def set(
        self,
        name: str,
        active: bool,
        *,
        severity: Severity = Severity.WARNING,
        bay: int | None = None,
        detail: str | None = None,
        count: int | None = None,
    ) -> None:
        """The cause of the alarm ``name`` is there, or is not; each ``bay`` has one of its own."""
        key = name if bay is None else f"{name}/{bay}"
        if active == (key in self._raised):
            return
        (self._raised.add if active else self._raised.discard)(key)
        self._turns.append(
            _Turn(
                name=name,
                state=AlarmState.RAISED if active else AlarmState.CLEARED,
                severity=severity,
                bay=bay,
                detail=detail[:_LONGEST_DETAIL] if detail else None,
                count=count,
                stamp=stamp_now(self._time),
            )
        )
        _log.log(logging.WARNING if active else logging.INFO, "alarm %s: %s", key, self._turns[-1].state)
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Store what was raised and cleared, until ``stop`` is set; what was by then is stored still."""
        stopping = asyncio.create_task(stop.wait(), name="alarms stop")
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                self._wake.clear()
                stored = await self._store()
                again_s = float("inf") if stored else _TRY_AGAIN_S
                await self._time.wait_until(self._time.monotonic() + min(again_s, 3_600), unless=self._wake)
            await self._store()
        finally:
            stopping.cancel()

    async def _store(self) -> bool:
        """Whether nothing is left to be stored."""
        if not self._turns:
            return True
        while self._turns:
            turn = self._turns[0]
            try:
                urgent = turn.severity is Severity.CRITICAL
                await self._outbox.append_event(self._body_of(turn), stamp=turn.stamp, urgent=urgent)
            except OutboxError as error:
                self._storage.begin(error)
                return False
            self._turns.popleft()
            self.on_event()
        self._storage.end()
        await self._note()
        return True

    def _body_of(self, turn: _Turn) -> Callable[[str, int], bytes]:
        def body(stream_id: str, sequence: int) -> bytes:
            event = AlarmEvent(
                station_id=self._station_id,
                stream_id=stream_id,
                sequence=sequence,
                timestamp=turn.stamp.wall_clock,
                clock=turn.stamp.clock,
                alarm=turn.name,
                state=turn.state,
                severity=turn.severity,
                bay=turn.bay,
                detail=turn.detail,
                count=turn.count,
            )
            return encode_event(event)

        return body

    async def _note(self) -> None:
        """An alarm that is raised a second time after a power cut is no harm: what was stored counts."""
        content = json.dumps(sorted(self._raised)).encode()
        try:
            await asyncio.to_thread(write_private, self._book, content, replace=True)
        except OSError as error:
            self._noting.begin(error)
        else:
            self._noting.end()


def raised_in(book: Path) -> set[str]:
    """The alarms that are raised at a station, or were when it ended; none where that cannot be told."""
    try:
        names = json.loads(book.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError) as error:
        _log.warning("which alarms were raised cannot be told: %s: %s", book, error)
        return set()
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()
