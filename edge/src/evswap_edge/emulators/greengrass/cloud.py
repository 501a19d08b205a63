"""The cloud, as far as a station under a nucleus needs it: it says what it has archived."""

import asyncio
from collections.abc import Callable
from typing import Final

from evswap_edge.emulators.greengrass.uplink import Published
from evswap_schema import (
    TOPICS,
    Channel,
    SchemaError,
    acknowledgements,
    broker_topic,
    decode_batch,
    decode_event,
    decode_reading,
    encode_acknowledgement,
    message_digest,
)
from evswap_schema.topics import ROOT

_ASKS: Final[dict[str, Callable[[bytes], bool]]] = {
    TOPICS[Channel.TELEMETRY].suffix: lambda payload: decode_reading(payload).acknowledge,
    TOPICS[Channel.BATCH].suffix: lambda payload: decode_batch(payload).acknowledge,
    TOPICS[Channel.EVENT].suffix: lambda payload: decode_event(payload).acknowledge,
}
"""Whether a message asks for an acknowledgement, by the end of its topic."""

INVOCATION_S: Final = 0.1
"""Messages that come within this time are archived, and acknowledged, together."""


class Archive:
    """Counts as archived what arrives, and acknowledges what asks for it, by ``send`` and after a moment."""

    def __init__(self, send: Callable[[Published], None]) -> None:
        self._send = send
        self._archived: dict[str, list[str]] = {}

    def take(self, message: Published) -> None:
        """Archive ``message``. What is no message of a station is left alone."""
        station_id, _, kind = message.topic.partition(f"{ROOT}/")[2].partition("/")
        try:
            if kind not in _ASKS or not _ASKS[kind](message.payload):
                return
        except SchemaError:
            return
        if not self._archived:
            asyncio.get_running_loop().call_later(INVOCATION_S, self._acknowledge)
        self._archived.setdefault(station_id, []).append(message_digest(message.payload))

    def _acknowledge(self) -> None:
        archived, self._archived = self._archived, {}
        for station_id, digests in archived.items():
            for acknowledgement in acknowledgements(station_id, digests):
                topic = broker_topic(Channel.ACKNOWLEDGEMENT, station_id)
                self._send(Published(topic, encode_acknowledgement(acknowledgement)))
