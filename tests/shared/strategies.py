"""Hypothesis strategies for every message of the contract."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from evswap_schema import (
    Battery,
    Bay,
    Charge,
    Clock,
    Health,
    Location,
    Lock,
    Occupancy,
    Quality,
    Reading,
    Reservation,
    StationStatus,
)

START = datetime(2000, 1, 1, tzinfo=UTC)

station_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
moments = st.integers(0, 4_000_000_000_000_000).map(lambda count: START + timedelta(microseconds=count))
percents = st.floats(0, 100)
celsius = st.floats(-60, 100)
short_texts = st.text(min_size=1, max_size=64)


@st.composite
def batteries(draw: st.DrawFn) -> Battery:
    return Battery(
        serial_number=draw(
            st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=50)
        ),
        soc=draw(percents),
        soh=draw(percents),
        voltage=draw(st.floats(0, 1_000)),
        current=draw(st.floats(-1_000, 1_000)),
        temperature=draw(st.floats(-60, 200)),
        cycles=draw(st.integers(0, 100_000)),
    )


@st.composite
def bays(draw: st.DrawFn, number: int) -> Bay:
    return Bay(
        bay=number,
        occupancy=draw(st.sampled_from(Occupancy)),
        charge=draw(st.sampled_from(Charge)),
        lock=draw(st.sampled_from(Lock)),
        reservation=draw(st.sampled_from(Reservation)),
        health=draw(st.sampled_from(Health)),
        battery=draw(st.none() | batteries()),
    )


@st.composite
def readings(draw: st.DrawFn, *, bay_count: int = 0) -> Reading:
    """A reading with a place in a stream, and with ``bay_count`` bays."""
    return Reading(
        station_id=draw(station_ids),
        battery_available=draw(st.integers(0, 1_000)),
        battery_charging=draw(st.integers(0, 1_000)),
        temperature=draw(st.none() | celsius),
        humidity=draw(st.none() | percents),
        status=draw(st.sampled_from(StationStatus)),
        timestamp=draw(moments),
        stream_id=draw(station_ids),
        sequence=draw(st.integers(0, 2**53 - 1)),
        clock=draw(st.none() | st.sampled_from(Clock)),
        quality=draw(
            st.none() | st.dictionaries(short_texts, st.sampled_from(Quality), min_size=1, max_size=16)
        ),
        bays=tuple(draw(bays(number + 1)) for number in range(bay_count)) if bay_count else None,
        location=draw(
            st.none() | st.builds(Location, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180))
        ),
        firmware=draw(st.none() | short_texts),
    )


@st.composite
def runs(draw: st.DrawFn) -> list[Reading]:
    """Readings of one station and stream: sequences grow, clocks jump either way, bays come and go."""
    first = draw(readings())
    bay_count = draw(st.integers(0, 4))
    run = []
    sequence = draw(st.integers(0, 2**40))
    for _ in range(draw(st.integers(1, 12))):
        sequence += draw(st.integers(1, 50))
        change = draw(readings(bay_count=bay_count))
        run.append(
            _replace(
                change,
                station_id=first.station_id,
                stream_id=first.stream_id,
                sequence=sequence,
                location=first.location,
                firmware=first.firmware,
                timestamp=first.timestamp + timedelta(microseconds=draw(st.integers(-(10**12), 10**12))),
            )
        )
    return run


def _replace(reading: Reading, **changes: object) -> Reading:
    from msgspec.structs import replace

    return replace(reading, **changes)
