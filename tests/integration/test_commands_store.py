"""The commands in DynamoDB keep the contract that they keep in memory."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evswap_cloud.errors import CommandError
from evswap_cloud.remote import CommandStore, DynamoCommands, Record, State
from evswap_cloud.remote.memory import MemoryCommands
from evswap_cloud.remote.records import Overdue, Step, Wait, advanced, given_up, heard, opened, sent
from evswap_cloud.remote.store import from_item, to_item
from evswap_schema import Command, Outcome, SetConfiguration, Unlock
from tests.cloud.commands_at_hand import STATION, result
from tests.cloud.messages import NOW
from tests.integration.aws import COMMANDS, Aws

STORES: dict[str, Callable[[], CommandStore]] = {
    "memory": MemoryCommands,
    "dynamodb": lambda: DynamoCommands(boto3.client("dynamodb"), COMMANDS),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, cloud: Aws) -> CommandStore:
    return STORES[request.param]()


def record(number: int = 1, **changes: Any) -> Record:
    """One command of many, issued a second after the one before."""
    issued_at = NOW + timedelta(seconds=number)
    usual: dict[str, Any] = {
        "command_id": f"c-{number}",
        "station_id": STATION,
        "issued_at": issued_at,
        "expires_at": issued_at + timedelta(minutes=5),
        "action": Unlock(bay=3),
    }
    return opened(Command(**(usual | changes)), "operator")


def test_what_is_added_is_found_and_nothing_takes_its_place(store: CommandStore) -> None:
    first = record(action=SetConfiguration(configuration={"sampling": {"interval_s": 2.5}}))
    assert store.add(first) is None
    assert store.add(record(action=Unlock(bay=9))) == first
    assert store.get(STATION, "c-1") == first
    assert store.get(STATION, "c-2") is None
    assert store.get("station-02", "c-1") is None


def test_a_page_has_the_newest_first_and_goes_on_where_the_last_ended(store: CommandStore) -> None:
    for number in (3, 1, 5, 2, 4):
        store.add(record(number))
    store.add(record(6, station_id="station-02"))
    seen, before = [], None
    for more in (True, True, False):
        page = store.page(STATION, limit=2, before=before)
        assert page.more is more
        seen += [one.command.command_id for one in page.records]
        before = page.records[-1].place
    assert seen == ["c-5", "c-4", "c-3", "c-2", "c-1"]


def test_a_step_is_noted_and_a_lower_one_is_not(store: CommandStore) -> None:
    store.add(record())
    accepted = heard(result("c-1", Outcome.ACCEPTED), NOW + timedelta(seconds=4))
    assert store.advance(STATION, "c-1", accepted)
    assert not store.advance(STATION, "c-1", sent(NOW))
    assert store.advance(STATION, "c-1", heard(result("c-1", reason="seen"), NOW + timedelta(seconds=9)))
    assert not store.advance(STATION, "c-1", heard(result("c-1", Outcome.UNKNOWN), NOW))
    found = store.get(STATION, "c-1")
    assert found is not None
    assert (found.state, found.reason, found.said_at, found.deadline) == (State.DONE, "seen", NOW, None)
    assert not store.advance(STATION, "nobody", accepted)
    assert store.get(STATION, "nobody") is None


def test_what_waits_is_what_has_no_result_the_oldest_first(store: CommandStore) -> None:
    for number in (2, 1, 4, 3):
        store.add(record(number))
    store.advance(STATION, "c-2", heard(result("c-2"), NOW))
    store.advance(STATION, "c-3", heard(result("c-3", Outcome.ACCEPTED), NOW))
    assert [one.command.command_id for one in store.waiting(STATION, limit=10)] == ["c-1", "c-3", "c-4"]
    assert [one.command.command_id for one in store.waiting(STATION, limit=2)] == ["c-1", "c-3"]
    assert store.waiting("station-02", limit=10) == ()


def test_what_is_overdue_is_named_with_what_it_waits_for(store: CommandStore) -> None:
    for number in (1, 2, 3):
        store.add(record(number))
    store.advance(STATION, "c-1", heard(result("c-1", Outcome.ACCEPTED), NOW))
    store.advance(STATION, "c-3", heard(result("c-3"), NOW))
    assert list(store.overdue(NOW + timedelta(minutes=6))) == []
    found = {one.command_id: one.waits for one in store.overdue(NOW + timedelta(hours=3))}
    assert found == {"c-1": Wait.OUTCOME, "c-2": Wait.WORD}


def test_what_was_heard_of_since_it_was_found_overdue_is_not_given_up(store: CommandStore) -> None:
    store.add(record())
    late = NOW + timedelta(hours=1)
    [overdue] = store.overdue(late)
    assert store.advance(STATION, "c-1", heard(result("c-1", Outcome.ACCEPTED), late))
    assert not store.advance(STATION, "c-1", given_up(overdue, late), overdue=overdue)
    [overdue] = store.overdue(late + timedelta(hours=3))
    assert store.advance(STATION, "c-1", given_up(overdue, late), overdue=overdue)
    found = store.get(STATION, "c-1")
    assert found is not None
    assert (found.state, found.said_at) == (State.UNKNOWN, None)


MOMENTS = st.integers(0, 3).map(lambda minutes: NOW + timedelta(minutes=minutes))
STEPS = st.one_of(
    st.builds(sent, MOMENTS),
    st.builds(
        heard,
        st.builds(result, st.just("c-1"), st.sampled_from(Outcome), reason=st.none() | st.just("r")),
        MOMENTS,
    ),
    st.builds(
        given_up,
        st.builds(
            Overdue,
            station_id=st.just(STATION),
            command_id=st.just("c-1"),
            waits=st.sampled_from(Wait),
            deadline=MOMENTS,
        ),
        MOMENTS,
    ),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(STEPS, max_size=6), stale=st.booleans())
def test_dynamodb_says_as_a_condition_what_the_rule_says(cloud: Aws, steps: list[Step], stale: bool) -> None:
    table = DynamoCommands(boto3.client("dynamodb"), COMMANDS)
    expected = record()
    cloud.dynamodb.put_item(TableName=COMMANDS, Item=to_item(expected))
    for step in steps:
        overdue = None
        if stale and expected.waits is not None and expected.deadline is not None:
            shown = expected.deadline + timedelta(seconds=step.at.minute % 2)
            overdue = Overdue(station_id=STATION, command_id="c-1", waits=expected.waits, deadline=shown)
        after = advanced(expected, step, overdue=overdue)
        assert table.advance(STATION, "c-1", step, overdue=overdue) is (after is not None)
        expected = after or expected
        assert table.get(STATION, "c-1") == expected
        found = cloud.dynamodb.get_item(
            TableName=COMMANDS, Key={"station_id": {"S": STATION}, "command_id": {"S": "c-1"}}
        )["Item"]
        assert found == to_item(expected), "no attribute of an earlier step is left"
        assert from_item(found) == expected


@pytest.mark.parametrize(
    ("operation", "ask"),
    [
        ("PutItem", lambda store: store.add(record())),
        ("GetItem", lambda store: store.get(STATION, "c-1")),
        ("UpdateItem", lambda store: store.advance(STATION, "c-1", sent(NOW))),
        ("Query", lambda store: store.waiting(STATION, limit=1)),
        ("Query", lambda store: store.page(STATION, limit=1, before=None)),
        ("Query", lambda store: list(store.overdue(NOW))),
    ],
    ids=["add", "get", "advance", "waiting", "page", "overdue"],
)
def test_what_aws_refuses_is_told_with_its_code(
    cloud: Aws, operation: str, ask: Callable[[CommandStore], object]
) -> None:
    cloud.refuse(f"dynamodb.{operation}", "ThrottlingException")
    with pytest.raises(CommandError, match="ThrottlingException"):
        ask(DynamoCommands(boto3.client("dynamodb"), COMMANDS))
