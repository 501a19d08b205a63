"""Simulated customers swap at the stations of `evswap up`: what they do is told, kept, and adds up."""

import json
from typing import Any

import httpx
import pytest

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import LocalStack
from tests.e2e.test_batteries import battery

STATIONS = ("station-01", "station-02")
LARGE, FAST = "120", "10"
"""Together they swap every nine seconds on average, and twice a minute at the quietest hour of the night."""
SWAPPED_WITHIN_S = 400


def taken(stack: LocalStack) -> dict[str, Any] | None:
    """The first that a customer took a battery, so far."""
    events = [
        event
        for station_id in STATIONS
        for event in httpx.get(
            f"{stack.described.api_url}/stations/{station_id}/events", params={"limit": 100}, timeout=30
        )
        .raise_for_status()
        .json()["events"]
        if event.get("step") == "battery_out"
    ]
    return min(events, key=lambda event: str(event["timestamp"]), default=None)


@pytest.mark.release
def test_customers_of_a_running_stack_swap(own_stack: LocalStack) -> None:
    own_stack.up("--stations", str(len(STATIONS)), "--bays", LARGE, "--speed", FAST, "--interval", "2")
    told = wait_until(
        lambda: taken(own_stack), what="a battery that was taken", within=SWAPPED_WITHIN_S
    ).found
    assert told["authority"] == "offline"
    (given,) = told["batteries"]
    with_him = wait_until(
        lambda: (found := battery(own_stack, given["serial_number"])) and "id_token" in found and found,
        what="the battery with its customer",
        within=SWAPPED_WITHIN_S,
    ).found
    assert (with_him["place"], with_him["id_token"]) == ("customer", told["id_token"])
    assert (with_him["station_id"], with_him["bay"]) == (told["station_id"], given["bay"])

    audited = own_stack.run("audit", "--json")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    result = json.loads(audited.stdout)
    assert result["violations"] == 0
    assert result["swaps"]["completed"] >= 1
    assert result["offline_swaps"] >= 1
