"""Commands by the API: who may, what is refused with the field named, and what is shown of them."""

import base64
import json
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evswap_cloud.api.app import build_issuing_app
from evswap_cloud.api.commanding import CONFIGURE, OPERATE
from evswap_cloud.latest import LatestState
from evswap_cloud.memory import MemoryLatestStates
from evswap_cloud.remote.records import heard
from evswap_schema import Authorisation, Outcome, StationStatus, encode_authorisation
from tests.cloud.api_client import EVENT, Client
from tests.cloud.commands_at_hand import STATION, Cloud, order, result
from tests.cloud.logs import Log
from tests.cloud.messages import NOW

OPERATOR = {"username": "ada", "scope": f"openid {OPERATE}"}
PLANNER = {"client_id": "planner", "scope": CONFIGURE}
UNLOCK: dict[str, Any] = {"action": {"action": "unlock", "bay": 3}}
PATH = f"/stations/{STATION}/commands"


class Desk:
    """The function ``command`` over stores in memory, with one station."""

    def __init__(self) -> None:
        self.cloud, self.log, latest = Cloud(), Log(), MemoryLatestStates()
        state = LatestState(
            station_id=STATION,
            battery_available=1,
            battery_charging=1,
            temperature=None,
            humidity=None,
            status=StationStatus.OPERATIONAL,
            timestamp=NOW,
            observed_at=NOW,
            received_at=NOW,
        )
        latest.offer(state)
        self._app = build_issuing_app(latest, self.cloud.dispatcher, self.log.logger)
        self.reader = Client(latest, commands=self.cloud.commands)

    def post(
        self,
        body: object,
        *,
        path: str = PATH,
        claims: object = OPERATOR,
        headers: dict[str, str] | None = None,
        encoded: bool = False,
    ) -> SimpleNamespace:
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        if encoded and text is not None:
            text = base64.b64encode(text.encode()).decode()
        context = EVENT["requestContext"] | ({} if claims is None else {"authorizer": {"claims": claims}})
        event = EVENT | {
            "path": path,
            "httpMethod": "POST",
            "headers": headers or {},
            "multiValueHeaders": {name: [value] for name, value in (headers or {}).items()},
            "body": text,
            "isBase64Encoded": encoded,
            "requestContext": context,
        }
        answer = self._app.resolve(event, SimpleNamespace())  # type: ignore[arg-type]
        found = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        return SimpleNamespace(status=answer["statusCode"], headers=found, body=json.loads(answer["body"]))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_command_is_taken_and_where_its_result_will_be_is_told(desk: Desk) -> None:
    answer = desk.post(UNLOCK)
    assert answer.status == 202
    [message] = desk.cloud.plane.published
    assert answer.headers["Location"] == f"commands/{message.command.command_id}"
    assert answer.body == {
        "command_id": message.command.command_id,
        "station_id": STATION,
        "action": {"action": "unlock", "bay": 3},
        "issued_at": "2026-11-23T08:15:30.250000Z",
        "expires_at": "2026-11-23T08:20:30.250000Z",
        "state": "sent",
        "told_by": "cloud",
        "changed_at": "2026-11-23T08:15:30.250000Z",
    }
    shown = desk.reader.request(f"{PATH}/{message.command.command_id}")
    assert (shown.status, shown.body) == (200, answer.body)


def test_who_ordered_what_stands_in_the_log_and_in_the_store_and_is_not_shown(desk: Desk) -> None:
    answer = desk.post(UNLOCK)
    record = desk.cloud.commands.get(STATION, answer.body["command_id"])
    assert record is not None
    assert record.issued_by == "ada"
    assert any(line.get("issued_by") == "ada" for line in desk.log.lines)
    assert "ada" not in json.dumps(answer.body)


def test_a_body_may_come_in_base64(desk: Desk) -> None:
    assert desk.post(UNLOCK, encoded=True).status == 202


# --- who may ---


@pytest.mark.parametrize(
    "claims",
    [
        None,
        "claims",
        {},
        {"username": "ada"},
        {"scope": OPERATE},
        {"username": "", "scope": OPERATE},
        {"username": ["ada"], "scope": OPERATE},
        {"username": "ada", "scope": [OPERATE]},
    ],
)
def test_without_an_access_token_nothing_is_allowed(desk: Desk, claims: object) -> None:
    answer = desk.post(UNLOCK, claims=claims)
    assert answer.status == 401
    assert desk.cloud.commands.records == {}


CONFIGURING: list[dict[str, Any]] = [
    {"action": "set_configuration", "configuration": {"sampling": {"interval_s": 10}}},
    {"action": "cache_authorisations", "withdrawn": ["A-1"]},
]
OPERATING: list[dict[str, Any]] = [
    {"action": "unlock", "bay": 1},
    {"action": "set_charging", "bay": 1, "enabled": False},
    {"action": "reserve", "bay": 1, "until": "2026-11-23T09:00:00Z", "id_token": "a" * 64},
    {"action": "request_swap", "request_id": 1, "id_token": "a" * 64},
    {"action": "read_now"},
]


@pytest.mark.parametrize("action", OPERATING, ids=lambda action: action["action"])
def test_to_operate_a_station_is_one_scope(desk: Desk, action: dict[str, Any]) -> None:
    assert desk.post({"action": action}, claims=OPERATOR).status == 202
    refused = desk.post({"action": action}, claims=PLANNER)
    assert (refused.status, OPERATE in refused.body["detail"]) == (403, True)


@pytest.mark.parametrize("action", CONFIGURING, ids=lambda action: action["action"])
def test_to_configure_it_is_another(desk: Desk, action: dict[str, Any]) -> None:
    assert desk.post({"action": action}, claims=PLANNER).status == 202
    refused = desk.post({"action": action}, claims=OPERATOR)
    assert (refused.status, CONFIGURE in refused.body["detail"]) == (403, True)


def test_no_scope_is_begun_with(desk: Desk) -> None:
    near = {"username": "eve", "scope": f"{OPERATE}-not {OPERATE[:-1]} evswap/*"}
    assert desk.post(UNLOCK, claims=near).status == 403


# --- what is refused ---


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ("", "body"),
        ("{", "body"),
        ("[]", "body"),
        ('{"action": {"action": "unlock", "bay": 3}, "expires_in_s": NaN}', "body"),
        ({}, "action"),
        ({"action": {"action": "unlock"}}, "action.bay"),
        ({"action": {"action": "unlock", "bay": 0}}, "action.bay"),
        ({"action": {"action": "unlock", "bay": "3"}}, "action.bay"),
        ({"action": {"action": "explode"}}, "action"),
        ({"action": {"action": "reserve", "bay": 1, "until": "soon", "id_token": "a" * 64}}, "action.until"),
        ({"action": {"action": "reserve", "bay": 1, "until": "2026-11-23T09:00:00Z", "id_token": "ada"}},
         "action.id_token"),
        ({"action": {"action": "cache_authorisations"}}, "action"),
        ({"action": {"action": "set_configuration"}}, "action.configuration"),
        (UNLOCK | {"expires_in_s": 0}, "expires_in_s"),
        (UNLOCK | {"expires_in_s": 3_601}, "expires_in_s"),
        ({"action": {"action": "read_now"}, "expires_in_s": 604_801}, "expires_in_s"),
        (UNLOCK | {"expires_in": 10}, "body"),
        ({"action": {"action": "set_configuration", "configuration": {"log": "x" * 33_000}}}, "body"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_refused_with_the_field_named(desk: Desk, body: object, field: str) -> None:
    everything = {"username": "ada", "scope": f"{OPERATE} {CONFIGURE}"}
    answer = desk.post(body, claims=everything)
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.body["field"].startswith(field), answer.body
    assert desk.cloud.commands.records == {}


@pytest.mark.parametrize("key", ["", "k" * 129, "schlüssel", "tab\there"])
def test_a_key_that_no_proxy_would_carry_is_refused(desk: Desk, key: str) -> None:
    answer = desk.post(UNLOCK, headers={"Idempotency-Key": key})
    assert (answer.status, answer.body["field"]) == (400, "Idempotency-Key")


def test_a_station_that_never_reported_cannot_be_commanded(desk: Desk) -> None:
    assert desk.post(UNLOCK, path="/stations/nowhere/commands").status == 404
    assert desk.post(UNLOCK, path="/stations/no.where/commands").status == 400


@settings(max_examples=40)
@given(body=st.text(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["action", "bay"]), inner),
    max_leaves=6,
).map(json.dumps))  # fmt: skip
def test_whatever_is_sent_is_answered_and_never_by_a_5xx(body: str) -> None:
    assert Desk().post(body).status in (202, 400, 403)


# --- idempotency ---


@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key"])
def test_the_same_key_gives_the_same_command(desk: Desk, header: str) -> None:
    first = desk.post(UNLOCK, headers={header: "k-1"})
    again = desk.post(UNLOCK, headers={header: "k-1"})
    assert (again.status, again.headers["Location"]) == (202, first.headers["Location"])
    assert len(desk.cloud.plane.published) == 1


def test_a_key_with_another_command_is_refused(desk: Desk) -> None:
    desk.post(UNLOCK, headers={"Idempotency-Key": "k-1"})
    answer = desk.post({"action": {"action": "read_now"}}, headers={"Idempotency-Key": "k-1"})
    assert (answer.status, answer.body["field"]) == (422, "Idempotency-Key")


def test_a_command_that_cannot_be_published_is_taken_and_waits(desk: Desk) -> None:
    desk.cloud.plane.down = True
    answer = desk.post(UNLOCK)
    assert (answer.status, answer.body["state"]) == (202, "pending")
    assert any(line.get("code") == "EndpointConnectionError" for line in desk.log.lines)


# --- what is shown ---


def test_a_result_is_shown_with_the_stations_own_time(desk: Desk) -> None:
    command_id = desk.post(UNLOCK).body["command_id"]
    said = result(command_id, Outcome.REJECTED, reason="there is no bay 3")
    desk.cloud.commands.advance(STATION, command_id, heard(said, NOW + timedelta(seconds=2)))
    shown = desk.reader.request(f"{PATH}/{command_id}").body
    assert (shown["state"], shown["told_by"], shown["reason"]) == ("rejected", "station", "there is no bay 3")
    assert shown["timestamp"] == "2026-11-23T08:15:30.250000Z"
    assert shown["changed_at"] == "2026-11-23T08:15:32.250000Z"


def test_no_customer_is_shown(desk: Desk) -> None:
    signed = {
        "payload": base64.b64encode(
            encode_authorisation(
                Authorisation(
                    authorisation_id="A-1",
                    id_token="a" * 64,
                    valid_from=NOW,
                    expires_at=NOW + timedelta(days=1),
                    max_swaps=1,
                )
            )
        ).decode(),
        "key_id": "k",
        "signature": base64.b64encode(b"s" * 64).decode(),
    }
    desk.post({"action": {"action": "request_swap", "request_id": 1, "id_token": "a" * 64}})
    desk.post({"action": {"action": "cache_authorisations", "authorisations": [signed]}}, claims=PLANNER)
    page = desk.reader.request(PATH)
    assert {json.dumps(one["action"], sort_keys=True) for one in page.body["commands"]} == {
        '{"action": "request_swap", "request_id": 1}',
        '{"action": "cache_authorisations"}',
    }


def test_commands_are_listed_the_newest_first_a_page_at_a_time(desk: Desk) -> None:
    issued = []
    for _ in range(3):
        issued.append(desk.cloud.dispatcher.issue(order()).record.command.command_id)
        desk.cloud.clock.pass_(seconds=1)
    first = desk.reader.request(PATH, limit="2").body
    rest = desk.reader.request(PATH, limit="2", cursor=first["next_cursor"]).body
    assert (first["count"], rest["count"]) == (2, 1)
    assert [one["command_id"] for one in (*first["commands"], *rest["commands"])] == issued[::-1]
    assert "next_cursor" not in rest
    times = [datetime.fromisoformat(one["issued_at"]) for one in first["commands"]]
    assert times == sorted(times, reverse=True)


def test_a_station_without_commands_has_an_empty_page_and_one_without_reports_none(desk: Desk) -> None:
    assert desk.reader.request(PATH).body == {"count": 0, "commands": []}
    assert desk.reader.request("/stations/nowhere/commands").status == 404


@pytest.mark.parametrize("command_id", ["none", "a.b", "x" * 65, "%2F"])
def test_a_command_that_is_not_there(desk: Desk, command_id: str) -> None:
    assert desk.reader.request(f"{PATH}/{command_id}").status == 404


@pytest.mark.parametrize("cursor", ["x", "MTIzNA", ""])
def test_a_cursor_that_nobody_gave_is_refused(desk: Desk, cursor: str) -> None:
    answer = desk.reader.request(PATH, cursor=cursor)
    assert (answer.status, answer.body["field"]) == (400, "cursor")


def test_what_reads_does_not_issue(desk: Desk) -> None:
    answer = desk.reader.request(PATH, "POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,POST,HEAD,OPTIONS")
    answer = desk.reader.request(f"{PATH}/c-1", "DELETE")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD,OPTIONS")


def test_a_browser_learns_what_it_may_send(desk: Desk) -> None:
    headers = desk.reader.request(PATH, "OPTIONS").headers
    assert headers["Access-Control-Allow-Methods"] == "GET,POST,HEAD,OPTIONS"
    assert {"Authorization", "Idempotency-Key"} <= set(headers["Access-Control-Allow-Headers"].split(","))
