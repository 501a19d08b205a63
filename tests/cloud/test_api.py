"""The REST API over stores in memory, asked with events as API Gateway writes them."""

from datetime import timedelta
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS30Validator

from evswap_cloud.api.paging import DEFAULT_LIMIT, MAX_LIMIT, encode_cursor
from evswap_cloud.connection.sweep import sweep
from evswap_cloud.errors import LatestStateError
from evswap_cloud.latest import ANY, Page, StationState, Wanted
from evswap_cloud.memory import MemoryFigures, MemoryLatestStates
from evswap_schema import Location, Reading
from tests.cloud.api_client import EVENT, Client
from tests.cloud.messages import NOW, STACK, bay, delivered, reading
from tests.cloud.stores import Stores


def client_with(*readings: Reading, figures: MemoryFigures | None = None) -> Client:
    stores = Stores()
    report = stores.live.process([delivered(one, f"r{index}") for index, one in enumerate(readings)])
    assert (report.failures, report.quarantined) == ((), ())
    return Client(stores.latest, figures=figures)


def stations(count: int) -> list[Reading]:
    return [reading(station_id=f"station-{number:04}") for number in range(count)]


def test_the_seeds_answer_with_its_seven_fields() -> None:
    answer = client_with(reading()).request("/stations")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == {
        "count": 1,
        "stations": [
            {
                "station_id": "station-01",
                "battery_available": 12,
                "battery_charging": 4,
                "temperature": 28.5,
                "humidity": 42.0,
                "status": "operational",
                "timestamp": "2026-11-23T08:15:29.250000Z",
                "received_at": "2026-11-23T08:15:30.250000Z",
                "connection": "online",
            }
        ],
    }


def test_whole_numbers_are_written_whole_and_measurements_as_measured() -> None:
    text = client_with(reading(temperature=0.1, humidity=55.0)).request("/stations/station-01").text
    assert '"battery_available":12,' in text
    assert '"temperature":0.1,' in text
    assert '"humidity":55.0,' in text


def test_a_failed_sensor_is_null_and_not_absent() -> None:
    body = client_with(reading(temperature=None)).request("/stations/station-01").body
    assert body["temperature"] is None


def test_a_streams_reading_says_so() -> None:
    ahead = reading(stream_id="s", sequence=7, timestamp=NOW + timedelta(hours=1))
    body = client_with(ahead).request("/stations/station-01").body
    assert (body["stream_id"], body["sequence"], body["flags"]) == ("s", 7, ["future_timestamp"])
    assert "observed_at" not in body, "an inner affair of the store"


def test_one_station_shows_its_bays_by_their_numbers_and_a_page_does_not() -> None:
    client = client_with(
        reading(
            bays=(bay(11, reservation="reserved"), bay(2, occupancy="empty", charge="none", battery=None))
        )
    )
    assert client.request("/stations/station-01").body["bays"] == [
        {
            "bay": 2,
            "occupancy": "empty",
            "charge": "none",
            "lock": "locked",
            "reservation": "free",
            "health": "healthy",
            "timestamp": "2026-11-23T08:15:29.250000Z",
        },
        {
            "bay": 11,
            "occupancy": "occupied",
            "charge": "charging",
            "lock": "locked",
            "reservation": "reserved",
            "health": "healthy",
            "timestamp": "2026-11-23T08:15:29.250000Z",
            "battery": {
                "serial_number": "B-11",
                "soc": 50.0,
                "soh": 97.0,
                "temperature": 31.0,
                "cycles": 120,
            },
        },
    ]
    assert "bays" not in client.request("/stations").body["stations"][0]


def test_no_stations_is_an_empty_page() -> None:
    assert client_with().request("/stations").body == {"count": 0, "stations": []}


@pytest.mark.parametrize("count", [1, 6, 7, 8, 14, 20])
def test_pages_hold_every_station_once_and_the_last_announces_no_other(count: int) -> None:
    client = client_with(*stations(count))
    seen: list[str] = []
    query = {"limit": "7"}
    for _ in range(count):
        page = client.request("/stations", **query).body
        assert page["count"] == len(page["stations"]) <= 7
        assert page["count"] > 0
        seen += [station["station_id"] for station in page["stations"]]
        if "next_cursor" not in page:
            break
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == [station.station_id for station in stations(count)]


def test_a_page_has_the_default_size_unless_asked() -> None:
    client = client_with(*stations(DEFAULT_LIMIT + 1))
    assert client.request("/stations").body["count"] == DEFAULT_LIMIT
    assert client.request("/stations", limit=str(MAX_LIMIT)).body["count"] == DEFAULT_LIMIT + 1


@pytest.mark.parametrize("limit", ["0", "-1", "501", "ten", "", "1.0", " 5", "1e2", "٣", "9" * 5_000])
def test_a_limit_that_cannot_be_is_refused_by_name(limit: str) -> None:
    answer = client_with().request("/stations", limit=limit)
    assert (answer.status, answer.body["field"]) == (400, "limit")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["status"] == 400
    assert str(MAX_LIMIT) in answer.body["detail"]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "zz",
        "station-01",
        "é",
        "=" * 10,
        encode_cursor("station-01") + "=",
        encode_cursor("station-01")[:-1],
        encode_cursor("a/b"),
        encode_cursor(""),
        encode_cursor("x" * 65),
        "A" * 10_000,
    ],
)
def test_a_cursor_that_we_did_not_make_is_refused(cursor: str) -> None:
    answer = client_with(reading()).request("/stations", cursor=cursor)
    assert (answer.status, answer.body["field"]) == (400, "cursor")


def test_an_unknown_station_is_a_problem_that_names_it() -> None:
    answer = client_with().request("/stations/station-99")
    assert answer.status == 404
    assert answer.body == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "No station station-99 has reported.",
        "request_id": EVENT["requestContext"]["requestId"],
    }


@pytest.mark.parametrize("station_id", ["a b", "x" * 65, "a.b", "é", "a%2Fb"])
def test_what_cannot_be_a_station_id_is_refused(station_id: str) -> None:
    answer = client_with().request(f"/stations/{station_id}")
    assert answer.status in {400, 404}
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/nothing", "/stations/a/b", "/stationsx"])
def test_another_path_is_not_found(path: str) -> None:
    answer = client_with().request(path)
    assert (answer.status, answer.body["title"]) == (404, "Not Found")


@pytest.mark.parametrize("path", ["/stations", "/stations/station-01"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_another_method_is_not_allowed(path: str, method: str) -> None:
    answer = client_with(reading()).request(path, method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD,OPTIONS")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/stations", "/stations/station-01"])
def test_a_preflight_says_what_a_browser_may_do(path: str) -> None:
    answer = client_with().request(path, "OPTIONS")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET,HEAD,OPTIONS"
    assert "X-Api-Key" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("path", "method"),
    [("/stations", "GET"), ("/stations/none", "GET"), ("/nothing", "GET"), ("/stations", "POST")],
)
def test_every_answer_may_be_read_from_another_origin(path: str, method: str) -> None:
    assert client_with().request(path, method).headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/stations", "/stations/station-01", "/stations/none", "/nothing"])
def test_head_is_get_without_the_body(path: str) -> None:
    client = client_with(reading())
    got, head = client.request(path), client.request(path, "HEAD")
    assert (head.status, head.headers, head.text) == (got.status, got.headers, "")


def test_a_body_that_the_client_has_is_not_sent_again() -> None:
    client = client_with(reading())
    first = client.request("/stations/station-01")
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f'"other", W/{tag}', "*"):
        again = client.request_with({"if-none-match": known}, "/stations/station-01")
        assert (again.status, again.text) == (304, "")
        assert again.headers["ETag"] == tag
        assert again.headers["Access-Control-Allow-Origin"] == "*"
    for unknown in ('"other"', "", tag[:-1]):
        assert client.request_with({"If-None-Match": unknown}, "/stations/station-01").status == 200
    assert client.request("/stations").headers["ETag"] != tag


def test_a_problem_has_no_tag_and_is_not_kept() -> None:
    answer = client_with().request_with({"If-None-Match": "*"}, "/stations/none")
    assert answer.status == 404
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_every_answer_and_every_line_of_the_log_has_the_requests_id(method: str) -> None:
    client = client_with(reading())
    answer = client.request("/stations", method)
    assert answer.headers["X-Request-Id"] == EVENT["requestContext"]["requestId"]
    [logged] = client.log.lines
    assert logged["request_id"] == answer.headers["X-Request-Id"]
    assert (logged["method"], logged["path"], logged["status"]) == (method, "/stations", answer.status)


def test_stations_may_be_asked_for_by_their_status_and_what_they_have() -> None:
    client = client_with(
        reading(station_id="a", status="fault", battery_available=9),
        reading(station_id="b", battery_available=2),
        reading(station_id="c", battery_available=9),
    )

    def asked(**query: str) -> list[str]:
        return [station["station_id"] for station in client.request("/stations", **query).body["stations"]]

    assert asked(status="fault") == ["a"]
    assert asked(min_available="3") == ["a", "c"]
    assert asked(min_available="3", status="operational") == ["c"]
    assert asked(min_available="1000") == []


def at(latitude: float, longitude: float, **changes: Any) -> Reading:
    return reading(location=Location(latitude=latitude, longitude=longitude), **changes)


def test_stations_near_a_place_are_shown_with_their_distance_the_nearest_first() -> None:
    client = client_with(
        at(52.53, 13.405, station_id="north"),
        at(52.521, 13.405, station_id="next", status="fault"),
        at(48.1, 11.6, station_id="munich"),
        reading(station_id="nowhere"),
    )
    body = client.request("/stations", near="52.52,13.405").body
    assert [(one["station_id"], one["distance_km"]) for one in body["stations"]] == [
        ("next", 0.111),
        ("north", 1.112),
    ]
    assert (body["count"], body["searched_km"]) == (2, 5.0)
    assert body["stations"][0]["location"] == {"latitude": 52.521, "longitude": 13.405}
    only = client.request("/stations", near="52.52,13.405", radius_km="0.5", status="operational").body
    assert only["stations"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"near": ""}, "near"),
        ({"near": "52.5"}, "near"),
        ({"near": "52.5,"}, "near"),
        ({"near": "91,0"}, "near"),
        ({"near": "85.1,0"}, "near"),
        ({"near": "0,180.1"}, "near"),
        ({"near": "nan,nan"}, "near"),
        ({"near": "1e1,0"}, "near"),
        ({"near": "٣,0"}, "near"),
        ({"near": "1,2,3"}, "near"),
        ({"near": "1, 2"}, "near"),
        ({"near": "0,0", "radius_km": "0"}, "radius_km"),
        ({"near": "0,0", "radius_km": "50.1"}, "radius_km"),
        ({"near": "0,0", "radius_km": "-1"}, "radius_km"),
        ({"near": "0,0", "radius_km": "inf"}, "radius_km"),
        ({"radius_km": "1"}, "radius_km"),
        ({"near": "0,0", "cursor": encode_cursor("a")}, "cursor"),
        ({"status": "broken"}, "status"),
        ({"status": ""}, "status"),
        ({"min_available": "-1"}, "min_available"),
        ({"min_available": "1001"}, "min_available"),
        ({"min_available": "1.5"}, "min_available"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_by_name(query: dict[str, str], field: str) -> None:
    answer = client_with(reading()).request("/stations", **query)
    assert (answer.status, answer.body["field"]) == (400, field)


def test_the_fleet_is_shown_as_it_was_counted() -> None:
    figures = MemoryFigures()
    stores = Stores()
    stores.live.process([delivered(one) for one in (reading(), reading(station_id="b", status="fault"))])
    client = Client(stores.latest, figures=figures)
    assert client.request("/fleet").status == 404
    sweep(stores.latest, stores.latest, figures, NOW)
    assert client.request("/fleet").body == {
        "as_of": "2026-11-23T08:15:30.250000Z",
        "stations": 2,
        "connection": {"online": 2, "offline": 0, "stale": 0},
        "status": {"operational": 1, "degraded": 0, "maintenance": 0, "fault": 1},
        "battery_available": 24,
        "battery_charging": 8,
    }


class Throttled(MemoryLatestStates):
    def page(self, *, limit: int, after: str | None, wanted: Wanted = ANY) -> Page:
        raise LatestStateError(operation="read", target="arn:aws:dynamodb:secret", code="ThrottlingException")

    def get_with_bays(self, station_id: str) -> StationState | None:
        raise ZeroDivisionError("a defect of ours")


@pytest.mark.parametrize("path", ["/stations", "/stations/station-01"])
def test_our_own_failure_is_a_problem_that_gives_nothing_away(path: str) -> None:
    client = Client(Throttled())
    answer = client.request(path)
    assert answer.status == 500
    assert answer.body["detail"] == "The service failed. Try again in a moment."
    logged, answered = client.log.lines
    assert logged["level"] == "ERROR"
    assert "exception" in logged
    assert answered["status"] == 500
    assert {logged["request_id"], answered["request_id"]} == {answer.headers["X-Request-Id"]}


def test_the_answers_have_the_fields_that_the_description_names() -> None:
    schemas = yaml.safe_load((STACK / "openapi.yaml").read_text())["components"]["schemas"]
    full = at(
        *(52.52, 13.405),
        stream_id="s",
        sequence=1,
        clock="estimated",
        timestamp=NOW + timedelta(hours=1),
        bays=(bay(),),
    )
    client = client_with(full, *stations(2))
    near = client.request("/stations", near="52.52,13.405").body
    described = schemas["Station"]["properties"].keys()
    assert client.request("/stations/station-01").body.keys() | near["stations"][0].keys() == described
    [shown] = client.request("/stations/station-01").body["bays"]
    assert shown.keys() == schemas["Bay"]["properties"].keys()
    assert shown["battery"].keys() == schemas["BayBattery"]["properties"].keys()
    assert client.request("/stations/station-0001").body.keys() == set(schemas["Station"]["required"])
    pages = client.request("/stations", limit="1").body.keys() | near.keys()
    assert pages == schemas["StationPage"]["properties"].keys()
    problem = client.request("/stations", limit="0").body.keys()
    assert problem == schemas["Problem"]["properties"].keys()


def test_the_answers_are_as_the_description_says() -> None:
    schemas = yaml.safe_load((STACK / "openapi.yaml").read_text())["components"]["schemas"]
    schemas["StationPage"]["properties"]["stations"]["items"] = schemas["Station"]
    schemas["Bay"]["properties"]["battery"] = schemas["BayBattery"]
    schemas["Station"]["properties"]["bays"]["items"] = schemas["Bay"]
    schemas["Station"]["properties"]["location"] = schemas["Location"]
    bays = (bay(), bay(2, occupancy="empty", charge="none", battery=None))
    full = at(
        *(52.52, 13.405),
        stream_id="s",
        sequence=1,
        clock="estimated",
        temperature=None,
        humidity=7,
        bays=bays,
    )
    figures = MemoryFigures()
    client = client_with(full, *stations(3), figures=figures)
    sweep(client.latest, client.latest, figures, NOW)
    for name, answer in (
        ("Station", client.request("/stations/station-01")),
        ("StationPage", client.request("/stations", limit="2")),
        ("StationPage", client.request("/stations", near="52.52,13.405")),
        ("Fleet", client.request("/fleet")),
        ("Problem", client.request("/stations/none")),
        ("Problem", client.request("/stations", "POST")),
    ):
        OAS30Validator(schemas[name]).validate(answer.body)
