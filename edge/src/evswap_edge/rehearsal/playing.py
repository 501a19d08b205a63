"""One station's story, from its first customer to the moment after its last day at which all is told."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec.structs import replace

from evswap_edge.alarms import Alarms, book_beside
from evswap_edge.clock import Stamp, TimeSource
from evswap_edge.config import SwapRules
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.simulated import CustomersAre, Faults, Settings, SimulatedCabinet
from evswap_edge.outbox import Outbox
from evswap_edge.rehearsal import StoryBroken
from evswap_edge.rehearsal.bookkeeping import Book, misplaced
from evswap_edge.rehearsal.network import Network
from evswap_edge.rehearsal.virtual_time import VirtualLoop, VirtualTime
from evswap_edge.simulation.names import SERIAL_NUMBERS
from evswap_edge.simulation.report import Tally
from evswap_edge.simulation.world import STEP_S, Happening
from evswap_edge.swaps.controller import Surroundings as SwapSurroundings
from evswap_edge.swaps.controller import Swaps
from evswap_edge.swaps.floor import Outcome
from evswap_edge.swaps.journal import SwapJournal
from evswap_edge.swaps.swap import Phase
from evswap_schema import Event, RefusalEvent, RefusalReason, decode_event, encode_event, format_timestamp

WATCH_S: Final = STEP_S
"""How often the controller looks while something moves: as often as the world does. Looking ten times as
often costs four times as much and serves nobody sooner."""
IDLE_S: Final = 60.0
"""And otherwise: a customer who shows a token makes it look at once, and hardly anybody else moves
anything."""
_ANSWER_TIMEOUT_S: Final = 5.0
_DAY_S: Final = 86_400.0
_SETTLES_WITHIN_S: Final = 3_600.0
_EVENTS_AT_ONCE: Final = 1_000

Archive = Callable[[bytes], None]
"""Takes each event as a line of the archive, with the end of the line."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is rehearsed. ``start`` is the wall clock's, and the customers' local time; ``seed`` is the
    network's, from which each station has a story of its own. ``offline``: the link is down until the last
    day is over."""

    station_id: str
    seed: int
    bays: int
    days: float
    start: datetime
    faults: Faults = Faults.REALISTIC
    offline: bool = False
    watch_s: float = WATCH_S
    idle_s: float = IDLE_S


@dataclass(slots=True)
class Result:
    """What became of it. ``swaps`` by how they ended; ``refusals`` as events tell them, which is once a
    minute for one customer and reason; ``tally`` is what happened, whoever was told."""

    station_id: str
    swaps: Counter[Phase] = field(default_factory=Counter)
    refusals: Counter[RefusalReason] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    contradictions: list[str] = field(default_factory=list)
    standing: dict[int, str | None] = field(default_factory=dict)
    """Which battery stands in which bay at the end, in truth."""
    digest: str = ""
    """Of all that was told, and of the world; equal stories have equal ones."""

    def demand_truth(self) -> None:
        """Raises ``StoryBroken``."""
        if self.contradictions:
            raise StoryBroken(self.station_id, self.contradictions)


def play(play: Play, network: Network, archive: Archive, progress: Progress) -> Result:
    """Rehearse as fast as it goes. A play, the seed of ``network`` with it, gives the same events, bit for
    bit."""
    with (
        TemporaryDirectory(prefix="evswap-rehearsal-") as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        return runner.run(_Stage(play, network, Path(folder), archive, progress).perform())


class _CountedJournal(SwapJournal):
    """The station's own, which is watched as swaps end."""

    def __init__(self, outbox: Path, *, station_id: str, ended: Counter[Phase]) -> None:
        super().__init__(outbox, station_id=station_id)
        self._ended = ended

    def commit(self, outcome: Outcome, now: Stamp) -> None:
        super().commit(outcome, now)
        self._ended.update(swap.phase for swap in outcome.swaps if swap.over)


class _Stage:
    """A station with everything around it."""

    def __init__(
        self, play: Play, network: Network, folder: Path, archive: Archive, progress: Progress
    ) -> None:
        self._play = play
        self._network = network
        self._outbox_path = folder / "outbox.sqlite"
        self._archive = archive
        self._progress = progress
        self._result = Result(play.station_id)
        self._book = Book(play.start)
        self._told = hashlib.sha256()
        self._stored = asyncio.Event()
        self._linked = asyncio.Event()
        if not play.offline:
            self._linked.set()

    async def perform(self) -> Result:
        play, loop = self._play, asyncio.get_running_loop()
        time = VirtualTime(loop, start=play.start)
        settings = Settings(
            bays=play.bays,
            seed=play.seed,
            customers=CustomersAre.PRESENT_TOKENS,
            faults=play.faults,
            start=play.start,
        )
        cabinet = SimulatedCabinet(
            settings, Surroundings(station_id=play.station_id, time=time), self._witness
        )
        async with self._at_work(cabinet, time) as swaps:
            await self._authorise(swaps, cabinet, time)
            for day in range(1, int(play.days) + 1):
                await _until(day * _DAY_S)
                told = self._result.events["swap"]
                self._progress(f"{play.station_id}: day {day} of {play.days:g}, {told} swap events")
            await _until(play.days * _DAY_S)
            self._linked.set()
            await self._settle(cabinet)
        self._conclude(cabinet)
        return self._result

    # --- the station --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _at_work(self, cabinet: SimulatedCabinet, time: TimeSource) -> AsyncIterator[Swaps]:
        station_id = self._play.station_id
        outbox = await Outbox.open(self._outbox_path, station_id=station_id, time=time)
        try:
            alarms = Alarms(
                station_id=station_id, outbox=outbox, time=time, book=book_beside(self._outbox_path)
            )
            alarms.on_event = self._stored.set
            swaps = self._make_swaps(cabinet, outbox, alarms, time)
            stop, told = asyncio.Event(), asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                delivery = tasks.create_task(self._deliver(outbox, time, told))
                working = [tasks.create_task(part.run(stop)) for part in (swaps, alarms)]
                yield swaps
                stop.set()
                await asyncio.wait(working)
                told.set()
                self._stored.set()
                await delivery
            swaps.close()
        finally:
            await outbox.aclose()

    def _make_swaps(
        self, cabinet: SimulatedCabinet, outbox: Outbox, alarms: Alarms, time: TimeSource
    ) -> Swaps:
        station_id, ended = self._play.station_id, self._result.swaps
        rules = SwapRules(
            enabled=True,
            batteries=SERIAL_NUMBERS,
            watch_s=self._play.watch_s,
            idle_s=self._play.idle_s,
            token_key_file=self._network.token_key_file,
            authorisation_keys=self._network.authorisation_keys,
        )
        around = SwapSurroundings(
            station_id=station_id,
            cabinet=cabinet,
            outbox=outbox,
            alarms=alarms,
            time=time,
            answer_timeout_s=_ANSWER_TIMEOUT_S,
            veto=lambda bay: None,  # noqa: ARG005 - nobody forbids anything
            on_event=self._stored.set,
        )
        return Swaps(rules, _CountedJournal(self._outbox_path, station_id=station_id, ended=ended), around)

    async def _authorise(self, swaps: Swaps, cabinet: SimulatedCabinet, time: TimeSource) -> None:
        """Every customer that there is may swap, before the first of them comes."""
        play = self._play
        tokens = sorted(rider.token for rider in cabinet.world.riding)
        end = play.start + timedelta(days=play.days)
        for command in self._network.commands(play.station_id, tokens, start=play.start, end=end):
            await swaps.cache(command, as_of=time.now())

    async def _deliver(self, outbox: Outbox, time: TimeSource, told: asyncio.Event) -> None:
        """While there is a link, the cloud has everything at once."""
        await self._linked.wait()
        while True:
            await self._stored.wait()
            self._stored.clear()
            while events := await outbox.take_events(_EVENTS_AT_ONCE):
                for event in events:
                    self._hear(decode_event(event.body), time.now())
                await outbox.acknowledge([event.ticket for event in events])
            if told.is_set():
                return

    # --- what is seen of it -------------------------------------------------------------------------------

    def _witness(self, happening: Happening) -> None:
        self._result.tally.note(happening)
        self._book.note(happening)

    def _hear(self, event: Event, received_at: datetime) -> None:
        """A stream's name is drawn by lot; in a story it follows from the play."""
        event = replace(event, stream_id=f"rehearsal-{self._play.seed}")
        self._book.take(event)
        result = self._result
        result.events[_kind(event)] += 1
        if isinstance(event, RefusalEvent):
            result.refusals[event.reason] += 1
        line = _line(event, received_at)
        self._told.update(line)
        self._archive(line)

    async def _settle(self, cabinet: SimulatedCabinet) -> None:
        """Go on until what is told is what there is, as the last customers may be at the door still."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _SETTLES_WITHIN_S
        while await self._is_behind(cabinet) and loop.time() < end:
            await _until(loop.time() + STEP_S)

    async def _is_behind(self, cabinet: SimulatedCabinet) -> bool:
        """Whether something is told otherwise than it is at this moment; a look lets the world catch
        up."""
        await cabinet.read_bays()
        return bool(self._book.differences(cabinet.world))

    def _conclude(self, cabinet: SimulatedCabinet) -> None:
        result, world = self._result, cabinet.world
        result.contradictions = [*self._book.broken, *self._book.differences(world), *misplaced(world)]
        result.standing = {
            slot.number: slot.pack.serial_number if slot.pack else None for slot in world.slots
        }
        self._told.update(world.digest().encode())
        result.digest = self._told.hexdigest()


def _line(event: Event, received_at: datetime) -> bytes:
    """The event with the arrival's field added, as the cloud archives it."""
    arrival = msgspec.json.encode({"received_at": format_timestamp(received_at)})
    return encode_event(event)[:-1] + b"," + arrival[1:] + b"\n"


def _kind(event: Event) -> str:
    """``swap``, ``alarm``."""
    return str(event.__struct_config__.tag)


async def _until(moment: float) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
