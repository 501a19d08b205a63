"""The ledger on a running stack: swaps of a station in any order, then its customer is erased.

Another customer is let in by an authorisation, of which the station hears.
"""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.test_events import EVENTS, VISITOR, shown

pytestmark = pytest.mark.any_maker


def step(stream: str, sequence: int, kind: str, serial: str, token: str) -> bytes:
    moment = datetime.now(UTC) - timedelta(minutes=30 - sequence)
    event = {
        "kind": "swap",
        "station_id": VISITOR,
        "stream_id": stream,
        "sequence": sequence,
        "timestamp": moment.isoformat(),
        "clock": "synchronized",
        "step": kind,
        "request_id": 7,
        "id_token": token,
        "batteries": [{"bay": sequence, "serial_number": serial, "soc": 12.5, "soh": 97}],
    }
    return json.dumps(event).encode()


def battery(stack: LocalStack, serial: str) -> dict[str, Any] | None:
    response = httpx.get(f"{stack.described.api_url}/batteries/{serial}", timeout=30)
    if response.status_code == httpx.codes.NOT_FOUND:
        return None
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def test_where_batteries_are_and_a_customer_who_is_forgotten(stack: LocalStack) -> None:
    stream, token = uuid4().hex, uuid4().hex * 2
    came, went = f"in {stream[:8]}", f"out-{stream[:8]}"
    with stack.visitor() as visitor:
        visitor.publish(EVENTS, step(stream, 2, "battery_out", went, token))
        visitor.publish(EVENTS, step(stream, 1, "battery_in", came, token))
    taken = wait_until(lambda: battery(stack, went), what="the battery that went", within=IN_TIME_S).found
    brought = wait_until(lambda: battery(stack, came), what="the one that came", within=IN_TIME_S).found
    assert (taken["place"], taken["id_token"], taken["station_id"]) == ("customer", token, VISITOR)
    assert (brought["place"], brought["bay"], brought["unregistered"]) == ("station", 1, True)
    wait_until(lambda: not (battery(stack, went) or {})["owed"], what="the whole swap", within=IN_TIME_S)

    erased = stack.run("erase", "--token", token)
    assert erased.returncode == 0, erased.stderr
    assert "forgotten: 2 events, 1 swaps and 1 batteries" in erased.stdout
    assert {event["id_token"] for event in shown(stack, stream)} == {"0" * 64}
    forgotten = battery(stack, went)
    assert forgotten is not None
    assert (forgotten["place"], "id_token" in forgotten) == ("customer", False)


def test_the_archive_of_the_running_stack_can_be_audited(stack: LocalStack) -> None:
    audited = stack.run("audit", "--json")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert json.loads(audited.stdout)["violations"] == 0


def test_a_station_is_sent_an_authorisation_signed_by_a_key_that_stays_private(stack: LocalStack) -> None:
    done = stack.run("authorise", "f" * 64, "--station", VISITOR, "--swaps", "2")
    assert done.returncode == 0, done.stderr
    assert "2 swaps until" in done.stdout
    folder = Path(stack.described.certificates_dir).parent
    assert stat.S_IMODE((folder / "authorisations.key.pem").stat().st_mode) == 0o600
    public = load_pem_public_key((folder / "authorisations.pub.pem").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
