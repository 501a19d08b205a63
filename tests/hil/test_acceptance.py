"""The acceptance check against a stack that is right, and against stacks that are wrong in one thing each."""

import itertools
import json

import msgspec
import pytest

from evswap_hil.__main__ import main
from evswap_hil.check.acceptance import MISBEHAVIOUR, Acceptance, Limits
from evswap_hil.check.outcome import carry_out
from evswap_hil.observers.rest import RestObserver
from evswap_hil.stack import Stack, read_stack

STATIONS = ("station-01", "station-02")

VISIBLE = "stations are visible with the seed's seven fields"
SHOWN = "what the visitor publishes is in the API"
FOREIGN_TOPIC = "the visitor on another station's topic"
FOREIGN_CLIENT_ID = "the visitor under another client id"
STILL_SERVED = "the visitor is still served after these"
MOVES = "the state of the stations moves"


class Cloud:
    """Keeps what the broker let through, and stations that report with every look at them."""

    def __init__(self, broker):
        self._broker = broker
        self._clock = itertools.count()
        self.stations = STATIONS
        self.stand_still = False
        self.forgets_humidity = False

    def answer(self, request):
        states = {station: self._simulated(station) for station in self.stations}
        states |= {reading["station_id"]: reading for reading in map(json.loads, self._broker.published)}
        _prefix, _slash, station = request.path.partition("/stations/")
        if not station:
            return 200, {"count": len(states), "stations": list(states.values())}
        return (200, states[station]) if station in states else (404, {})

    def _simulated(self, station):
        state = {
            "station_id": station,
            "battery_available": 4,
            "battery_charging": 4,
            "temperature": 20,
            "humidity": 50,
            "status": "operational",
            "timestamp": f"T{0 if self.stand_still else next(self._clock)}",
        }
        if self.forgets_humidity:
            del state["humidity"]
        return state


@pytest.fixture
def cloud(api, broker):
    running = Cloud(broker)
    api.answer = running.answer
    broker.owner = "visitor"
    return running


@pytest.fixture
def stack_file(cloud, broker, api, authority, tmp_path):
    for station in (*STATIONS, "visitor"):
        authority.issue(station)
    file = tmp_path / "stack.json"
    stack = Stack(
        api_url=api.url,
        mqtt_host="127.0.0.1",
        mqtt_port=broker.port,
        ca_file=authority.certificate,
        aws_endpoint_url=api.url,
        region="us-east-1",
        archive_bucket="archive",
        stations_table="stations",
        certificates_dir=tmp_path,
        visitor_station_id="visitor",
    )
    file.write_bytes(msgspec.json.encode(stack, enc_hook=str))
    return file


@pytest.fixture
def failed(stack_file):
    """Check the stack with little patience, and return the names of what failed."""

    def check():
        stack = read_stack(stack_file)
        limits = Limits(stations=len(STATIONS), visible_within=2, shown_within=2, moves_within=2)
        with RestObserver(stack.api_url) as api:
            outcomes = [carry_out(item, MISBEHAVIOUR) for item in Acceptance(stack, api, limits).checks()]
        return {outcome.name for outcome in outcomes if not outcome.passed}

    return check


def test_a_stack_that_is_right_passes(failed):
    assert failed() == set()


def test_a_broker_that_lets_everybody_write_everything_is_found(failed, broker):
    broker.owner = None
    assert {FOREIGN_TOPIC, FOREIGN_CLIENT_ID} <= failed()


def test_a_station_that_is_not_visible_is_found(failed, cloud):
    cloud.stations = STATIONS[:1]
    assert {VISIBLE, MOVES} <= failed()


def test_a_missing_field_is_found(failed, cloud):
    cloud.forgets_humidity = True
    assert failed() == {VISIBLE}


def test_stations_that_stand_still_are_found(failed, cloud):
    cloud.stand_still = True
    assert failed() == {MOVES}


def test_a_message_that_is_accepted_and_lost_is_found(failed, broker):
    broker.loses = True
    assert failed() == {SHOWN, STILL_SERVED}


def test_a_broker_that_is_down_is_no_refusal(failed, stack_file, closed_port):
    described = json.loads(stack_file.read_text()) | {"mqtt_port": closed_port}
    stack_file.write_text(json.dumps(described))
    assert {SHOWN, FOREIGN_TOPIC, FOREIGN_CLIENT_ID, STILL_SERVED} <= failed()


def test_the_command_needs_a_stack(tmp_path, capsys):
    assert main(["check", "--stack", str(tmp_path / "stack.json")]) == 2
    assert "make up" in capsys.readouterr().err


def test_the_command_says_what_failed_and_writes_the_report(stack_file, api, tmp_path, capsys):
    api.answer = lambda _request: (500, {})
    report = tmp_path / "check.xml"
    assert main(["check", "--stack", str(stack_file), "--junit", str(report)]) == 1
    printed = capsys.readouterr().out
    assert f"FAIL  {VISIBLE}" in printed
    assert "answered 500" in printed
    assert report.exists()
