"""Where the ledger's records stand: read, changed by a pure function, and written only where nobody else has
changed them meanwhile."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import LedgerError

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef, PutTypeDef

K = TypeVar("K")
R = TypeVar("R")

ATTEMPTS: Final = 5
"""How often a change is tried while others change the same record; then the queue brings it again."""

_AT_ONCE: Final = 100
"""Most records that DynamoDB reads in a batch, and writes in a transaction."""

ENTRY: Final = "entry"
RECORD: Final = "record"
VERSION: Final = "version"
EXPIRY: Final = "expires_at"


class Change(Struct, Generic[R], frozen=True, kw_only=True):
    """A record before and after; the same where the facts were known."""

    before: R | None
    after: R


class Shelf(Protocol[K, R]):
    """Records by their keys. All methods raise ``LedgerError``."""

    def get(self, key: K) -> R | None:
        """The record, as it was last written."""

    def look_ahead(self, keys: Collection[K]) -> None:
        """Each of these is about to be changed: what can be read of them in few requests is. Nothing is
        raised."""

    def change(self, key: K, transition: Callable[[R | None], R]) -> Change[R]:
        """Let ``transition``, which may be called several times, have its way."""

    def change_all(self, transitions: Mapping[K, Callable[[R | None], R]]) -> None:
        """As ``change`` for each of many records, in few requests. Where it fails, some are changed; doing it
        again changes the others."""

    def every(self) -> Iterator[tuple[K, R]]:
        """All records, one after the other."""

    def remove(self, key: K) -> None:
        """Take the record away, if it is there."""


class MemoryShelf(Generic[K, R]):
    """Records in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[K, R] = {}
        self._lock = Lock()

    def get(self, key: K) -> R | None:
        return self.records.get(key)

    def look_ahead(self, keys: Collection[K]) -> None:
        """They are all at hand."""

    def change(self, key: K, transition: Callable[[R | None], R]) -> Change[R]:
        with self._lock:
            before = self.records.get(key)
            after = transition(before)
            self.records[key] = after
        return Change(before=before, after=after)

    def change_all(self, transitions: Mapping[K, Callable[[R | None], R]]) -> None:
        for key, transition in transitions.items():
            self.change(key, transition)

    def every(self) -> Iterator[tuple[K, R]]:
        yield from copy(self.records).items()

    def remove(self, key: K) -> None:
        self.records.pop(key, None)


class Layout(Struct, Generic[K, R], frozen=True, kw_only=True):
    """How a kind of record lies in its table: the item's key, what it is made of, and when it may go (None:
    never). Where several kinds share a table, the sort keys of this one begin with ``entries``.
    """

    kind: type[R]
    to_item_key: Callable[[K], dict[str, Any]]
    key_of: Callable[[R], K]
    expires_at: Callable[[R], datetime | None] | None = None
    entries: str = ""


class DynamoShelf(Generic[K, R]):
    """Records in a DynamoDB table, each an item: its key, the record as JSON, and a version."""

    def __init__(self, client: "DynamoDBClient", table: str, layout: Layout[K, R]) -> None:
        self._client = client
        self._table = table
        self._layout = layout
        self._decoder = msgspec.json.Decoder(layout.kind)
        self._ahead: dict[K, tuple[R | None, int]] = {}

    def get(self, key: K) -> R | None:
        return self._read(key)[0]

    def look_ahead(self, keys: Collection[K]) -> None:
        """A request for a hundred, in the place of one for each. What it does not bring is read by itself."""
        self._ahead.clear()
        if len(keys) == 1:
            return
        with suppress(LedgerError):
            for several in _portions(keys):
                found = self._read_at_once(several, consistent=False)
                if found is not None:
                    self._ahead |= {key: found.get(key, (None, 0)) for key in several}

    def change(self, key: K, transition: Callable[[R | None], R]) -> Change[R]:
        """One read, and a conditional write where the record changes.

        The first read is eventually consistent, at half the price, and may have been made ahead. A write on
        what is old is refused; that nothing is to be changed, or that it cannot be, is believed of a
        consistent read alone.
        """
        for consistent in (False, *(True,) * (ATTEMPTS - 1)):
            before, version = self._read(key) if consistent else self._first_read(key)
            try:
                after = transition(before)
            except LedgerError:
                if consistent:
                    raise
                continue
            unchanged = after == before
            if consistent if unchanged else self._write(key, after, version):
                return Change(before=before, after=after)
        raise LedgerError(operation="write", target=str(key), code="Contended")

    def change_all(self, transitions: Mapping[K, Callable[[R | None], R]]) -> None:
        """A read of a hundred, and a transaction that writes those that change. Those of which another was
        changed meanwhile, or that were left out of the read, have their turn one by one."""
        for keys in _portions(transitions):
            several = {key: transitions[key] for key in keys}
            if not self._change_at_once(several):
                for key, transition in several.items():
                    self.change(key, transition)

    def every(self) -> Iterator[tuple[K, R]]:
        """By a scan of the table: for a command, not for a request."""
        try:
            for page in self._client.get_paginator("scan").paginate(
                TableName=self._table, ConsistentRead=True
            ):
                for item in page["Items"]:
                    if item.get(ENTRY, {"S": ""})["S"].startswith(self._layout.entries):
                        record = self._decoder.decode(item[RECORD]["S"])
                        yield self._layout.key_of(record), record
        except (ClientError, BotoCoreError) as error:
            raise self._failed("scan", self._table, error) from error

    def remove(self, key: K) -> None:
        try:
            self._client.delete_item(TableName=self._table, Key=self._layout.to_item_key(key))
        except (ClientError, BotoCoreError) as error:
            raise self._failed("remove", str(key), error) from error

    def to_item(self, key: K, record: R, version: int) -> dict[str, "AttributeValueTypeDef"]:
        """``record`` as DynamoDB's attribute values."""
        item: dict[str, AttributeValueTypeDef] = {
            **self._layout.to_item_key(key),
            RECORD: {"S": msgspec.json.encode(record).decode()},
            VERSION: {"N": str(version)},
        }
        expiry = self._layout.expires_at and self._layout.expires_at(record)
        if expiry:
            item[EXPIRY] = {"N": str(int(expiry.timestamp()))}
        return item

    def _change_at_once(self, transitions: Mapping[K, Callable[[R | None], R]]) -> bool:
        """False where nothing was written."""
        found = self._read_at_once(transitions, consistent=True)
        if found is None:
            return False
        changed = []
        for key, transition in transitions.items():
            before, version = found.get(key, (None, 0))
            after = transition(before)
            if after != before:
                changed.append(self._put(key, after, version))
        return not changed or self._write_at_once(changed)

    def _read_at_once(self, keys: Collection[K], *, consistent: bool) -> dict[K, tuple[R, int]] | None:
        """The records that there are; None where DynamoDB has not looked for all of them."""
        wanted = [self._layout.to_item_key(key) for key in keys]
        try:
            answer = self._client.batch_get_item(
                RequestItems={self._table: {"Keys": wanted, "ConsistentRead": consistent}}
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failed("read", self._table, error) from error
        if answer.get("UnprocessedKeys"):
            return None
        records = (
            (self._decoder.decode(item[RECORD]["S"]), int(item[VERSION]["N"]))
            for item in answer["Responses"].get(self._table, ())
        )
        return {self._layout.key_of(record): (record, version) for record, version in records}

    def _write_at_once(self, puts: Sequence["PutTypeDef"]) -> bool:
        """All or, where somebody else was faster with one, none."""
        try:
            self._client.transact_write_items(TransactItems=[{"Put": put} for put in puts])
        except self._client.exceptions.TransactionCanceledException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise self._failed("write", self._table, error) from error
        return True

    def _first_read(self, key: K) -> tuple[R | None, int]:
        """What was read ahead is good once: then it may have been changed."""
        ahead = self._ahead.pop(key, None)
        return self._read(key, consistent=False) if ahead is None else ahead

    def _read(self, key: K, *, consistent: bool = True) -> tuple[R | None, int]:
        try:
            answer = self._client.get_item(
                TableName=self._table, Key=self._layout.to_item_key(key), ConsistentRead=consistent
            )
        except (ClientError, BotoCoreError) as error:
            raise self._failed("read", str(key), error) from error
        item = answer.get("Item")
        if item is None:
            return None, 0
        return self._decoder.decode(item[RECORD]["S"]), int(item[VERSION]["N"])

    def _write(self, key: K, record: R, version: int) -> bool:
        """False where somebody else was faster."""
        try:
            self._client.put_item(**self._put(key, record, version))
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise self._failed("write", str(key), error) from error
        return True

    def _put(self, key: K, record: R, version: int) -> "PutTypeDef":
        """``record`` in the place of the one with ``version`` (0: of none), if that is still there."""
        put: PutTypeDef = {
            "TableName": self._table,
            "Item": self.to_item(key, record, version + 1),
            "ConditionExpression": "attribute_not_exists(version)",
        }
        if version:
            put["ConditionExpression"] = "version = :version"
            put["ExpressionAttributeValues"] = {":version": {"N": str(version)}}
        return put

    def _failed(self, operation: str, target: str, error: ClientError | BotoCoreError) -> LedgerError:
        return LedgerError(operation=operation, target=target, code=error_code(error))


def _portions(keys: Collection[K]) -> Iterator[list[K]]:
    """As many at once as DynamoDB takes."""
    every = list(keys)
    for first in range(0, len(every), _AT_ONCE):
        yield every[first : first + _AT_ONCE]
