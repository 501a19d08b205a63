"""A deployment as AWS shows it: its functions, where its rules lead, and where its left-overs lie."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from evswap_cloud.operations.clients import Clients
from evswap_cloud.operations.errors import NothingDeployed
from evswap_cloud.operations.failing import operating
from evswap_cloud.wiring import ARCHIVE_BUCKET, STATIONS_TABLE, setting

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient

PREFIX: Final = "evswap"
"""Of the names of a deployment, where nobody says otherwise."""

LIVE: Final = "live"
"""The alias behind which each function works."""

_FROM: Final = re.compile(r"\bFROM\s+'([^']+)'", re.IGNORECASE)


class DeadLetters(Struct, frozen=True, kw_only=True):
    """A dead-letter queue and the queue that its messages come from, by their URLs and ARNs."""

    url: str
    arn: str
    source_url: str


class Route(Struct, frozen=True, kw_only=True):
    """Where a rule leads: to a queue or to a function. ``topic_filter`` is what it listens to."""

    rule: str
    topic_filter: str
    queue_url: str | None
    function_arn: str | None
    error_queue_url: str | None

    def takes(self, topic: str) -> bool:
        """Whether the rule is the one of ``topic``."""
        wanted, given = self.topic_filter.split("/"), topic.split("/")
        pairs = zip(wanted, given, strict=False)
        return len(wanted) == len(given) and all(part in ("+", level) for part, level in pairs)


class Deployment:
    """The deployment whose names begin with ``prefix``, in the account and region of ``clients``."""

    def __init__(self, clients: Clients, prefix: str = PREFIX) -> None:
        self.clients = clients
        self.prefix = prefix

    def function_names(self) -> tuple[str, ...]:
        """Every function, by name; raises ``NothingDeployed`` where there is none, ``NotOperated``."""
        with operating("list", "functions"):
            pages = self.clients.functions.get_paginator("list_functions").paginate()
            names = [function["FunctionName"] for page in pages for function in page["Functions"]]
        found = tuple(sorted(name for name in names if name.startswith(f"{self.prefix}-")))
        if not found:
            raise NothingDeployed(self.prefix)
        return found

    def archive_bucket(self) -> str:
        """The bucket of what stations sent, as the functions know it."""
        return self._setting(ARCHIVE_BUCKET)

    def stations_table(self) -> str:
        """The table of latest states, as the functions know it."""
        return self._setting(STATIONS_TABLE)

    def _setting(self, variable: str) -> str:
        """Of the function that ingests batches: it knows every store of the latest states. Raises
        ``MissingSetting``, ``NotOperated``."""
        name = f"{self.prefix}-bulk"
        with operating("read", name):
            found = self.clients.functions.get_function_configuration(FunctionName=name)
        return setting(variable, found.get("Environment", {}).get("Variables", {}))

    def dead_letters(self) -> tuple[DeadLetters, ...]:
        """The dead-letter queues, each with its source; raises ``NotOperated``."""
        with operating("list", "queues"):
            return tuple(self._dead_letters())

    def _dead_letters(self) -> Iterator[DeadLetters]:
        sqs = self.clients.sqs
        pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{self.prefix}-")
        for url in [url for page in pages for url in page.get("QueueUrls", [])]:
            asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
            policy = json.loads(asked.get("Attributes", {}).get("RedrivePolicy") or "{}")
            if arn := policy.get("deadLetterTargetArn"):
                yield DeadLetters(url=_url(self.clients, arn), arn=arn, source_url=url)

    def routes(self) -> tuple[Route, ...]:
        """Where the rules lead that lead into this deployment; raises ``NotOperated``."""
        with operating("list", "rules"):
            return tuple(self._routes())

    def _routes(self) -> Iterator[Route]:
        iot = self.clients.iot
        for page in iot.get_paginator("list_topic_rules").paginate():
            for named in page["rules"]:
                rule = iot.get_topic_rule(ruleName=named["ruleName"])["rule"]
                route = _route(named["ruleName"], rule)
                if route is not None and self._is_ours(route):
                    yield route

    def _is_ours(self, route: Route) -> bool:
        target = route.queue_url or route.function_arn or ""
        return re.split("[:/]", target.removesuffix(f":{LIVE}"))[-1].startswith(f"{self.prefix}-")

    def failure_queues(self) -> Mapping[str, str]:
        """The queues in which Lambda leaves what a function did not manage, by URL: the function's name.

        Raises ``NotOperated``."""
        found = {}
        for name in self.function_names():
            with operating("read", name):
                arn = _on_failure(self.clients.functions, name)
                if arn is not None:
                    found[_url(self.clients, arn)] = name
        return found


def _on_failure(functions: "LambdaClient", name: str) -> str | None:
    """The ARN of the queue, of whichever of the function's qualifiers has one."""
    pages = functions.get_paginator("list_function_event_invoke_configs").paginate(FunctionName=name)
    configs = [config for page in pages for config in page["FunctionEventInvokeConfigs"]]
    arns = [config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination") for config in configs]
    return next((arn for arn in arns if arn), None)


def _route(name: str, rule: Mapping[str, Any]) -> Route | None:
    """None for a rule that leads to neither a queue nor a function."""
    action: Mapping[str, Any] = next(iter(rule.get("actions", [])), {})
    queue, function = action.get("sqs"), action.get("lambda")
    source = _FROM.search(rule.get("sql", ""))
    if source is None or not (queue or function):
        return None
    return Route(
        rule=name,
        topic_filter=source[1],
        queue_url=queue and queue["queueUrl"],
        function_arn=function and function["functionArn"],
        error_queue_url=rule.get("errorAction", {}).get("sqs", {}).get("queueUrl"),
    )


def _url(clients: Clients, arn: str) -> str:
    """Of the queue with this ARN."""
    return clients.sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
