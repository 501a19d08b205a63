"""What a station that reports on change says at once, beside its batches: by an independent client."""

import json
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from evswap_cloud.archive import readings_in
from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message
from tests.e2e.outboxes import last_sequences, numbers, sent_again_by_all_at_most, waiting

VISITOR = "visitor"
BATCH_AGE_S = 600
"""Longer than the test: no state in the API is a batch's."""
CHANGE = f"$aws/rules/evswap_change/ev/station/{VISITOR}/telemetry/change"


def change(stream_id: str, sequence: int, **fields: Any) -> bytes:
    return seed_message(VISITOR, stream_id=stream_id, sequence=sequence, clock="synchronized", **fields)


@pytest.mark.any_maker
def test_a_change_is_shown_at_once_and_leaves_history_to_its_batch(stack: LocalStack) -> None:
    stream, began = uuid4().hex, datetime.now(UTC)
    with stack.visitor() as visitor, stack.api() as api:
        visitor.publish(CHANGE, change(stream, 1, battery_available=61))
        api.wait_until(lambda api: shows(api, 61), what="the first change, by a new worker", within=IN_TIME_S)
        visitor.publish(CHANGE, change(stream, 2, battery_available=62))
        shown = api.wait_until(lambda api: shows(api, 62), what="the change", within=IN_TIME_S)
    print(f"a change is shown after {shown.seconds:.2f} s")
    assert shown.found["sequence"] == 2
    assert stack.keys("telemetry/", of=VISITOR, since=began) == []


def shows(api: Any, available: int) -> dict[str, Any] | None:
    state = api.station(VISITOR)
    return state if state and state["battery_available"] == available else None


@pytest.mark.any_maker
def test_a_change_that_breaks_the_contract_is_kept(stack: LocalStack) -> None:
    payload = json.dumps({"station_id": VISITOR, "unique": uuid4().hex}).encode()
    with stack.visitor() as visitor:
        visitor.publish(CHANGE, payload)
    [kept] = wait_until(
        lambda: [each for each in stack.objects("quarantine/") if each.body == payload],
        what="the message in quarantine",
        within=IN_TIME_S,
    ).found
    assert kept.metadata["reason"] == "invalid-field"


# --- the fleet, as `evswap up` has it report ---


@pytest.mark.release
def test_a_fleet_that_reports_on_change_is_current_before_its_batches_and_archived(
    own_stack: LocalStack,
) -> None:
    began = time.monotonic()
    own_stack.up(
        *("--stations", "8", "--interval", "0.5"),
        *("--reporting", "on-change", "--batch-age", str(BATCH_AGE_S)),
    )
    with own_stack.api() as api:
        first = {each["station_id"]: each["sequence"] for each in api.stations()}
        seen_after = time.monotonic() - began
        moved = api.wait_until(
            lambda api: [each for each in api.stations() if each["sequence"] > first[each["station_id"]]],
            what="a change at one of the stations",
            within=120,
        )
    assert own_stack.keys("bulk/") == [], "no batch is old enough"
    age = datetime.now(UTC) - datetime.fromisoformat(moved.found[0]["timestamp"])
    print(
        f"{len(first)} stations seen {seen_after:.0f} s after `up`, a change {age.total_seconds():.2f} s old"
    )

    stopped = own_stack.run("fleet", "stop")
    assert stopped.returncode == 0, stopped.stderr
    assert waiting(own_stack) == 0, "a stop sends the batch that was filling"
    committed = numbers(last_sequences(own_stack))
    found = wait_until(
        lambda: (found := arrivals(own_stack)).keys() >= committed and found,
        what="all archived",
        within=IN_TIME_S,
    ).found
    assert found.keys() == committed
    repeats = {moment for moments in found.values() for moment in sorted(moments)[1:]}
    assert len(repeats) <= sent_again_by_all_at_most(own_stack)
    print(f"{len(committed)} samples committed, all archived; {len(repeats)} batches came again")
    assert own_stack.keys("telemetry/") == [], "no sample goes by itself"


def arrivals(stack: LocalStack) -> dict[tuple[str, int], set[tuple[str, str]]]:
    """When each reading in the archive came: its station, and the moment, which a batch has in common.

    What the queue behind the broker hands out twice lies there twice, and came once.
    """
    found: defaultdict[tuple[str, int], set[tuple[str, str]]] = defaultdict(set)
    for stored in stack.objects("bulk/"):
        for reading in map(json.loads, readings_in(stored.key, stored.body)):
            arrival = (reading["station_id"], reading["received_at"])
            found[reading["stream_id"], reading["sequence"]].add(arrival)
    return found
