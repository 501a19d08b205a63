"""What a station that reports on change says at once, beside its batches: by an independent client."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import LocalStack
from tests.e2e.messages import seed_message

pytestmark = pytest.mark.any_maker

VISITOR = "visitor"
CHANGE = f"$aws/rules/evswap_change/ev/station/{VISITOR}/telemetry/change"


def change(stream_id: str, sequence: int, **fields: Any) -> bytes:
    return seed_message(VISITOR, stream_id=stream_id, sequence=sequence, clock="synchronized", **fields)


def test_a_change_is_shown_at_once_and_leaves_history_to_its_batch(stack: LocalStack) -> None:
    stream, began = uuid4().hex, datetime.now(UTC)
    with stack.visitor() as visitor, stack.api() as api:
        visitor.publish(CHANGE, change(stream, 1, battery_available=61))
        api.wait_until(lambda api: shows(api, 61), what="the first change, by a new worker", within=30)
        visitor.publish(CHANGE, change(stream, 2, battery_available=62))
        shown = api.wait_until(lambda api: shows(api, 62), what="the change", within=5)
    print(f"a change is shown after {shown.seconds:.2f} s")
    assert shown.found["sequence"] == 2
    assert stack.keys("telemetry/", of=VISITOR, since=began) == []


def shows(api: Any, available: int) -> dict[str, Any] | None:
    state = api.station(VISITOR)
    return state if state and state["battery_available"] == available else None


def test_a_change_that_breaks_the_contract_is_kept(stack: LocalStack) -> None:
    payload = json.dumps({"station_id": VISITOR, "unique": uuid4().hex}).encode()
    with stack.visitor() as visitor:
        visitor.publish(CHANGE, payload)
    [kept] = wait_until(
        lambda: [each for each in stack.objects("quarantine/") if each.body == payload],
        what="the message in quarantine",
        within=30,
    ).found
    assert kept.metadata["reason"] == "invalid-field"
