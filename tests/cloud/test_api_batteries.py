"""Where a battery is, asked for as API Gateway does."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from msgspec.structs import replace
from openapi_schema_validator import OAS30Validator

from evswap_cloud.errors import LedgerError
from evswap_cloud.ledger import Answer, Code
from evswap_cloud.memory import MemoryLatestStates
from evswap_schema import Event, SwapStep
from tests.cloud.api_client import Client
from tests.cloud.messages import NOW, STACK
from tests.cloud.station_events import delivered_event, holds, inventory, swap
from tests.cloud.stores import Stores

IN, OUT, LEFT = SwapStep.BATTERY_IN, SwapStep.BATTERY_OUT, SwapStep.BATTERY_OUT_TIMEOUT
SCHEMAS: dict[str, Any] = yaml.safe_load((STACK / "openapi.yaml").read_text())["components"]["schemas"]
SCHEMAS["Battery"]["properties"]["history"]["items"] = SCHEMAS["Sighting"]
SCHEMAS["Battery"]["properties"]["findings"]["items"] = SCHEMAS["Finding"]


def batteries_client(*events: Event) -> Client:
    stores = Stores()
    report = stores.events.process([delivered_event(one, f"r{n}") for n, one in enumerate(events)])
    assert (report.failures, report.quarantined) == ((), ())
    return Client(stores.latest, stores.kept, stores.batteries)


def shown(client: Client, serial: str = "B-1") -> dict[str, Any]:
    answer = client.request(f"/batteries/{quote(serial, safe='')}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    OAS30Validator(SCHEMAS["Battery"]).validate(answer.body)
    body: dict[str, Any] = answer.body
    return body


def minutes_ago(count: int) -> dict[str, Any]:
    return {"timestamp": NOW - timedelta(minutes=count), "sequence": 1000 - count}


def test_a_battery_in_a_bay_is_shown_with_its_charge_and_its_history() -> None:
    client = batteries_client(
        swap(step=OUT, request_id=1, **minutes_ago(60)), swap(step=IN, request_id=2, **minutes_ago(30))
    )
    assert shown(client) == {
        "serial_number": "B-1",
        "place": "station",
        "station_id": "station-01",
        "bay": 3,
        "since": "2026-11-23T07:45:30.250000Z",
        "seen_at": "2026-11-23T07:45:30.250000Z",
        "soc": 12.5,
        "soh": 97.0,
        "owed": False,
        "orphan": False,
        "unregistered": False,
        "history": [
            {
                "seen": seen,
                "station_id": "station-01",
                "bay": 3,
                "timestamp": moment,
                "clock": "synchronized",
                "soc": 12.5,
                "soh": 97.0,
                "request_id": request,
            }
            for seen, moment, request in (
                ("battery_in", "2026-11-23T07:45:30.250000Z", 2),
                ("battery_out", "2026-11-23T07:15:30.250000Z", 1),
            )
        ],
    }


def test_one_with_a_customer_shows_who_has_it_and_that_he_owes_one() -> None:
    body = shown(batteries_client(swap(step=OUT, id_token="a" * 64, **minutes_ago(60))))
    assert (body["place"], body["id_token"], body["owed"]) == ("customer", "a" * 64, True)


def test_one_that_was_not_taken_is_an_orphan_and_one_from_nowhere_unregistered() -> None:
    assert shown(batteries_client(swap(step=LEFT, **minutes_ago(60))))["orphan"] is True
    assert shown(batteries_client(swap(step=IN, **minutes_ago(60))))["unregistered"] is True


def test_one_that_its_bay_does_not_hold_is_missing_and_the_finding_says_so() -> None:
    empty = inventory(5, holds(3, None))
    body = shown(batteries_client(swap(step=IN, **minutes_ago(60)), empty))
    assert body["place"] == "missing"
    assert body["findings"] == [{"code": "missed", "detail": "bay 3 of station-01 does not hold it"}]


def test_a_charge_that_the_last_sighting_did_not_know_is_of_the_one_before() -> None:
    silent = inventory(5, holds(3, "B-1"))
    quiet = replace(silent, bays=(replace(silent.bays[0], soc=None, soh=None),))
    body = shown(batteries_client(swap(step=IN, **minutes_ago(60)), quiet))
    assert (body["soc"], body["soh"], "soc" in body["history"][0]) == (12.5, 97.0, False)


@pytest.mark.parametrize("serial", ["B 1", "B/1", "B-ä", "%41", "a+b"])
def test_a_serial_number_may_have_any_characters(serial: str) -> None:
    client = batteries_client(inventory(1, holds(1, serial)))
    assert shown(client, serial)["serial_number"] == serial


def test_a_battery_that_nobody_has_seen_is_not_found_and_one_that_cannot_be_is_refused() -> None:
    client = batteries_client()
    missing = client.request("/batteries/B-1")
    assert (missing.status, missing.headers["Content-Type"]) == (404, "application/problem+json")
    impossible = client.request(f"/batteries/{'x' * 51}")
    assert (impossible.status, impossible.body["field"]) == (400, "serial_number")


@pytest.mark.parametrize("name", ["\x86", "a\nb", "\U0001f50b", '"', "`", "%5E%C2%86"])
def test_a_name_that_no_battery_has_is_not_found_whatever_it_holds(name: str) -> None:
    client = batteries_client()
    assert client.request(f"/batteries/{name}").status == 404
    assert client.request(f"/batteries/{name}", "OPTIONS").status == 204
    assert client.request(f"/batteries/{name}", "DELETE").status == 405


def test_batteries_answer_a_preflight_and_refuse_other_methods() -> None:
    client = batteries_client()
    assert client.request("/batteries/B-1", method="OPTIONS").status == 204
    refused = client.request("/batteries/B-1", method="DELETE")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET,HEAD,OPTIONS")


def test_a_ledger_that_fails_is_our_fault_and_shows_nothing() -> None:
    class Broken:
        def find(self, serial_number: str, now: object) -> Answer | None:
            raise LedgerError(operation="read", target=serial_number, code="ThrottlingException")

    answer = Client(MemoryLatestStates(), batteries=Broken()).request("/batteries/B-1")
    assert answer.status == 500
    assert "Throttling" not in answer.text


def test_the_description_names_every_field_and_every_code() -> None:
    body = shown(batteries_client(swap(step=OUT, id_token="a" * 64, **minutes_ago(60))))
    assert body.keys() | {"findings"} == SCHEMAS["Battery"]["properties"].keys()
    assert set(body["history"][0]) == SCHEMAS["Sighting"]["properties"].keys()
    assert set(SCHEMAS["Finding"]["properties"]["code"]["enum"]) <= {code.value for code in Code}
