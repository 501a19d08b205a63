"""SQS queues, from queues.yaml."""

import json
from collections.abc import Iterator
from typing import Any

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source

FILE = "queues.yaml"
LONGEST_POLL_S = 20


def apply_queues(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the queues, dead-letter queues before those that use them."""
    queues = source.yaml(FILE)
    for queue in sorted(queues.values(), key=lambda queue: "dead_letter_queue" in queue):
        yield Change("queue", queue["name"], _apply(clients, source, queue))


def queue_arn(source: Source, key: str) -> str:
    """The ARN of the queue under ``key``."""
    values = source.values
    return f"arn:aws:sqs:{values.region}:{values.account_id}:{source.named(FILE, key)}"


def queue_url(clients: Clients, source: Source, key: str) -> str:
    """The URL of the queue under ``key``."""
    return clients.sqs.get_queue_url(QueueName=source.named(FILE, key))["QueueUrl"]


def _apply(clients: Clients, source: Source, queue: dict[str, Any]) -> Outcome:
    wanted = _attributes(source, queue)
    try:
        url = clients.sqs.get_queue_url(QueueName=queue["name"])["QueueUrl"]
    except clients.sqs.exceptions.QueueDoesNotExist:
        clients.sqs.create_queue(QueueName=queue["name"], Attributes=wanted)
        return Outcome.CREATED
    found = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    differing: Any = {name: value for name, value in wanted.items() if not _same(found.get(name), value)}
    if not differing:
        return Outcome.UNCHANGED
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes=differing)
    return Outcome.UPDATED


def _attributes(source: Source, queue: dict[str, Any]) -> Any:
    attributes = {
        "VisibilityTimeout": str(queue["visibility_timeout_s"]),
        "MessageRetentionPeriod": str(queue["message_retention_s"]),
        "MaximumMessageSize": str(queue["maximum_message_bytes"]),
        "ReceiveMessageWaitTimeSeconds": str(queue.get("receive_wait_s", LONGEST_POLL_S)),
        "SqsManagedSseEnabled": "true" if queue.get("encryption") == "SSE-SQS" else "false",
    }
    if "dead_letter_queue" in queue:
        attributes["RedrivePolicy"] = json.dumps(
            {
                "deadLetterTargetArn": queue_arn(source, queue["dead_letter_queue"]),
                "maxReceiveCount": queue["max_receive_count"],
            }
        )
    return attributes


def _same(found: str | None, wanted: str) -> bool:
    if found is None or not wanted.startswith("{"):
        return found == wanted
    there, here = json.loads(found), json.loads(wanted)
    return {key: str(value) for key, value in there.items()} == {
        key: str(value) for key, value in here.items()
    }
