"""The item of the latest state: what it costs, and that nothing is rounded on the way."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud.connection.contact import Contact, Presence, Word, contact_item
from evswap_cloud.latest import MAX_ITEM_BYTES, Flag, LatestState, from_item, to_item
from evswap_cloud.marks import NEWS, SHOWN, VERSION
from evswap_cloud.order import place_item, sortable
from evswap_schema import Clock, ConnectionState, Location, StationStatus
from evswap_schema.limits import MAX_BATTERIES, MAX_SEQUENCE
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


def test_the_largest_item_is_one_write_unit() -> None:
    """With the place of the newest reading that told of bays, what is heard of the link, and what each write
    says to those who watch."""
    beside = (VERSION, NEWS, SHOWN)
    item: dict[str, Any] = {
        **to_item(_largest()),
        **place_item(_largest(), prefix="bays_"),
        **contact_item(LARGEST_CONTACT),
        **{name: {"N": "1"} for name in beside},
    }
    assert billed_bytes(item) <= MAX_ITEM_BYTES
    assert from_item(item) == replace(_largest(), contact=LARGEST_CONTACT)


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
