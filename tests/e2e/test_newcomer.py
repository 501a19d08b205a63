"""What somebody sees who has typed `make up` and nothing else."""

import json
import stat

import pytest

from evswap_hil.deadline import wait_until
from evswap_hil.observers.listeners import listeners
from tests.e2e.local_stack import AS_MADE, IN_TIME_S, STATIONS, LocalStack
from tests.e2e.messages import SEED_FIELDS

pytestmark = pytest.mark.any_maker(each=True)


def test_every_station_is_there_with_the_seven_fields(stack: LocalStack) -> None:
    with stack.api() as api:
        stations = api.stations()
    assert {station["station_id"] for station in stations} >= {
        f"station-{n:02}" for n in range(1, STATIONS + 1)
    }
    assert all(station.keys() >= SEED_FIELDS for station in stations)
    assert all(isinstance(station["battery_available"], int) for station in stations)


def test_their_state_keeps_changing(stack: LocalStack) -> None:
    with stack.api() as api:
        first = api.station("station-01")
        assert first is not None
        wait_until(
            lambda: (api.station("station-01") or first)["timestamp"] > first["timestamp"],
            what="a newer reading of station-01",
            within=IN_TIME_S,
        )


def test_each_station_has_a_certificate_and_a_key_of_its_own(stack: LocalStack) -> None:
    described = stack.described
    certificates = [described.certificate_of(station) for station in described.station_ids()]
    assert len({each.certificate.read_text() for each in certificates}) == STATIONS
    assert len({each.key.read_text() for each in certificates}) == STATIONS
    assert {stat.S_IMODE(each.key.stat().st_mode) for each in certificates} == {0o600}


def test_nothing_listens_beyond_loopback(stack: LocalStack) -> None:
    ours = [process for process in stack.remains() if process.is_running()]
    ports = {
        connection.laddr.port
        for process in ours
        for connection in process.net_connections("tcp")
        if connection.status == "LISTEN"
    }
    assert {stack.port, stack.mqtt_port} <= ports
    assert all(listener.on_loopback for listener in listeners(ports))


def test_pages_hold_every_station_once(stack: LocalStack) -> None:
    with stack.api() as api:
        pages = list(api.pages(page_size=2))
    ids = [station["station_id"] for page in pages for station in page]
    assert len(pages) > 1
    assert len(ids) == len(set(ids)) >= STATIONS


def test_status_tells_what_runs(stack: LocalStack) -> None:
    answer = stack.run("status", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)


def test_up_again_changes_nothing(stack: LocalStack) -> None:
    before = (stack.process("ministack").pid, stack.process("fleet").pid)
    stack.up(*AS_MADE)
    assert (stack.process("ministack").pid, stack.process("fleet").pid) == before
