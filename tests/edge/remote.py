"""A station's desk with everything around it that it needs: a cabinet that acts, a link, and whoever sends
commands."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from evswap_edge.config import Configuration, StationConfig, read_station
from evswap_edge.documents import ConfigurationError
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.simulated import Settings, SimulatedCabinet
from evswap_edge.hal import Climate, Hardware
from evswap_edge.remote.adjustments import Adjustments, adjusted
from evswap_edge.remote.control import Refusal
from evswap_edge.remote.desk import Desk
from evswap_edge.swaps.cabinet import told
from evswap_edge.testing import ManualTime
from evswap_edge.transports import Caller
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import (
    Action,
    Bay,
    Channel,
    Charge,
    Command,
    CommandResult,
    Outcome,
    Unlock,
    broker_topic,
    decode_result,
    encode_command,
)
from tests.edge.conftest import LONGEST_WAIT_S, Eventually
from tests.edge.swapping import swapping

STATION = "station-01"

FILE = """\
station_id: {station}
driver: {{name: simulated, bays: 8}}
outbox: {{path: outbox.sqlite}}
transport: {{name: memory}}
commands: {{answer_timeout_s: 0.2, feedback_timeout_s: {feedback_s}}}
"""


def configuration(folder: Path, *, feedback_s: float = 10) -> Configuration:
    file = folder / "station.yaml"
    file.write_text(FILE.format(station=STATION, feedback_s=feedback_s))
    return read_station(file)


class ActingCabinet:
    """A simulated cabinet that remembers its orders, and fails as it is told to."""

    def __init__(self, time: ManualTime) -> None:
        self.inside = SimulatedCabinet(Settings(bays=8), Surroundings(station_id=STATION, time=time))
        self.orders: list[tuple[Any, ...]] = []
        self.before: BaseException | str | None = None
        """What happens instead of an order: an error, or ``"hangs"``."""
        self.after: Exception | None = None
        """What happens after an order was carried out."""
        self.obeys = True
        self.blind: Exception | None = None
        """Why the bays cannot be read."""

    async def read_climate(self) -> Climate:
        return await self.inside.read_climate()

    async def read_bays(self) -> Sequence[Bay]:
        if self.blind is not None:
            raise self.blind
        return await self.inside.read_bays()

    async def unlock(self, bay: int) -> None:
        await self._order("unlock", bay)
        if self.obeys:
            await self.inside.unlock(bay)
        await self._ordered()

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        await self._order("set_charging", bay, enabled)
        if self.obeys:
            await self.inside.set_charging(bay, enabled=enabled)
        await self._ordered()

    async def aclose(self) -> None:
        await self.inside.aclose()

    async def first(self, charge: Charge) -> int:
        return next(bay.bay for bay in await self.inside.read_bays() if bay.charge is charge)

    async def _order(self, *order: Any) -> None:
        self.orders.append(order)
        if isinstance(self.before, BaseException):
            raise self.before
        if self.before == "hangs":
            await asyncio.Event().wait()

    async def _ordered(self) -> None:
        if self.after is not None:
            raise self.after


class AtOnce:
    """A ``Control`` whose station is put in its place at once; or refuses, as ``refuses`` says."""

    def __init__(self, base: Configuration) -> None:
        self.base = base
        self.configuration = base
        self.adjustments: Adjustments = {}
        self.refusal: Refusal | None = None
        self.refuses: str | None = None
        self.asked: list[Adjustments] = []

    def check(self, adjustments: Adjustments) -> None:
        adjusted(self.base, adjustments)

    def adjust(self, adjustments: Adjustments) -> bool:
        self.asked.append(adjustments)
        try:
            wanted = adjusted(self.base, adjustments)
        except ConfigurationError as error:
            self.refusal = Refusal(adjustments, error.key, error.problem)
            raise
        if self.refuses is not None:
            self.refusal = Refusal(adjustments, "", self.refuses)
            return True
        changed = wanted != self.configuration
        self.configuration, self.adjustments, self.refusal = wanted, adjustments, None
        return changed


class Bench:
    """A desk at work, and the far side of its link."""

    def __init__(self, folder: Path, eventually: Eventually, *, time: ManualTime | None = None) -> None:
        self.folder = folder
        self.eventually = eventually
        self.time = time or ManualTime()
        self.cabinet = ActingCabinet(self.time)
        self.control = AtOnce(configuration(folder))
        self.readings = 0
        self.link: MemoryTransport

    @property
    def config(self) -> StationConfig:
        (station,) = self.control.base.stations
        return station

    @asynccontextmanager
    async def at_work(
        self, *, cabinet: Hardware | None = None, connected: bool = True
    ) -> AsyncIterator["Bench"]:
        """A process's life: a second one finds the files of the first."""
        stop = asyncio.Event()
        desks: list[Desk] = []

        def on_link(up: bool) -> None:
            for desk in desks:
                desk.on_link(up)

        self.link = MemoryTransport(caller=Caller(station_id=STATION, time=self.time, on_link=on_link))
        async with swapping(self.config, cabinet or self.cabinet, self.time) as swaps:
            desk = Desk(
                self.config,
                cabinet=told(cabinet or self.cabinet, swaps.told),  # type: ignore[arg-type]
                transport=self.link,
                time=self.time,
                take_reading=self._take_reading,
                control=self.control,
                swaps=swaps,
            )
            desks.append(desk)
            await desk.listen()
            async with self._connected(desk, stop, connected=connected):
                yield self

    @asynccontextmanager
    async def _connected(self, desk: Desk, stop: asyncio.Event, *, connected: bool) -> AsyncIterator[None]:
        working = asyncio.create_task(desk.run(stop))
        try:
            if connected:
                await self.link.connect()
            yield
        finally:
            stop.set()
            await working
            await self.link.aclose()

    async def _take_reading(self) -> None:
        self.readings += 1

    async def passes(self, condition: Callable[[], object], *, step_s: float = 0.25) -> None:
        """Let time pass until ``condition`` holds, and threads do their work in between."""
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not condition():
                await self.time.advance(step_s)
                await asyncio.sleep(0.001)

    # --- the far side ---

    def command(self, command_id: str, action: Action | None = None, **changed: Any) -> Command:
        """One that was issued just now, for a minute."""
        now = self.time.now()
        told: dict[str, Any] = {
            "command_id": command_id,
            "station_id": STATION,
            "issued_at": now,
            "expires_at": now + timedelta(minutes=1),
            "action": action or Unlock(bay=3),
        }
        return Command(**{**told, **changed})

    def send(self, command: Command) -> None:
        self.deliver(command.command_id, encode_command(command))

    def deliver(self, command_id: str, payload: bytes) -> None:
        self.link.deliver(broker_topic(Channel.COMMAND, STATION, command_id), payload)

    def told(self, command_id: str) -> list[CommandResult]:
        """What came up about a command, in order."""
        topic = broker_topic(Channel.RESULT, STATION, command_id)
        return [decode_result(m.payload) for m in self.link.accepted if m.topic == topic]

    def outcomes(self, command_id: str) -> list[Outcome]:
        return [result.outcome for result in self.told(command_id)]

    async def has_told(self, command_id: str, times: int) -> None:
        """Wait until so many results, the accepted among them, came up about a command."""
        await self.eventually(lambda: len(self.told(command_id)) == times)

    async def result(self, command_id: str) -> CommandResult:
        """The final one, once it is there."""

        await self.eventually(lambda: self.final(command_id))
        return self.final(command_id)[-1]

    def final(self, command_id: str) -> list[CommandResult]:
        return [one for one in self.told(command_id) if one.outcome is not Outcome.ACCEPTED]

    async def done(self, command: Command) -> CommandResult:
        """Send it, and wait for its result."""
        self.send(command)
        return await self.result(command.command_id)
