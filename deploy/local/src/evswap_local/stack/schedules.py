"""What happens by the clock, from schedules.yaml: EventBridge's rules and the functions that they call."""

from collections.abc import Iterator, Mapping
from typing import Any

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.functions import function_arn, function_name
from evswap_local.stack.permissions import allow_invoke
from evswap_local.stack.source import Source

FILE = "schedules.yaml"
INVOKE_STATEMENT = "schedule"
TARGET = "function"


def apply_schedules(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the schedules, each with its one function, which lets it call."""
    for schedule in source.yaml(FILE).values():
        arn = function_arn(source, schedule["function"])
        yield Change("permission", f"{schedule['name']} to its function", _allow(clients, source, schedule))
        yield Change("schedule", schedule["name"], _apply(clients, schedule, arn))


def _apply(clients: Clients, schedule: Mapping[str, Any], arn: str) -> Outcome:
    name = schedule["name"]
    wanted: dict[str, Any] = {
        "Description": schedule["description"],
        "ScheduleExpression": schedule["expression"],
        "State": "ENABLED",
    }
    target = {"Id": TARGET, "Arn": arn}
    try:
        found: dict[str, Any] = {**clients.events.describe_rule(Name=name)}
    except clients.events.exceptions.ResourceNotFoundException:
        found, targets = {}, []
    else:
        targets = [dict(one) for one in clients.events.list_targets_by_rule(Rule=name)["Targets"]]
    if targets == [target] and all(found.get(key) == value for key, value in wanted.items()):
        return Outcome.UNCHANGED
    clients.events.put_rule(Name=name, **wanted)
    clients.events.put_targets(Rule=name, Targets=[{"Id": TARGET, "Arn": arn}])
    return Outcome.UPDATED if found else Outcome.CREATED


def _allow(clients: Clients, source: Source, schedule: Mapping[str, Any]) -> Outcome:
    values = source.values
    return allow_invoke(
        clients,
        function_name(source, schedule["function"]),
        statement=INVOKE_STATEMENT,
        principal="events.amazonaws.com",
        source=f"arn:aws:events:{values.region}:{values.account_id}:rule/{schedule['name']}",
    )
