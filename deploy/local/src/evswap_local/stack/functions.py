"""Lambda functions and what feeds them, from functions.yaml and the zip."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evswap_cloud.operations.deployment import LIVE
from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.queues import queue_arn
from evswap_local.stack.roles import role_arn
from evswap_local.stack.source import Source

FILE = "functions.yaml"
KEPT_VERSIONS = 2
"""The one that works and the one to go back to: on one machine each keeps a worker process alive."""

WAIT: Any = {"Delay": 1, "MaxAttempts": 60}


def apply_functions(clients: Clients, source: Source, package: Path) -> Iterator[Change]:
    """Makes the functions with the code in ``package``, replaced when the zip is another one."""
    document = source.yaml(FILE)
    code = package.read_bytes()
    for function in document["functions"].values():
        yield Change("log group", log_group(function["name"]), _apply_log_group(clients, function))
        outcome = _apply(clients, source, document, function, code)
        yield Change("function", function["name"], outcome)
        yield Change("alias", f"{function['name']}:{LIVE}", _apply_alias(clients, function["name"]))
        if "event_source" in function:
            outcome = _apply_event_source(clients, source, function)
            yield Change(
                "event source", f"{function['event_source']['queue']} of {function['name']}", outcome
            )
        if "asynchronous" in function:
            outcome = _apply_asynchronous(clients, source, function)
            yield Change("asynchronous calls", function["name"], outcome)


def function_name(source: Source, key: str) -> str:
    """The AWS name of the function under ``key``."""
    return str(source.yaml(FILE)["functions"][key]["name"])


def function_arn(source: Source, key: str) -> str:
    """By which the function under ``key`` is called: the ARN of its alias."""
    values = source.values
    name = function_name(source, key)
    return f"arn:aws:lambda:{values.region}:{values.account_id}:function:{name}:{LIVE}"


def log_group(name: str) -> str:
    """Where the function called ``name`` logs."""
    return f"/aws/lambda/{name}"


def _apply_log_group(clients: Clients, function: Mapping[str, Any]) -> Outcome:
    name, days = log_group(function["name"]), function["log_retention_days"]
    groups = clients.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    found = next((group for group in groups if group["logGroupName"] == name), None)
    if found is not None and found.get("retentionInDays") == days:
        return Outcome.UNCHANGED
    if found is None:
        clients.logs.create_log_group(logGroupName=name)
    clients.logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    return Outcome.CREATED if found is None else Outcome.UPDATED


def _apply(
    clients: Clients, source: Source, document: Mapping[str, Any], function: Mapping[str, Any], code: bytes
) -> Outcome:
    name, settings = function["name"], _settings(source, document, function)
    try:
        found = clients.functions.get_function_configuration(FunctionName=name)
    except clients.functions.exceptions.ResourceNotFoundException:
        clients.functions.create_function(
            FunctionName=name, Code={"ZipFile": code}, Architectures=[document["architecture"]], **settings
        )
        outcome = Outcome.CREATED
    else:
        outcome = _update(clients, name, found, settings, code)
    return _keep_concurrency(clients, function, outcome)


def _settings(source: Source, document: Mapping[str, Any], function: Mapping[str, Any]) -> dict[str, Any]:
    environment = {**function.get("environment", {}), "POWERTOOLS_LOG_LEVEL": function["log_level"]}
    return {
        "Description": function["description"],
        "Environment": {"Variables": {name: str(value) for name, value in environment.items()}},
        "Handler": function["handler"],
        "MemorySize": function["memory_mb"],
        "Role": role_arn(source, function["role"]),
        "Runtime": document["runtime"],
        "Timeout": function["timeout_s"],
    }


def _update(clients: Clients, name: str, found: Any, settings: dict[str, Any], code: bytes) -> Outcome:
    outcome = Outcome.UNCHANGED
    if any(found.get(key) != value for key, value in settings.items()):
        clients.functions.update_function_configuration(FunctionName=name, **settings)
        clients.functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=WAIT)
        outcome = Outcome.UPDATED
    if found["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode():
        clients.functions.update_function_code(FunctionName=name, ZipFile=code)
        clients.functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=WAIT)
        outcome = Outcome.UPDATED
    return outcome


def _keep_concurrency(clients: Clients, function: Mapping[str, Any], outcome: Outcome) -> Outcome:
    name, wanted = function["name"], function["reserved_concurrency"]
    found = clients.functions.get_function_concurrency(FunctionName=name)
    if found.get("ReservedConcurrentExecutions") == wanted:
        return outcome
    clients.functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=wanted)
    return Outcome.UPDATED if outcome is Outcome.UNCHANGED else outcome


def _apply_alias(clients: Clients, name: str) -> Outcome:
    """Publishes what has changed since the last version, and has it called: `evswap rollback` goes back."""
    version = clients.functions.publish_version(FunctionName=name)["Version"]
    try:
        found = clients.functions.get_alias(FunctionName=name, Name=LIVE)
    except clients.functions.exceptions.ResourceNotFoundException:
        clients.functions.create_alias(FunctionName=name, Name=LIVE, FunctionVersion=version)
        return Outcome.CREATED
    if found["FunctionVersion"] == version:
        return Outcome.UNCHANGED
    clients.functions.update_alias(FunctionName=name, Name=LIVE, FunctionVersion=version)
    _forget_old_versions(clients, name)
    return Outcome.UPDATED


def _forget_old_versions(clients: Clients, name: str) -> None:
    published = clients.functions.list_versions_by_function(FunctionName=name)["Versions"]
    numbers = sorted(int(one["Version"]) for one in published if one["Version"].isdigit())
    for number in numbers[:-KEPT_VERSIONS]:
        clients.functions.delete_function(FunctionName=name, Qualifier=str(number))


def _apply_event_source(clients: Clients, source: Source, function: Mapping[str, Any]) -> Outcome:
    name, feed = function["name"], function["event_source"]
    arn = queue_arn(source, feed["queue"])
    wanted: dict[str, Any] = {
        "BatchSize": feed["batch_size"],
        "MaximumBatchingWindowInSeconds": feed["window_s"],
        "ScalingConfig": {"MaximumConcurrency": feed["maximum_concurrency"]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"] if feed["report_batch_item_failures"] else [],
    }
    alias = f"{name}:{LIVE}"
    mappings = clients.functions.list_event_source_mappings(EventSourceArn=arn, FunctionName=name)
    if not mappings["EventSourceMappings"]:
        clients.functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=alias, **wanted)
        return Outcome.CREATED
    found: dict[str, Any] = {**mappings["EventSourceMappings"][0]}
    calls_alias = found["FunctionArn"].endswith(f":{alias}")
    if calls_alias and all(found.get(key) == value for key, value in wanted.items()):
        return Outcome.UNCHANGED
    clients.functions.update_event_source_mapping(UUID=found["UUID"], FunctionName=alias, **wanted)
    return Outcome.UPDATED


def _apply_asynchronous(clients: Clients, source: Source, function: Mapping[str, Any]) -> Outcome:
    """How often and how long a call is tried that nobody waits for, and where it is left in the end."""
    name, calls = function["name"], function["asynchronous"]
    wanted: dict[str, Any] = {
        "MaximumEventAgeInSeconds": calls["maximum_event_age_s"],
        "MaximumRetryAttempts": calls["maximum_retries"],
        "DestinationConfig": {"OnFailure": {"Destination": queue_arn(source, calls["on_failure_queue"])}},
    }
    try:
        found: dict[str, Any] = {
            **clients.functions.get_function_event_invoke_config(FunctionName=name, Qualifier=LIVE)
        }
    except clients.functions.exceptions.ResourceNotFoundException:
        found = {}
    if all(found.get(key) == value for key, value in wanted.items()):
        return Outcome.UNCHANGED
    clients.functions.put_function_event_invoke_config(FunctionName=name, Qualifier=LIVE, **wanted)
    return Outcome.UPDATED if found else Outcome.CREATED
