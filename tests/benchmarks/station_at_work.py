"""A whole station in this process, against mosquitto, whose sampler rests: a benchmark brings the samples."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from evswap_edge.app import Signals, Station
from evswap_edge.clock import SystemTime, stamp_now
from evswap_edge.config import StationConfig, station_of
from evswap_edge.documents import Document
from evswap_edge.outbox import Outbox
from evswap_edge.reporting.changes import Changes, DeadBands
from evswap_edge.reporting.recording import Recorder
from evswap_edge.testing import ScriptedCabinet
from evswap_edge.transports import Caller
from evswap_schema import Reading
from tests.mosquitto import Credentials, Mosquitto
from tests.shared.cabinets import minute_of_readings

STATION: Final = "station-01"

TOGETHER: Final = 360
"""So many samples are stored at once, by the station and by the loop with the same batches."""
_GROUPS_UNDER_WAY: Final = 2
_BATCH_AGE_S: Final = 2.0
"""Shorter than the outages, so that what is stored in one is sealed while it lasts, as in any long one."""
_LOOK_EVERY_S: Final = 0.002
_PATIENCE_S: Final = 300.0


def readings(count: int, bays: int = 0) -> list[Reading]:
    """Samples that differ a little, without identity, as a sampler makes them."""
    few = minute_of_readings(bays, samples=12)
    return [
        replace(few[number % 12], stream_id=None, sequence=None, temperature=20 + number % 10 / 10)
        for number in range(count)
    ]


def configuration(
    folder: Path,
    broker: Mosquitto,
    *,
    transport: str = "mqtt",
    mode: str = "on-change",
    batch_age_s: float = _BATCH_AGE_S,
    publishing: dict[str, Any] | None = None,
    **transport_settings: Any,
) -> Path:
    """A station.yaml (JSON is YAML) with the defaults, but for where it has to reach."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "station.json"
    file.write_text(
        json.dumps(
            {
                "station_id": STATION,
                "driver": {"name": "simulated"},
                "transport": {
                    "name": transport,
                    "host": broker.host,
                    "port": broker.port,
                    **_files(broker.station_credentials(STATION)),
                    **transport_settings,
                },
                "outbox": {"path": str(folder / "outbox.sqlite")},
                "reporting": {"mode": mode, "batch_age_s": batch_age_s},
                "publishing": publishing or {},
            }
        )
    )
    return file


def _files(mine: Credentials) -> dict[str, str]:
    return {
        "certificate_file": str(mine.certificate_file),
        "key_file": str(mine.key_file),
        "ca_file": str(mine.ca_file),
    }


@dataclass(frozen=True, slots=True)
class AtWork:
    """The station, and the way in for samples."""

    station: Station
    recorder: Recorder
    time: SystemTime

    async def record(self, samples: Sequence[Reading]) -> None:
        """Return when all of them are durable. As in a station, what is measured next does not wait for the
        disk to have taken what was measured before."""
        groups = iter([samples[start : start + TOGETHER] for start in range(0, len(samples), TOGETHER)])

        async def measure() -> None:
            for together in groups:
                stamp = stamp_now(self.time)
                await self.recorder.record([(reading, stamp) for reading in together])

        await asyncio.gather(*(measure() for _ in range(_GROUPS_UNDER_WAY)))

    async def until_nothing_waits(self) -> None:
        """Return when all that was stored is acknowledged, and forgotten durably."""
        async with asyncio.timeout(_PATIENCE_S):
            while self.station.outbox.waiting.all_samples:
                await asyncio.sleep(_LOOK_EVERY_S)

    async def until_linked(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not self.station.vitals.linked:
                await asyncio.sleep(_LOOK_EVERY_S)


@asynccontextmanager
async def station_at_work(file: Path) -> AsyncIterator[AtWork]:
    """Run it until the block ends."""
    [config] = station_of(Document(file)).stations
    time, stop = SystemTime(), asyncio.Event()
    async with _parts(config, time) as (outbox, link, signals):
        station = Station(config, time, outbox, ScriptedCabinet(), link, signals, phase_s=_PATIENCE_S)
        recorder = Recorder(
            outbox,
            Changes(DeadBands(temperature=config.reporting.temperature_band, humidity=1.0)),
            alarms=frozenset,
            on_samples=station.publisher.sampled,
        )
        running = asyncio.create_task(station.run(stop))
        try:
            yield AtWork(station, recorder, time)
        finally:
            stop.set()
            await running


@asynccontextmanager
async def _parts(config: StationConfig, time: SystemTime) -> AsyncIterator[tuple[Outbox, Any, Signals]]:
    signals = Signals()
    outbox = await Outbox.open(config.outbox_path, station_id=config.station_id, time=time)
    link = await config.transport.kind.open(
        config.transport.settings, Caller(station_id=config.station_id, time=time)
    )
    try:
        yield outbox, link, signals
    finally:
        await link.aclose()
        await outbox.aclose()
