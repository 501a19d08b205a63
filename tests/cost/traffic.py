"""What a station really sends: the whole edge, its swaps with it, on a simulated cabinet in virtual time.

Only the hardware, the customers and the clock are made up. What the publisher hands to its transport is
written down with the moment, on the topics that it has at AWS IoT.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec.structs import replace as msgspec_replace

from evswap_edge.app import Station, run_station
from evswap_edge.config import StationConfig, read_station
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.simulated import CustomersAre, Settings, SimulatedCabinet
from evswap_edge.message import Message
from evswap_edge.rehearsal.network import Network
from evswap_edge.rehearsal.virtual_time import VirtualLoop, VirtualTime
from evswap_edge.simulation.names import SERIAL_NUMBERS
from evswap_edge.transports import Caller
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Channel, aws_topic

MIDNIGHT: Final = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday, in a warm month: the day of `evswap-edge simulate`."""

_FILE: Final = """\
station_id: {station_id}
driver: {{name: simulated, bays: {bays}}}
reporting: {{batch_age_s: {batch_age_s:g}}}
outbox: {{path: outbox.sqlite}}
transport: {{name: memory}}
publishing: {{backlog_jitter_s: 0}}
commands: {{enabled: false}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What is recorded: so many ``hours`` of a cabinet's day from ``from_hour`` on, with batches of
    ``batch_age_s``."""

    station_id: str = "station-01"
    bays: int = 35
    batch_age_s: float = 60.0
    from_hour: float = 0.0
    hours: float = 24.0
    seed: int = 1

    @property
    def start(self) -> datetime:
        return MIDNIGHT + timedelta(hours=self.from_hour)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(hours=self.hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message as AWS IoT receives it."""

    at: datetime
    channel: Channel
    topic: str
    payload: bytes


def record(shift: Shift) -> list[Sent]:
    """All that the station sends on the channels that have a rule, in its order."""
    with (
        TemporaryDirectory(prefix="evswap-cost-") as folder,
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        _quiet("evswap_edge"),
    ):
        return runner.run(_play(shift, Path(folder)))


class _Recorder(MemoryTransport):
    """Writes down what it accepts."""

    def __init__(self, station_id: str, time: VirtualTime) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self._time = time
        self._channels = {aws_topic(channel, station_id): channel for channel in _RULED}

    def _accept(self, message: Message) -> None:
        channel = self._channels.get(message.topic)
        if channel is not None:
            self.sent.append(
                Sent(at=self._time.now(), channel=channel, topic=message.topic, payload=message.payload)
            )


_RULED: Final = (Channel.TELEMETRY, Channel.CHANGE, Channel.BATCH, Channel.EVENT)


async def _play(shift: Shift, folder: Path) -> list[Sent]:
    time = VirtualTime(asyncio.get_running_loop(), start=shift.start)
    network = Network(shift.seed, folder)
    cabinet = SimulatedCabinet(
        Settings(bays=shift.bays, seed=shift.seed, customers=CustomersAre.PRESENT_TOKENS, start=shift.start),
        Surroundings(station_id=shift.station_id, time=time),
    )
    link = _Recorder(shift.station_id, time)
    stop, begun = asyncio.Event(), asyncio.Event()
    stations: list[Station] = []

    @contextmanager
    def show(station: Station) -> Iterator[None]:
        stations.append(station)
        yield

    config = _configured(shift, folder, network, cabinet, link)
    running = asyncio.create_task(run_station(config, time, stop, begun=begun, show=show))
    await begun.wait()
    await asyncio.sleep(0)
    tokens = sorted(rider.token for rider in cabinet.world.riding)
    for command in network.commands(shift.station_id, tokens, start=shift.start, end=shift.end):
        await stations[0].swaps.cache(command, as_of=time.now())
    await asyncio.sleep(shift.hours * 3_600.0)
    stop.set()
    await running
    return [one for one in link.sent if one.at < shift.end]


def _configured(
    shift: Shift, folder: Path, network: Network, cabinet: SimulatedCabinet, link: _Recorder
) -> StationConfig:
    file = folder / "station.yaml"
    text = _FILE.format(station_id=shift.station_id, bays=shift.bays, batch_age_s=shift.batch_age_s)
    file.write_text(text)
    (config,) = read_station(file).stations

    async def open_link(_: object, caller: Caller) -> MemoryTransport:
        link._on_link = caller.on_link
        return link

    async def open_cabinet(*_: object) -> SimulatedCabinet:
        return cabinet

    driver, transport = config.driver, config.transport
    swaps = msgspec_replace(
        config.swaps,
        enabled=True,
        batteries=SERIAL_NUMBERS,
        token_key_file=network.token_key_file,
        authorisation_keys=network.authorisation_keys,
    )
    return replace(
        config,
        swaps=swaps,
        driver=replace(driver, kind=replace(driver.kind, open=open_cabinet)),
        transport=replace(transport, kind=replace(transport.kind, open=open_link, topic=aws_topic)),
    )


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Each swap and each alarm would be a line."""
    log = logging.getLogger(name)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
