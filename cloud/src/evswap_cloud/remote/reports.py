"""What stations say of commands: results, and that they ask for those that wait."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from evswap_cloud.envelope import Envelope
from evswap_cloud.ingest import Delivery, Failure
from evswap_cloud.ingest.admit import admit_pending_request, admit_result
from evswap_cloud.ingest.receive import Received, receive
from evswap_cloud.ingest.records import by_itself
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_cloud.remote.dispatcher import Dispatcher
from evswap_cloud.remote.records import heard
from evswap_cloud.remote.store import CommandStore
from evswap_schema import TOPICS, Channel, CommandResult, PendingRequest

Said = CommandResult | PendingRequest

_PENDING: Final = f"/{TOPICS[Channel.PENDING].suffix}"


class Heard(Struct, frozen=True, kw_only=True):
    """What an invocation did: results that were noted and those that changed nothing, commands that were
    sent because a station asked, what was put aside, and what has to be delivered again."""

    noted: int = 0
    known: int = 0
    sent: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    failures: tuple[Failure, ...] = ()


class CommandReports:
    """Takes in what stations say of commands."""

    def __init__(self, *, store: CommandStore, dispatcher: Dispatcher, quarantine: Quarantine) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._quarantine = quarantine

    def process(self, deliveries: Sequence[Delivery]) -> Heard:
        """Results first: a command that has one needs no sending. A station is sent once what waits for
        it."""
        admitted = [by_itself(self._received)(delivery) for delivery in deliveries]
        received = [one for one in admitted if isinstance(one, Received)]
        noted = [
            by_itself(partial(self._note, result))(one)
            for one in received
            if isinstance(result := one.message, CommandResult)
        ]
        asked = {one.message.station_id: one for one in received if isinstance(one.message, PendingRequest)}
        sent = [by_itself(self._send)(one) for one in asked.values()]
        return Heard(
            noted=sum(one is True for one in noted),
            known=sum(one is False for one in noted),
            sent=sum(one for one in sent if isinstance(one, int)),
            quarantined=tuple(one for one in admitted if isinstance(one, Quarantined)),
            failures=tuple(one for one in (*admitted, *noted, *sent) if isinstance(one, Failure)),
        )

    def _received(self, delivery: Delivery) -> "Received[Said] | Quarantined":
        return receive(delivery, _admit, self._quarantine)

    def _note(self, result: CommandResult, one: "Received[Said]") -> bool:
        step = heard(result, one.envelope.received_at)
        return self._store.advance(result.station_id, result.command_id, step)

    def _send(self, one: "Received[Said]") -> int:
        return self._dispatcher.deliver(one.message.station_id)


def _admit(envelope: Envelope) -> Said:
    return (admit_pending_request if envelope.topic.endswith(_PENDING) else admit_result)(envelope)
