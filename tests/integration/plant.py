"""A deployment in this process: moto's stores and queues, the real handlers behind the queues, and the rules
and functions as ``cloud/stack`` names them. It stands still until a test says ``work``.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import boto3
import yaml

from evswap_cloud.handlers import bulk, change, events, live
from evswap_cloud.operations.deployment import LIVE, Deployment
from tests.cloud.messages import STACK
from tests.integration.aws import BUCKET, TABLE, Aws

RECEIVES = 3
"""After which a message is given up: 20 in the stack, which would only take longer."""

CONTEXT = SimpleNamespace(aws_request_id="request-1")
HANDLERS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "live": live.handler,
    "bulk": bulk.handler,
    "events": events.handler,
    "change": change.handler,
}
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"


def load(name: str) -> Any:
    """One of the stack's files, with the names that this deployment has."""
    text = (STACK / name).read_text().replace("${prefix}", "evswap")
    return yaml.safe_load(text.replace("${region}", "us-east-1").replace("${account_id}", "123456789012"))


class Functions:
    """What is used of Lambda: the handlers, called at once and in this process."""

    def __init__(self, plant: "Plant") -> None:
        self._plant = plant
        self._functions: dict[str, Any] = load("functions.yaml")["functions"]

    def get_paginator(self, operation: str) -> Any:
        pages: dict[str, Callable[..., Any]] = {
            "list_functions": self._names,
            "list_function_event_invoke_configs": self._asynchronous,
        }
        return SimpleNamespace(paginate=pages[operation])

    def _names(self) -> list[Any]:
        return [{"Functions": [{"FunctionName": each["name"]} for each in self._functions.values()]}]

    def _asynchronous(self, *, FunctionName: str) -> list[Any]:
        [function] = [each for each in self._functions.values() if each["name"] == FunctionName]
        queue = function.get("asynchronous", {}).get("on_failure_queue")
        destination = {"OnFailure": {"Destination": self._plant.arn(queue)} if queue else {}}
        return [{"FunctionEventInvokeConfigs": [{"DestinationConfig": destination}]}]

    def get_function_configuration(self, *, FunctionName: str) -> Any:
        names = {"ARCHIVE_BUCKET": BUCKET, "STATIONS_TABLE": TABLE}
        return {"Environment": {"Variables": {f"EVSWAP_{name}": value for name, value in names.items()}}}

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Any:
        name = FunctionName.removeprefix(f"{ARN}evswap-").removesuffix(f":{LIVE}")
        answer: dict[str, Any] = {"StatusCode": 200}
        payload = b"null"
        try:
            HANDLERS[name](json.loads(Payload), CONTEXT)
        except Exception as error:  # noqa: BLE001 - as Lambda does
            answer, payload = {"StatusCode": 200, "FunctionError": "Unhandled"}, repr(error).encode()
        return {**answer, "Payload": io.BytesIO(payload)}


class Rules:
    """What is used of AWS IoT: the rules, as they lead."""

    def __init__(self, plant: "Plant") -> None:
        self._plant = plant
        self._rules: dict[str, Any] = load("rules.yaml")

    def get_paginator(self, _operation: str) -> Any:
        page = {"rules": [{"ruleName": name} for name in self._rules]}
        return SimpleNamespace(paginate=lambda: [page])

    def get_topic_rule(self, *, ruleName: str) -> Any:
        rule = self._rules[ruleName]
        errors = {"sqs": {"queueUrl": self._plant.url(rule["error_queue"])}}
        action: dict[str, Any] = (
            {"sqs": {"queueUrl": self._plant.url(rule["queue"])}}
            if "queue" in rule
            else {"lambda": {"functionArn": f"{ARN}evswap-{rule['function']}:{LIVE}"}}
        )
        sql = (STACK / rule["sql_file"]).read_text()
        return {"rule": {"sql": sql, "actions": [action], "errorAction": errors}}


class Plant:
    """The deployment over the stores of ``cloud``."""

    def __init__(self, cloud: Aws) -> None:
        self.cloud = cloud
        cloud.refuse("sqs.StartMessageMoveTask", "InvalidAction")  # moto has none
        self.sqs: Any = boto3.client("sqs")
        self._queues: dict[str, Any] = load("queues.yaml")
        self._functions: dict[str, Any] = load("functions.yaml")["functions"]
        for key in sorted(self._queues, key=lambda key: "dead_letter_queue" in self._queues[key]):
            self._make(key)
        self.published: list[str] = []

    def _make(self, key: str) -> None:
        queue = self._queues[key]
        attributes = {"VisibilityTimeout": "0"}
        if "dead_letter_queue" in queue:
            policy = {
                "deadLetterTargetArn": self.arn(queue["dead_letter_queue"]),
                "maxReceiveCount": RECEIVES,
            }
            attributes["RedrivePolicy"] = json.dumps(policy)
        self.sqs.create_queue(QueueName=queue["name"], Attributes=attributes)

    def arn(self, key: str) -> str:
        return f"arn:aws:sqs:us-east-1:123456789012:{self._queues[key]['name']}"

    def url(self, key: str) -> str:
        url: str = self.sqs.get_queue_url(QueueName=self._queues[key]["name"])["QueueUrl"]
        return url

    def deployment(self) -> Deployment:
        """As an operator finds it."""
        clients = SimpleNamespace(
            s3=self.cloud.s3,
            dynamodb=self.cloud.dynamodb,
            sqs=self.sqs,
            functions=Functions(self),
            iot=Rules(self),
            iot_data=SimpleNamespace(publish=lambda *, topic, qos, payload: self.published.append(topic)),
        )
        return Deployment(clients)

    def put(self, key: str, *bodies: str) -> None:
        """Into a queue, as a rule does, or whoever else puts something there."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.url(key), MessageBody=body)

    def waiting(self, key: str) -> int:
        """How many messages lie in a queue."""
        asked = self.sqs.get_queue_attributes(QueueUrl=self.url(key), AttributeNames=["All"])["Attributes"]
        return int(asked["ApproximateNumberOfMessages"]) + int(asked["ApproximateNumberOfMessagesNotVisible"])

    def work(self) -> int:
        """Let the functions take from their queues until nothing is left, or given up; how often they were
        called."""
        return sum(
            1
            for key, function in self._functions.items()
            if key in HANDLERS
            for _ in self._calls(key, function)
        )

    def _calls(self, key: str, function: Mapping[str, Any]) -> Iterator[None]:
        url = self.url(function["event_source"]["queue"]) if "event_source" in function else None
        while url and (
            messages := self.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]
            ).get("Messages", [])
        ):
            records = [
                {"messageId": one["MessageId"], "body": one["Body"], "attributes": one["Attributes"]}
                for one in messages
            ]
            answer = HANDLERS[key]({"Records": records}, CONTEXT)
            failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            for one in messages:
                if one["MessageId"] not in failed:
                    self.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            yield
