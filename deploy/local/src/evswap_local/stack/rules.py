"""AWS IoT rules, from rules.yaml and rules/*.sql."""

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.functions import function_arn, function_name
from evswap_local.stack.permissions import allow_invoke
from evswap_local.stack.queues import queue_url
from evswap_local.stack.roles import role_arn
from evswap_local.stack.source import Source

FILE = "rules.yaml"
INVOKE_STATEMENT = "rule"


def apply_rules(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the rules, each with where it leads and its queue of errors."""
    for name, rule in source.yaml(FILE).items():
        if "function" in rule:
            function = function_name(source, rule["function"])
            yield Change(
                "permission", f"{name} to {function}", _allow_invoke(clients, source, name, function)
            )
        yield Change("rule", name, _apply(clients, name, _payload(clients, source, rule)))


def _apply(clients: Clients, name: str, wanted: Any) -> Outcome:
    try:
        found = clients.iot.get_topic_rule(ruleName=name)["rule"]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("UnauthorizedException", "ResourceNotFoundException"):
            raise
        clients.iot.create_topic_rule(ruleName=name, topicRulePayload=wanted)
        return Outcome.CREATED
    there: Mapping[str, object] = {**found}
    if all(there.get(key) == value for key, value in wanted.items()):
        return Outcome.UNCHANGED
    clients.iot.replace_topic_rule(ruleName=name, topicRulePayload=wanted)
    return Outcome.UPDATED


def _allow_invoke(clients: Clients, source: Source, rule: str, function: str) -> Outcome:
    values = source.values
    return allow_invoke(
        clients,
        function,
        statement=INVOKE_STATEMENT,
        principal="iot.amazonaws.com",
        source=f"arn:aws:iot:{values.region}:{values.account_id}:rule/{rule}",
    )


def _payload(clients: Clients, source: Source, rule: Mapping[str, Any]) -> dict[str, Any]:
    role = role_arn(source, rule["role"])
    return {
        "sql": source.text(rule["sql_file"]).strip(),
        "awsIotSqlVersion": rule["sql_version"],
        "description": rule["description"],
        "ruleDisabled": False,
        "actions": [_action(clients, source, rule, role)],
        "errorAction": _to_queue(queue_url(clients, source, rule["error_queue"]), role),
    }


def _action(clients: Clients, source: Source, rule: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Into a queue, or straight to a function, which lets the rule invoke it and needs no role for that."""
    if "function" in rule:
        return {"lambda": {"functionArn": function_arn(source, rule["function"])}}
    return _to_queue(queue_url(clients, source, rule["queue"]), role)


def _to_queue(url: str, role: str) -> dict[str, Any]:
    return {"sqs": {"queueUrl": url, "roleArn": role, "useBase64": False}}
