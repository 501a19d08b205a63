"""The events of a station, asked for as API Gateway does."""

from datetime import timedelta
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS30Validator

from evswap_cloud.api.paging import encode_cursor
from evswap_cloud.errors import EventStoreError
from evswap_cloud.events import EventPage
from evswap_cloud.memory import MemoryEvents, MemoryLatestStates
from evswap_schema import Authority, Event, Reading, SwappedBattery
from tests.cloud.api_client import Client
from tests.cloud.messages import NOW, STACK, delivered, reading
from tests.cloud.station_events import alarm, delivered_event, inventory, refusal, station_event, swap
from tests.cloud.stores import Stores


def events_client(*events: Event, stations: tuple[Reading, ...] = ()) -> Client:
    stores = Stores()
    report = stores.events.process([delivered_event(one, f"r{n}") for n, one in enumerate(events)])
    assert (report.failures, report.quarantined) == ((), ())
    stores.live.process([delivered(one) for one in stations])
    return Client(stores.latest, stores.kept)


def test_an_alarm_is_shown_with_its_count_and_its_arrival() -> None:
    dropped = alarm(3, detail="outbox full", acknowledge=True)
    answer = events_client(dropped).request("/stations/station-01/events")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.body == {
        "count": 1,
        "events": [
            {
                "kind": "alarm",
                "station_id": "station-01",
                "stream_id": "e",
                "sequence": 3,
                "timestamp": "2026-11-23T08:15:29.250000Z",
                "clock": "synchronized",
                "alarm": "samples_dropped",
                "state": "raised",
                "severity": "warning",
                "detail": "outbox full",
                "count": 17,
                "received_at": "2026-11-23T08:15:30.250000Z",
            }
        ],
    }


def test_a_swap_is_shown_with_its_batteries() -> None:
    [shown] = events_client(swap()).request("/stations/station-01/events").body["events"]
    assert (shown["kind"], shown["step"], shown["request_id"]) == ("swap", "battery_in", 7)
    assert shown["batteries"] == [{"bay": 3, "serial_number": "B-1", "soc": 12.5, "soh": 97.0}]


def test_an_event_from_the_future_says_so() -> None:
    ahead = alarm(timestamp=NOW + timedelta(days=1))
    [shown] = events_client(ahead).request("/stations/station-01/events").body["events"]
    assert shown["flags"] == ["future_timestamp"]
    assert shown["timestamp"] == "2026-11-24T08:15:30.250000Z"


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7])
def test_pages_of_events_hold_each_once_the_newest_first(count: int) -> None:
    sent = [alarm(number, timestamp=NOW - timedelta(minutes=number)) for number in range(count)]
    client = events_client(*sent[::-1], alarm(99, station_id="station-02"))
    seen: list[int] = []
    query = {"limit": "3"}
    for _ in range(count):
        page = client.request("/stations/station-01/events", **query).body
        assert 0 < page["count"] == len(page["events"]) <= 3
        seen += [shown["sequence"] for shown in page["events"]]
        if "next_cursor" not in page:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == list(range(count))


def test_a_station_without_events_has_an_empty_page_and_one_that_nobody_knows_is_not_found() -> None:
    client = events_client(stations=(reading(),))
    assert client.request("/stations/station-01/events").body == {"count": 0, "events": []}
    answer = client.request("/stations/nope/events")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_station_that_sent_nothing_but_events_is_found() -> None:
    assert events_client(alarm()).request("/stations/station-01/events").body["count"] == 1


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/stations/a b/events", {}, "station_id"),
        ("/stations/station-01/events", {"limit": "501"}, "limit"),
        ("/stations/station-01/events", {"cursor": "x"}, "cursor"),
        ("/stations/station-01/events", {"cursor": encode_cursor("station-01")}, "cursor"),
        ("/stations", {"cursor": encode_cursor(station_event(alarm()).place)}, "cursor"),
    ],
)
def test_what_cannot_be_asked_of_events_is_named(path: str, query: dict[str, str], field: str) -> None:
    answer = events_client(alarm()).request(path, **query)
    assert (answer.status, answer.body["field"]) == (400, field)


def test_events_answer_a_preflight_and_refuse_other_methods() -> None:
    client = events_client()
    assert client.request("/stations/station-01/events", method="OPTIONS").status == 204
    refused = client.request("/stations/station-01/events", method="POST")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD,OPTIONS")


def test_a_store_of_events_that_fails_is_our_fault_and_shows_nothing() -> None:
    class Broken(MemoryEvents):
        def page(self, station_id: str, *, limit: int, before: str | None) -> EventPage:
            raise EventStoreError(operation="read", target="station-01", code="ThrottlingException")

    client = Client(MemoryLatestStates(), Broken())
    answer = client.request("/stations/station-01/events")
    assert answer.status == 500
    assert "Throttling" not in answer.text


def test_the_answers_are_as_the_description_says_and_hold_all_that_it_names() -> None:
    schemas: dict[str, Any] = yaml.safe_load((STACK / "openapi.yaml").read_text())["components"]["schemas"]
    of_event = schemas["Event"]["properties"]
    of_event["batteries"]["items"] = of_event["battery"] = schemas["SwappedBattery"]
    of_event["bays"]["items"] = schemas["InventoryBay"]
    schemas["EventPage"]["properties"]["events"]["items"] = schemas["Event"]
    full = alarm(1, bay=3, detail="why", timestamp=NOW + timedelta(hours=1))
    offline = swap(2, authority=Authority.OFFLINE, authorisation_id="A-1")
    foreign = refusal(4, battery=SwappedBattery(bay=3, serial_number="X", soc=1.0, soh=2.0))
    client = events_client(full, offline, alarm(3), foreign, inventory(5))
    page = client.request("/stations/station-01/events", limit="2").body
    OAS30Validator(schemas["EventPage"]).validate(page)
    assert page.keys() == schemas["EventPage"]["properties"].keys()
    shown = client.request("/stations/station-01/events").body["events"]
    for event in shown:
        OAS30Validator(schemas["Event"]).validate(event)
    assert {name for event in shown for name in event} == schemas["Event"]["properties"].keys()
    assert set.intersection(*(set(event) for event in shown)) == set(schemas["Event"]["required"])
