from datetime import UTC, datetime

from hypothesis import given
from msgspec.structs import replace

from evswap_schema import Part, Reading, compact_timestamp, identity_of
from tests.shared.cabinets import minute_of_readings
from tests.shared.strategies import readings


def test_a_streams_reading_is_known_by_its_sequence_whatever_its_clock_said() -> None:
    first, second = minute_of_readings(0, samples=2)
    assert identity_of(first).uuid == identity_of(replace(first, timestamp=second.timestamp)).uuid
    assert identity_of(first).uuid != identity_of(second).uuid
    assert identity_of(first).uuid != identity_of(replace(first, stream_id="another")).uuid


def test_a_seed_message_is_known_by_its_timestamp() -> None:
    first, second = (
        replace(each, stream_id=None, sequence=None) for each in minute_of_readings(0, samples=2)
    )
    assert identity_of(first).uuid == identity_of(replace(first, battery_available=0)).uuid
    assert identity_of(first).uuid != identity_of(second).uuid


def test_the_parts_of_a_reading_are_kept_apart() -> None:
    [whole] = minute_of_readings(2, samples=1)
    parts = {identity_of(replace(whole, part=Part(index=index, count=2))).uuid for index in range(2)}
    assert len(parts | {identity_of(whole).uuid}) == 3


def test_the_uuid_never_changes() -> None:
    [reading] = minute_of_readings(0, samples=1)
    assert str(identity_of(reading).uuid) == "135ccce9-90ab-5584-9053-11ff6949fee3"


@given(readings())
def test_a_compact_timestamp_is_safe_in_an_object_name_and_sorts_by_time(reading: Reading) -> None:
    text = compact_timestamp(reading.timestamp)
    assert len(text) == 23
    assert (
        compact_timestamp(datetime(1, 1, 1, tzinfo=UTC))
        < text
        < compact_timestamp(datetime(2200, 1, 1, tzinfo=UTC))
    )
    assert text.replace("T", "").replace("Z", "").replace(".", "").isdigit()
