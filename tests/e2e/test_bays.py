"""The bays of a station's latest state, told by an independent client: a change, a batch, what comes late."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message

pytestmark = pytest.mark.any_maker

VISITOR = "visitor"
CHANGE = f"$aws/rules/evswap_change/ev/station/{VISITOR}/telemetry/change"
BATCH = f"$aws/rules/evswap_batch/ev/station/{VISITOR}/telemetry/batch"


def bay(number: int, **changes: Any) -> dict[str, Any]:
    states = {
        "occupancy": "occupied",
        "charge": "charging",
        "lock": "locked",
        "reservation": "free",
        "health": "healthy",
    }
    battery = {
        "serial_number": f"B-{number}",
        "soc": 50.5,
        "soh": 97.0,
        "voltage": 52.0,
        "current": 8.0,
        "temperature": 31.0,
        "cycles": 120,
    }
    return {"bay": number, **states, "battery": battery, **changes}


def change(stream: str, sequence: int, *bays: dict[str, Any], **fields: Any) -> bytes:
    return seed_message(
        VISITOR, stream_id=stream, sequence=sequence, clock="synchronized", bays=bays, **fields
    )


def batch(stream: str, sequence: int, number: int, lock: str) -> bytes:
    """One sample of one bay, as the contract has it: the battery's fields stand beside the bay's."""
    told = bay(number, lock=lock)
    battery = told.pop("battery")
    document = {
        "v": 1,
        "station_id": VISITOR,
        "stream_id": stream,
        "samples": 1,
        "sequence": sequence,
        "timestamp": round(datetime.now(UTC).timestamp() * 1_000_000),
        "clock": "synchronized",
        "battery_available": 12,
        "battery_charging": 4,
        "temperature": 28.5,
        "humidity": 42.0,
        "status": "operational",
        "bays": [told | battery],
    }
    return json.dumps(document).encode()


def locks(api: Any) -> dict[int, str]:
    state = api.station(VISITOR) or {}
    return {one["bay"]: one["lock"] for one in state.get("bays", ())}


def test_bays_are_shown_at_once_and_none_goes_back(stack: LocalStack) -> None:
    stream = uuid4().hex
    empty = {"bay": 12, "occupancy": "empty", "charge": "none", "lock": "unknown"}
    told = [bay(11), {**empty, "reservation": "free", "health": "fault"}]
    with stack.visitor() as visitor, stack.api() as api:
        visitor.publish(CHANGE, change(stream, 5, *told))
        shown = api.wait_until(lambda api: locks(api).keys() >= {11, 12}, what="both bays", within=IN_TIME_S)
        print(f"two bays are shown after {shown.seconds:.2f} s")
        first, second = (one for one in (api.station(VISITOR) or {})["bays"] if one["bay"] in {11, 12})
        assert first["battery"] == {
            "serial_number": "B-11",
            "soc": 50.5,
            "soh": 97.0,
            "temperature": 31.0,
            "cycles": 120,
        }
        assert (second["occupancy"], second["health"], "battery" in second) == ("empty", "fault", False)

        visitor.publish(CHANGE, change(stream, 9, battery_available=77))
        visitor.publish(CHANGE, change(stream, 4, bay(11, lock="unlocked"), bay(12, lock="unlocked")))
        visitor.publish(BATCH, batch(stream, 7, 11, "unlocked"))
        api.wait_until(
            lambda api: locks(api).get(11) == "unlocked", what="what the batch tells", within=IN_TIME_S
        )
        assert locks(api)[12] == "unknown", "the late change has told of nothing"
        state = api.station(VISITOR)
        assert state is not None
        assert state["sequence"] == 9, "a batch with bays moves no newer state"
        assert all("bays" not in station for station in api.stations())
