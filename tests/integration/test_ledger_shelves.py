"""The ledger's shelves: one contract, kept in memory and in DynamoDB; and the ledger on both is the same."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from msgspec import Struct

from evswap_cloud.errors import LedgerError
from evswap_cloud.ledger import LedgerReader, Place, SwapKey, dynamo_book, enter, memory_book
from evswap_cloud.ledger.authorisations import Account, Grant, granted
from evswap_cloud.ledger.shelves import ATTEMPTS, DynamoShelf, Layout, MemoryShelf, Shelf
from evswap_schema import SwapStep
from tests.cloud.messages import NOW
from tests.cloud.station_events import holds, inventory, station_event, swap
from tests.integration.aws import AUTHORISATIONS, BATTERIES, LEDGER, Aws


class Number(Struct, frozen=True):
    """The simplest record."""

    name: str
    value: int


LAYOUT = Layout[str, Number](
    kind=Number,
    to_item_key=lambda name: {"serial_number": {"S": name}},
    key_of=lambda number: number.name,
    expires_at=lambda number: NOW if number.value > 5 else None,
)
Numbers = Shelf[str, Number]


@pytest.fixture(params=["memory", "aws"])
def numbers(request: pytest.FixtureRequest) -> Numbers:
    if request.param == "memory":
        return MemoryShelf()
    request.getfixturevalue("cloud")
    return DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)


def more(number: Number | None) -> Number:
    return Number("n", 1 if number is None else number.value + 1)


def test_a_record_is_made_changed_found_listed_and_removed(numbers: Numbers) -> None:
    assert numbers.get("n") is None
    first, second = numbers.change("n", more), numbers.change("n", more)
    assert (first.before, first.after) == (None, Number("n", 1))
    assert (second.before, second.after) == (Number("n", 1), Number("n", 2))
    assert numbers.get("n") == Number("n", 2)
    assert list(numbers.every()) == [("n", Number("n", 2))]
    numbers.remove("n")
    numbers.remove("n")
    assert numbers.get("n") is None


def keeping(name: str) -> Callable[[Number | None], Number]:
    """Makes the record where there is none."""
    return lambda number: number or Number(name, 0)


def test_many_records_are_changed_and_those_that_were_there_are_kept(numbers: Numbers) -> None:
    numbers.change("n", more)
    names = ["n", *(f"n{number}" for number in range(250))]
    for _ in range(2):
        numbers.change_all({name: keeping(name) for name in names})
        assert dict(numbers.every()) == {name: Number(name, int(name == "n")) for name in names}


def test_many_records_that_do_not_change_are_not_written(cloud: Aws) -> None:
    shelf = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    shelf.change_all({name: keeping(name) for name in "ab"})
    for operation in ("PutItem", "TransactWriteItems"):
        cloud.refuse(f"dynamodb.{operation}", "ThrottlingException")
    again = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    again.change_all({name: keeping(name) for name in "ab"})
    with pytest.raises(LedgerError, match="ThrottlingException"):
        again.change_all({name: keeping(name) for name in "abc"})


def test_what_others_write_meanwhile_is_not_lost_among_many(cloud: Aws) -> None:
    mine = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    others = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    interruptions = iter(range(1))

    def interrupted(number: Number | None) -> Number:
        if next(interruptions, None) is not None:
            others.change("n", more)
        return more(number)

    mine.change_all({"m": keeping("m"), "n": interrupted})
    assert dict(mine.every()) == {"m": Number("m", 0), "n": Number("n", 2)}


def leave_out(parsed: dict[str, Any], **_: object) -> None:
    """DynamoDB has not looked for anything."""
    parsed["Responses"], parsed["UnprocessedKeys"] = {}, {BATTERIES: {"Keys": []}}


def test_what_dynamodb_leaves_out_of_a_large_read_is_read_again(cloud: Aws) -> None:
    DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT).change("n", more)
    client = boto3.client("dynamodb")

    client.meta.events.register("after-call.dynamodb.BatchGetItem", leave_out)
    shelf = DynamoShelf(client, BATTERIES, LAYOUT)
    shelf.change_all({"n": more})
    assert shelf.get("n") == Number("n", 2)


def test_what_is_looked_at_ahead_is_changed_as_it_is(numbers: Numbers) -> None:
    names = ["n", *(f"n{number}" for number in range(250))]
    numbers.change("n", more)
    numbers.look_ahead(names)
    numbers.change("n", more)
    numbers.change("n", more)
    assert numbers.change("n249", keeping("n249")).before is None
    assert dict(numbers.every()) == {"n": Number("n", 3), "n249": Number("n249", 0)}


def test_looking_ahead_is_a_request_for_a_hundred(cloud: Aws) -> None:
    single: list[object] = []
    batches: list[object] = []
    cloud.observe("dynamodb.GetItem", single.append)
    cloud.observe("dynamodb.BatchGetItem", batches.append)
    shelf = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    names = [f"n{number}" for number in range(150)]
    shelf.look_ahead(names)
    for name in names:
        shelf.change(name, keeping(name))
    assert (len(single), len(batches)) == (0, 2)
    shelf.look_ahead(["n0"])
    shelf.change("n0", more)
    assert (len(single), len(batches)) == (1, 2), "for one it is no more than a request"


def test_what_others_write_after_a_look_ahead_is_not_lost(cloud: Aws) -> None:
    mine, others = (DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT) for _ in range(2))
    mine.look_ahead(["m", "n"])
    others.change("n", more)
    assert mine.change("n", more).after == Number("n", 2)


@pytest.mark.parametrize("failed", ["refused", "left out"])
def test_what_no_look_ahead_brought_is_read_by_itself(cloud: Aws, failed: str) -> None:
    DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT).change("n", more)
    client = boto3.client("dynamodb")
    if failed == "refused":
        cloud.refuse("dynamodb.BatchGetItem", "ThrottlingException")
        client = boto3.client("dynamodb")
    else:
        client.meta.events.register("after-call.dynamodb.BatchGetItem", leave_out)
    shelf = DynamoShelf(client, BATTERIES, LAYOUT)
    shelf.look_ahead(["m", "n"])
    assert shelf.change("n", more).after == Number("n", 2)


def test_a_record_that_does_not_change_is_not_written(cloud: Aws) -> None:
    shelf = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    shelf.change("n", more)
    repair = cloud.refuse("dynamodb.PutItem", "ThrottlingException")
    again = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    assert again.change("n", lambda number: number or Number("n", 0)).after == Number("n", 1)
    with pytest.raises(LedgerError, match="ThrottlingException"):
        again.change("n", more)
    repair()
    assert again.change("n", more).after == Number("n", 2)


def test_what_others_write_meanwhile_is_not_lost(cloud: Aws) -> None:
    mine = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    others = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    interruptions = iter(range(ATTEMPTS - 1))

    def interrupted(number: Number | None) -> Number:
        if next(interruptions, None) is not None:
            others.change("n", more)
        return more(number)

    assert mine.change("n", interrupted).after == Number("n", ATTEMPTS)


def test_a_record_that_others_never_cease_to_change_comes_again(cloud: Aws) -> None:
    mine = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    others = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)

    def interrupted(number: Number | None) -> Number:
        others.change("n", more)
        return more(number)

    with pytest.raises(LedgerError, match="Contended"):
        mine.change("n", interrupted)


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("GetItem", lambda shelf: shelf.get("n")),
        ("GetItem", lambda shelf: shelf.change("n", more)),
        ("PutItem", lambda shelf: shelf.change("n", more)),
        ("BatchGetItem", lambda shelf: shelf.change_all({"n": more})),
        ("TransactWriteItems", lambda shelf: shelf.change_all({"n": more})),
        ("DeleteItem", lambda shelf: shelf.remove("n")),
        ("Scan", lambda shelf: list(shelf.every())),
    ],
    ids=["get", "change-read", "change-write", "change-all-read", "change-all-write", "remove", "every"],
)
def test_what_dynamodb_refuses_says_so(cloud: Aws, operation: str, act: Any) -> None:
    cloud.refuse(f"dynamodb.{operation}", "InternalServerError")
    with pytest.raises(LedgerError, match="InternalServerError"):
        act(DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT))


def test_a_record_that_may_go_says_when(cloud: Aws) -> None:
    shelf = DynamoShelf(boto3.client("dynamodb"), BATTERIES, LAYOUT)
    shelf.change("n", lambda _: Number("n", 6))
    item = cloud.dynamodb.get_item(TableName=BATTERIES, Key={"serial_number": {"S": "n"}})["Item"]
    assert item["expires_at"] == {"N": str(int(NOW.timestamp()))}


class Lagging:
    """A client whose eventually consistent reads show an item as it was before the last write."""

    def __init__(self) -> None:
        self._client = boto3.client("dynamodb")
        self._old: dict[str, Any] = {}
        self.consistent: list[bool] = []
        self.exceptions = self._client.exceptions

    def put_item(self, **request: Any) -> Any:
        old = self._client.get_item(TableName=request["TableName"], Key={"serial_number": {"S": "n"}})
        answer = self._client.put_item(**request)
        self._old = {"Item": old["Item"]} if "Item" in old else {}
        return answer

    def get_item(self, **request: Any) -> Any:
        self.consistent.append(request["ConsistentRead"])
        return self._client.get_item(**request) if request["ConsistentRead"] else self._old


@pytest.fixture
def lagging(cloud: Aws) -> tuple[Lagging, DynamoShelf[str, Number]]:
    client = Lagging()
    return client, DynamoShelf(client, BATTERIES, LAYOUT)  # type: ignore[arg-type]


def test_a_change_on_what_is_old_is_made_on_what_is_there(
    lagging: tuple[Lagging, DynamoShelf[str, Number]],
) -> None:
    client, shelf = lagging
    shelf.change("n", more)
    changed = shelf.change("n", more)
    assert (changed.before, changed.after) == (Number("n", 1), Number("n", 2))
    assert client.consistent == [False, False, True], "one read is enough where it shows what is there"


def test_what_is_old_neither_settles_a_change_nor_refuses_it(
    lagging: tuple[Lagging, DynamoShelf[str, Number]],
) -> None:
    client, shelf = lagging
    shelf.change("n", more)
    shelf.change("n", more)

    def down(number: Number | None) -> Number:
        """The old record is one already: seen in it, nothing would be left to do."""
        assert number is not None
        return Number("n", 1)

    assert shelf.change("n", down).before == Number("n", 2)
    assert shelf.get("n") == Number("n", 1)

    def there(number: Number | None) -> Number:
        if number is None:
            raise LedgerError(operation="miss", target="n", code="NotEntered")
        return number

    client._old = {}
    assert shelf.change("n", there).after == Number("n", 1)


def test_the_ledger_on_dynamodb_is_the_one_in_memory(cloud: Aws) -> None:
    def step(minute: int, what: SwapStep, **changes: Any) -> Any:
        return swap(minute, step=what, timestamp=NOW + timedelta(minutes=minute - 60), **changes)

    events = [
        step(1, SwapStep.BATTERY_IN, request_id=1),
        step(2, SwapStep.BATTERY_OUT, request_id=2),
        inventory(3, holds(3, None), holds(4, "B-1"), timestamp=NOW),
        inventory(4, holds(4, None), timestamp=NOW + timedelta(seconds=1)),
    ]
    memory = memory_book()
    dynamo = dynamo_book(
        boto3.client("dynamodb"), batteries=BATTERIES, ledger=LEDGER, authorisations=AUTHORISATIONS
    )
    for book in (memory, dynamo):
        for event in events[::-1]:
            assert enter(book, [station_event(event)]).failures == {}
        book.accounts.change("A", lambda account: granted(account, "A", Grant("0" * 64, 1, NOW)))
    for serial, battery in memory.batteries.every():
        assert dynamo.batteries.get(serial) == battery
    for shelf in ("batteries", "slots", "swaps", "accounts"):
        assert dict(getattr(dynamo, shelf).every()) == dict(getattr(memory, shelf).every())
    answer = LedgerReader(dynamo.batteries, dynamo.swaps).find("B-1", NOW)
    assert answer is not None
    assert answer.whereabouts.place is Place.MISSING
    assert dynamo.swaps.get(SwapKey("station-01", 1, "0" * 64)) is not None
    assert dynamo.accounts.get("A") == Account("A", Grant("0" * 64, 1, NOW), ())
