"""The history of a station, asked for as API Gateway does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator

from evswap_cloud.api.periods import LONGEST, MAX_POINTS, Period, parse_period
from evswap_cloud.api.problems import ProblemError
from evswap_cloud.errors import MinuteStoreError
from evswap_cloud.history import FIELDS, RESOLUTIONS, Quarter
from evswap_cloud.memory import MemoryHistory
from evswap_schema import MinuteAggregate, format_timestamp
from tests.cloud.api_client import Client
from tests.cloud.messages import NOW, STACK, delivered, reading
from tests.cloud.minutes import BEGIN, batch_with, minute
from tests.cloud.stores import Stores

HISTORY = "/stations/station-01/history"
HOUR = {"from": format_timestamp(BEGIN), "to": format_timestamp(BEGIN + timedelta(hours=1))}


def client_with(*told: MinuteAggregate, latest: bool = False) -> Client:
    """The reading that came with the minutes was taken at 08:15:29.25; with ``latest`` it is the latest."""
    stores = Stores()
    stores.bulk.process([batch_with(told, backlog=not latest)] if told else [])
    if latest and not told:
        stores.live.process([delivered(reading())])
    return Client(stores.latest, history=stores.history)


def test_a_course_has_a_value_a_step_and_null_where_nothing_is_known() -> None:
    answer = client_with(minute(0), minute(2)).request(HISTORY, **HOUR, resolution="60", fields="temperature")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    body = answer.body
    assert body.keys() == {"station_id", "from", "to", "resolution", "count", "samples", "temperature"}
    assert (body["from"], body["to"]) == ("2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z")
    assert (body["resolution"], body["count"], body["samples"]) == (60, 60, [12, 0, 12] + [0] * 57)
    assert body["temperature"] == {
        "least": [20.5, None, 20.5] + [None] * 57,
        "mean": [20.75, None, 20.75] + [None] * 57,
        "greatest": [21.0, None, 21.0] + [None] * 57,
    }


def test_a_greater_step_takes_its_minutes_together() -> None:
    told = [minute(0, mean=3.0), minute(4, mean=6.0, samples=4), minute(5, mean=9.0)]
    body = client_with(*told).request(HISTORY, **HOUR, resolution="300").body
    assert body["samples"] == [16, 12] + [0] * 10
    assert body["battery_available"]["mean"][:3] == [3.75, 9.0, None]
    assert body["humidity"]["mean"] == [None] * 12


def test_a_period_is_widened_to_whole_steps() -> None:
    query = {"from": "2026-11-23T08:02:30.5Z", "to": "2026-11-23T09:17:00+01:00"}
    body = client_with(minute(0)).request(HISTORY, **query, resolution="300").body
    assert (body["from"], body["to"]) == ("2026-11-23T08:00:00Z", "2026-11-23T08:20:00Z")
    assert body["samples"] == [12, 0, 0, 0]


def test_the_latest_reading_stands_apart_where_it_is_newer_than_every_minute() -> None:
    client = client_with(minute(0), latest=True)
    latest = client.request(HISTORY, **HOUR, fields="humidity,battery_available").body["latest"]
    assert latest == {"timestamp": "2026-11-23T08:15:29.250000Z", "battery_available": 12, "humidity": 42.0}
    before = HOUR | {"to": format_timestamp(BEGIN + timedelta(minutes=15))}
    assert "latest" not in client.request(HISTORY, **before).body
    assert "latest" not in client_with(minute(0), minute(15), latest=True).request(HISTORY, **HOUR).body


def test_a_station_that_only_told_of_minutes_is_found_and_one_that_nobody_knows_is_not() -> None:
    assert "latest" not in client_with(minute(0)).request(HISTORY, **HOUR).body
    answer = client_with().request(HISTORY, **HOUR)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_a_station_without_minutes_has_a_course_of_gaps() -> None:
    body = client_with(latest=True).request(HISTORY, **HOUR).body
    assert body["samples"] == [0] * 60
    assert body["latest"]["temperature"] == 28.5


def test_nothing_has_to_be_said_for_the_last_day() -> None:
    body = client_with(latest=True).request(HISTORY).body
    begin, end = (datetime.fromisoformat(body[name]) for name in ("from", "to"))
    assert timedelta(days=1) <= end - begin <= timedelta(days=1, minutes=2)
    assert (body["resolution"], body["count"]) == (60, len(body["samples"]))
    assert abs(end - datetime.now(UTC)) < timedelta(minutes=2)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-23"}, "from"),
        ({"from": "2026-11-23T08:00:00"}, "from"),
        ({"from": "2026-02-30T08:00:00Z"}, "from"),
        ({"from": "1969-12-31T23:59:59Z", "to": "1970-01-01T00:00:00Z"}, "from"),
        ({"to": "9999-12-31T23:59:59Z"}, "to"),
        ({"to": "0001-01-01T00:00:00Z"}, "to"),
        ({"to": "2026-11-23T08:00:00 01:00"}, "to"),
        ({"from": "2026-11-23T08:00:00Z", "to": "2026-11-23T08:00:00Z"}, "from"),
        ({"from": "2026-11-24T08:00:00Z", "to": "2026-11-23T08:00:00Z"}, "from"),
        ({"from": "2026-10-01T08:00:00Z", "to": "2026-11-23T08:00:00Z"}, "from"),
        ({"from": "2026-11-21T08:00:00Z", "to": "2026-11-23T08:00:00Z", "resolution": "60"}, "resolution"),
        (HOUR | {"resolution": "61"}, "resolution"),
        (HOUR | {"resolution": "0"}, "resolution"),
        (HOUR | {"resolution": "-60"}, "resolution"),
        (HOUR | {"resolution": "60.0"}, "resolution"),
        (HOUR | {"resolution": "172800"}, "resolution"),
        (HOUR | {"resolution": "420"}, "resolution"),
        (HOUR | {"resolution": "٦٠"}, "resolution"),
        (HOUR | {"fields": ""}, "fields"),
        (HOUR | {"fields": "soc"}, "fields"),
        (HOUR | {"fields": "humidity,humidity"}, "fields"),
        (HOUR | {"fields": "humidity, temperature"}, "fields"),
    ],
)
def test_what_cannot_be_asked_is_named(query: dict[str, str], field: str) -> None:
    answer = client_with(minute(0)).request(HISTORY, **query)
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.body["field"] == field


def test_a_name_that_no_station_may_have_is_refused() -> None:
    answer = client_with().request("/stations/a b/history", **HOUR)
    assert (answer.status, answer.body["field"]) == (400, "station_id")


moments = st.integers(0, 253_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
resolutions = st.none() | st.sampled_from(RESOLUTIONS)


def period_or_refusal(query: dict[str, str]) -> Period | object:
    try:
        return parse_period(query, now=NOW)
    except ProblemError as error:
        return error.problem.field


@given(end=moments, length=st.timedeltas(timedelta(seconds=1), 2 * LONGEST), resolution=resolutions)
def test_every_period_is_bounded_and_holds_what_was_asked(
    end: datetime, length: timedelta, resolution: timedelta | None
) -> None:
    begin = max(end - length, datetime(1970, 1, 1, tzinfo=UTC))
    query = {"from": format_timestamp(begin), "to": format_timestamp(end)}
    if resolution is not None:
        query["resolution"] = str(int(resolution.total_seconds()))
    period = period_or_refusal(query)
    if not isinstance(period, Period):
        assert period in {"from", "resolution"}
        return
    assert period.begin <= begin < end <= period.end
    assert (period.end - period.begin) % period.resolution == timedelta(0)
    assert (period.end - period.begin) // period.resolution <= MAX_POINTS
    assert period.end - period.begin <= LONGEST + 2 * period.resolution
    assert period.resolution == (resolution or period.resolution)


def test_a_month_may_be_asked_for_and_comes_at_a_step_that_gives_points_enough() -> None:
    query = {"from": "2026-10-23T09:00:00Z", "to": "2026-11-23T09:00:00Z"}
    body = client_with(minute(0)).request(HISTORY, **query).body
    assert (body["resolution"], body["count"]) == (1_800, 31 * 48)


def test_a_store_of_minutes_that_fails_is_our_fault_and_shows_nothing() -> None:
    class Broken(MemoryHistory):
        def between(self, station_id: str, begin: datetime, end: datetime) -> tuple[Quarter, ...]:
            raise MinuteStoreError(operation="read", target=station_id, code="ThrottlingException")

    answer = Client(Stores().latest, history=Broken()).request(HISTORY, **HOUR)
    assert (answer.status, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "Throttling" not in answer.text


def test_a_history_answers_a_preflight_and_refuses_other_methods() -> None:
    client = client_with()
    assert client.request(HISTORY, method="OPTIONS").status == 204
    refused = client.request(HISTORY, method="POST")
    assert (refused.status, "GET" in refused.headers["Allow"]) == (405, True)


# --- its description ---

DESCRIPTION: dict[str, Any] = yaml.safe_load((STACK / "openapi.yaml").read_text())


def test_an_answer_is_as_it_is_described() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    validator = OAS30Validator({"$ref": "#/components/schemas/History", "components": {"schemas": schemas}})
    for client in (client_with(minute(0), latest=True), client_with(minute(0)), client_with(latest=True)):
        validator.validate(client.request(HISTORY, **HOUR).body)
    assert schemas["History"]["properties"]["count"]["maximum"] == MAX_POINTS
    assert set(FIELDS) <= schemas["History"]["properties"].keys()


def test_limits_in_the_description_are_the_functions() -> None:
    parameters = {
        one["name"]: one["schema"]
        for one in DESCRIPTION["paths"]["/stations/{station_id}/history"]["get"]["parameters"]
    }
    steps = [int(resolution.total_seconds()) for resolution in RESOLUTIONS]
    assert (parameters["resolution"]["minimum"], parameters["resolution"]["maximum"]) == (steps[0], steps[-1])
    assert all(name in parameters["fields"]["pattern"] for name in FIELDS)
