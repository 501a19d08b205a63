"""One contract, kept by the history in memory and by that in DynamoDB, and what a question costs there."""

import json
import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import permutations
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evswap_cloud.errors import MinuteStoreError
from evswap_cloud.history import LENGTH, RETENTION, DynamoHistory, Keeping, Quarter, quarters_of
from evswap_cloud.memory import MemoryHistory
from evswap_schema import MinuteAggregate, format_timestamp
from tests.cloud.minutes import BEGIN, any_minutes, minute
from tests.integration.aws import HISTORY, Aws, answer_to

History = MemoryHistory | DynamoHistory
STATION = "station-01"
DAY = timedelta(days=1)
DYNAMODB_PAGE = 1024 * 1024
READ_UNIT = 4 * 1024


@pytest.fixture(params=["memory", "aws"])
def history(request: pytest.FixtureRequest) -> History:
    if request.param == "memory":
        return MemoryHistory()
    request.getfixturevalue("cloud")
    return DynamoHistory(boto3.client("dynamodb"), HISTORY)


def tell(history: History, minutes: Iterable[MinuteAggregate], station_id: str = STATION) -> list[Keeping]:
    return [history.keep(quarter) for quarter in quarters_of(station_id, minutes)]


def known(history: History) -> tuple[Quarter, ...]:
    return history.between(STATION, BEGIN - DAY, BEGIN + DAY)


def test_a_quarter_is_kept_once_and_found(history: History) -> None:
    told = [minute(number) for number in range(15)]
    assert known(history) == ()
    assert tell(history, told) == [Keeping.KEPT]
    assert tell(history, told) == [Keeping.KNOWN]
    assert tell(history, told[3:5]) == [Keeping.KNOWN]
    assert known(history) == tuple(quarters_of(STATION, told))


def test_pieces_of_a_quarter_are_put_together(history: History) -> None:
    assert tell(history, [minute(3, samples=8), minute(1)]) == [Keeping.KEPT]
    assert tell(history, [minute(2), minute(3, samples=4)]) == [Keeping.KEPT]
    assert tell(history, [minute(3, samples=9)]) == [Keeping.KEPT]
    [quarter] = known(history)
    assert quarter.minutes == (minute(1), minute(2), minute(3, samples=9))


def test_what_is_asked_for_is_found_and_no_more(history: History) -> None:
    tell(history, [minute(15 * number) for number in range(-2, 5)])
    tell(history, [minute(0)], station_id="station-02")
    found = history.between(STATION, BEGIN + timedelta(minutes=14), BEGIN + 2 * LENGTH)
    assert [quarter.start for quarter in found] == [BEGIN, BEGIN + LENGTH]
    found = history.between(STATION, BEGIN + LENGTH, BEGIN + 2 * LENGTH + timedelta(seconds=1))
    assert [quarter.start for quarter in found] == [BEGIN + LENGTH, BEGIN + 2 * LENGTH]


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.lists(any_minutes, min_size=1, max_size=5), min_size=1, max_size=2))
def test_the_table_keeps_what_memory_keeps_in_any_order(
    cloud: Aws, pieces: list[list[MinuteAggregate]]
) -> None:
    for number, order in enumerate(permutations([*pieces, pieces[0]])):
        station_id = f"{STATION}-{number}"
        table, memory = DynamoHistory(boto3.client("dynamodb"), HISTORY), MemoryHistory()
        _empty(cloud)
        for piece in order:
            assert tell(table, piece, station_id) == tell(memory, piece, station_id)
        span = BEGIN - DAY, BEGIN + DAY
        assert table.between(station_id, *span) == memory.between(station_id, *span)


def _empty(cloud: Aws) -> None:
    for item in cloud.dynamodb.scan(TableName=HISTORY)["Items"]:
        cloud.dynamodb.delete_item(
            TableName=HISTORY, Key={name: item[name] for name in ("station_id", "quarter")}
        )


def test_an_item_goes_when_nobody_may_ask_for_it_any_more(cloud: Aws) -> None:
    tell(DynamoHistory(boto3.client("dynamodb"), HISTORY), [minute(0)])
    [item] = cloud.dynamodb.scan(TableName=HISTORY)["Items"]
    assert int(item["expires_at"]["N"]) == int((BEGIN + RETENTION).timestamp())


def test_somebody_else_who_tells_of_the_quarter_at_the_same_moment_is_not_overwritten(cloud: Aws) -> None:
    """Between the refusal and the second attempt another piece is kept."""
    others = DynamoHistory(cloud.dynamodb, HISTORY)
    tell(others, [minute(0)])
    late = iter([minute(1), minute(2)])

    def meanwhile(params: dict[str, Any]) -> None:
        if ":stored" in params.get("ExpressionAttributeValues", {}):
            tell(others, [one for one in [next(late, None)] if one is not None])

    cloud.observe("dynamodb.PutItem", meanwhile)
    assert tell(DynamoHistory(boto3.client("dynamodb"), HISTORY), [minute(3)]) == [Keeping.KEPT]
    [quarter] = known(others)
    assert quarter.minutes == (minute(0), minute(1), minute(2), minute(3))


def test_one_that_never_gets_a_turn_says_so(cloud: Aws) -> None:
    others = DynamoHistory(cloud.dynamodb, HISTORY)
    tell(others, [minute(0, samples=1)])
    samples = iter(range(2, 99))

    def meanwhile(params: dict[str, Any]) -> None:
        if ":stored" in params.get("ExpressionAttributeValues", {}):
            tell(others, [minute(0, samples=next(samples))])

    cloud.observe("dynamodb.PutItem", meanwhile)
    with pytest.raises(MinuteStoreError) as refusal:
        tell(DynamoHistory(boto3.client("dynamodb"), HISTORY), [minute(3)])
    assert refusal.value.code == "Contended"


@pytest.mark.parametrize(
    ("operation", "act"), [("Query", known), ("PutItem", lambda it: tell(it, [minute()]))]
)
def test_a_table_that_fails_says_what_failed(
    cloud: Aws, operation: str, act: Callable[[History], object]
) -> None:
    cloud.refuse(f"dynamodb.{operation}", "ValidationException")
    with pytest.raises(MinuteStoreError) as refusal:
        act(DynamoHistory(boto3.client("dynamodb"), HISTORY))
    assert refusal.value.code == "ValidationException"
    assert STATION in refusal.value.target


# --- what a question costs ---


def test_a_day_by_the_minute_takes_one_query(cloud: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    """The bar is two. DynamoDB ends a page at 1 MB, which the emulator need not do: hence the bytes."""
    shelf = DynamoHistory(cloud.dynamodb, HISTORY)
    tell(shelf, [minute(number) for number in range(DAY // timedelta(minutes=1))])
    queries: list[dict[str, Any]] = []
    cloud.observe("dynamodb.Query", queries.append)
    text = ask({"from": format_timestamp(BEGIN), "to": format_timestamp(BEGIN + DAY), "resolution": "60"})
    assert json.loads(text)["samples"] == [12] * 1_440
    assert len(queries) == 1
    items = cloud.dynamodb.scan(TableName=HISTORY)["Items"]
    read = sum(map(item_bytes, items))
    assert len(items) == DAY // LENGTH
    assert read < DYNAMODB_PAGE
    with capsys.disabled():
        print(
            f"\na day by the minute: {len(queries)} query, {len(items)} items, {read:,} bytes,"
            f" {math.ceil(read / READ_UNIT) / 2:g} read units; {len(text):,} bytes of JSON"
        )


def ask(query: dict[str, str]) -> str:
    return answer_to(f"/stations/{STATION}/history", query)


def item_bytes(item: dict[str, Any]) -> int:
    """As DynamoDB counts: names and values; a number of ten digits takes six bytes."""
    return sum(
        len(name) + (6 if kind == "N" else len(value))
        for name, of in item.items()
        for kind, value in of.items()
    )
