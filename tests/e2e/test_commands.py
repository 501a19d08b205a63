"""Commands by the REST API: to a station that is there, to one that was away, and from nobody unknown."""

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from evswap_cloud.remote import Dispatcher, DynamoCommands, Order
from evswap_hil.deadline import wait_until
from evswap_schema import ReadNow
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message, telemetry_topic

pytestmark = pytest.mark.any_maker

VISITOR = "visitor"
READ_NOW: dict[str, Any] = {"action": {"action": "read_now"}}


@pytest.fixture(scope="module")
def token(stack: LocalStack) -> str:
    """What a machine gets for its secret."""
    answer = stack.run("token")
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def post(stack: LocalStack, station_id: str, body: object, **headers: str) -> httpx.Response:
    address = f"{stack.described.api_url}/stations/{station_id}/commands"
    return httpx.post(address, json=body, headers=headers, timeout=30)


def issued(stack: LocalStack, station_id: str, body: object, token: str) -> str:
    """Where the result of a command will be."""
    answer = post(stack, station_id, body, Authorization=f"Bearer {token}")
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    return str(answer.request.url.join(answer.headers["Location"]))


def state_at(address: str) -> Any:
    return httpx.get(address, timeout=30).json()["state"]


def test_a_station_does_what_it_is_told_and_the_api_says_so(stack: LocalStack, token: str) -> None:
    result = issued(stack, "station-01", READ_NOW, token)
    wait_until(lambda: state_at(result) == "done", what="the result", within=IN_TIME_S)
    told = httpx.get(result, timeout=30).json()
    assert told["told_by"] == "station"
    listed = httpx.get(f"{result.rpartition('/')[0]}?limit=10", timeout=30).json()
    assert told in listed["commands"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x.y.z", "Basic YTpi"])
def test_nobody_commands_without_a_token(stack: LocalStack, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = post(stack, VISITOR, READ_NOW, **headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json")


def test_a_token_that_was_changed_is_worth_nothing(stack: LocalStack, token: str) -> None:
    header, claims, signature = token.split(".")
    for forged in (f"{header}.{claims}.{signature[::-1]}", f"{header}.{claims}."):
        assert post(stack, VISITOR, READ_NOW, Authorization=f"Bearer {forged}").status_code == 401


def test_a_scope_allows_what_it_says(stack: LocalStack) -> None:
    answer = stack.run("token", "--scope", "evswap/configure")
    refused = post(stack, VISITOR, READ_NOW, Authorization=f"Bearer {answer.stdout.strip()}")
    assert (refused.status_code, "evswap/operate" in refused.json()["detail"]) == (403, True)


@contextmanager
def visitor(stack: LocalStack) -> Iterator[tuple[Client, "queue.Queue[dict[str, Any]]"]]:
    """The visitor, which asks what waits for it as soon as it listens, and what it hears."""
    described, heard = stack.described, queue.Queue[dict[str, Any]]()
    certificate = described.certificate_of(VISITOR)
    client = Client(CallbackAPIVersion.VERSION2, client_id=VISITOR, protocol=MQTTv5)
    client.tls_set(str(described.ca_file), str(certificate.certificate), str(certificate.key))
    ask = json.dumps({"station_id": VISITOR})

    def hear(_client: Client, _data: object, message: MQTTMessage) -> None:
        heard.put(json.loads(message.payload))

    client.on_connect = lambda client, *_: client.subscribe(f"ev/station/{VISITOR}/commands/+", qos=1)
    client.on_subscribe = lambda client, *_: client.publish(f"ev/station/{VISITOR}/pending", ask, qos=1)
    client.on_message = hear
    client.connect(described.mqtt_host, described.mqtt_port)
    client.loop_start()
    try:
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_station_that_was_away_gets_its_commands_when_it_comes_back(stack: LocalStack, token: str) -> None:
    with stack.visitor() as there:
        there.publish(telemetry_topic(VISITOR), seed_message(VISITOR))
    address = f"{stack.described.api_url}/stations/{VISITOR}"
    wait_until(lambda: httpx.get(address, timeout=30).is_success, what="the visitor", within=IN_TIME_S)
    results = [issued(stack, VISITOR, READ_NOW, token) for _ in range(2)]
    names = [result.rpartition("/")[2] for result in results]
    with visitor(stack) as (client, heard):
        commands: list[dict[str, Any]] = []
        while not set(names) <= {command["command_id"] for command in commands}:
            commands.append(heard.get(timeout=IN_TIME_S))  # what another test has left is among them
        told = [command["command_id"] for command in commands if command["command_id"] in names]
        assert told == names, "the oldest first"
        for command in commands:
            said = {
                "command_id": command["command_id"],
                "station_id": VISITOR,
                "outcome": "done",
                "timestamp": datetime.now(UTC).isoformat(),
            }
            topic = f"ev/station/{VISITOR}/commands/{command['command_id']}/result"
            for _ in range(2):
                client.publish(topic, json.dumps(said), qos=1).wait_for_publish(30)
        wait_until(
            lambda: all(state_at(result) == "done" for result in results), what="results", within=IN_TIME_S
        )
    with visitor(stack) as (_, heard), pytest.raises(queue.Empty):
        heard.get(timeout=3)


def test_a_command_that_nobody_spoke_of_is_given_up(stack: LocalStack) -> None:
    """As if it had been issued an hour ago."""
    [table] = [
        name for name in stack.aws("dynamodb").list_tables()["TableNames"] if name.endswith("-commands")
    ]
    store, long_ago = DynamoCommands(stack.aws("dynamodb"), table), datetime.now(UTC) - timedelta(hours=1)
    station = f"away-{uuid4().hex[:8]}"
    old = Dispatcher(store, stack.aws("iot-data"), now=lambda: long_ago)
    command = old.issue(Order(station_id=station, action=ReadNow(), issued_by="test")).record.command
    functions = stack.aws("lambda")
    [name] = [
        each["FunctionName"]
        for each in functions.list_functions()["Functions"]
        if each["FunctionName"].endswith("-expire")
    ]
    assert "FunctionError" not in functions.invoke(FunctionName=name)
    found = store.get(station, command.command_id)
    assert found is not None
    assert (found.state.value, found.said_at) == ("expired", None)
