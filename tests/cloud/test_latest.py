"""The item of the latest state: what it costs, and that nothing is rounded on the way."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud.bays import bays_of
from evswap_cloud.connection.contact import Contact, Presence, Word, contact_item
from evswap_cloud.latest import MAX_ITEM_BYTES, Flag, LatestState, from_item, to_item
from evswap_cloud.marks import NEWS, SHOWN, VERSION
from evswap_cloud.order import Place, sortable
from evswap_cloud.packed_bays import pack
from evswap_schema import (
    Bay,
    Charge,
    Clock,
    ConnectionState,
    Health,
    Location,
    Lock,
    Reservation,
    StationStatus,
)
from evswap_schema.limits import MAX_BATTERIES, MAX_SEQUENCE
from tests.cloud.messages import NOW, battery, bay
from tests.cost.metering import item_bytes
from tests.shared.strategies import celsius, moments, percents, station_ids

states = st.builds(
    LatestState,
    station_id=station_ids,
    battery_available=st.integers(0, MAX_BATTERIES),
    battery_charging=st.integers(0, MAX_BATTERIES),
    temperature=st.none() | celsius,
    humidity=st.none() | percents,
    status=st.sampled_from(StationStatus),
    timestamp=moments,
    observed_at=moments,
    received_at=moments,
    clock=st.none() | st.sampled_from(Clock),
    flags=st.sampled_from([(), (Flag.FUTURE_TIMESTAMP,)]),
)


@given(states, st.none() | st.tuples(station_ids, st.integers(0, MAX_SEQUENCE)))
def test_a_state_comes_back_exactly_as_it_was_stored(
    state: LatestState, place: tuple[str, int] | None
) -> None:
    if place is not None:
        state = LatestState(**{**_fields(state), "stream_id": place[0], "sequence": place[1]})
    assert from_item(to_item(state)) == state


def test_what_later_versions_add_is_left_out() -> None:
    state = _largest()
    assert from_item({**to_item(state), "geo_cell": {"S": "u33d"}}) == state


def test_the_largest_state_is_one_write_unit() -> None:
    """With what is heard of the link, and what each write says to those who watch."""
    item = with_what_stands_beside(to_item(_largest()))
    assert billed_bytes(item) <= MAX_ITEM_BYTES
    assert from_item(item) == replace(_largest(), contact=LARGEST_CONTACT)


def with_what_stands_beside(item: dict[str, Any]) -> dict[str, Any]:
    marks: dict[str, Any] = {name: {"N": "1"} for name in (VERSION, NEWS, SHOWN)}
    return {**item, **contact_item(LARGEST_CONTACT), **marks}


SERIAL_NUMBERS: dict[str, Callable[[Random], str]] = {
    "simulated": lambda chance: f"berlin-mitte-0042-1-{chance.randrange(600):06}",
    "of two makers": lambda chance: chance.choice(["NX-48V-", "PWR72"]) + f"{chance.randrange(10**8):08}",
    "by GB/T 34014": lambda chance: "001PB0AG000B" + chance.choice("ABC") + f"{chance.randrange(10**11):011}",
}
"""What packs are called; 24 characters in China's standard for traction batteries."""


@pytest.mark.parametrize("named", SERIAL_NUMBERS)
@pytest.mark.parametrize(("size", "units"), [(8, 1), (35, 1), (120, 2)])
def test_a_typical_station_with_its_bays_is_one_write_unit(named: str, size: int, units: int) -> None:
    """With everything in its item that a station may have; 35 bays of which each is as unlike the next as can
    be."""
    chance = Random(1)
    told = [_any_bay(number, SERIAL_NUMBERS[named](chance), chance) for number in range(1, size + 1)]
    place = Place(observed_at=NOW, stream_id="0123456789abcdef" * 2, sequence=12_345_678)
    usual = replace(
        _largest(),
        station_id="berlin-mitte-0042",
        stream_id=place.stream_id,
        sequence=place.sequence,
        temperature=28.53,
        humidity=42.17,
        flags=(),
    )
    bays = bays_of(place, NOW, told)
    packed = pack(bays)
    item = {
        **to_item(usual),
        **contact_item(CONTACT),
        "version": {"N": "1795421730250"},
        "news": {"N": "-140737488355328"},
        "shown": {"N": "140737488355328"},
        "bays": {"B": packed},
        "bay_numbers": {"S": bays.numbers},
    }
    billed = item_bytes(item)
    print(f"{size} bays {named}: {len(packed)} bytes, the item {billed}")
    assert billed <= units * MAX_ITEM_BYTES


def _any_bay(number: int, serial_number: str, chance: Random) -> Bay:
    one = battery(
        serial_number=serial_number,
        soc=chance.uniform(5, 100),
        soh=chance.uniform(70, 100),
        temperature=chance.uniform(15, 45),
        cycles=chance.randrange(2_000),
    )
    return bay(
        number,
        charge=chance.choice(list(Charge)),
        lock=chance.choice(list(Lock)),
        reservation=chance.choice(list(Reservation)),
        health=chance.choice(list(Health)),
        battery=one,
    )


@given(moments, moments)
def test_text_sorts_as_time(one: datetime, other: datetime) -> None:
    assert (sortable(one) < sortable(other)) is (one < other)
    assert len(sortable(one)) == len(sortable(other))


def _largest() -> LatestState:
    moment = datetime(2026, 12, 28, 23, 59, 59, 999_999, UTC)
    return LatestState(
        station_id="s" * 64,
        battery_available=MAX_BATTERIES,
        battery_charging=MAX_BATTERIES,
        temperature=-12.345678901234567,
        humidity=1.2345678901234567e-300,
        status=StationStatus.OPERATIONAL,
        timestamp=moment,
        observed_at=moment,
        received_at=moment,
        stream_id="t" * 64,
        sequence=MAX_SEQUENCE,
        clock=Clock.SYNCHRONIZED,
        flags=tuple(Flag),
        location=Location(latitude=-52.123456, longitude=-113.405678),
    )


CONTACT = Contact(
    presence=Presence(state=ConnectionState.ONLINE, version=1_234, at=NOW),
    word=Word(state=ConnectionState.ONLINE, session="0123456789abcdef" * 2, at=NOW),
    noted="online",
)
"""Of a station that is there."""

LARGEST_CONTACT = Contact(
    presence=Presence(
        state=ConnectionState.OFFLINE, version=2**63 - 1, at=datetime(2026, 12, 28, tzinfo=UTC)
    ),
    word=Word(state=ConnectionState.OFFLINE, session="s" * 64, at=datetime(2026, 12, 28, tzinfo=UTC)),
    noted="offline",
)


def _fields(state: LatestState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__struct_fields__}


def billed_bytes(item: Any) -> int:
    """DynamoDB's own sum, taken high: names and text in UTF-8, 21 bytes a number, 3 a list or map and 1 a
    member."""
    return sum(len(name) + _billed_value(value) for name, value in item.items())


def _billed_value(value: Any) -> int:
    [(kind, content)] = value.items()
    if kind == "L":
        return 3 + sum(1 + _billed_value(member) for member in content)
    if kind == "M":
        return 3 + billed_bytes(content) + len(content)
    return {"S": len(content.encode()) if kind == "S" else 0, "N": 21, "NULL": 1}[kind]
