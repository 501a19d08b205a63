"""Bringing back what could not be processed, from each of the four places where it comes to lie.

Every message is handed on before it is taken away, and everything behind it may happen twice without harm:
so this may be interrupted, and done again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.envelope import from_milliseconds
from evswap_cloud.operations.deployment import DeadLetters, Deployment, Route
from evswap_cloud.operations.errors import NotHandedOn, NotOperated
from evswap_cloud.operations.failing import operating
from evswap_cloud.operations.leftovers import (
    Leftover,
    of_failed_call,
    of_quarantined,
    of_rule_error,
)

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ObjectVersionTypeDef
    from types_boto3_sqs.client import SQSClient

Tell = Callable[[str], object]
"""Says how far the work is."""


class Origin(StrEnum):
    """Where it lies."""

    DEAD_LETTERS = "dead-letters"
    FAILED_CALLS = "failed-calls"
    RULE_ERRORS = "rule-errors"
    QUARANTINE = "quarantine"


AT_FAULT_ELSEWHERE: Final = (Origin.DEAD_LETTERS, Origin.FAILED_CALLS, Origin.RULE_ERRORS)
"""What a store or a quota kept back. What is in quarantine is itself at fault: it comes back only by name,
after the rule that refused it has changed."""

QUARANTINE_PREFIX: Final = "quarantine/"
HIDDEN_S: Final = 120
"""For how long a message that is being handled is shown to nobody else."""

_POLL_S: Final = 1.0
_BATCH: Final = 10
_TELL_EVERY: Final = 100
_NO_SUCH_ACTION: Final = ("InvalidAction", "AWS.SimpleQueueService.UnsupportedOperation")


class Tally(Struct, kw_only=True):
    """What became of the messages in one place: ``kept`` are there still."""

    origin: Origin
    place: str
    found: int = 0
    moved: int = 0
    kept: int = 0
    problems: dict[str, int] = {}

    def keep(self, problem: str) -> None:
        """One more stays, because of ``problem``."""
        self.kept += 1
        self.problems[problem] = self.problems.get(problem, 0) + 1


class Redrive:
    """Brings back the left-overs of ``deployment``; with ``execute`` False it only counts them."""

    def __init__(self, deployment: Deployment, *, execute: bool, rate: int | None, tell: Tell) -> None:
        self._deployment = deployment
        self._clients = deployment.clients
        self._execute = execute
        self._rate = rate
        self._tell = tell

    def run(self, origins: Iterable[Origin], *, reason: str | None = None) -> tuple[Tally, ...]:
        """A tally for each place; ``reason`` chooses among what is in quarantine. Raises ``NotOperated``."""
        works: dict[Origin, Callable[[], Iterator[Tally]]] = {
            Origin.DEAD_LETTERS: self._dead_letters,
            Origin.FAILED_CALLS: self._failed_calls,
            Origin.RULE_ERRORS: self._rule_errors,
            Origin.QUARANTINE: lambda: self._quarantine(reason),
        }
        return tuple(tally for origin in origins for tally in works[origin]())

    # --- dead letters: AWS moves them by itself ---

    def _dead_letters(self) -> Iterator[Tally]:
        for queue in self._deployment.dead_letters():
            tally = self._counted(Origin.DEAD_LETTERS, queue.url)
            if self._execute and tally.found:
                with operating("redrive", queue.url):
                    self._move(queue, tally)
            yield tally

    def _move(self, queue: DeadLetters, tally: Tally) -> None:
        rate: Any = {} if self._rate is None else {"MaxNumberOfMessagesPerSecond": self._rate}
        try:
            self._clients.sqs.start_message_move_task(SourceArn=queue.arn, **rate)
        except ClientError as error:
            if error_code(error) not in _NO_SUCH_ACTION:
                raise
            self._drain(queue.url, tally, lambda message: self._send(queue.source_url, message["Body"]))
        else:
            self._await_move(queue, tally)

    def _await_move(self, queue: DeadLetters, tally: Tally) -> None:
        """Until AWS says that it is over, whatever else comes to lie there meanwhile."""
        while True:
            [task] = self._clients.sqs.list_message_move_tasks(SourceArn=queue.arn, MaxResults=1)["Results"]
            tally.moved = task.get("ApproximateNumberOfMessagesMoved", 0)
            self._tell(f"{tally.place}: {tally.moved} of {tally.found}")
            if task["Status"] not in ("RUNNING", "CANCELLING"):
                break
            time.sleep(_POLL_S)
        if task["Status"] != "COMPLETED":
            raise NotOperated(
                operation="move", target=tally.place, code=task.get("FailureReason", task["Status"])
            )

    # --- calls that failed, errors of rules: records around the message ---

    def _failed_calls(self) -> Iterator[Tally]:
        routes = self._deployment.routes()
        for url in self._deployment.failure_queues():
            yield self._records(
                Origin.FAILED_CALLS, url, routes, lambda message: of_failed_call(message["Body"])
            )

    def _rule_errors(self) -> Iterator[Tally]:
        routes = self._deployment.routes()
        for url in dict.fromkeys(route.error_queue_url for route in routes if route.error_queue_url):
            yield self._records(
                Origin.RULE_ERRORS,
                url,
                routes,
                lambda message: of_rule_error(message["Body"], _sent_at(message)),
            )

    def _records(
        self, origin: Origin, url: str, routes: Sequence[Route], read: Callable[[Any], Leftover]
    ) -> Tally:
        tally = self._counted(origin, url)
        if self._execute and tally.found:
            with operating("redrive", url):
                self._drain(url, tally, lambda message: self._deliver(read(message), routes))
        return tally

    # --- quarantine ---

    def _quarantine(self, reason: str | None) -> Iterator[Tally]:
        """The version that was read is taken away and no other: what is refused again has the same name, and
        may lie there already."""
        bucket, routes = self._deployment.archive_bucket(), self._deployment.routes()
        tally = Tally(origin=Origin.QUARANTINE, place=f"s3://{bucket}/{QUARANTINE_PREFIX}")
        with operating("redrive", tally.place):
            for version in self._versions(bucket):
                self._quarantined(bucket, version, routes, reason, tally)
        yield tally

    def _versions(self, bucket: str) -> "list[ObjectVersionTypeDef]":
        """Those that are there as it begins."""
        pages = self._clients.s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix=QUARANTINE_PREFIX
        )
        return [version for page in pages for version in page.get("Versions", []) if version["IsLatest"]]

    def _quarantined(
        self,
        bucket: str,
        version: "ObjectVersionTypeDef",
        routes: Sequence[Route],
        reason: str | None,
        tally: Tally,
    ) -> None:
        which: Any = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        found = self._clients.s3.get_object(**which)
        if reason is not None and found["Metadata"].get("reason") != reason:
            return
        tally.found += 1
        if not self._execute:
            return
        try:
            self._deliver(of_quarantined(found["Body"].read(), found["Metadata"]), routes)
        except NotHandedOn as error:
            tally.keep(error.problem)
        else:
            self._clients.s3.delete_object(**which)
            self._count_moved(tally)

    # --- queues ---

    def _drain(self, url: str, tally: Tally, hand_on: Callable[[Any], None]) -> None:
        """Hand on all that lies there; what is kept is shown again to others in the end."""
        sqs, kept = self._clients.sqs, dict[str, str]()
        while fresh := [one for one in _receive(sqs, url) if one["MessageId"] not in kept]:
            for message in fresh:
                try:
                    hand_on(message)
                except NotHandedOn as error:
                    tally.keep(error.problem)
                    kept[message["MessageId"]] = message["ReceiptHandle"]
                else:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    self._count_moved(tally)
        for handle in kept.values():
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)

    def _count_moved(self, tally: Tally) -> None:
        tally.moved += 1
        if tally.moved % _TELL_EVERY == 0:
            self._tell(f"{tally.place}: {tally.moved} of {tally.found}")

    def _counted(self, origin: Origin, url: str) -> Tally:
        with operating("count", url):
            answer = self._clients.sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        count = int(answer["Attributes"]["ApproximateNumberOfMessages"])
        return Tally(origin=origin, place=url.rpartition("/")[2], found=count)

    # --- on its way again ---

    def _deliver(self, leftover: Leftover, routes: Sequence[Route]) -> None:
        """By the way that its rule would have taken; raises ``NotHandedOn`` where no rule is for it, or
        where the function has failed again."""
        route = next((route for route in routes if route.takes(leftover.topic)), None)
        if route is None:
            raise NotHandedOn(f"no rule takes {leftover.topic}")
        if route.queue_url is not None:
            self._send(route.queue_url, leftover.envelope.decode())
        elif route.function_arn is not None:
            self._call(route.function_arn, leftover.envelope)

    def _send(self, url: str, body: str) -> None:
        self._clients.sqs.send_message(QueueUrl=url, MessageBody=body)

    def _call(self, function: str, envelope: bytes) -> None:
        """And wait for its answer: only then is it known whether the record may go."""
        answer = self._clients.functions.invoke(FunctionName=function, Payload=envelope)
        if answer.get("FunctionError"):
            raise NotHandedOn(f"{function.rpartition(':function:')[2]} has failed again")


def _receive(sqs: "SQSClient", url: str) -> Sequence[Any]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=_BATCH,
        WaitTimeSeconds=1,
        VisibilityTimeout=HIDDEN_S,
        AttributeNames=["SentTimestamp"],
    )
    return answer.get("Messages", [])


def _sent_at(message: Any) -> datetime:
    return from_milliseconds(int(message["Attributes"]["SentTimestamp"]))
