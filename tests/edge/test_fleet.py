"""Many stations in one process: what happens to one does not happen to the others."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from evswap_edge.clock import SystemTime, TimeSource
from evswap_edge.config import StationConfig, read_fleet
from evswap_edge.fleet import run_fleet
from evswap_edge.hal import DriverUnavailable
from evswap_edge.outbox import Outbox
from evswap_edge.testing import ManualTime, settle
from evswap_edge.transports import CredentialsError
from tests.edge.conftest import Eventually
from tests.edge.publishing import waiting_in


def fleet(folder: Path, *, transport: str = "memory", interval_s: float = 5.0) -> tuple[StationConfig, ...]:
    file = folder / "fleet.yaml"
    link = "{name: memory}" if transport == "memory" else "{name: aws-iot, host: 127.0.0.1}"
    file.write_text(
        f"stations: {{prefix: s-, count: 4}}\ncertificates_dir: certs\ndata_dir: data\n"
        f"driver: {{name: simulated}}\nsampling: {{interval_s: {interval_s}}}\ntransport: {link}\n"
    )
    return read_fleet(file).stations


class Stations:
    """Stands in for the stations: notes who was begun when, and lets chosen ones fail."""

    def __init__(self, time: ManualTime, failing: dict[str, Exception]) -> None:
        self.time = time
        self.failing = failing
        self.starts: Counter[str] = Counter()
        self.first: dict[str, float] = {}
        self.first_sample: dict[str, float] = {}

    async def run(
        self, config: StationConfig, time: TimeSource, stop: asyncio.Event, *, phase_s: float
    ) -> None:
        self.starts[config.station_id] += 1
        self.first.setdefault(config.station_id, time.monotonic())
        self.first_sample.setdefault(config.station_id, time.monotonic() + phase_s)
        if config.station_id in self.failing:
            raise self.failing[config.station_id]
        await stop.wait()


async def run(
    stations: tuple[StationConfig, ...],
    behaviour: Stations,
    during: Callable[[], Awaitable[None]],
) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(run_fleet(stations, behaviour.time, stop, run=behaviour.run))
    await settle()
    await during()
    stop.set()
    await task


@pytest.mark.parametrize(
    "failure",
    [
        DriverUnavailable(device="i2c-1", reason="no such bus"),
        CredentialsError(Path("x"), "expired"),
        ZeroDivisionError(),
    ],
)
async def test_a_station_that_fails_is_begun_again_and_the_others_do_not_notice(
    tmp_path: Path, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    time = ManualTime()
    behaviour = Stations(time, {"s-02": failure})

    async def during() -> None:
        for _ in range(20):
            await time.advance(10.0)

    await run(fleet(tmp_path), behaviour, during)
    assert behaviour.starts["s-02"] > 3
    assert [behaviour.starts[name] for name in ("s-01", "s-03", "s-04")] == [1, 1, 1]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == behaviour.starts["s-02"]
    assert all("starts again in" in record.getMessage() for record in errors)
    assert all(bool(record.exc_info) == isinstance(failure, ZeroDivisionError) for record in errors)


async def test_waits_between_restarts_grow(tmp_path: Path) -> None:
    time = ManualTime()
    behaviour = Stations(time, {"s-01": ZeroDivisionError()})

    async def during() -> None:
        for _ in range(600):
            await time.advance(1.0)

    await run(fleet(tmp_path), behaviour, during)
    assert 5 < behaviour.starts["s-01"] < 150


@pytest.mark.parametrize("interval_s", [0.2, 5.0, 60.0])
async def test_starts_are_staggered_and_samples_spread_over_the_interval(
    tmp_path: Path, interval_s: float
) -> None:
    time = ManualTime()
    behaviour = Stations(time, {})
    begun = time.monotonic()

    async def during() -> None:
        await time.advance(60.0)

    await run(fleet(tmp_path, interval_s=interval_s), behaviour, during)
    quarter = interval_s / 4
    assert list(behaviour.first_sample.values()) == pytest.approx([begun + quarter * n for n in range(4)])
    assert max(behaviour.first.values()) - begun <= 5.0
    assert list(behaviour.first.values()) == sorted(behaviour.first.values())


async def test_a_fleet_in_which_nobody_has_credentials_samples(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    stations = fleet(tmp_path, transport="aws-iot", interval_s=0.05)
    stop = asyncio.Event()
    task = asyncio.create_task(run_fleet(stations, SystemTime(), stop))
    await eventually(lambda: caplog.text.count("does not exist; obtain one with") == len(stations))
    stop.set()
    await task
    for config in stations:
        assert await waiting_in(config.outbox_path) > 0


async def test_real_stations_run_side_by_side_though_one_cannot_open_its_outbox(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    stations = fleet(tmp_path, interval_s=0.05)
    blocked = stations[1].outbox_path
    holder = await Outbox.open(blocked, station_id="s-02", time=SystemTime())
    stop = asyncio.Event()
    task = asyncio.create_task(run_fleet(stations, SystemTime(), stop))
    others = [config.outbox_path for config in stations if config.outbox_path != blocked]
    await eventually(lambda: all(path.exists() for path in others))
    await eventually(lambda: any("in use by process" in record.getMessage() for record in caplog.records))
    stop.set()
    await task
    await holder.aclose()
    for config in stations:
        assert await waiting_in(config.outbox_path, config.station_id) == 0
