"""A station that is replaced while it runs, by its owner and from afar. The stations are played: it is about
who runs when. That nothing is lost by it is in test_remote_mosquitto.py and test_greengrass_component.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.config import Configuration, StationConfig, read_station
from evswap_edge.documents import ConfigurationError
from evswap_edge.hal import DriverUnavailable
from evswap_edge.outbox import OutboxError
from evswap_edge.remote.adjustments import adjusted, patched, settings_of, shallow
from evswap_edge.supervision import Supervisor
from evswap_edge.testing import ManualTime
from evswap_edge.transports import CredentialsError, RestartRequired
from tests.edge.conftest import Eventually

nested = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
        ),
        max_leaves=6,
    ),
)

FILE = """\
station_id: station-01
driver: {{name: simulated, bays: {bays}}}
outbox: {{path: outbox.sqlite}}
sampling: {{interval_s: {interval_s}}}
transport: {{name: memory}}
"""


def configuration(folder: Path, *, bays: int = 8, interval_s: float = 5.0) -> Configuration:
    file = folder / "station.yaml"
    file.write_text(FILE.format(bays=bays, interval_s=interval_s))
    return read_station(file)


def over_aws(folder: Path, *, interval_s: float = 5.0) -> Configuration:
    """With files that are not there."""
    file = folder / "station.yaml"
    link = "{name: aws-iot, host: h, certificate_file: a.pem, key_file: b.pem}"
    text = FILE.format(bays=8, interval_s=interval_s).replace("{name: memory}", link)
    file.write_text(text)
    return read_station(file)


class Stations:
    """What ran, one after another; ``cannot_begin`` says whose hardware is not there."""

    def __init__(self) -> None:
        self.begun: list[StationConfig] = []
        self.ended = 0
        self.phases: list[float] = []
        self.cannot_begin: dict[Any, Exception] = {}
        self.fails = asyncio.Event()
        self.failure: Exception = RestartRequired("the nucleus is gone")

    async def run(
        self,
        config: StationConfig,
        time: Any,
        stop: asyncio.Event,
        *,
        phase_s: float,
        begun: asyncio.Event,
        control: Any,
    ) -> None:
        assert len(self.begun) == self.ended, "two at a time"
        if problem := self.cannot_begin.get(config.sampling.interval_s):
            raise problem
        self.begun.append(config)
        self.phases.append(phase_s)
        begun.set()
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self.fails)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self.ended += 1
        if self.fails.is_set():
            raise self.failure

    @property
    def intervals(self) -> list[float]:
        return [config.sampling.interval_s for config in self.begun]


class Supervised:
    def __init__(self, folder: Path, stations: Stations) -> None:
        self.levels: list[str] = []
        self.stations = stations
        self.stop = asyncio.Event()
        self.supervisor = Supervisor(ManualTime(), run=stations.run, log_from=self.levels.append, phase_s=1.5)
        self.task = asyncio.create_task(self.supervisor.run(configuration(folder), self.stop))


@asynccontextmanager
async def supervised(folder: Path, stations: Stations | None = None) -> AsyncIterator[Supervised]:
    one = Supervised(folder, stations or Stations())
    try:
        await asyncio.wait(
            {one.task, asyncio.ensure_future(one.supervisor.begun.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        yield one
    finally:
        one.stop.set()
        await asyncio.gather(one.task, return_exceptions=True)


# --- by its owner -------------------------------------------------------------------------------------------


async def test_one_follows_the_other_and_the_first_sample_is_due_once(tmp_path: Path) -> None:
    async with supervised(tmp_path) as one:
        await one.supervisor.replace(configuration(tmp_path, interval_s=10))
        assert one.stations.intervals == [5.0, 10.0]
        assert one.stations.phases == [1.5, 0.0]
        await one.supervisor.replace(configuration(tmp_path, interval_s=10))
        assert one.stations.intervals == [5.0, 10.0]
    assert one.stations.ended == 2


@pytest.mark.parametrize(
    "problem", [DriverUnavailable(device="i2c-1", reason="no bus"), OutboxError(Path("x"), "is broken")]
)
async def test_one_that_cannot_begin_gives_the_place_back(
    tmp_path: Path, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(tmp_path) as one:
        one.stations.cannot_begin[10.0] = problem
        with pytest.raises(type(problem)):
            await one.supervisor.replace(configuration(tmp_path, interval_s=10))
        assert one.stations.intervals == [5.0, 5.0]
        assert one.supervisor.configuration == configuration(tmp_path)
    assert "the one before stays" in caplog.text


async def test_without_the_credentials_for_it_nothing_is_even_stopped(tmp_path: Path) -> None:
    async with supervised(tmp_path) as one:
        with pytest.raises(CredentialsError):
            await one.supervisor.replace(over_aws(tmp_path))
        assert (one.stations.intervals, one.stations.ended) == ([5.0], 0)


async def test_credentials_that_are_of_no_use_already_forbid_no_other_change(
    tmp_path: Path,
) -> None:
    stations = Stations()
    supervisor = Supervisor(ManualTime(), run=stations.run, log_from=None)
    stop = asyncio.Event()
    task = asyncio.create_task(supervisor.run(over_aws(tmp_path), stop))
    await supervisor.begun.wait()
    await supervisor.replace(over_aws(tmp_path, interval_s=10))
    assert stations.intervals == [5.0, 10.0]
    stop.set()
    await task


async def test_a_station_that_ends_by_itself_ends_it_all_with_its_own_error(tmp_path: Path) -> None:
    async with supervised(tmp_path) as one:
        one.stations.fails.set()
        with pytest.raises(RestartRequired, match="the nucleus is gone"):
            await one.task


async def test_whoever_waits_for_a_change_is_let_go_when_it_all_ends(tmp_path: Path) -> None:
    async with supervised(tmp_path) as one:
        one.stop.set()
        async with asyncio.timeout(10):
            await one.supervisor.replace(configuration(tmp_path, interval_s=10))
            await one.task


async def test_whoever_does_not_wait_any_more_harms_nobody(tmp_path: Path, eventually: Eventually) -> None:
    async with supervised(tmp_path) as one:
        impatient = asyncio.create_task(one.supervisor.replace(configuration(tmp_path, interval_s=10)))
        await asyncio.sleep(0)
        impatient.cancel()
        await eventually(lambda: one.stations.intervals == [5.0, 10.0])
        await one.supervisor.replace(configuration(tmp_path, interval_s=15))
        assert one.stations.intervals == [5.0, 10.0, 15.0]


async def test_hardware_that_is_not_there_at_first_is_told(tmp_path: Path) -> None:
    stations = Stations()
    stations.cannot_begin[5.0] = DriverUnavailable(device="i2c-1", reason="no bus")
    async with supervised(tmp_path, stations) as one:
        with pytest.raises(DriverUnavailable):
            await one.task


# --- from afar ----------------------------------------------------------------------------------------------


def kept(folder: Path) -> Any:
    return json.loads((folder / "outbox.sqlite.adjustments").read_text())["adjustments"]


async def test_adjustments_lie_over_the_owner_s_and_outlive_a_restart(
    tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervised(tmp_path) as one:
        assert one.supervisor.adjust({"sampling": {"interval_s": 10}, "log": {"level": "debug"}})
        await eventually(lambda: one.stations.intervals == [5.0, 10.0])
        assert one.levels == ["info", "debug"]
        assert kept(tmp_path) == one.supervisor.adjustments
        await one.supervisor.replace(configuration(tmp_path, bays=4))
        assert one.stations.intervals == [5.0, 10.0, 10.0]
    caplog.set_level("INFO", logger="evswap_edge")
    async with supervised(tmp_path) as again:
        assert again.stations.intervals == [10.0]
        assert "configured from afar, over what its own file says: {'sampling'" in caplog.text
        assert again.supervisor.adjust({})
        await eventually(lambda: again.stations.intervals == [10.0, 5.0])
        assert kept(tmp_path) == {}


async def test_adjustments_that_change_nothing_replace_nobody(tmp_path: Path, eventually: Eventually) -> None:
    async with supervised(tmp_path) as one:
        assert not one.supervisor.adjust({"sampling": {"interval_s": 5}})
        await eventually(lambda: one.supervisor.adjustments == {"sampling": {"interval_s": 5}})
        assert (one.stations.intervals, kept(tmp_path)) == ([5.0], one.supervisor.adjustments)


async def test_adjustments_that_cannot_be_used_are_refused_as_a_whole(tmp_path: Path) -> None:
    async with supervised(tmp_path) as one:
        with pytest.raises(ConfigurationError, match=r"sampling\.interval_s"):
            one.supervisor.adjust({"reporting": {"batch_age_s": 30}, "sampling": {"interval_s": -1}})
        assert one.supervisor.refusal is not None
        assert one.supervisor.refusal.key == "sampling.interval_s"
        assert (one.stations.intervals, one.supervisor.adjustments) == ([5.0], {})


async def test_adjustments_under_which_it_cannot_begin_are_taken_back(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with supervised(tmp_path) as one:
        one.stations.cannot_begin[10.0] = OutboxError(tmp_path, "no room")
        assert one.supervisor.adjust({"sampling": {"interval_s": 10}})
        await eventually(lambda: one.stations.intervals == [5.0, 5.0])
        assert one.supervisor.refusal is not None
        assert "no room" in one.supervisor.refusal.reason
        assert (one.supervisor.adjustments, kept(tmp_path)) == ({}, {})
        one.stations.cannot_begin.clear()
        one.supervisor.adjust({"sampling": {"interval_s": 10}})
        await eventually(lambda: one.stations.intervals == [5.0, 5.0, 10.0])
        await eventually(lambda: one.supervisor.refusal is None)


@pytest.mark.parametrize(
    "found",
    [
        "{ half",
        '{"station_id": "station-02", "adjustments": {"sampling": {"interval_s": 10}}}',
        '{"station_id": "station-01", "adjustments": {"sampling": {"interval_s": -1}}}',
        '{"station_id": "station-01", "adjustments": {"sampling": {"gone": 1}}}',
        '{"station_id": "station-01", "adjustments": []}',
        "[]",
    ],
    ids=["torn", "of a copied card", "out of range", "of another version", "no map", "no object"],
)
async def test_adjustments_that_no_longer_apply_do_not_keep_a_station_down(
    tmp_path: Path, found: str
) -> None:
    (tmp_path / "outbox.sqlite.adjustments").write_text(found)
    async with supervised(tmp_path) as one:
        assert one.stations.intervals == [5.0]
    assert (tmp_path / "outbox.sqlite.adjustments").read_text() == found


async def test_adjustments_under_which_it_cannot_begin_any_more_do_not_keep_it_down(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite.adjustments").write_text(
        '{"station_id": "station-01", "adjustments": {"sampling": {"interval_s": 10}}}'
    )
    stations = Stations()
    stations.cannot_begin[10.0] = OutboxError(tmp_path, "no room")
    async with supervised(tmp_path, stations) as one:
        assert one.stations.intervals == [5.0]
        assert one.supervisor.refusal is not None


async def test_one_station_of_many_says_nothing_about_the_logs_of_all(tmp_path: Path) -> None:
    stations, stop = Stations(), asyncio.Event()
    supervisor = Supervisor(ManualTime(), run=stations.run, log_from=None)
    running = asyncio.create_task(supervisor.run(configuration(tmp_path), stop))
    await supervisor.begun.wait()
    with pytest.raises(ConfigurationError, match="log: unknown key"):
        supervisor.adjust({"log": {"level": "debug"}})
    stop.set()
    await running


def test_what_may_wait_can_be_bounded_from_afar_and_not_where(tmp_path: Path) -> None:
    base = configuration(tmp_path)
    wanted = adjusted(base, {"outbox": {"max_bytes": 4_194_304}})
    assert wanted.stations[0].outbox_bounds.max_bytes == 4_194_304
    assert wanted.stations[0].outbox_path == base.stations[0].outbox_path
    assert settings_of(wanted)["outbox"] == {"max_bytes": 4_194_304, "max_age_days": 30.0}
    with pytest.raises(ConfigurationError, match=r"outbox\.path: unknown key"):
        adjusted(base, {"outbox": {"path": "/elsewhere"}})
    with pytest.raises(ConfigurationError, match=r"outbox\.max_bytes: expected"):
        adjusted(base, {"outbox": {"max_bytes": 1}})


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({}, {"log": {"level": "debug"}}, {"log": {"level": "debug"}}),
        ({"log": {"level": "debug"}}, {"log": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1}}, {}, {"a": {"b": 1}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_a_patch_takes_away_what_is_null(before: Any, patch: Any, after: Any) -> None:
    kept = json.dumps(before)
    assert patched(before, patch) == after
    assert json.dumps(before) == kept


@given(nested)
def test_what_strangers_nest_is_emptied_and_the_rest_is_as_it_was(told: Any) -> None:
    seen = shallow(told)
    assert seen.keys() == told.keys()
    for name, section in told.items():
        if isinstance(section, dict):
            assert seen[name].keys() == section.keys()
            for key, value in section.items():
                assert seen[name][key] == (type(value)() if isinstance(value, dict | list) else value)
