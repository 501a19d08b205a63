"""Which messages their station may forget."""

import re
from collections.abc import Iterable, Iterator

from evswap_cloud.ingest.receive import Received
from evswap_cloud.ingest.records import Receipt
from evswap_cloud.quarantine import Quarantined
from evswap_schema import STATION_ID_PATTERN, Batch, Event, Reading, message_digest


def receipts_of(
    archived: Iterable[Received[Reading] | Received[Batch] | Received[Event]],
    quarantined: Iterable[Quarantined],
) -> tuple[Receipt, ...]:
    """Of what was archived, the messages that ask for it; of what was refused, all that name their sender.

    What is refused is kept and would be refused again, and whether it asks cannot always be read.
    """
    return (*_archived(archived), *_refused(quarantined))


def _archived(messages: Iterable[Received[Reading] | Received[Batch] | Received[Event]]) -> Iterator[Receipt]:
    for one in messages:
        if one.message.acknowledge:
            digest = message_digest(one.envelope.payload)
            yield Receipt(station_id=one.message.station_id, digest=digest)


def _refused(messages: Iterable[Quarantined]) -> Iterator[Receipt]:
    """Only on the sender's own topic: nobody else can have a message forgotten."""
    for one in messages:
        if one.client_id == one.station_id and re.match(STATION_ID_PATTERN, one.station_id):
            yield Receipt(station_id=one.station_id, digest=message_digest(one.body))
