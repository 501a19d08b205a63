"""Tickets: how a browser, which can send no header with a WebSocket, shows that it may connect.

A ticket is got over the REST API, with whatever that demands. It counts once, for a minute. It is part of an
address, which logs keep: so the store has its hash alone, and a ticket that was used is worth nothing.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import TicketError
from evswap_cloud.watching.limits import SECOND, TICKET_LIFE

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

_RANDOM_BYTES: Final = 32
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ANY_PORT: Final = ":*"


class Ticket(Struct, frozen=True, kw_only=True):
    """``expires_at`` is the moment from which it no longer counts."""

    ticket: str
    expires_at: int

    @property
    def digest(self) -> str:
        """By which the store knows it."""
        return digest(self.ticket)


def new_ticket(now: int) -> Ticket:
    """A ticket that nobody can guess."""
    return Ticket(ticket=secrets.token_urlsafe(_RANDOM_BYTES), expires_at=now + TICKET_LIFE)


def digest(ticket: str) -> str:
    """The hash of a ticket. It is random and long: nobody finds it by trying."""
    return hashlib.sha256(ticket.encode()).hexdigest()


class Tickets(Protocol):
    """Where tickets wait to be used. Both raise ``TicketError``."""

    def keep(self, ticket: Ticket) -> None:
        """Take a new one."""

    def use(self, digest: str, now: int) -> bool:
        """Whether it counts; from then on it does not. Of several at the same moment one is told True."""


def may_connect(
    tickets: Tickets, ticket: str | None, origin: str | None, origins: Iterable[str], now: int
) -> bool:
    """Whether a handshake is let in. ``origin`` is the header that a browser sends and no page can change:
    one that is not of ``origins`` is refused; programs send none. Raises ``TicketError``."""
    if origin is not None and not any(_is_of(origin, allowed) for allowed in origins):
        return False
    if ticket is None or not _FORM.fullmatch(ticket):
        return False
    return tickets.use(digest(ticket), now)


def _is_of(origin: str, allowed: str) -> bool:
    """``http://127.0.0.1:*`` allows every port."""
    if allowed.endswith(_ANY_PORT):
        host = re.escape(allowed.removesuffix(_ANY_PORT))
        return re.fullmatch(rf"{host}(:[0-9]{{1,5}})?", origin) is not None
    return origin == allowed


class DynamoTickets:
    """Tickets in a DynamoDB table whose partition key is ``digest``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def keep(self, ticket: Ticket) -> None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "digest": {"S": ticket.digest},
                    "until": {"N": str(ticket.expires_at)},
                    "expires_at": {"N": str(ticket.expires_at // SECOND + 1)},
                },
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed("write", error) from error

    def use(self, digest: str, now: int) -> bool:
        """Removing it is what uses it: only one succeeds."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key={"digest": {"S": digest}},
                ConditionExpression="#until > :now",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except (ClientError, BotoCoreError) as error:
            raise _failed("use", error) from error
        return True


class MemoryTickets:
    """Tickets in a dictionary: ``until`` by digest."""

    def __init__(self) -> None:
        self.until: dict[str, int] = {}

    def keep(self, ticket: Ticket) -> None:
        self.until[ticket.digest] = ticket.expires_at

    def use(self, digest: str, now: int) -> bool:
        if self.until.get(digest, now) <= now:
            return False
        return self.until.pop(digest, None) is not None


def _failed(operation: str, error: ClientError | BotoCoreError) -> TicketError:
    return TicketError(operation=operation, target="a ticket", code=error_code(error))
