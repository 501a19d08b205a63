"""What the gate before the local AWS lets through."""

from typing import Any

import pytest

from evswap_local.ministack.gate import Gate, Receive, Scope, Send

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIA1/20260101/us-east-1/s3/aws4_request, Signature=0"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Never reached: these tests only ask."""


GATE = Gate(inner=application)


def scope(path: str, method: str = "GET", query: bytes = b"", kind: str = "http", **headers: str) -> Scope:
    given = {"host": "127.0.0.1:4566"} | headers
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    made: dict[str, Any] = {
        "type": kind,
        "path": path,
        "method": method,
        "query_string": query,
        "headers": raw,
    }
    return made


@pytest.mark.parametrize("path", ["/_ministack/health", "/_ministack/ready", "/_ministack/iot/ca.pem"])
def test_three_pages_are_open(path: str) -> None:
    assert GATE.refusal(scope(path)) is None
    assert GATE.refusal(scope(path, "POST")) is not None


@pytest.mark.parametrize("path", ["/stations", "/stations/station-01", ""])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
def test_the_rest_api_is_open(path: str, method: str) -> None:
    assert GATE.refusal(scope(f"/restapis/abc123/dev/_user_request_{path}", method)) is None


def test_a_token_may_be_asked_for_and_its_keys_looked_at() -> None:
    keys = "/us-east-1_AbC123/.well-known/jwks.json"
    assert GATE.refusal(scope("/oauth2/token", "POST")) is None
    assert GATE.refusal(scope(keys)) is None
    assert GATE.refusal(scope("/oauth2/token", "POST", host="evil.example")) is not None
    for path, method in (
        ("/oauth2/token", "GET"),
        ("/oauth2/authorize", "GET"),
        (keys, "PUT"),
        ("/bucket/.well-known/jwks.json", "GET"),
        ("/us-east-1_AbC123/x/.well-known/jwks.json", "GET"),
    ):
        assert GATE.refusal(scope(path, method)) is not None


@pytest.mark.parametrize(
    "path",
    ["/", "/bucket/key", "/restapis", "/restapis/abc123/resources", "/restapis/a/dev/_user_request_x"],
)
def test_everything_else_needs_a_signature(path: str) -> None:
    assert GATE.refusal(scope(path)) is not None
    assert GATE.refusal(scope(path, authorization=SIGNED)) is None


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic dGVzdDp0ZXN0", "AWS test:0", "AWS4-HMAC-SHA256 Credential=/2026/x, Signature=0"],
)
def test_other_authorization_is_no_signature(authorization: str) -> None:
    assert GATE.refusal(scope("/bucket/key", authorization=authorization)) is not None


def test_a_presigned_address_is_signed() -> None:
    query = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA1%2F2026&X-Amz-Signature=0"
    assert GATE.refusal(scope("/bucket/key", query=query)) is None
    assert GATE.refusal(scope("/bucket/key", query=b"X-Amz-Algorithm=AWS4-HMAC-SHA256")) is not None


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/_localstack/state"])
def test_the_administration_is_closed_even_to_root(path: str) -> None:
    assert GATE.refusal(scope(path, "POST", authorization=SIGNED)) is not None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4566", "", "127.0.0.1.evil.example"])
def test_an_unsigned_request_names_this_machine(host: str) -> None:
    path = "/restapis/abc123/dev/_user_request_/stations"
    assert GATE.refusal(scope(path, host=host)) is not None
    assert Gate(inner=application, names=frozenset()).refusal(scope(path, host=host)) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:4566", "[::1]:4566"])
def test_this_machine_has_several_names(host: str) -> None:
    assert GATE.refusal(scope("/_ministack/health", host=host)) is None


def test_mqtt_over_websocket_is_closed_and_the_stacks_own_is_open() -> None:
    assert GATE.refusal(scope("/mqtt", kind="websocket")) is not None
    assert GATE.refusal(scope("/_aws/execute-api/abc123/dev", kind="websocket")) is None
    foreign = scope("/_aws/execute-api/abc123/dev", kind="websocket", host="evil.example")
    assert GATE.refusal(foreign) is not None
