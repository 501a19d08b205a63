"""A station that swaps, with everything around it."""

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from evswap_edge.alarms import Alarms, book_beside
from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig, read_station
from evswap_edge.hal import ActionRefused, Climate
from evswap_edge.outbox import Outbox
from evswap_edge.swaps.controller import Surroundings, Swaps
from evswap_edge.swaps.journal import SwapJournal
from evswap_edge.testing import ManualTime
from evswap_schema import (
    AlarmEvent,
    Authorisation,
    Battery,
    Bay,
    CacheAuthorisations,
    Charge,
    Event,
    Health,
    InventoryEvent,
    Lock,
    Occupancy,
    RefusalEvent,
    Reservation,
    SignedAuthorisation,
    SwapEvent,
    decode_event,
    encode_authorisation,
    token_hash,
)
from tests.edge.conftest import LONGEST_WAIT_S

STATION = "station-01"
TOKEN_KEY = bytes(range(32))
NETWORK = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

_FILE = """\
station_id: {station}
driver: {{name: simulated, bays: 8}}
outbox: {{path: outbox.sqlite}}
transport: {{name: memory}}
commands: {{answer_timeout_s: 0.5}}
swaps:
  enabled: true
  batteries: "(?!OTHER|foreign).*"
  token_key_file: tokens.key
  authorisation_keys: {{network-1: network-1.pem}}
{more}
"""


def configured(folder: Path, *more: str) -> StationConfig:
    """A station with the network's keys beside it; ``more`` are lines for its section ``swaps``."""
    keys = folder / "tokens.key"
    keys.write_text(TOKEN_KEY.hex())
    keys.chmod(stat.S_IRUSR | stat.S_IWUSR)
    public = NETWORK.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "network-1.pem").write_bytes(public)
    file = folder / "station.yaml"
    file.write_text(_FILE.format(station=STATION, more="\n".join(f"  {line}" for line in more)))
    (station,) = read_station(file).stations
    return station


@asynccontextmanager
async def swapping(config: StationConfig, cabinet: Any, time: TimeSource) -> AsyncIterator[Swaps]:
    """The swaps of a station at work, over the files that the process before it left."""
    outbox = await Outbox.open(config.outbox_path, station_id=config.station_id, time=time)
    try:
        async with swaps_over(config, cabinet, time, outbox) as swaps:
            yield swaps
    finally:
        await outbox.aclose()


@asynccontextmanager
async def swaps_over(
    config: StationConfig, cabinet: Any, time: TimeSource, outbox: Outbox, **changed: Any
) -> AsyncIterator[Swaps]:
    """The same over an ``outbox`` that is open."""
    alarms = Alarms(
        station_id=config.station_id, outbox=outbox, time=time, book=book_beside(config.outbox_path)
    )
    around = {
        "station_id": config.station_id,
        "cabinet": cabinet,
        "outbox": outbox,
        "alarms": alarms,
        "time": time,
        "answer_timeout_s": config.commands.answer_timeout_s,
        "veto": lambda bay: None,
        "on_event": lambda: None,
    }
    journal = SwapJournal(config.outbox_path, station_id=config.station_id)
    swaps = Swaps(config.swaps, journal, Surroundings(**{**around, **changed}))
    stop = asyncio.Event()
    working = [asyncio.create_task(run(stop)) for run in (swaps.run, alarms.run)]
    try:
        yield swaps
    finally:
        stop.set()
        await asyncio.gather(*working)
        swaps.close()


class Mechanics:
    """A cabinet that does what it is told, and whose customers are the test: ``inside`` is the truth."""

    def __init__(self, inside: dict[int, Battery | None]) -> None:
        self.inside = inside
        self.open: set[int] = set()
        self.orders: list[tuple[Any, ...]] = []
        self.tokens: asyncio.Queue[str] = asyncio.Queue()
        self.blind: Exception | None = None
        self.jammed: Exception | None = None
        self.on_unlock: Callable[[int], None] = lambda bay: None

    async def read_climate(self) -> Climate:
        return Climate(temperature=20.0, humidity=40.0)

    async def read_bays(self) -> Sequence[Bay]:
        if self.blind is not None:
            raise self.blind
        return [self._bay(number) for number in self.inside]

    def _bay(self, number: int) -> Bay:
        battery = self.inside[number]
        full = battery is not None and battery.soc >= 99
        return Bay(
            bay=number,
            occupancy=Occupancy.EMPTY if battery is None else Occupancy.OCCUPIED,
            charge=Charge.NONE if battery is None else Charge.CHARGED if full else Charge.CHARGING,
            lock=Lock.UNLOCKED if number in self.open else Lock.LOCKED,
            reservation=Reservation.FREE,
            health=Health.HEALTHY,
            battery=battery,
        )

    async def unlock(self, bay: int) -> None:
        if bay not in self.inside:
            raise ActionRefused(bay=bay, reason=f"there are bays 1 to {len(self.inside)}")
        self.orders.append(("unlock", bay))
        if self.jammed is not None:
            raise self.jammed
        self.open.add(bay)
        self.on_unlock(bay)

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        self.orders.append(("set_charging", bay, enabled))

    async def read_token(self) -> str:
        return await self.tokens.get()

    async def aclose(self) -> None:
        pass

    def put(self, bay: int, battery: Battery) -> None:
        """Into an open door, which falls shut behind it."""
        assert bay in self.open
        assert self.inside[bay] is None
        self.inside[bay] = battery
        self.open.discard(bay)

    def take(self, bay: int) -> Battery:
        assert bay in self.open
        battery = self.inside[bay]
        assert battery is not None
        self.inside[bay] = None
        self.open.discard(bay)
        return battery


def battery(serial_number: str, *, soc: float = 100.0) -> Battery:
    return Battery(
        serial_number=serial_number, soc=soc, soh=95.0, voltage=50.0, current=0.0, temperature=25.0, cycles=3
    )


class Shop:
    """A station and whoever comes to it, by a clock that moves when there is something to wait for."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.config = configured(folder, *more)
        self.time = ManualTime()
        self.cabinet = Mechanics(
            {1: None, 2: battery("EVS-2"), 3: battery("EVS-3"), 4: battery("EVS-4", soc=30.0)}
        )
        self.swaps: Swaps
        self.outbox: Outbox
        self.around: dict[str, Any] = {}
        self._events: list[Event] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Shop"]:
        """A process's life."""
        self.outbox = await Outbox.open(self.config.outbox_path, station_id=STATION, time=self.time)
        try:
            async with swaps_over(self.config, self.cabinet, self.time, self.outbox, **self.around) as swaps:
                self.swaps = swaps
                await self.passes(lambda: swaps.loaded)
                yield self
        finally:
            await self.outbox.aclose()

    async def passes(self, condition: Callable[[], object], *, step_s: float = 0.5) -> None:
        """Let time pass until ``condition`` holds, and threads do their work in between."""
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not condition():
                await self.time.advance(step_s)
                await asyncio.sleep(0.001)

    async def goes_by(self, seconds: float) -> None:
        """Let so many seconds pass, look by look."""
        end = self.time.monotonic() + seconds
        await self.passes(lambda: self.time.monotonic() >= end)
        await self.swaps.look()

    async def events(self) -> list[Event]:
        """All that the outbox ever held."""
        found = await self.outbox.take_events(1_000)
        self._events += [decode_event(one.body) for one in found]
        return self._events

    async def steps(self) -> list[tuple[int, str, str]]:
        return [
            (one.request_id, one.step.value, one.batteries[0].serial_number)
            for one in await self.events()
            if isinstance(one, SwapEvent)
        ]

    async def refusals(self) -> list[RefusalEvent]:
        return [one for one in await self.events() if isinstance(one, RefusalEvent)]

    async def inventories(self) -> list[tuple[str, dict[int, str | None]]]:
        return [
            (one.reason.value, {bay.bay: bay.serial_number for bay in one.bays})
            for one in await self.events()
            if isinstance(one, InventoryEvent)
        ]

    async def alarms(self) -> list[tuple[str, int | None, str]]:
        return [
            (one.alarm, one.bay, one.state.value)
            for one in await self.events()
            if isinstance(one, AlarmEvent)
        ]

    async def waits_for_door(self, bay: int) -> None:
        await self.passes(lambda: bay in self.cabinet.open)

    async def exchanges(self, old: Battery, *, into: int, out_of: int) -> Battery:
        """A customer who does what the station expects."""
        await self.waits_for_door(into)
        self.cabinet.put(into, old)
        await self.waits_for_door(out_of)
        taken = self.cabinet.take(out_of)
        await self.rests()
        return taken

    async def rests(self) -> None:
        """Until no swap is under way, and no bay is about to change."""
        await self.passes(lambda: not self.swaps._is_busy())
        await self.swaps.look()


def hashed(token: str) -> str:
    return token_hash(TOKEN_KEY, token)


def authorisation(token: str, now: datetime, **changed: Any) -> Authorisation:
    fields: dict[str, Any] = {
        "authorisation_id": f"auth-{token}",
        "id_token": hashed(token),
        "valid_from": now - timedelta(hours=1),
        "expires_at": now + timedelta(hours=1),
        "max_swaps": 2,
    }
    return Authorisation(**{**fields, **changed})


def signed(
    one: Authorisation, *, key: Ed25519PrivateKey = NETWORK, key_id: str = "network-1"
) -> SignedAuthorisation:
    payload = encode_authorisation(one)
    return SignedAuthorisation(payload=payload, key_id=key_id, signature=key.sign(payload))


def cached(*authorisations: Authorisation) -> CacheAuthorisations:
    return CacheAuthorisations(authorisations=tuple(signed(one) for one in authorisations))


def ledger(told: Sequence[Event]) -> dict[int, str | None]:
    """Which battery stands where, by what the station told."""
    standing: dict[int, str | None] = {}
    for one in told:
        if isinstance(one, InventoryEvent):
            standing |= {bay.bay: bay.serial_number for bay in one.bays}
        elif isinstance(one, SwapEvent) and one.step != "battery_out_timeout":
            (moved,) = one.batteries
            standing[moved.bay] = moved.serial_number if one.step == "battery_in" else None
    return standing
