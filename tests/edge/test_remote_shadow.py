"""The configuration that is wished for in the station's shadow. The service is played, by AWS's rules; the
local AWS plays it in tests/local/test_shadow.py."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.message import Message
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Outcome, SetConfiguration, shadow
from tests.edge.conftest import Eventually
from tests.edge.remote import STATION, Bench


class Service:
    """AWS's shadow service behind ``link``: merges, counts versions, answers, and tells of the difference."""

    def __init__(self, link: MemoryTransport) -> None:
        self.state: dict[str, Any] = {}
        self.version = 0
        self._link = link
        self._accepts = link._accept
        link._accept = self._accept  # type: ignore[method-assign]

    @property
    def reported(self) -> dict[str, Any]:
        return dict(self.state.get("reported", {}))

    def wish(self, desired: Any) -> None:
        """As an operator does."""
        self._update({"state": {"desired": desired}})

    def _accept(self, message: Message) -> None:
        self._accepts(message)
        if message.topic == shadow.shadow_topic(STATION, shadow.GET):
            self._answer_get()
        elif message.topic == shadow.shadow_topic(STATION, shadow.UPDATE):
            self._update(json.loads(message.payload))

    def _answer_get(self) -> None:
        if self.version:
            self.say(shadow.GET_ACCEPTED, {"state": self.state, "version": self.version})
        else:
            self.say(shadow.GET_REJECTED, {"code": 404, "message": "No shadow exists"})

    def _update(self, update: Mapping[str, Any]) -> None:
        self.version += 1
        merge(self.state, update["state"])
        self.say(shadow.UPDATE_ACCEPTED, {"state": update["state"], "version": self.version})
        delta = difference(self.state.get("desired", {}), self.state.get("reported", {}))
        if delta:
            self.say(shadow.DELTA, {"state": delta, "version": self.version})

    def say(self, what: str, document: Any) -> None:
        self._link.deliver(shadow.shadow_topic(STATION, what), json.dumps(document).encode())


def merge(base: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, Mapping):
            merge(base.setdefault(key, {}), value)
        else:
            base[key] = value


def difference(desired: Mapping[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in desired.items():
        other = reported.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            if inner := difference(value, other):
                found[key] = inner
        elif value != other:
            found[key] = value
    return found


@asynccontextmanager
async def followed(
    folder: Path, eventually: Eventually, desired: Any = None
) -> AsyncIterator[tuple[Bench, Service]]:
    """A station at work, and its shadow, in which ``desired`` may stand from the beginning."""
    bench = Bench(folder, eventually)
    async with bench.at_work(connected=False):
        service = Service(bench.link)
        if desired is not None:
            service.wish(desired)
        await bench.link.connect()
        yield bench, service


def interval(bench: Bench) -> float:
    return bench.control.configuration.stations[0].sampling.interval_s


async def test_a_station_reports_what_it_runs_with_and_so_makes_its_shadow(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with followed(tmp_path, eventually) as (_, service):
        await eventually(lambda: service.reported)
        assert service.reported["sampling"] == {"interval_s": 5.0, "sensor_timeout_s": 2.0}
        assert service.reported["log"] == {"level": "info"}
        assert not {"station_id", "driver", "transport"} & service.reported.keys()
        assert "path" not in service.reported.get("outbox", {})


async def test_what_was_wished_for_meanwhile_is_followed_on_connecting(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with followed(tmp_path, eventually, {"sampling": {"interval_s": 10}}) as (bench, service):
        await eventually(lambda: service.reported.get("sampling", {}).get("interval_s") == 10)
        assert interval(bench) == 10
        assert bench.control.asked == [{"sampling": {"interval_s": 10}}]


async def test_what_is_wished_for_now_is_followed_at_once_and_reported(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with followed(tmp_path, eventually) as (bench, service):
        await eventually(lambda: service.reported)
        service.wish({"sampling": {"interval_s": 10}, "log": {"level": "debug"}})
        await eventually(lambda: service.reported["log"] == {"level": "debug"})
        service.wish({"log": {"level": "warning"}})
        await eventually(lambda: service.reported["log"] == {"level": "warning"})
        assert bench.control.adjustments == {"sampling": {"interval_s": 10}, "log": {"level": "warning"}}
        assert difference(service.state["desired"], service.reported) == {}


@pytest.mark.parametrize(
    ("desired", "key"),
    [
        ({"sampling": {"interval_s": 10, "sensor_timeout_s": -1}}, "sampling.sensor_timeout_s"),
        ({"sampling": {"interval_s": "10"}}, "sampling.interval_s"),
        ({"samplign": {}}, "samplign"),
        ({"station_id": "station-02"}, "station_id"),
        ({"transport": {"name": "memory"}}, "transport"),
        ({"sampling": 5}, "sampling"),
    ],
)
async def test_a_wish_that_cannot_be_had_is_refused_as_a_whole_and_said_so(
    tmp_path: Path,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    desired: Any,
    key: str,
) -> None:
    async with followed(tmp_path, eventually) as (bench, service):
        await eventually(lambda: service.reported)
        service.wish(desired)
        await eventually(lambda: service.reported.get(shadow.REFUSED))
        assert service.reported[shadow.REFUSED]["key"] == key
        assert service.reported[shadow.REFUSED]["reason"]
        assert bench.control.configuration == bench.control.base
        # Its own report makes a delta again: it is not looked at a second time.
        assert len(bench.control.asked) == 1
        service.wish(dict.fromkeys(desired))
        await eventually(lambda: shadow.REFUSED not in service.reported)
        service.wish({"sampling": {"interval_s": 7}})
        await eventually(lambda: service.reported["sampling"]["interval_s"] == 7)
    assert caplog.text.count("wished configuration refused") == 1


async def test_one_under_which_the_station_cannot_begin_is_reported_too(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with followed(tmp_path, eventually) as (bench, service):
        await eventually(lambda: service.reported)
        bench.control.refuses = "the disk is full"
        service.wish({"sampling": {"interval_s": 10}})
        await eventually(lambda: service.reported.get(shadow.REFUSED))
        assert service.reported[shadow.REFUSED] == {"key": "", "reason": "the disk is full"}
        assert service.reported["sampling"]["interval_s"] == 5


async def test_what_comes_late_is_not_followed(tmp_path: Path, eventually: Eventually) -> None:
    async with followed(tmp_path, eventually) as (bench, service):
        await eventually(lambda: service.reported)
        service.wish({"sampling": {"interval_s": 10}})
        await eventually(lambda: interval(bench) == 10)
        service.say(shadow.DELTA, {"state": {"sampling": {"interval_s": 99}}, "version": 1})
        service.wish({"log": {"level": "debug"}})
        await eventually(lambda: service.reported["log"] == {"level": "debug"})
        assert {"sampling": {"interval_s": 99}} not in bench.control.asked
        assert interval(bench) == 10


@pytest.mark.parametrize("what", shadow.ANSWERS)
@pytest.mark.parametrize(
    "payload", [b"", b"{ half", b"[]", b'{"state": 5, "version": 9}', b'{"version": "x"}', b"\xff"]
)
async def test_what_makes_no_sense_harms_nothing(
    tmp_path: Path, eventually: Eventually, what: str, payload: bytes
) -> None:
    async with followed(tmp_path, eventually) as (bench, service):
        await eventually(lambda: service.reported)
        bench.link.deliver(shadow.shadow_topic(STATION, what), payload)
        service.version = 10
        service.wish({"sampling": {"interval_s": 10}})
        await eventually(lambda: interval(bench) == 10)


async def test_a_command_writes_into_the_wish_too(tmp_path: Path, eventually: Eventually) -> None:
    """Or the wish, which has the last word, would undo it on the next connection."""
    async with followed(tmp_path, eventually, {"sampling": {"interval_s": 10}}) as (bench, service):
        await eventually(lambda: interval(bench) == 10)
        command = SetConfiguration(configuration={"sampling": {"interval_s": 20}})
        assert (await bench.done(bench.command("c-1", command))).outcome is Outcome.DONE
        assert service.state["desired"] == {"sampling": {"interval_s": 20}}
        bench.link.cut()
        await bench.link.connect()
        await eventually(lambda: bench.link.accepted[-1].topic == shadow.shadow_topic(STATION, shadow.GET))
        assert interval(bench) == 20


async def test_every_link_reports_and_asks(tmp_path: Path, eventually: Eventually) -> None:
    async with followed(tmp_path, eventually) as (bench, service):
        await eventually(lambda: service.version)
        bench.link.cut()
        service.state["desired"] = {"sampling": {"interval_s": 10}}
        await bench.link.connect()
        await eventually(lambda: service.reported["sampling"]["interval_s"] == 10)
        assert interval(bench) == 10


async def test_without_the_permission_for_it_a_station_goes_on_without(
    tmp_path: Path, eventually: Eventually
) -> None:
    bench = Bench(tmp_path, eventually)
    async with bench.at_work(connected=False):
        bench.link.refused_filters |= {shadow.shadow_topic(STATION, answer) for answer in shadow.ANSWERS}
        await bench.link.connect()
        command = SetConfiguration(configuration={"sampling": {"interval_s": 20}})
        assert (await bench.done(bench.command("c-1", command))).outcome is Outcome.DONE
