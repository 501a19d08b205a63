"""Take a sample every interval, whatever the sensors do.

The ticks are ``start + n * interval`` on the monotonic clock, so neither the time that a sample takes nor a
wall clock that jumps makes them drift. After a stall the missed ticks are counted and left out; there are
never two at once.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from evswap_edge.clock import Stamp, TimeSource, stamp_now
from evswap_edge.episode import Episode
from evswap_edge.hal import Cabinet, Climate, SensorError
from evswap_edge.outbox import OutboxError
from evswap_edge.vitals import Vitals
from evswap_schema import (
    Bay,
    Charge,
    Health,
    Location,
    Occupancy,
    Quality,
    Reading,
    Reservation,
    StationStatus,
)
from evswap_schema.fields import Celsius, Percent

ValueT = TypeVar("ValueT")
Record = Callable[[Sequence[tuple[Reading, Stamp]]], Awaitable[None]]
"""Stores readings, each measured at its moment, in their order. Raises ``OutboxError``."""
OnSensor = Callable[[str, str | None], None]
"""Called with a sensor's name and why it failed; None: it works."""

_SHARE_OF_INTERVAL: Final = 0.8
"""A sensor may take at most this share of the interval, so that a hanging one never delays the next tick."""

_MOST_MEASURED: Final = 64
"""A disk that stalls holds this many samples up before it holds up the sampling: a third of a second at 200
a second."""

_ANY_BAY: Final = frozenset({0})
"""No bay has this number."""

_log = logging.getLogger(__name__)


class GuardedSensor(Generic[ValueT]):
    """A sensor behind a time-out of its own. It answers with a value or with None, always in time, and
    never raises."""

    def __init__(
        self,
        read: Callable[[], Coroutine[Any, Any, ValueT]],
        *,
        name: str,
        timeout_s: float,
        time: TimeSource,
        on_outcome: OnSensor,
    ) -> None:
        """``on_outcome`` is called with every outcome."""
        self._read = read
        self._name = name
        self._timeout_s = timeout_s
        self._on_outcome = on_outcome
        self._trouble = Episode(_log, f"sensor {name}", monotonic=time.monotonic)
        self._call: asyncio.Task[ValueT] | None = None

    async def read(self) -> ValueT | None:
        """The value now; None when the sensor failed, hangs, or still owes the answer to an earlier call."""
        call = self.begin()
        await ended(call, within_s=self._timeout_s)
        return self.outcome(call)

    def begin(self) -> "asyncio.Task[ValueT] | None":
        """Ask it, unless it still owes the answer to an earlier call."""
        if self._call is not None and not self._call.done():
            return None
        self._call = asyncio.create_task(self._read(), name=f"read {self._name}")
        return self._call

    def outcome(self, call: "asyncio.Task[ValueT] | None") -> ValueT | None:
        """What has come of ``begin``, as ``read`` has it."""
        if call is None:
            self._failed("still owes an answer")
        elif not call.done():
            self._failed(f"no answer within {self._timeout_s:g} s")
        elif call.cancelled():
            self._failed("gave up")
        elif error := call.exception():
            # Whatever it is: a driver is foreign code, and its bugs must not stop the other sensors.
            self._failed(str(error) or repr(error))
        else:
            self._trouble.end()
            self._on_outcome(self._name, None)
            return call.result()
        return None

    def _failed(self, reason: str) -> None:
        self._trouble.begin(reason)
        self._on_outcome(self._name, reason)


async def ended(*calls: "asyncio.Task[Any] | None", within_s: float) -> None:
    """Wait for several sensors at once. Those that have not answered by then are given up."""
    under_way = [call for call in calls if call is not None]
    try:
        if under_way:
            await asyncio.wait(under_way, timeout=within_s)
    finally:
        for call in under_way:
            if not call.done():
                call.cancel()
                call.add_done_callback(lambda late: late.cancelled() or late.exception())


@dataclass(frozen=True, slots=True)
class BayCounts:
    """What customers ask for first."""

    available: int
    charging: int


def count_bays(bays: Sequence[Bay]) -> BayCounts:
    """Available is a battery that a customer could have now: charged, healthy, and promised to nobody."""
    return BayCounts(
        available=sum(
            bay.charge is Charge.CHARGED
            and bay.health is Health.HEALTHY
            and bay.reservation is Reservation.FREE
            for bay in bays
        ),
        charging=sum(bay.charge is Charge.CHARGING for bay in bays),
    )


def derive_status(bays: Sequence[Bay] | None, climate: Climate | None) -> StationStatus:
    """Fault: swaps are impossible (the bays cannot be seen, or all are broken). Degraded: something is
    broken."""
    if not bays or all(bay.health is Health.FAULT for bay in bays):
        return StationStatus.FAULT
    if climate is None or any(bay.health is not Health.HEALTHY for bay in bays):
        return StationStatus.DEGRADED
    return StationStatus.OPERATIONAL


def longest_answer_s(interval_s: float, timeout_s: float) -> float:
    """For how long a sensor that may take ``timeout_s`` is waited for, when there is a sample every
    ``interval_s``."""
    return min(timeout_s, interval_s * _SHARE_OF_INTERVAL)


class Sampler:
    """Makes a ``Reading`` of a cabinet every ``interval_s`` seconds and hands it to ``record``."""

    def __init__(
        self,
        *,
        station_id: str,
        cabinet: Cabinet,
        record: Record,
        time: TimeSource,
        interval_s: float,
        sensor_timeout_s: float,
        vitals: Vitals,
        on_sensor: OnSensor = lambda sensor, reason: None,  # noqa: ARG005
        ailing: Callable[[], bool] = lambda: False,
        phase_s: float = 0.0,
        with_bays: bool = True,
        location: Location | None = None,
    ) -> None:
        """``ailing`` tells whether something is known to be broken that neither bays nor climate show."""
        self._station_id = station_id
        self._cabinet = cabinet
        self._record = record
        self._time = time
        self._interval_s = interval_s
        self._phase_s = phase_s
        self._with_bays = with_bays
        self._location = location
        self._vitals = vitals
        self._on_sensor = on_sensor
        self._ailing = ailing
        self._answer_within_s = longest_answer_s(interval_s, sensor_timeout_s)
        self._climate = self._guarded(self._read_climate, "climate")
        self._bays = self._guarded(self._read_bays, "bays")
        self._storage = Episode(_log, "storing samples", monotonic=time.monotonic)
        self._measuring = asyncio.Lock()
        self._measured: list[tuple[Reading, Stamp]] = []
        """Not being stored yet."""
        self._is_storing = False
        self._has_room = asyncio.Event()
        self._last_seen: dict[int, Bay] = {}
        """Each bay as it was when it could be read last."""

    async def run(self, stop: asyncio.Event) -> None:
        """Sample until ``stop`` is set. A sample that has begun is finished and stored."""
        start = self._time.monotonic() + self._phase_s
        tick = 0
        async with asyncio.TaskGroup() as being_stored:
            while True:
                await self._time.wait_until(start + tick * self._interval_s, unless=stop)
                if stop.is_set():
                    return
                await self._store_soon(await self._measure(), being_stored)
                tick = self._next_tick(tick, elapsed_s=self._time.monotonic() - start)

    async def sample(self) -> Reading:
        """Take a sample now, beside those of the ticks, and return it when it is stored, or could not be."""
        measured = await self._measure()
        await self._store([measured])
        return measured[0]

    async def _measure(self) -> tuple[Reading, Stamp]:
        """Read all sensors at once and say how good each value is."""
        async with self._measuring:
            stamp = stamp_now(self._time)
            calls = self._climate.begin(), self._bays.begin()
            await ended(*calls, within_s=self._answer_within_s)
            climate, bays = self._climate.outcome(calls[0]), self._bays.outcome(calls[1])
        counts, quality = self._judge(climate, bays)
        self._vitals.samples += 1
        self._vitals.sampled_at = stamp.uptime
        reading = Reading(
            station_id=self._station_id,
            battery_available=counts.available,
            battery_charging=counts.charging,
            temperature=climate.temperature if climate else None,
            humidity=climate.humidity if climate else None,
            status=self._status(bays, climate),
            timestamp=stamp.wall_clock,
            clock=stamp.clock,
            quality=quality or None,
            bays=bays if self._with_bays else None,
            location=self._location,
        )
        return reading, stamp

    def _judge(
        self, climate: Climate | None, bays: Sequence[Bay] | None
    ) -> tuple[BayCounts, dict[str, Quality]]:
        """The counts to report, in which a bay that cannot be read counts as it last did, and what is not
        fresh."""
        quality: dict[str, Quality] = {}
        if climate is None:
            quality |= dict.fromkeys(("temperature", "humidity"), Quality.FAILED)
        unread = self._remember(bays)
        if unread:
            all_seen = unread <= self._last_seen.keys()
            counted = Quality.STALE if all_seen else Quality.FAILED
            quality |= dict.fromkeys(("battery_available", "battery_charging"), counted)
            if bays is not None and self._with_bays:
                quality["bays"] = Quality.FAILED
        return count_bays(tuple(self._last_seen.values())), quality

    def _remember(self, bays: Sequence[Bay] | None) -> frozenset[int]:
        """Which bays could not be read; of the others, it is known now how they are. All are meant where
        nobody can say how many there are."""
        if bays is None:
            return frozenset(self._last_seen) or _ANY_BAY
        unread = frozenset(bay.bay for bay in bays if bay.occupancy is Occupancy.UNKNOWN)
        held = {number: bay for number, bay in self._last_seen.items() if number in unread}
        self._last_seen = held | {bay.bay: bay for bay in bays if bay.bay not in unread}
        return unread

    def _status(self, bays: Sequence[Bay] | None, climate: Climate | None) -> StationStatus:
        status = derive_status(bays, climate)
        if status is StationStatus.OPERATIONAL and self._ailing():
            return StationStatus.DEGRADED
        return status

    async def _store_soon(self, measured: tuple[Reading, Stamp], tasks: asyncio.TaskGroup) -> None:
        """Storing takes as long as the disk takes; the next tick does not wait for it, unless too many are
        behind already."""
        self._measured.append(measured)
        if not self._is_storing:
            self._is_storing = True
            tasks.create_task(self._store_measured(), name="store samples")
        if len(self._measured) >= _MOST_MEASURED:
            self._has_room.clear()
            await self._has_room.wait()

    async def _store_measured(self) -> None:
        """What is measured while the disk is busy is stored together, next."""
        while self._measured:
            group, self._measured = self._measured, []
            self._has_room.set()
            await self._store(group)
        self._is_storing = False

    async def _store(self, measured: Sequence[tuple[Reading, Stamp]]) -> None:
        try:
            await self._record(measured)
        except OutboxError as error:
            self._storage.begin(error)
        else:
            self._storage.end()

    def _next_tick(self, tick: int, *, elapsed_s: float) -> int:
        following = max(tick + 1, math.ceil(elapsed_s / self._interval_s))
        if missed := following - tick - 1:
            self._vitals.skipped += missed
            _log.warning(
                "%d samples left out after a stall", missed, extra={"skipped_total": self._vitals.skipped}
            )
        return following

    def _guarded(self, read: Callable[[], Coroutine[Any, Any, ValueT]], name: str) -> GuardedSensor[ValueT]:
        return GuardedSensor(
            read,
            name=name,
            timeout_s=self._answer_within_s,
            time=self._time,
            on_outcome=self._count_outcome,
        )

    def _count_outcome(self, sensor: str, reason: str | None) -> None:
        if reason is not None:
            self._vitals.sensor_failures[sensor] += 1
        self._on_sensor(sensor, reason)

    async def _read_climate(self) -> Climate:
        climate = await self._cabinet.read_climate()
        _require(climate.temperature, Celsius, sensor="climate", what="temperature")
        _require(climate.humidity, Percent, sensor="climate", what="humidity")
        return climate

    async def _read_bays(self) -> tuple[Bay, ...]:
        bays = tuple(await self._cabinet.read_bays())
        _require(msgspec.to_builtins(bays), tuple[Bay, ...], sensor="bays", what="bays")
        if len({bay.bay for bay in bays}) != len(bays):
            raise SensorError(sensor="bays", reason="two bays have the same number")
        return bays


def _require(value: object, kind: Any, *, sensor: str, what: str) -> None:
    """A value that the contract refuses is no measurement; it must not reach the outbox and be refused at
    the far end."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SensorError(sensor=sensor, reason=f"{what} is {value}")
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise SensorError(sensor=sensor, reason=f"{what}: {error}; found {value!r:.80}") from error
