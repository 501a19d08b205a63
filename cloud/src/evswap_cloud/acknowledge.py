"""The end-to-end acknowledgement: telling stations what the cloud has, so that they may forget it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.aws import error_code
from evswap_cloud.errors import AcknowledgementError
from evswap_cloud.ingest import Each, Receipt
from evswap_schema import (
    Acknowledgement,
    Channel,
    acknowledgements,
    broker_topic,
    encode_acknowledgement,
)


class DataPlane(Protocol):
    """What is used of boto3's client ``iot-data``."""

    def publish(self, *, topic: str, qos: int, payload: bytes) -> Any: ...


class Messenger(Protocol):
    """The way down to the stations."""

    def send(self, acknowledgement: Acknowledgement) -> None:
        """Publish to the station that it names; raises ``AcknowledgementError``."""


class IotMessenger:
    """Publishes by AWS IoT's data plane."""

    def __init__(self, client: DataPlane) -> None:
        self._client = client

    def send(self, acknowledgement: Acknowledgement) -> None:
        """At least once; a station that is away does not hear it, and sends its message again."""
        topic = broker_topic(Channel.ACKNOWLEDGEMENT, acknowledgement.station_id)
        try:
            self._client.publish(topic=topic, qos=1, payload=encode_acknowledgement(acknowledgement))
        except (ClientError, BotoCoreError) as error:
            raise AcknowledgementError(operation="publish", target=topic, code=error_code(error)) from error


class Told(Struct, frozen=True, kw_only=True):
    """How many acknowledgements were published, and what kept others from it."""

    published: int
    failures: tuple[AcknowledgementError, ...]


class Acknowledger:
    """Tells each station once what an invocation has kept of it."""

    def __init__(self, messenger: Messenger, *, each: Each = map) -> None:
        self._messenger = messenger
        self._each = each

    def acknowledge(self, receipts: Iterable[Receipt]) -> Told:
        """Nothing is tried again: a station that hears nothing sends the message again, which is harmless."""
        messages = tuple(_messages(receipts))
        failures = tuple(filter(None, self._each(_failure_of(self._messenger.send), messages)))
        return Told(published=len(messages) - len(failures), failures=failures)


def _messages(receipts: Iterable[Receipt]) -> Iterator[Acknowledgement]:
    """As few as name every message, each of them once."""
    digests: dict[str, dict[str, None]] = defaultdict(dict)
    for receipt in receipts:
        digests[receipt.station_id][receipt.digest] = None
    for station_id, named in digests.items():
        yield from acknowledgements(station_id, named)


def _failure_of(
    send: Callable[[Acknowledgement], None],
) -> Callable[[Acknowledgement], AcknowledgementError | None]:
    def guarded(message: Acknowledgement) -> AcknowledgementError | None:
        try:
            send(message)
        except AcknowledgementError as error:
            return error
        return None

    return guarded
