"""DynamoDB tables, from tables.yaml."""

from collections.abc import Iterator
from typing import Any

from evswap_local.clients import Clients
from evswap_local.errors import BadStack
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source

FILE = "tables.yaml"


def apply_tables(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the tables; the key of an existing one cannot be changed (BadStack)."""
    for table in source.yaml(FILE).values():
        yield Change("table", table["name"], _apply(clients, table))


def _apply(clients: Clients, table: dict[str, Any]) -> Outcome:
    name, keys = table["name"], _keys(table)
    try:
        found = clients.dynamodb.describe_table(TableName=name)["Table"]
    except clients.dynamodb.exceptions.ResourceNotFoundException:
        _create(clients, table)
        outcome = Outcome.CREATED
    else:
        if found["KeySchema"] != [
            {"AttributeName": key["name"], "KeyType": kind} for kind, key in keys.items()
        ]:
            raise BadStack(FILE, f"table {name} exists with another key; `evswap down` and remove its state")
        outcome = Outcome.UNCHANGED
    outcome = _keep_streaming(clients, table, outcome)
    return _keep_expiring(clients, table, _keep_recoverable(clients, table, outcome))


def stream_arn(clients: Clients, source: Source, key: str) -> str:
    """The ARN of the stream of the table under ``key``; raises BadStack where it has none."""
    name = source.named(FILE, key)
    found = clients.dynamodb.describe_table(TableName=name)["Table"].get("LatestStreamArn")
    if found is None:
        raise BadStack(FILE, f"table {name} has no stream")
    return found


def _keys(table: dict[str, Any]) -> dict[str, dict[str, str]]:
    keys = {"HASH": table["partition_key"]}
    return keys | ({"RANGE": table["sort_key"]} if "sort_key" in table else {})


def _create(clients: Clients, table: dict[str, Any]) -> None:
    keys, indexes = _keys(table), table.get("local_indexes", {})
    global_indexes = table.get("global_indexes", {})
    attributes = [*keys.values(), *indexes.values()]
    for index in global_indexes.values():
        attributes += [index["partition_key"], index["sort_key"]]
    wanted: dict[str, Any] = {
        "TableName": table["name"],
        "BillingMode": table["billing_mode"],
        "KeySchema": [{"AttributeName": key["name"], "KeyType": kind} for kind, key in keys.items()],
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind}
            for name, kind in {key["name"]: key["type"] for key in attributes}.items()
        ],
        "DeletionProtectionEnabled": table.get("deletion_protection", False),
    }
    if table.get("encryption") == "aws-managed-key":
        wanted["SSESpecification"] = {"Enabled": True, "SSEType": "KMS"}
    if indexes:
        wanted["LocalSecondaryIndexes"] = [_local_index(table, *index) for index in indexes.items()]
    if global_indexes:
        wanted["GlobalSecondaryIndexes"] = [_global_index(*index) for index in global_indexes.items()]
    clients.dynamodb.create_table(**wanted)
    clients.dynamodb.get_waiter("table_exists").wait(
        TableName=table["name"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def _local_index(table: dict[str, Any], name: str, sort_key: dict[str, str]) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": table["partition_key"]["name"], "KeyType": "HASH"},
            {"AttributeName": sort_key["name"], "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }


def _global_index(name: str, index: dict[str, Any]) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": index["partition_key"]["name"], "KeyType": "HASH"},
            {"AttributeName": index["sort_key"]["name"], "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY" if index.get("keys_only") else "ALL"},
    }


def _keep_streaming(clients: Clients, table: dict[str, Any], outcome: Outcome) -> Outcome:
    """A table that streams goes on: another view of its items is another stream."""
    found = clients.dynamodb.describe_table(TableName=table["name"])["Table"]
    if "stream" not in table or found.get("StreamSpecification", {}).get("StreamEnabled"):
        return outcome
    clients.dynamodb.update_table(
        TableName=table["name"],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": table["stream"]},
    )
    return Outcome.UPDATED if outcome is Outcome.UNCHANGED else outcome


def _keep_expiring(clients: Clients, table: dict[str, Any], outcome: Outcome) -> Outcome:
    """A table that has begun to forget goes on: an attribute is never exchanged for another."""
    wanted = table.get("expiry_attribute")
    found = clients.dynamodb.describe_time_to_live(TableName=table["name"])["TimeToLiveDescription"]
    if wanted is None or found.get("TimeToLiveStatus") == "ENABLED":
        return outcome
    clients.dynamodb.update_time_to_live(
        TableName=table["name"],
        TimeToLiveSpecification={"Enabled": True, "AttributeName": wanted},
    )
    return Outcome.UPDATED if outcome is Outcome.UNCHANGED else outcome


def _keep_recoverable(clients: Clients, table: dict[str, Any], outcome: Outcome) -> Outcome:
    wanted = bool(table.get("point_in_time_recovery", False))
    found = clients.dynamodb.describe_continuous_backups(TableName=table["name"])
    recovery = found["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if (recovery.get("PointInTimeRecoveryStatus") == "ENABLED") == wanted:
        return outcome
    clients.dynamodb.update_continuous_backups(
        TableName=table["name"],
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": wanted},
    )
    return Outcome.UPDATED if outcome is Outcome.UNCHANGED else outcome
