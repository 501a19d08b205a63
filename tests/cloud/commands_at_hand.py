"""Commands, what stations say of them, and a way down that notes what it is given."""

from datetime import datetime, timedelta
from typing import Any, Final

from botocore.exceptions import EndpointConnectionError
from msgspec import Struct

from evswap_cloud.ingest import Delivery
from evswap_cloud.remote import Dispatcher, Order
from evswap_cloud.remote.memory import MemoryCommands
from evswap_schema import (
    Channel,
    Command,
    CommandResult,
    Outcome,
    PendingRequest,
    Unlock,
    broker_topic,
    decode_command,
    encode_pending_request,
    encode_result,
)
from tests.cloud.messages import NOW, altered, delivery, envelope

STATION: Final = "station-01"


class Published(Struct, frozen=True):
    """A message on its way down."""

    topic: str
    command: Command
    expiry_s: int


class Plane:
    """AWS IoT's data plane: ``published`` is what it took; while it is ``down`` it takes nothing."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.down = False

    def publish(self, *, topic: str, qos: int, payload: bytes, messageExpiry: int) -> Any:
        assert qos == 1
        if self.down:
            raise EndpointConnectionError(endpoint_url="https://nowhere")
        self.published.append(Published(topic, decode_command(payload), messageExpiry))


class Clock:
    """The cloud's clock, which a test sets."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


class Cloud:
    """A store in memory, a clock, a way down, and what works with them."""

    def __init__(self) -> None:
        self.commands, self.plane, self.clock = MemoryCommands(), Plane(), Clock()
        self.dispatcher = Dispatcher(self.commands, self.plane, now=self.clock)


def order(**changes: Any) -> Order:
    """Unlock bay 3 of station-01, as an operator asks for it."""
    usual: dict[str, Any] = {"station_id": STATION, "action": Unlock(bay=3), "issued_by": "operator"}
    return Order(**(usual | changes))


def result(command_id: str, outcome: Outcome = Outcome.DONE, **changes: Any) -> CommandResult:
    """What station-01 says of a command, at ``NOW`` by its clock."""
    usual: dict[str, Any] = {
        "command_id": command_id,
        "station_id": STATION,
        "outcome": outcome,
        "timestamp": NOW,
    }
    return CommandResult(**(usual | changes))


def told(said: CommandResult, record_id: str = "r", *, received_at: datetime = NOW) -> Delivery:
    """``said`` as the queue delivers it."""
    topic = broker_topic(Channel.RESULT, said.station_id, said.command_id)
    body = envelope(
        encode_result(said), station_id=said.station_id, channel=Channel.PENDING, received_at=received_at
    )
    return delivery(altered(body, {"topic": topic}), record_id)


def asked(station_id: str = STATION, record_id: str = "a") -> Delivery:
    """A station's question for what waits, as the queue delivers it."""
    payload = encode_pending_request(PendingRequest(station_id=station_id))
    return delivery(envelope(payload, station_id=station_id, channel=Channel.PENDING), record_id)
