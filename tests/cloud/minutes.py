"""Minutes as stations tell of them, for every test of the history."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from evswap_cloud.ingest import Delivery
from evswap_schema import Channel, MinuteAggregate, Reading, Span, aws_topic, encode_batches
from tests.cloud.messages import NOW, delivery, envelope, reading

BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
"""A quarter of an hour that is over at the tests' now."""


def minute(number: int = 0, *, mean: float = 3.5, **changes: Any) -> MinuteAggregate:
    """The ``number``-th minute from ``BEGIN`` on."""
    usual: dict[str, Any] = {
        "minute": BEGIN + timedelta(minutes=number),
        "samples": 12,
        "battery_available": Span(least=3.0, mean=mean, greatest=9.0),
        "battery_charging": Span(least=0.0, mean=0.0, greatest=0.0),
        "temperature": Span(least=20.5, mean=20.75, greatest=21.0),
        "humidity": None,
    }
    return MinuteAggregate(**(usual | changes))


def batch_with(
    minutes: Sequence[MinuteAggregate],
    record_id: str = "r",
    *,
    sequence: int = 1,
    backlog: bool = False,
    received_at: datetime = NOW,
    **changes: Any,
) -> Delivery:
    """A batch of one reading that ``minutes`` ride with."""
    one: Reading = reading(stream_id="s", sequence=sequence, **changes)
    topic = aws_topic(Channel.BATCH, one.station_id)
    [batch] = encode_batches([one], topic=topic, backlog=backlog, minutes=minutes)
    body = envelope(batch.payload, station_id=one.station_id, channel=Channel.BATCH, received_at=received_at)
    return delivery(body, record_id)


def _any_minute(number: int, seed: int) -> MinuteAggregate:
    chance = Random(seed)
    return minute(
        number,
        samples=chance.randint(1, 600),
        battery_available=_count(chance),
        battery_charging=_count(chance),
        temperature=chance.choice([None, _measure(chance, -60, 100)]),
        humidity=chance.choice([None, _measure(chance, 0, 100)]),
    )


def _count(chance: Random) -> Span:
    least, greatest = sorted((chance.randint(0, 1_000), chance.randint(0, 1_000)))
    return Span(
        least=float(least), mean=chance.randint(100 * least, 100 * greatest) / 100, greatest=float(greatest)
    )


def _measure(chance: Random, lowest: int, highest: int) -> Span:
    least, mean, greatest = sorted(chance.randint(100 * lowest, 100 * highest) / 100 for _ in range(3))
    return Span(least=least, mean=mean, greatest=greatest)


any_minutes = st.builds(_any_minute, st.integers(0, 40), st.integers(0, 2**32))
"""Within three quarters of an hour, as finely as they are kept. A seed for each: drawn value by value they
would take a hundred times as long."""
