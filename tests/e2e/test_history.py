"""What a station's minutes were is asked of the API, however often and in however many pieces it was told."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, LocalStack

VISITOR = "visitor"
BATCHES = f"$aws/rules/evswap_batch/ev/station/{VISITOR}/telemetry/batch"
MINUTE = timedelta(minutes=1)


def batch(*minutes: dict[str, Any]) -> bytes:
    """As somebody writes it who has only read the contract: one sample, and minutes that ride with it."""
    return json.dumps(
        {
            "v": 1,
            "station_id": VISITOR,
            "stream_id": uuid4().hex,
            "samples": 1,
            "sequence": 1,
            "timestamp": int(datetime.now(UTC).timestamp() * 1_000_000),
            "clock": "synchronized",
            "battery_available": 7,
            "battery_charging": 1,
            "temperature": 21.0,
            "humidity": None,
            "status": "operational",
            "minutes": minutes,
            "backlog": True,
        }
    ).encode()


def minute(moment: datetime, mean: float) -> dict[str, Any]:
    return {
        "minute": moment.isoformat().replace("+00:00", "Z"),
        "samples": 12,
        "battery_available": {"least": 0, "mean": mean, "greatest": 9},
        "battery_charging": {"least": 1, "mean": 1, "greatest": 1},
        "temperature": {"least": 20.25, "mean": 21.5, "greatest": 22.75},
    }


def shown(stack: LocalStack, begin: datetime, end: datetime, **query: str) -> Any:
    period = {"from": begin.isoformat(), "to": end.isoformat(), "resolution": "60"}
    url = f"{stack.described.api_url}/stations/{VISITOR}/history"
    response = httpx.get(url, params=period | query, timeout=30)
    if response.status_code == httpx.codes.NOT_FOUND:  # nobody has heard of the visitor yet
        return None
    assert response.status_code == httpx.codes.OK, response.text
    return response.json()


def test_minutes_are_kept_once_and_shown_with_their_gaps(stack: LocalStack) -> None:
    """A quarter of some day of the last weeks, which no other run of this test has told of."""
    quarters_ago = random.Random().randrange(100, 5_000)
    begin = datetime.fromtimestamp(0, UTC) + 15 * MINUTE * (
        (datetime.now(UTC) - datetime.fromtimestamp(0, UTC)) // (15 * MINUTE) - quarters_ago
    )
    pieces = batch(minute(begin, 2.5), minute(begin + MINUTE, 3.5)), batch(minute(begin + 3 * MINUTE, 4.5))
    with stack.visitor() as visitor:
        for payload in (*pieces, pieces[0]):
            visitor.publish(BATCHES, payload)
    course = wait_until(
        lambda: (found := shown(stack, begin, begin + 5 * MINUTE)) and sum(found["samples"]) == 36 and found,
        what="the minutes",
        within=IN_TIME_S,
    ).found
    assert course["samples"] == [12, 12, 0, 12, 0]
    assert course["battery_available"]["mean"] == [2.5, 3.5, None, 4.5, None]
    assert course["temperature"]["least"] == [20.25, 20.25, None, 20.25, None]
    assert course["humidity"]["greatest"] == [None] * 5
    [hour] = shown(stack, begin, begin + 15 * MINUTE, resolution="900")["battery_available"]["mean"]
    assert hour == 3.5


def test_what_cannot_be_asked_is_a_problem(stack: LocalStack) -> None:
    url = f"{stack.described.api_url}/stations/{VISITOR}/history"
    response = httpx.get(url, params={"resolution": "61"}, timeout=30)
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/problem+json")
    assert response.json()["field"] == "resolution"
