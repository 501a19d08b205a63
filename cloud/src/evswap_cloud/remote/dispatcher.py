"""Issuing commands, and sending those that wait.

A command is kept before it is published, and the station listens before it asks for what waits: so one that
is issued while its station connects is published to it, or found when it asks, or both.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final, Protocol
from uuid import UUID, uuid4, uuid5

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import CloudError, CommandError
from evswap_cloud.remote.records import Record, State, advanced, opened, sent
from evswap_cloud.remote.store import CommandStore
from evswap_schema import Action, Channel, Command, RequestSwap, Unlock, broker_topic, encode_command

DEFAULT_LIFE: Final = timedelta(minutes=5)
MAX_LIFE: Final = timedelta(days=7)
MAX_LIFE_AT_THE_CABINET: Final = timedelta(hours=1)
"""Of what opens a bay: nobody expects a lock to move for an order of yesterday."""

MOST_AT_ONCE: Final = 100
"""Commands that a station is sent when it asks: as many as it keeps in hand. It asks again on every link."""

_LEAST_EXPIRY_S: Final = 1
_NAMESPACE: Final = UUID("0c9f5b5e-65f5-5d0a-8a0e-3f1c5a6b7d21")
"""Never changes: an idempotency key has to name the same command for as long as it is kept."""


class CommandPlane(Protocol):
    """What is used of boto3's client ``iot-data``."""

    def publish(self, *, topic: str, qos: int, payload: bytes, messageExpiry: int) -> Any: ...


class Order(Struct, frozen=True, kw_only=True):
    """What somebody wants of a station. ``key`` is an idempotency key of his own: the same one names the same
    command."""

    station_id: str
    action: Action
    issued_by: str
    life: timedelta = DEFAULT_LIFE
    key: str | None = None


class Issued(Struct, frozen=True, kw_only=True):
    """A command that is kept. ``failure`` is why it was not published: its station gets it when it asks."""

    record: Record
    failure: CommandError | None = None


class IssuedDifferently(CloudError):
    """The idempotency key of an order belongs to ``record``, which is another command."""

    def __init__(self, record: Record) -> None:
        self.record = record
        super().__init__(f"the key belongs to command {record.command.command_id}, which is another one")


class Dispatcher:
    """Keeps commands in ``store`` and publishes them by ``plane``."""

    def __init__(
        self,
        store: CommandStore,
        plane: CommandPlane,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._plane = plane
        self._now = now

    def issue(self, order: Order) -> Issued:
        """Keep the command that ``order`` asks for and publish it. The same order again, by its key, is the
        same command, published again only if it never was. Raises ``IssuedDifferently``, ``CommandError``."""
        record = opened(self._command(order), order.issued_by)
        known = self._store.add(record)
        if known is not None and not _is_the_same(known, order):
            raise IssuedDifferently(known)
        return self._published(known or record)

    def deliver(self, station_id: str) -> int:
        """Publish what waits for the station, the oldest first, and count it. Raises ``CommandError``; then
        it has to be done again, which is harmless."""
        waiting = self._store.waiting(station_id, limit=MOST_AT_ONCE)
        for record in waiting:
            self._publish(record)
        return len(waiting)

    def _command(self, order: Order) -> Command:
        issued_at = self._now()
        return Command(
            command_id=_command_id(order),
            station_id=order.station_id,
            issued_at=issued_at,
            expires_at=issued_at + order.life,
            action=order.action,
        )

    def _published(self, record: Record) -> Issued:
        if record.state is not State.PENDING:
            return Issued(record=record)
        try:
            return Issued(record=self._publish(record))
        except CommandError as error:
            return Issued(record=record, failure=error)

    def _publish(self, record: Record) -> Record:
        """The record afterwards. The broker forgets the message when the command expires."""
        command = record.command
        topic = broker_topic(Channel.COMMAND, command.station_id, command.command_id)
        left_s = ceil((command.expires_at - self._now()).total_seconds())
        try:
            self._plane.publish(
                topic=topic,
                qos=1,
                payload=encode_command(command),
                messageExpiry=max(left_s, _LEAST_EXPIRY_S),
            )
        except (ClientError, BotoCoreError) as error:
            raise CommandError(operation="publish", target=topic, code=error_code(error)) from error
        step = sent(self._now())
        if record.state is State.PENDING:
            self._store.advance(command.station_id, command.command_id, step)
        return advanced(record, step) or record


def longest_life(action: Action) -> timedelta:
    """How long a command of this kind may wait for its station."""
    return MAX_LIFE_AT_THE_CABINET if isinstance(action, Unlock | RequestSwap) else MAX_LIFE


def _command_id(order: Order) -> str:
    if order.key is None:
        return uuid4().hex
    return uuid5(_NAMESPACE, f"{order.station_id}/{order.issued_by}/{order.key}").hex


def _is_the_same(known: Record, order: Order) -> bool:
    command = known.command
    return command.action == order.action and command.expires_at - command.issued_at == order.life
