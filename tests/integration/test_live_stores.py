"""Live updates on AWS and in memory: the same promises, and what each handler does with a call."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import msgspec
import pytest
from botocore.stub import Stubber

from evswap_cloud import wiring
from evswap_cloud.bays import bays_of
from evswap_cloud.errors import LineError, LineGone, TicketError, WatcherError
from evswap_cloud.handlers import push, ticket, watch, watch_authorise
from evswap_cloud.latest import DynamoLatestStates, LatestState, to_item
from evswap_cloud.watching.frames import Refused, States, Synchronised, decode_frame
from evswap_cloud.watching.line import ApiGatewayLine
from evswap_cloud.watching.requests import Kind, Scope
from evswap_cloud.watching.shown import Shown, shown_of
from evswap_cloud.watching.stations import DynamoShown
from evswap_cloud.watching.tickets import DynamoTickets, MemoryTickets, Tickets, new_ticket
from evswap_cloud.watching.watchers import DynamoWatchers, MemoryWatchers, Watcher, Watchers
from evswap_schema import Location, StationStatus
from tests.cloud.messages import NOW, bay
from tests.cloud.watching import ENDPOINT, START
from tests.integration.aws import TABLE, Aws

TICKETS, WATCHERS = "evswap-tickets", "evswap-watchers"
ALL = Scope(kind=Kind.ALL)


@pytest.fixture
def live(cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """The account with the tables of live updates, and their functions' environment."""
    for name, key in ((TICKETS, "digest"), (WATCHERS, "connection_id")):
        cloud.dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        )
    monkeypatch.setenv(wiring.TICKETS_TABLE, TICKETS)
    monkeypatch.setenv(wiring.WATCHERS_TABLE, WATCHERS)
    monkeypatch.setenv(wiring.LIVE_ORIGINS, "https://watch.example")
    forget()
    yield cloud
    forget()


def forget() -> None:
    for made in (wiring.tickets, wiring.sessions, wiring.push):
        made.cache_clear()


@pytest.fixture(params=["memory", "dynamodb"])
def watchers(request: pytest.FixtureRequest) -> Watchers:
    if request.param == "memory":
        return MemoryWatchers()
    request.getfixturevalue("live")
    return DynamoWatchers(boto3.client("dynamodb"), WATCHERS)


@pytest.fixture(params=["memory", "dynamodb"])
def tickets(request: pytest.FixtureRequest) -> Tickets:
    if request.param == "memory":
        return MemoryTickets()
    request.getfixturevalue("live")
    return DynamoTickets(boto3.client("dynamodb"), TICKETS)


def watcher(number: int = 1) -> Watcher:
    return Watcher(connection_id=f"c{number}", endpoint=ENDPOINT, opened_at=START, heard_at=START)


def test_a_connection_is_kept_from_its_beginning_to_its_end(watchers: Watchers) -> None:
    watchers.open(watcher(1))
    watchers.open(watcher(2))
    assert watchers.find("c1") == watcher(1)
    assert watchers.all() == ()
    assert watchers.subscribe("c1", ALL, START + 5)
    assert watchers.heard("c1", START + 7)
    wanted = msgspec.structs.replace(watcher(1), scope=ALL, subscribed_at=START + 5, heard_at=START + 7)
    assert watchers.find("c1") == wanted
    assert watchers.all() == (wanted,)
    watchers.close("c1")
    watchers.close("c1")
    assert (watchers.find("c1"), watchers.all()) == (None, ())


def test_who_has_left_does_not_come_back_by_what_he_said_last(watchers: Watchers) -> None:
    assert not watchers.subscribe("c1", ALL, START)
    assert not watchers.heard("c1", START)
    assert watchers.find("c1") is None


def test_a_ticket_is_used_once_and_only_in_time(tickets: Tickets) -> None:
    one, late = new_ticket(START), new_ticket(START)
    tickets.keep(one)
    tickets.keep(late)
    assert [tickets.use(one.digest, START), tickets.use(one.digest, START)] == [True, False]
    assert not tickets.use(late.digest, late.expires_at)
    assert not tickets.use("unknown", START)


def test_a_ticket_stands_nowhere_in_its_store(live: Aws) -> None:
    kept = new_ticket(START)
    DynamoTickets(boto3.client("dynamodb"), TICKETS).keep(kept)
    assert kept.ticket not in str(live.dynamodb.scan(TableName=TICKETS)["Items"])


def test_what_aws_refuses_is_told_with_its_code(live: Aws) -> None:
    for operation in ("PutItem", "GetItem", "UpdateItem", "DeleteItem", "Scan"):
        live.refuse(f"dynamodb.{operation}", "ThrottlingException")
    watchers = DynamoWatchers(boto3.client("dynamodb"), WATCHERS)
    tickets = DynamoTickets(boto3.client("dynamodb"), TICKETS)
    asked: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: watchers.open(watcher()), WatcherError),
        (lambda: watchers.find("c1"), WatcherError),
        (lambda: watchers.heard("c1", START), WatcherError),
        (lambda: watchers.close("c1"), WatcherError),
        (watchers.all, WatcherError),
        (lambda: tickets.keep(new_ticket(START)), TicketError),
        (lambda: tickets.use("x", START), TicketError),
    ]
    for ask, error in asked:
        with pytest.raises(error, match="ThrottlingException"):
            ask()


# --- marks and snapshots ---


def state(number: int, **changes: Any) -> LatestState:
    fields: dict[str, Any] = {
        "station_id": f"station-{number:03d}",
        "battery_available": 5,
        "battery_charging": 3,
        "temperature": 21.0,
        "humidity": None,
        "status": StationStatus.OPERATIONAL,
        "timestamp": NOW,
        "observed_at": NOW,
        "received_at": NOW,
    }
    return LatestState(**fields | changes)


def test_a_write_says_whether_it_is_news_and_which_version_it_is(live: Aws) -> None:
    latest = DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    told = []
    for minutes, available in enumerate((5, 5, 4, 4, 5)):
        later = NOW + timedelta(minutes=minutes)
        latest.offer(state(1, observed_at=later, battery_available=available))
        item = live.item("station-001")
        assert item is not None
        told.append((item["news"]["N"] != "0", shown_of(item).version))
    first = told[0][1]
    assert told == [
        (True, first),
        (False, first + 1),
        (True, first + 2),
        (False, first + 3),
        (True, first + 4),
    ]


def test_a_late_reading_makes_no_version(live: Aws) -> None:
    latest = DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    latest.offer(state(1))
    before = live.item("station-001")
    latest.offer(state(1, observed_at=NOW - timedelta(minutes=1), battery_available=0))
    latest.offer_with_bays(state(1), bays_of(state(1), NOW, [bay()]))
    after = live.item("station-001")
    assert before is not None
    assert after is not None
    assert shown_of(before) == shown_of(after)


def test_a_snapshot_has_what_its_scope_covers(live: Aws) -> None:
    berlin, munich = Location(latitude=52.5, longitude=13.4), Location(latitude=48.1, longitude=11.6)
    for number in range(105):
        one = state(number, location=munich if number < 3 else berlin)
        live.dynamodb.put_item(TableName=TABLE, Item=to_item(one))
    shown = DynamoShown(boto3.client("dynamodb"), TABLE)

    def numbers(scope: Scope) -> set[int]:
        found = shown.of(scope, limit=200)
        assert found is not None
        return {int(one.station_id.removeprefix("station-")) for one in found}

    assert numbers(ALL) == set(range(105))
    assert numbers(Scope(kind=Kind.REGION, geohash="u33")) == set(range(3, 105))
    assert numbers(Scope(kind=Kind.REGION, geohash="gcp")) == set()
    named = tuple(f"station-{number:03d}" for number in (3, 4, 999))
    assert numbers(Scope(kind=Kind.STATIONS, stations=named)) == {3, 4}
    assert shown.of(ALL, limit=104) is None
    assert shown.of(Scope(kind=Kind.REGION, geohash="u33"), limit=101) is None


# --- the line ---


@pytest.mark.parametrize(
    ("code", "error"), [("GoneException", LineGone), ("LimitExceededException", LineError)]
)
def test_what_api_gateway_refuses_is_told_apart(live: Aws, code: str, error: type[Exception]) -> None:
    client = boto3.client("apigatewaymanagementapi", endpoint_url=ENDPOINT)
    line = ApiGatewayLine(lambda _: client)
    with Stubber(client) as stub:
        stub.add_client_error("post_to_connection", code)
        with pytest.raises(error, match="send to c1"):
            line.send(ENDPOINT, "c1", b"{}")
        stub.add_client_error("delete_connection", "GoneException")
        line.close(ENDPOINT, "c1")
        stub.add_client_error("delete_connection", "LimitExceededException")
        with pytest.raises(LineError, match="close c1"):
            line.close(ENDPOINT, "c1")


# --- handlers ---


class Posts:
    """Stands for API Gateway's management of connections: what was posted, by connection."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Any]] = {}
        self.endpoints: set[str] = set()

    def __call__(self, endpoint: str) -> "Posts":
        self.endpoints.add(endpoint)
        return self

    def post_to_connection(self, *, ConnectionId: str, Data: bytes) -> None:
        self.frames.setdefault(ConnectionId, []).append(decode_frame(Data))

    def delete_connection(self, *, ConnectionId: str) -> None:
        self.frames.pop(ConnectionId, None)


@pytest.fixture
def posts(live: Aws, monkeypatch: pytest.MonkeyPatch) -> Posts:
    made = Posts()
    monkeypatch.setattr(wiring, "_line", lambda: ApiGatewayLine(made))
    return made


def call(kind: str, body: str | None = None) -> dict[str, Any]:
    request = {
        "connectionId": "c1",
        "eventType": kind,
        "apiId": "abcd1234",
        "stage": "live",
        "domainName": "abcd1234.execute-api.us-east-1.amazonaws.com",
    }
    return watch.handler({"requestContext": request, "body": body}, None)  # type: ignore[arg-type]


def record(new: dict[str, Any]) -> dict[str, Any]:
    return {"eventName": "MODIFY", "dynamodb": {"NewImage": new}}


def test_a_connection_by_its_calls(live: Aws, posts: Posts) -> None:
    latest = DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    latest.offer(state(1))
    call("CONNECT")
    call("MESSAGE", '{"action":"subscribe","scope":{"kind":"all"}}')
    call("MESSAGE", "what?")
    item = live.item("station-001")
    push.handler({"Records": [record({**item, "battery_available": {"N": "1"}})]}, None)  # type: ignore[arg-type, dict-item]
    first, synchronised, problem, change = posts.frames["c1"]
    assert isinstance(first, States)
    assert isinstance(synchronised, Synchronised)
    assert isinstance(problem, Refused)
    assert isinstance(change, States)
    assert [one.battery_available for one in (*first.states, *change.states)] == [5, 1]
    assert posts.endpoints == {"https://abcd1234.execute-api.us-east-1.amazonaws.com/live"}
    call("DISCONNECT")
    assert live.dynamodb.scan(TableName=WATCHERS)["Items"] == []


def test_elsewhere_the_api_stands_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    request = {"apiId": "abcd1234", "stage": "live", "domainName": "x"}
    assert wiring.line_endpoint(request) == "http://127.0.0.1:4566/_aws/execute-api/abcd1234/live"


def ask_for_ticket(method: str = "POST") -> Any:
    event = {"httpMethod": method, "requestContext": {"requestId": "r"}}
    return ticket.handler(event, None)  # type: ignore[arg-type]


def decide(value: str | None, **headers: str) -> str:
    event = {
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:abcd1234/live/$connect",
        "headers": headers,
        "queryStringParameters": {"ticket": value} if value else None,
    }
    answer = watch_authorise.handler(event, None)  # type: ignore[arg-type]
    [statement] = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == event["methodArn"]
    return str(statement["Effect"])


def test_a_ticket_lets_one_connection_in(live: Aws) -> None:
    answer = ask_for_ticket()
    assert answer["statusCode"] == 201
    value = msgspec.json.decode(answer["body"])["ticket"]
    assert decide(value, Origin="https://evil.example") == "Deny"
    assert [decide(value, Origin="https://watch.example"), decide(value), decide(None)] == [
        "Allow",
        "Deny",
        "Deny",
    ]


def test_tickets_are_had_by_post_alone(live: Aws) -> None:
    assert ask_for_ticket("OPTIONS")["statusCode"] == 204
    refused = ask_for_ticket("GET")
    assert (refused["statusCode"], refused["headers"]["Allow"]) == (405, "POST,OPTIONS")


def test_no_ticket_where_none_can_be_kept(live: Aws) -> None:
    live.refuse("dynamodb.PutItem", "ThrottlingException")
    answer = ask_for_ticket()
    assert answer["statusCode"] == 500
    assert "Throttling" not in answer["body"]


def test_a_station_is_sent_as_it_is_stored(live: Aws) -> None:
    DynamoLatestStates(boto3.client("dynamodb"), TABLE).offer(state(1, temperature=0.1 + 0.2))
    item = live.item("station-001")
    assert item is not None
    assert shown_of(item) == Shown(
        station_id="station-001",
        version=shown_of(item).version,
        status=StationStatus.OPERATIONAL,
        battery_available=5,
        battery_charging=3,
        temperature=0.1 + 0.2,
        timestamp=NOW,
    )
