"""Each function may do its own work and nothing beyond it: tried with its role, under enforced IAM."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.local_stack import ROOT, LocalStack
from tests.e2e.probe import ALLOWED, Call, Probe, probe

pytestmark = pytest.mark.any_maker

FUNCTIONS = yaml.safe_load((ROOT / "cloud" / "stack" / "functions.yaml").read_text())["functions"]
REFUSED = {"AccessDenied", "AccessDeniedException"}
NOBODY = "least-privilege"
"""A station that does not exist, so that what is allowed changes nothing that matters."""


class Resources:
    """What the calls are made on: the stack's own, and a stranger's table and bucket beside them."""

    def __init__(self, stack: LocalStack) -> None:
        described = stack.described
        self.table, self.archive = described.stations_table, described.archive_bucket
        self.strange_table, self.strange_bucket = f"{self.table}-strange", f"{self.archive}-strange"
        queues = stack.aws("sqs").list_queues()["QueueUrls"]
        self.queues = {url.rsplit("/", 1)[-1]: url for url in queues}
        self.thing = described.visitor_station_id

    def put_item(self, table: str) -> Call:
        return Call("dynamodb", "put_item", {"TableName": table, "Item": {"station_id": {"S": NOBODY}}})

    def item(self, operation: str) -> Call:
        return Call("dynamodb", operation, {"TableName": self.table, "Key": {"station_id": {"S": NOBODY}}})

    def put_object(self, key: str, bucket: str | None = None) -> Call:
        return Call("s3", "put_object", {"Bucket": bucket or self.archive, "Key": key, "Body": NOBODY})

    def object(self, operation: str, key: str) -> Call:
        return Call("s3", operation, {"Bucket": self.archive, "Key": key})

    def receive(self, queue: str) -> Call:
        url = next(url for name, url in self.queues.items() if name.endswith(f"-{queue}"))
        return Call("sqs", "receive_message", {"QueueUrl": url})

    def own(self, function: str) -> list[Call]:
        """A part of the function's own work."""
        match function:
            case "live":
                return [self.put_item(self.table), self.put_object(f"telemetry/{NOBODY}.json")]
            case "change":
                failures = next(url for name, url in self.queues.items() if name.endswith("-change-failures"))
                leave = Call("sqs", "send_message", {"QueueUrl": failures, "MessageBody": NOBODY})
                return [self.put_item(self.table), self.put_object(f"quarantine/{NOBODY}.bin"), leave]
            case "bulk":
                return [self.put_item(self.table), self.put_object(f"bulk/{NOBODY}.jsonl.gz")]
            case "api":
                return [self.item("get_item"), Call("dynamodb", "scan", {"TableName": self.table})]
            case "provision":
                return [Call("iot", "list_thing_principals", {"thingName": self.thing})]
            case "retire":
                return [Call("iot", "list_thing_principals", {"thingName": self.thing})]
            case _:
                pytest.fail(f"say what the function {function} may do, and what not")

    def beyond(self, function: str) -> list[Call]:
        """What none may do, and what this one may not although another may."""
        nobody = [
            self.item("delete_item"),
            self.put_item(self.strange_table),
            Call("dynamodb", "delete_table", {"TableName": self.table}),
            self.put_object("reports/x"),
            self.put_object("telemetry/x", self.strange_bucket),
            self.object("delete_object", f"telemetry/{NOBODY}.json"),
            self.receive("rule-errors"),
            Call("iam", "list_roles"),
            Call("iot", "list_things"),
        ]
        match function:
            case "live":
                return [*nobody, self.put_object("bulk/x"), self.receive("batch"), self.item("get_item")]
            case "change":
                return [
                    *nobody,
                    self.put_object("telemetry/x"),
                    self.put_object("bulk/x"),
                    self.receive("telemetry"),
                    self.item("get_item"),
                ]
            case "bulk":
                return [*nobody, self.put_object("telemetry/x"), self.receive("telemetry")]
            case "provision":
                revoke = {"certificateId": "0" * 64, "newStatus": "REVOKED"}
                return [
                    *nobody,
                    self.item("get_item"),
                    Call("iot", "create_thing", {"thingName": NOBODY}),
                    Call("iot", "update_certificate", revoke),
                    Call("iot", "delete_thing", {"thingName": self.thing}),
                ]
            case "retire":
                return [
                    *nobody,
                    self.item("get_item"),
                    self.receive("batch"),
                    Call("iot", "create_thing", {"thingName": NOBODY}),
                    Call("iot", "delete_thing", {"thingName": self.thing}),
                    Call("iot", "delete_certificate", {"certificateId": "0" * 64}),
                ]
            case _:
                return [
                    *nobody,
                    self.put_item(self.table),
                    self.object("get_object", f"telemetry/{NOBODY}.json"),
                ]


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
    answers = role.answers(resources.own(function))
    assert set(answers.values()) == {ALLOWED}, answers


def test_everything_beyond_is_refused(tried: tuple[str, Probe], resources: Resources) -> None:
    function, role = tried
    answers = role.answers(resources.beyond(function))
    assert {call: answer for call, answer in answers.items() if answer not in REFUSED} == {}
