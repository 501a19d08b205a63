"""The configuration of the fleet, and its last words."""

import asyncio
from pathlib import Path

import pytest
import yaml

from evswap_edge.clock import SystemTime, stamp_now
from evswap_edge.config import read_fleet
from evswap_edge.outbox import Outbox
from evswap_local.errors import DidNotStart
from evswap_local.fleet import NAME, configuration, demand_alive
from evswap_local.layout import StateFolder
from evswap_local.network import keep_network
from evswap_local.outboxes import depths
from evswap_local.processes import Processes
from evswap_local.settings import Reporting, Settings


@pytest.mark.parametrize("reporting", list(Reporting))
def test_the_edge_understands_what_is_written(tmp_path: Path, reporting: Reporting) -> None:
    state = StateFolder(tmp_path)
    settings = Settings(stations=12, interval_s=0.2, reporting=reporting, mqtt_port=38883, bays=35, speed=10)
    state.fleet_config.write_text(yaml.safe_dump(dict(configuration(state, settings, keep_network(state)))))
    read = read_fleet(state.fleet_config)
    assert tuple(station.station_id for station in read.stations) == tuple(settings.station_ids())
    first = read.stations[0]
    assert first.sampling.interval_s == 0.2
    assert first.reporting.mode.value == reporting.value
    assert first.transport.settings.port == 38883
    assert first.transport.settings.certificate_file == state.certificates / "station-01.cert.pem"
    assert first.outbox_path.parent == state.stations / "station-01"
    assert (first.driver.settings.bays, first.driver.settings.speed) == (35, 10)
    assert first.swaps.enabled
    assert len({station.location for station in read.stations} - {None}) == 12


def test_what_waits_in_an_outbox_is_counted_while_a_station_has_it_open(tmp_path: Path) -> None:
    async def counted() -> dict[str, int]:
        path, time = tmp_path / "station-01" / "outbox.sqlite", SystemTime()
        outbox = await Outbox.open(path, station_id="station-01", time=time)
        for _ in range(3):
            await outbox.append(lambda stream_id, sequence: b"%d" % sequence, stamp=stamp_now(time))
        try:
            return depths(tmp_path)
        finally:
            await outbox.aclose()

    (tmp_path / "station-01").mkdir()
    assert asyncio.run(counted()) == {"station-01": 3}


def test_a_file_that_is_no_outbox_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "station-01").mkdir()
    (tmp_path / "station-01" / "outbox.sqlite").write_text("no database")
    assert depths(tmp_path) == {}


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "without a word"),
        (
            '{"level": "info", "message": "first"}\n{"level": "error", "message": "the key is gone"}\n',
            "key is gone",
        ),
        ("Traceback\nValueError: no\n", "ValueError: no"),
    ],
)
def test_a_fleet_that_ended_is_quoted(tmp_path: Path, log: str, words: str) -> None:
    processes = Processes(run=tmp_path, logs=tmp_path)
    processes.log_of(NAME).write_text(log)
    with pytest.raises(DidNotStart, match=words):
        demand_alive(processes)
