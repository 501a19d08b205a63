"""From what is stored to messages, at the moment at which it is sent.

Only now is it known over which transport, whether the cloud has to confirm, whether it waited through an
outage, and perhaps what time it really was. What needs none of that goes as the bytes that are stored.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from evswap_edge.message import Message
from evswap_edge.outbox import Parcel, Sample, StoredEvent
from evswap_edge.reporting import Mode
from evswap_edge.reporting.sealing import corrected, own_reading
from evswap_edge.reporting.truth import Truth, shift_ms
from evswap_schema import (
    Channel,
    Reading,
    decode_batch,
    decode_event,
    encode_event,
    encode_reading,
    rewrite_batch,
)
from evswap_schema.limits import MAX_BATCH_BYTES

_US_PER_MS: Final = 1_000


class Wording:
    """Words the messages of one station. Everything raises ``SchemaError`` where no message can be made."""

    def __init__(
        self,
        station_id: str,
        *,
        mode: Mode,
        topic: Callable[..., str],
        truth: Truth,
        acknowledge: bool,
    ) -> None:
        """``topic`` gives a channel's topic on the transport in use; with ``acknowledge`` the cloud is asked
        to confirm what it has archived."""
        self._station_id = station_id
        self._mode = mode
        self._truth = truth
        self._acknowledge = acknowledge
        self._telemetry = topic(Channel.TELEMETRY, station_id)
        self._batch = topic(Channel.BATCH, station_id)
        self._change = topic(Channel.CHANGE, station_id)
        self._event = topic(Channel.EVENT, station_id)

    def of_event(self, event: StoredEvent) -> tuple[Message, ...]:
        """The event, with the time that is known now."""
        stamp = self._truth.about(event.stamp)
        if stamp is event.stamp and not self._acknowledge:
            return (Message(self._event, event.body),)
        told = decode_event(event.body)
        shift = timedelta(milliseconds=shift_ms(event.stamp, stamp))
        told = replace(
            told, timestamp=told.timestamp + shift, clock=stamp.clock, acknowledge=self._acknowledge
        )
        return (Message(self._event, encode_event(told)),)

    def of_sample(self, sample: Sample) -> tuple[Message, ...]:
        """One flat message. Bays travel in batches only."""
        reading = own_reading(sample.body, self._station_id)
        stamp = self._truth.about(sample.stamp)
        if reading.bays is None and stamp is sample.stamp and not self._acknowledge:
            return (Message(self._telemetry, sample.body),)
        return (self._flat(corrected(reading, sample.stamp, stamp)),)

    def of_parcel(self, parcel: Parcel, *, backlog: bool) -> tuple[Message, ...]:
        """One batch; in every-sample mode a flat message for each of its samples."""
        stamp = self._truth.about(parcel.stamp)
        batched = self._mode is Mode.ON_CHANGE
        body = rewrite_batch(
            parcel.body,
            backlog=backlog and batched,
            acknowledge=self._acknowledge and batched,
            shift_us=shift_ms(parcel.stamp, stamp) * _US_PER_MS,
            clock=None if stamp is parcel.stamp else stamp.clock,
        )
        return (Message(self._batch, body),) if batched else tuple(self._flat_messages(body))

    def of_change(self, newest: Sample) -> Message:
        """The station's state as of ``newest``. Its bays come along where one metering unit holds them; its
        durable copy, which the cloud archives, is sent apart."""
        reading = own_reading(newest.body, self._station_id)
        told = corrected(reading, newest.stamp, self._truth.about(newest.stamp))
        payload = encode_reading(told)
        if len(payload) + len(self._change) > MAX_BATCH_BYTES:
            payload = encode_reading(replace(told, bays=None))
        return Message(self._change, payload)

    def _flat_messages(self, batch: bytes) -> Iterator[Message]:
        """Without its bays a reading has no parts: the first one speaks for all."""
        for reading in decode_batch(batch).readings:
            if reading.part is None or reading.part.index == 0:
                yield self._flat(reading)

    def _flat(self, reading: Reading) -> Message:
        flat = replace(reading, bays=None, part=None, acknowledge=self._acknowledge)
        return Message(self._telemetry, encode_reading(flat))
