"""Each function may do its own work and nothing beyond it: tried with its role, under enforced IAM."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.local_stack import ROOT, LocalStack
from tests.e2e.probe import ALLOWED, Call, Probe, probe

pytestmark = pytest.mark.any_maker

FUNCTIONS = yaml.safe_load((ROOT / "cloud" / "stack" / "functions.yaml").read_text())["functions"]
REFUSED = {"AccessDenied", "AccessDeniedException", "ForbiddenException"}
NOBODY = "least-privilege"
"""A station that does not exist, so that what is allowed changes nothing that matters."""

ACKNOWLEDGEMENT = f"ev/station/{NOBODY}/acknowledgement"
COMMAND = f"ev/station/{NOBODY}/commands/1"
SENDERS = {"command", "reports"}


class Resources:
    """What the calls are made on: the stack's own, and a stranger's table and bucket beside them."""

    def __init__(self, stack: LocalStack) -> None:
        described = stack.described
        self.table, self.archive = described.stations_table, described.archive_bucket
        tables = stack.aws("dynamodb").list_tables()["TableNames"]
        self.events = next(name for name in tables if name.endswith("-events"))
        self.batteries = next(name for name in tables if name.endswith("-batteries"))
        self.commands = next(name for name in tables if name.endswith("-commands"))
        self.tickets = next(name for name in tables if name.endswith("-tickets"))
        self.watchers = next(name for name in tables if name.endswith("-watchers"))
        self.fleet = next(name for name in tables if name.endswith("-fleet"))
        self.history = next(name for name in tables if name.endswith("-history"))
        self.strange_table, self.strange_bucket = f"{self.table}-strange", f"{self.archive}-strange"
        queues = stack.aws("sqs").list_queues()["QueueUrls"]
        self.queues = {url.rsplit("/", 1)[-1]: url for url in queues}
        self.thing = described.visitor_station_id

    def put_item(self, table: str) -> Call:
        return Call("dynamodb", "put_item", {"TableName": table, "Item": {"station_id": {"S": NOBODY}}})

    def put_figures(self) -> Call:
        return Call("dynamodb", "put_item", {"TableName": self.fleet, "Item": {"figures": {"S": NOBODY}}})

    def move_state(self) -> Call:
        return Call(
            "dynamodb",
            "update_item",
            {
                "TableName": self.table,
                "Key": {"station_id": {"S": NOBODY}},
                "UpdateExpression": "SET humidity = :humidity",
                "ExpressionAttributeValues": {":humidity": {"NULL": True}},
            },
        )

    def put_event(self) -> Call:
        item = {"station_id": {"S": NOBODY}, "event_id": {"S": "x"}, "place": {"S": "x"}}
        return Call("dynamodb", "put_item", {"TableName": self.events, "Item": item})

    def put_battery(self) -> Call:
        item = {"serial_number": {"S": NOBODY}}
        return Call("dynamodb", "put_item", {"TableName": self.batteries, "Item": item})

    def battery(self, operation: str) -> Call:
        key = {"serial_number": {"S": NOBODY}}
        return Call("dynamodb", operation, {"TableName": self.batteries, "Key": key})

    def put_ticket(self) -> Call:
        return Call("dynamodb", "put_item", {"TableName": self.tickets, "Item": {"digest": {"S": NOBODY}}})

    def ticket(self, operation: str) -> Call:
        return Call("dynamodb", operation, {"TableName": self.tickets, "Key": {"digest": {"S": NOBODY}}})

    def watcher(self, operation: str) -> Call:
        key = {"connection_id": {"S": NOBODY}}
        return Call("dynamodb", operation, {"TableName": self.watchers, "Key": key})

    def query_events(self, index: str | None) -> Call:
        arguments: dict[str, Any] = {
            "TableName": self.events,
            "KeyConditionExpression": "station_id = :nobody",
            "ExpressionAttributeValues": {":nobody": {"S": NOBODY}},
        }
        return Call("dynamodb", "query", arguments | ({"IndexName": index} if index else {}))

    def put_minutes(self) -> Call:
        item = {"station_id": {"S": NOBODY}, "quarter": {"N": "0"}}
        return Call("dynamodb", "put_item", {"TableName": self.history, "Item": item})

    def minutes(self, operation: str) -> Call:
        key = {"station_id": {"S": NOBODY}, "quarter": {"N": "0"}}
        return Call("dynamodb", operation, {"TableName": self.history, "Key": key})

    def query_minutes(self) -> Call:
        arguments: dict[str, Any] = {
            "TableName": self.history,
            "KeyConditionExpression": "station_id = :nobody",
            "ExpressionAttributeValues": {":nobody": {"S": NOBODY}},
        }
        return Call("dynamodb", "query", arguments)

    def put_command(self) -> Call:
        item = {"station_id": {"S": NOBODY}, "command_id": {"S": "x"}}
        return Call("dynamodb", "put_item", {"TableName": self.commands, "Item": item})

    def command(self, operation: str) -> Call:
        key = {"station_id": {"S": NOBODY}, "command_id": {"S": "x"}}
        return Call("dynamodb", operation, {"TableName": self.commands, "Key": key})

    def query_commands(self, index: str, key: str = "station_id") -> Call:
        arguments: dict[str, Any] = {
            "TableName": self.commands,
            "IndexName": index,
            "KeyConditionExpression": f"{key} = :nobody",
            "ExpressionAttributeValues": {":nobody": {"S": NOBODY}},
        }
        return Call("dynamodb", "query", arguments)

    def sending(self, function: str) -> list[Call]:
        """What none may do but those that send commands."""
        return [] if function in SENDERS else [self.publish(COMMAND)]

    def publish(self, topic: str) -> Call:
        return Call("iot-data", "publish", {"topic": topic, "payload": "{}"})

    def item(self, operation: str) -> Call:
        return Call("dynamodb", operation, {"TableName": self.table, "Key": {"station_id": {"S": NOBODY}}})

    def put_object(self, key: str, bucket: str | None = None) -> Call:
        return Call("s3", "put_object", {"Bucket": bucket or self.archive, "Key": key, "Body": NOBODY})

    def object(self, operation: str, key: str) -> Call:
        return Call("s3", operation, {"Bucket": self.archive, "Key": key})

    def receive(self, queue: str) -> Call:
        return Call("sqs", "receive_message", {"QueueUrl": self._url(queue)})

    def leave(self, queue: str) -> Call:
        return Call("sqs", "send_message", {"QueueUrl": self._url(queue), "MessageBody": NOBODY})

    def _url(self, queue: str) -> str:
        return str(next(url for name, url in self.queues.items() if name.endswith(f"-{queue}")))

    def own(self) -> dict[str, list[Call]]:
        """A part of each function's own work."""
        principals = Call("iot", "list_thing_principals", {"thingName": self.thing})
        acknowledge = self.publish(ACKNOWLEDGEMENT)
        return {
            "live": [self.move_state(), self.put_object(f"telemetry/{NOBODY}.json"), acknowledge],
            "change": [
                self.move_state(),
                self.put_object(f"quarantine/{NOBODY}.bin"),
                self.leave("change-failures"),
            ],
            "bulk": [
                self.move_state(),
                self.put_minutes(),
                self.put_object(f"bulk/{NOBODY}.jsonl.gz"),
                acknowledge,
            ],
            "events": [
                self.put_event(),
                self.put_object(f"events/{NOBODY}.jsonl.gz"),
                acknowledge,
                self.battery("get_item"),
            ],
            "connection": [self.move_state(), self.put_object(f"quarantine/{NOBODY}.bin")],
            "sweep": [
                Call("dynamodb", "scan", {"TableName": self.table}),
                self.move_state(),
                self.put_figures(),
            ],
            "api": [
                self.item("get_item"),
                Call("dynamodb", "scan", {"TableName": self.table}),
                self.query_events("by-time"),
                self.query_minutes(),
                self.battery("get_item"),
                self.command("get_item"),
                self.query_commands("by-time"),
            ],
            "command": [
                self.item("get_item"),
                self.put_command(),
                self.command("get_item"),
                self.command("update_item"),
                self.publish(COMMAND),
            ],
            "reports": [
                self.command("update_item"),
                self.query_commands("waiting"),
                self.publish(COMMAND),
                self.put_object(f"quarantine/{NOBODY}.bin"),
            ],
            "expire": [self.query_commands("by-deadline", "waits"), self.command("update_item")],
            "ticket": [self.put_ticket()],
            "watch-authorise": [self.ticket("delete_item")],
            "watch": [
                Call("dynamodb", "scan", {"TableName": self.table}),
                self.watcher("get_item"),
                self.watcher("delete_item"),
            ],
            "push": [Call("dynamodb", "scan", {"TableName": self.watchers}), self.watcher("delete_item")],
            "provision": [principals],
            "retire": [principals],
        }

    def nobodys(self) -> list[Call]:
        """What none may do."""
        return [
            self.item("delete_item"),
            self.put_item(self.table),
            self.put_item(self.strange_table),
            Call("dynamodb", "delete_table", {"TableName": self.table}),
            self.put_object("reports/x"),
            self.put_object("telemetry/x", self.strange_bucket),
            self.object("delete_object", f"telemetry/{NOBODY}.json"),
            self.receive("rule-errors"),
            self.query_events(None),
            self.battery("delete_item"),
            self.minutes("get_item"),
            self.minutes("delete_item"),
            Call("iam", "list_roles"),
            Call("iot", "list_things"),
        ]

    def anothers(self) -> dict[str, list[Call]]:
        """What each may not do although another may."""
        make_thing = Call("iot", "create_thing", {"thingName": NOBODY})
        delete_thing = Call("iot", "delete_thing", {"thingName": self.thing})
        revoke = {"certificateId": "0" * 64, "newStatus": "REVOKED"}
        return {
            "live": [
                self.put_event(),
                self.put_minutes(),
                self.put_object("bulk/x"),
                self.receive("batch"),
                self.item("get_item"),
            ],
            "change": [
                self.put_object("telemetry/x"),
                self.put_object("bulk/x"),
                self.receive("telemetry"),
                self.item("get_item"),
                self.publish(ACKNOWLEDGEMENT),
            ],
            "bulk": [
                self.put_event(),
                self.query_minutes(),
                self.put_object("telemetry/x"),
                self.receive("telemetry"),
            ],
            "events": [
                self.move_state(),
                self.put_object("telemetry/x"),
                self.receive("telemetry"),
                self.query_events("by-time"),
            ],
            "api": [
                self.put_command(),
                self.command("update_item"),
                self.query_commands("waiting"),
                self.move_state(),
                self.put_event(),
                self.put_minutes(),
                self.put_battery(),
                self.object("get_object", f"telemetry/{NOBODY}.json"),
            ],
            "connection": [
                Call("dynamodb", "scan", {"TableName": self.table}),
                self.item("get_item"),
                self.put_figures(),
                self.put_object("telemetry/x"),
                self.receive("telemetry"),
            ],
            "sweep": [
                self.item("get_item"),
                self.put_event(),
                self.put_object(f"quarantine/{NOBODY}.bin"),
                self.receive("connection"),
            ],
            "ticket": [self.ticket("get_item"), self.ticket("delete_item"), self.watcher("get_item")],
            "watch-authorise": [self.put_ticket(), self.ticket("get_item"), self.watcher("delete_item")],
            "watch": [self.move_state(), self.put_ticket(), self.ticket("delete_item")],
            "push": [
                Call("dynamodb", "scan", {"TableName": self.table}),
                self.item("get_item"),
                self.watcher("get_item"),
                self.ticket("delete_item"),
            ],
            "command": [
                self.move_state(),
                self.command("delete_item"),
                self.query_commands("waiting"),
                self.put_object(f"quarantine/{NOBODY}.bin"),
                self.publish(ACKNOWLEDGEMENT),
            ],
            "reports": [
                self.put_command(),
                self.command("get_item"),
                self.query_commands("by-deadline", "waits"),
                self.put_object("telemetry/x"),
                self.receive("batch"),
                self.publish(ACKNOWLEDGEMENT),
            ],
            "expire": [
                self.put_command(),
                self.command("get_item"),
                self.command("delete_item"),
                self.query_commands("waiting"),
                self.receive("report"),
            ],
            "provision": [
                self.item("get_item"),
                make_thing,
                Call("iot", "update_certificate", revoke),
                delete_thing,
            ],
            "retire": [
                self.item("get_item"),
                self.receive("batch"),
                make_thing,
                delete_thing,
                Call("iot", "delete_certificate", {"certificateId": "0" * 64}),
            ],
        }


@pytest.fixture(scope="module")
def resources(stack: LocalStack) -> Iterator[Resources]:
    described = Resources(stack)
    tables, buckets = stack.aws("dynamodb"), stack.aws("s3")
    tables.create_table(
        TableName=described.strange_table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "station_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "station_id", "KeyType": "HASH"}],
    )
    buckets.create_bucket(Bucket=described.strange_bucket)
    yield described
    buckets.delete_bucket(Bucket=described.strange_bucket)
    tables.delete_table(TableName=described.strange_table)
    tables.delete_item(TableName=described.table, Key={"station_id": {"S": NOBODY}})
    tables.delete_item(
        TableName=described.commands, Key={"station_id": {"S": NOBODY}, "command_id": {"S": "x"}}
    )
    tables.delete_item(TableName=described.events, Key={"station_id": {"S": NOBODY}, "event_id": {"S": "x"}})
    tables.delete_item(TableName=described.history, Key={"station_id": {"S": NOBODY}, "quarter": {"N": "0"}})
    for key in stack.keys("", of=NOBODY):
        buckets.delete_object(Bucket=described.archive, Key=key)


@pytest.fixture(params=FUNCTIONS)
def tried(request: pytest.FixtureRequest, stack: LocalStack) -> Iterator[tuple[str, Probe]]:
    functions: Any = stack.aws("lambda")
    names = [each["FunctionName"] for each in functions.list_functions()["Functions"]]
    (name,) = (name for name in names if name.endswith(f"-{request.param}"))
    with probe(functions, name) as role:
        yield request.param, role


def test_its_own_work_is_allowed(tried: tuple[str, Probe], resources: Resources) -> None:
    function, role = tried
    answers = role.answers(resources.own()[function])
    assert set(answers.values()) == {ALLOWED}, answers


def test_everything_beyond_is_refused(tried: tuple[str, Probe], resources: Resources) -> None:
    function, role = tried
    answers = role.answers(resources.nobodys() + resources.sending(function) + resources.anothers()[function])
    assert {call: answer for call, answer in answers.items() if answer not in REFUSED} == {}
