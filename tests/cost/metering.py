"""What a function's calls to AWS are billed as: taken from each call and its answer, against moto.

DynamoDB's sizes and units: Developer Guide, "DynamoDB item sizes and formats" and "Read and write
operations".
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import boto3

WRITE_BYTES: Final = 1_024
READ_BYTES: Final = 4_096
_NESTING: Final = 3
"""What DynamoDB counts for a list or map, beside a byte for each thing in it."""


@dataclass(slots=True)
class Meter:
    """What was counted: write and read units and items by table, S3's requests and bytes by folder, calls by
    service, messages down to stations."""

    writes: Counter[str] = field(default_factory=Counter)
    reads: dict[str, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    """Writes whose condition failed: billed like the others."""
    item_bytes: dict[str, int] = field(default_factory=dict)
    """The largest item seen in each table."""
    puts: Counter[str] = field(default_factory=Counter)
    put_bytes: Counter[str] = field(default_factory=Counter)
    gets: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    ahead: int = 0
    """Items that are read by themselves here, and of which a whole fleet's are read a hundred at once."""


class Counting:
    """Counts, in its ``meter``, the calls of the clients that are made after it."""

    def __init__(self, dynamodb: Any, indexed: Collection[str]) -> None:
        """``dynamodb`` is a client that is not counted; the tables that are ``indexed`` write each new item a
        second time."""
        self.meter = Meter()
        self._dynamodb = dynamodb
        self._indexed = indexed
        session = boto3.DEFAULT_SESSION
        assert session is not None
        session.events.register_first("before-parameter-build.*.*", _remember)
        session.events.register_last("after-call.*.*", self._count)

    def _count(
        self, http_response: Any, parsed: Mapping[str, Any], model: Any, context: Any, **_: Any
    ) -> None:
        service = model.service_model.service_name
        params = context.get(_PARAMS)
        if params is None:
            return
        if _is_looked_ahead(model.name, params):
            self.meter.ahead += _keys(params)
        else:
            self.meter.calls[service] += 1
        refused = http_response.status_code >= 400
        counter: dict[str, Callable[..., None]] = {
            "PutItem": self._put_item,
            "UpdateItem": self._update_item,
            "TransactWriteItems": self._transact,
            "GetItem": self._get_item,
            "BatchGetItem": self._batch_get,
            "Query": self._query,
            "Scan": self._query,
            "DeleteItem": self._delete_item,
            "PutObject": self._put_object,
            "HeadObject": self._head_object,
            "Publish": lambda *_: None,
        }
        counter[model.name](params, parsed, refused)

    # --- DynamoDB -----------------------------------------------------------------------------------------

    def _put_item(self, params: Mapping[str, Any], _: object, refused: bool) -> None:
        self._write(params["TableName"], params["Item"], refused=refused)

    def _update_item(self, params: Mapping[str, Any], _: object, refused: bool) -> None:
        table = params["TableName"]
        stored = self._dynamodb.get_item(TableName=table, Key=params["Key"], ConsistentRead=True)
        self._write(table, stored.get("Item", params["Key"]), refused=refused)

    def _delete_item(self, params: Mapping[str, Any], _: object, refused: bool) -> None:
        """What is gone can no more be measured: an item of ours has at most one unit."""
        self._write(params["TableName"], params["Key"], refused=refused)

    def _transact(self, params: Mapping[str, Any], _: object, refused: bool) -> None:
        for one in params["TransactItems"]:
            self._write(one["Put"]["TableName"], one["Put"]["Item"], refused=refused, times=2)

    def _write(self, table: str, item: Mapping[str, Any], *, refused: bool, times: int = 1) -> None:
        size = item_bytes(item)
        units = math.ceil(size / WRITE_BYTES)
        copies = 2 if table in self._indexed and not refused else 1
        self.meter.writes[table] += units * times * copies
        self.meter.refused[table] += refused
        self.meter.item_bytes[table] = max(size, self.meter.item_bytes.get(table, 0))

    def _get_item(self, params: Mapping[str, Any], parsed: Mapping[str, Any], _: bool) -> None:
        self._read(params["TableName"], item_bytes(parsed.get("Item", {})), params)

    def _query(self, params: Mapping[str, Any], parsed: Mapping[str, Any], _: bool) -> None:
        self._read(params["TableName"], sum(map(item_bytes, parsed.get("Items", ()))), params)

    def _batch_get(self, params: Mapping[str, Any], parsed: Mapping[str, Any], _: bool) -> None:
        for table, wanted in params["RequestItems"].items():
            found = parsed["Responses"].get(table, ())
            for item in (*found, *({},) * (len(wanted["Keys"]) - len(found))):
                self._read(table, item_bytes(item), wanted)

    def _read(self, table: str, size: int, params: Mapping[str, Any]) -> None:
        units = max(1.0, math.ceil(size / READ_BYTES))
        units *= 1.0 if params.get("ConsistentRead") else 0.5
        self.meter.reads[table] = self.meter.reads.get(table, 0.0) + units

    # --- S3 -----------------------------------------------------------------------------------------------

    def _put_object(self, params: Mapping[str, Any], _: object, refused: bool) -> None:
        folder = params["Key"].partition("/")[0]
        self.meter.puts[folder] += 1
        self.meter.put_bytes[folder] += 0 if refused else len(params["Body"])

    def _head_object(self, *_: object) -> None:
        self.meter.gets += 1


_PARAMS: Final = "evswap-cost"


def _is_looked_ahead(operation: str, params: Mapping[str, Any]) -> bool:
    """An eventually consistent read of one item. One station's events bring few; those of a thousand fill an
    invocation, which reads a hundred in a request (``evswap_cloud.ledger.shelves``)."""
    return operation in ("GetItem", "BatchGetItem") and not any(
        one.get("ConsistentRead") for one in params.get("RequestItems", {"": params}).values()
    )


def _keys(params: Mapping[str, Any]) -> int:
    return sum(len(one["Keys"]) for one in params["RequestItems"].values()) if "RequestItems" in params else 1


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[_PARAMS] = dict(params)


def item_bytes(item: Mapping[str, Any]) -> int:
    """The size of an item as DynamoDB counts it."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(typed: Mapping[str, Any]) -> int:
    [(kind, value)] = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return _number_bytes(value)
        case "B":
            return len(value)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return _NESTING + sum(1 + _value_bytes(one) for one in value)
        case "M":
            return _NESTING + sum(len(name.encode()) + 1 + _value_bytes(one) for name, one in value.items())
    raise ValueError(kind)


def _number_bytes(text: str) -> int:
    """A byte for each two significant digits, one more, and one for the sign of a negative number."""
    digits = text.lstrip("-").replace(".", "").strip("0") or "0"
    return math.ceil(len(digits) / 2) + 1 + text.startswith("-")
