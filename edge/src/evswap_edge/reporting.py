"""Which messages say what the outbox holds.

Messages are made from rows when they are about to be sent, and rows stay until those are accepted: a change
of the mode, or a crash, costs nothing that was stored.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Final, Protocol

import msgspec

from evswap_edge.message import Message
from evswap_edge.outbox.v1 import Row
from evswap_schema import (
    Channel,
    Reading,
    SchemaError,
    aws_topic,
    decode_reading,
    encode_batches,
    encode_reading,
)


class Mode(StrEnum):
    """How samples travel."""

    EVERY_SAMPLE = "every-sample"
    ON_CHANGE = "on-change"


@dataclass(frozen=True, slots=True)
class Formed:
    """Messages that were made from rows, and the rows from which none can be made: sequence number and
    reason."""

    messages: tuple[Message, ...] = ()
    unsendable: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of monotonic time, ``uptime`` seconds into the boot ``boot_id``."""

    boot_id: str
    uptime: float

    def age_s(self, row: Row) -> float:
        """How long ago ``row`` was stored. One of an earlier boot cannot be told its age; it is old."""
        return self.uptime - row.uptime if row.boot_id == self.boot_id else math.inf


class Reporter(Protocol):
    """Turns rows into messages."""

    @property
    def takes(self) -> int:
        """How many rows ``form`` is to be given at once, at most."""
        ...

    def wait_s(self, rows: Sequence[Row], now: Moment) -> float:
        """How long ``rows``, the oldest that are not under way, may still wait to be joined by others; 0:
        send."""
        ...

    def form(self, rows: Sequence[Row], now: Moment) -> Formed:
        """Make the messages that say what ``rows`` hold."""
        ...


class EverySample:
    """One flat message for each sample, at once: what the first stations sent, plus identity and quality."""

    takes: Final = 100

    def __init__(self, station_id: str) -> None:
        self._station_id = station_id
        self._topic = aws_topic(Channel.TELEMETRY, station_id)

    def wait_s(self, rows: Sequence[Row], now: Moment) -> float:  # noqa: ARG002
        return 0.0

    def form(self, rows: Sequence[Row], now: Moment) -> Formed:  # noqa: ARG002
        readable = _Readable.of(rows, self._station_id)
        return Formed(
            messages=tuple(self._message(row, reading) for row, reading in readable.pairs),
            unsendable=tuple(readable.unsendable),
        )

    def _message(self, row: Row, reading: Reading) -> Message:
        """The row's own bytes, unless they hold bays, which travel in batches only."""
        payload = (
            row.body if reading.bays is None else encode_reading(msgspec.structs.replace(reading, bays=None))
        )
        return Message(topic=self._topic, payload=payload, sequences=(row.sequence,))


class Batched:
    """Samples with their bays, gathered until the oldest is ``age_s`` old, in batches of at most one
    metering unit."""

    takes: Final = 240
    """Twenty minutes of samples at 5 s; more than that is sent piece by piece."""

    BACKLOG_AGES: Final = 3
    """A sample that is older than so many batches waited through an outage. Twice the age is normal: a batch
    that was refused once waits for the next."""

    def __init__(self, station_id: str, *, age_s: float) -> None:
        self._station_id = station_id
        self._age_s = age_s
        self._topic = aws_topic(Channel.BATCH, station_id)

    def wait_s(self, rows: Sequence[Row], now: Moment) -> float:
        return 0.0 if len(rows) >= self.takes else max(0.0, self._age_s - now.age_s(rows[0]))

    def form(self, rows: Sequence[Row], now: Moment) -> Formed:
        """Only rows whose newest is old are backlog: it is the newest that may move the latest state."""
        readable = _Readable.of(rows, self._station_id)
        backlog = now.age_s(rows[-1]) > self.BACKLOG_AGES * self._age_s
        try:
            messages = self._pack([reading for _, reading in readable.pairs], backlog=backlog)
        except SchemaError:
            messages = self._pack_one_by_one(readable, backlog=backlog)
        return Formed(messages=tuple(messages), unsendable=tuple(readable.unsendable))

    def _pack(self, readings: Iterable[Reading], *, backlog: bool) -> list[Message]:
        batches = encode_batches(readings, topic=self._topic, backlog=backlog)
        return [Message(self._topic, batch.payload, batch.sequences) for batch in batches]

    def _pack_one_by_one(self, readable: "_Readable", *, backlog: bool) -> list[Message]:
        """One of the readings fits into no batch: find out which, for the sake of the others."""
        messages: list[Message] = []
        for row, reading in readable.pairs:
            try:
                messages += self._pack([reading], backlog=backlog)
            except SchemaError as error:
                readable.unsendable.append((row.sequence, f"fits into no batch: {error}"))
        return messages


@dataclass(slots=True)
class _Readable:
    """Rows, sorted by whether a message can be made of them."""

    pairs: list[tuple[Row, Reading]] = field(default_factory=list)
    unsendable: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[Row], station_id: str) -> "_Readable":
        readable = cls()
        for row in rows:
            readable._sort(row, station_id)
        return readable

    def _sort(self, row: Row, station_id: str) -> None:
        try:
            reading = decode_reading(row.body)
        except SchemaError as error:
            self.unsendable.append((row.sequence, f"no valid reading: {error}"))
            return
        if reading.station_id != station_id:
            self.unsendable.append(
                (row.sequence, f"a sample of {reading.station_id}, in {station_id}'s outbox")
            )
            return
        self.pairs.append((row, reading))


class Deliveries:
    """Which samples have wholly arrived. A sample that several messages share has arrived when all of them
    have."""

    def __init__(self) -> None:
        self._outstanding: Counter[int] = Counter()

    def expect(self, messages: Iterable[Message]) -> None:
        """These messages are about to be sent."""
        self._outstanding.update(chain.from_iterable(message.sequences for message in messages))

    def accepted(self, message: Message) -> list[int]:
        """``message`` has arrived; returns the samples that it completes."""
        return [sequence for sequence in message.sequences if self._one_less(sequence)]

    def give_up(self, message: Message) -> list[int]:
        """``message`` never will arrive; returns its samples, which nothing completes any more."""
        given_up = [sequence for sequence in message.sequences if sequence in self._outstanding]
        for sequence in given_up:
            del self._outstanding[sequence]
        return given_up

    def _one_less(self, sequence: int) -> bool:
        if sequence not in self._outstanding:
            return False
        self._outstanding[sequence] -= 1
        if self._outstanding[sequence]:
            return False
        del self._outstanding[sequence]
        return True
