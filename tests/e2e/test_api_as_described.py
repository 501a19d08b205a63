"""The running API against its own description: no 5xx and no answer that openapi.yaml does not tell of,
whatever is asked, and hostile requests change nothing."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from evswap_hil.deadline import wait_until
from tests.conftest import SkipAloud
from tests.e2e.local_stack import IN_TIME_S, ROOT, LocalStack
from tests.e2e.messages import seed_message, telemetry_topic

OPENAPI = yaml.safe_load(
    re.sub(r"\$\{[a-z_]+\}", "x", (ROOT / "cloud" / "stack" / "openapi.yaml").read_text())
)
OPERATIONS = [
    (method, path)
    for path, item in OPENAPI["paths"].items()
    for method in item
    if method in {"get", "post", "options"}
]
EXAMPLES = 8
VISITOR = "visitor"


@pytest.fixture(scope="module")
def api(stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{stack.described.api_url.rstrip('/')}/", timeout=30) as client:
        yield client


# --- as described ---


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_it_answers_as_described_whatever_is_asked(
    stack: LocalStack, skip_aloud: SkipAloud, method: str, path: str
) -> None:
    try:
        import schemathesis
        from schemathesis.checks import not_a_server_error
        from schemathesis.specs.openapi import checks
    except ImportError:
        skip_aloud("schemathesis is not installed; run the tests by `make test`", could_run=True)
    url = stack.described.api_url.rstrip("/")
    described = schemathesis.openapi.from_dict({**OPENAPI, "servers": [{"url": url}]})

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy())
    def ask(case: Any) -> None:
        case.validate_response(
            case.call(base_url=url),
            checks=[
                not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_headers_conformance,
                checks.response_schema_conformance,
            ],
        )

    ask()


# --- hostile ---

NAMES = [
    "' OR '1'='1",
    '{"$ne": null}',
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "%0d%0aSet-Cookie:%20a=b",
    "%ff%fe",
    "${jndi:ldap://192.0.2.1/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "station-01%00",
    "\uff33\uff34\uff21-01",
    "\u202estation",
    "a" * 5_000,
    "station-01;drop table stations",
    "attribute_exists(station_id)",
]
QUERIES = [
    "limit=99999999999999999999",
    "limit=1&limit=2",
    "limit[]=1",
    "limit=%00",
    "cursor=%ff",
    "cursor=" + "A" * 5_000,
    "near=NaN,NaN",
    "near=1e308,1e308",
    "near=0,0&radius_km=1e-320",
    "near=0,0&radius_km=-0",
    "near=90,180",
    "near=%00,0",
    "status=operational%20OR%201=1",
    "status=OPERATIONAL",
    "min_available=%D9%A3",
    "min_available=-0",
    "=&&&=",
    "%",
    "a=" + "b" * 6_000,
]


def sound(answer: httpx.Response) -> None:
    """A refusal that is one of ours, or an answer that is JSON; nothing is given away."""
    assert answer.status_code in {200, 400, 403, 404, 405, 413, 414, 415, 422}, answer.text
    assert answer.headers["content-type"].startswith(("application/json", "application/problem+json"))
    json.loads(answer.text)
    assert "Traceback" not in answer.text
    assert "arn:aws" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_no_station_and_no_battery(api: httpx.Client, name: str) -> None:
    for path in (f"stations/{name}", f"stations/{name}/events", f"batteries/{name}"):
        answer = api.get(path)
        sound(answer)
        assert answer.status_code in {400, 403, 404, 405}


@pytest.mark.parametrize("query", QUERIES)
def test_a_hostile_query_is_refused_or_ignored(api: httpx.Client, query: str) -> None:
    sound(api.get(f"stations?{query}"))


@pytest.mark.parametrize(
    "headers",
    [
        {"If-None-Match": '"' * 2_000},
        {"If-None-Match": "*" + "," * 2_000},
        {"X-Forwarded-For": "' OR 1=1"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"Content-Type": "application/xml"},
        {"Accept": "../../"},
    ],
)
def test_hostile_headers_change_nothing(api: httpx.Client, headers: dict[str, str]) -> None:
    answer = api.get("stations/visitor-none", headers=headers)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\xff",
        b"{" * 5_000,
        b"[" * 100_000,
        b'{"action": NaN}',
        b'{"action": "\xed\xa0\x80"}',
        json.dumps({"action": "x" * 100_000}).encode(),
    ],
    ids=["nothing", "bytes", "open", "deep", "nan", "surrogate", "large"],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_where_none_belongs_changes_nothing(api: httpx.Client, method: str, body: bytes) -> None:
    before = {one["station_id"] for one in api.get("stations").json()["stations"]}
    sound(api.request(method, "stations", content=body))
    sound(api.request(method, "fleet", content=body))
    assert {one["station_id"] for one in api.get("stations").json()["stations"]} >= before


@settings(max_examples=40, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
@given(path=st.binary(max_size=40))
def test_no_path_brings_it_down(stack: LocalStack, path: bytes) -> None:
    """As bytes, percent-encoded: what a client library would never send."""
    url = urlsplit(stack.described.api_url)
    encoded = "".join(f"%{byte:02x}" for byte in path)
    answer = httpx.get(f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}/stations/{encoded}", timeout=30)
    assert answer.status_code in {200, 400, 403, 404}


# --- where, whether, how many ---


def test_stations_are_found_where_they_stand(api: httpx.Client) -> None:
    found = api.get("stations", params={"near": "52.52,13.405", "radius_km": "30"}).json()
    assert found["count"] >= 3
    distances = [one["distance_km"] for one in found["stations"]]
    assert distances == sorted(distances)
    assert max(distances) <= 30 == found["searched_km"]
    assert api.get("stations", params={"near": "-33.9,151.2", "radius_km": "30"}).json()["count"] == 0


def test_who_hangs_up_is_offline_and_who_is_back_is_not(stack: LocalStack, api: httpx.Client) -> None:
    def is_now(connection: str) -> None:
        def shown() -> bool:
            answer = api.get(f"stations/{VISITOR}")
            return answer.status_code == 200 and answer.json()["connection"] == connection

        wait_until(shown, what=f"a station that is {connection}", within=IN_TIME_S)

    for _ in range(2):
        with stack.visitor() as visitor:
            visitor.publish(telemetry_topic(VISITOR), seed_message(VISITOR))
            is_now("online")
        is_now("offline")


def test_the_fleet_is_counted_by_the_clock(api: httpx.Client) -> None:
    def is_counted() -> bool:
        answer = api.get("fleet")
        return answer.status_code == 200 and answer.json()["stations"] >= 3

    wait_until(is_counted, what="figures of three stations", within=2 * IN_TIME_S)
    figures = api.get("fleet").json()
    assert sum(figures["connection"].values()) == sum(figures["status"].values()) == figures["stations"]


def test_a_request_can_be_followed_into_the_log(stack: LocalStack, api: httpx.Client) -> None:
    answer = api.get("stations/nobody")
    request_id = answer.headers["x-request-id"]
    assert answer.json()["request_id"] == request_id
    logs = stack.aws("logs")

    def is_logged() -> bool:
        events = logs.filter_log_events(
            logGroupName="/aws/lambda/evswap-api", filterPattern=f'"{request_id}"'
        )
        return any(request_id in event["message"] for event in events["events"])

    wait_until(is_logged, what="a line with the request's id", within=IN_TIME_S)
