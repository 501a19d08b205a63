"""One contract, kept by the stores in memory and by those in AWS."""

import itertools
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud import latest as stores_in_dynamodb
from evswap_cloud import memory as stores_in_memory
from evswap_cloud import nearby
from evswap_cloud.acknowledge import IotMessenger
from evswap_cloud.archive import Addition, Archive, ArchiveObject, S3Archive
from evswap_cloud.bays import Bays, bays_of
from evswap_cloud.errors import (
    AcknowledgementError,
    ArchiveError,
    EventStoreError,
    LatestStateError,
    QuarantineError,
    Reason,
)
from evswap_cloud.events import DynamoEvents, Keeping, StationEvent
from evswap_cloud.events import supersedes as replaces
from evswap_cloud.latest import ANY, DynamoLatestStates, LatestState, Offer, Offered, StationState, Wanted
from evswap_cloud.memory import MemoryArchive, MemoryEvents, MemoryLatestStates, MemoryQuarantine
from evswap_cloud.nearby import search
from evswap_cloud.order import supersedes
from evswap_cloud.places import KM_PER_DEGREE, rounded
from evswap_cloud.quarantine import Quarantine, Quarantined, S3Quarantine
from evswap_schema import (
    Acknowledgement,
    Bay,
    Charge,
    Clock,
    Location,
    Lock,
    Occupancy,
    StationStatus,
    message_digest,
)
from evswap_schema.limits import MAX_BAYS
from tests.cloud.messages import NOW, battery, bay
from tests.cloud.station_events import alarm, station_event, swap
from tests.integration.aws import BUCKET, EVENTS, TABLE, Aws

KINDS = ["memory", "aws"]
ITEM = ArchiveObject(
    key="telemetry/a.json", body=b'{"a": 1}', content_type="application/json", metadata={"x": "1"}
)
REFUSED = Quarantined(
    body=b"\x00not json\xff",
    reason=Reason.MALFORMED,
    field="",
    rule="has to be JSON",
    value="'not json'",
    topic="ev/station/station-01/telemetry",
    station_id="station-01",
    client_id="station-01",
    received_at=NOW,
)


def state(**changes: Any) -> LatestState:
    first: dict[str, Any] = {
        "station_id": "station-01",
        "battery_available": 12,
        "battery_charging": 4,
        "temperature": 28.5,
        "humidity": None,
        "status": StationStatus.OPERATIONAL,
        "timestamp": NOW,
        "observed_at": NOW,
        "received_at": NOW,
    }
    return LatestState(**(first | changes))


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest) -> Archive:
    if request.param == "memory":
        return MemoryArchive()
    request.getfixturevalue("cloud")
    return S3Archive(boto3.client("s3"), BUCKET)


@pytest.fixture(params=KINDS)
def quarantine(request: pytest.FixtureRequest) -> Quarantine:
    if request.param == "memory":
        return MemoryQuarantine()
    request.getfixturevalue("cloud")
    return S3Quarantine(boto3.client("s3"), BUCKET)


@pytest.fixture(params=KINDS)
def latest(request: pytest.FixtureRequest) -> MemoryLatestStates | DynamoLatestStates:
    if request.param == "memory":
        return MemoryLatestStates()
    request.getfixturevalue("cloud")
    return DynamoLatestStates(boto3.client("dynamodb"), TABLE)


Latest = MemoryLatestStates | DynamoLatestStates


def test_an_object_is_stored_once_and_known_again(archive: Archive) -> None:
    assert archive.add(ITEM) is Addition.STORED
    assert archive.add(replace(ITEM, metadata={"x": "2"})) is Addition.REPEATED


def test_another_body_never_takes_an_objects_place(archive: Archive) -> None:
    archive.add(ITEM)
    assert archive.add(replace(ITEM, body=b"other")) is Addition.CONFLICT
    assert archive.add(ITEM) is Addition.REPEATED


def test_keeping_a_refused_message_again_is_harmless(quarantine: Quarantine) -> None:
    quarantine.keep(REFUSED)
    quarantine.keep(REFUSED)


def test_a_first_state_is_stored_and_found(latest: Latest) -> None:
    assert latest.get("station-01") is None
    first = state(stream_id="s", sequence=1, clock=Clock.ESTIMATED)
    assert latest.offer(first) is Offer.MOVED
    assert latest.get("station-01") == first


@pytest.mark.parametrize(
    ("stored", "offered", "outcome"),
    [
        ({"sequence": 2}, {"sequence": 3, "observed_at": NOW - timedelta(days=1)}, Offer.MOVED),
        ({"sequence": 2}, {"sequence": 2}, Offer.NOT_NEWER),
        ({"sequence": 9}, {"sequence": 10}, Offer.MOVED),
        ({"sequence": 10}, {"sequence": 9, "observed_at": NOW + timedelta(days=1)}, Offer.NOT_NEWER),
        (
            {"sequence": 2},
            {"stream_id": "z", "sequence": 1, "observed_at": NOW + timedelta(seconds=1)},
            Offer.MOVED,
        ),
        (
            {"sequence": 2},
            {"stream_id": "z", "sequence": 9, "observed_at": NOW - timedelta(seconds=1)},
            Offer.NOT_NEWER,
        ),
        ({"sequence": 2}, {"stream_id": "z", "sequence": 1}, Offer.MOVED),
        ({"sequence": 2}, {"stream_id": "a", "sequence": 9}, Offer.NOT_NEWER),
        ({"sequence": 2}, {"stream_id": None, "sequence": None}, Offer.NOT_NEWER),
        (
            {"sequence": 2},
            {"stream_id": None, "sequence": None, "observed_at": NOW + timedelta(seconds=1)},
            Offer.MOVED,
        ),
        ({"stream_id": None, "sequence": None}, {"sequence": 0}, Offer.MOVED),
        ({"stream_id": None, "sequence": None}, {"stream_id": None, "sequence": None}, Offer.NOT_NEWER),
        (
            {"stream_id": None, "sequence": None, "observed_at": NOW.replace(microsecond=0)},
            {"stream_id": None, "sequence": None, "observed_at": NOW.replace(microsecond=1)},
            Offer.MOVED,
        ),
    ],
)
def test_a_state_moves_only_for_a_newer_one(
    latest: Latest, stored: dict[str, Any], offered: dict[str, Any], outcome: Offer
) -> None:
    before = state(**({"stream_id": "m"} | stored))
    after = state(**({"stream_id": "m", "battery_available": 1} | offered))
    latest.offer(before)
    assert latest.offer(after) is outcome
    assert latest.get("station-01") == (after if outcome is Offer.MOVED else before)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_pages_hold_every_state_once(latest: Latest, count: int) -> None:
    names = {f"station-{number}" for number in range(count)}
    for name in names:
        latest.offer(state(station_id=name))
    seen: list[str] = []
    more, after = True, None
    while more:
        page = latest.page(limit=3, after=after)
        assert len(page.states) <= 3
        seen += [one.station_id for one in page.states]
        more, after = page.after is not None, page.after
        assert page.states or not more
    assert (len(seen), set(seen)) == (count, names)


def test_a_page_of_some_leaves_out_the_others(latest: Latest) -> None:
    for number in range(9):
        status = StationStatus.FAULT if number % 2 else StationStatus.OPERATIONAL
        latest.offer(state(station_id=f"station-{number}", battery_available=number, status=status))
    faulty, after = set(), None
    while True:
        page = latest.page(limit=2, after=after, wanted=Wanted(status=StationStatus.FAULT, min_available=3))
        faulty |= {one.station_id for one in page.states}
        if (after := page.after) is None:
            break
    assert faulty == {"station-3", "station-5", "station-7"}


def test_a_page_of_few_among_many_reads_a_bounded_number_and_goes_on_from_there(latest: Latest) -> None:
    for number in range(7):
        latest.offer(state(station_id=f"station-{number}", battery_available=number))
    with pytest.MonkeyPatch.context() as patch:
        for module in (stores_in_memory, stores_in_dynamodb):
            patch.setattr(module, "MOST_EXAMINED", 3)
        found, examined, after = [], [], None
        while True:
            page = latest.page(limit=5, after=after, wanted=Wanted(min_available=6))
            found += [one.station_id for one in page.states]
            examined.append(page.examined)
            if (after := page.after) is None:
                break
    assert found == ["station-6"]
    assert examined in ([3, 3, 1], [3, 3, 1, 0])


HERE = Location(latitude=52.5200, longitude=13.4050)


def placed(number: int, east_km: float) -> LatestState:
    """A station that stands ``east_km`` from here."""
    longitude = HERE.longitude + east_km / (KM_PER_DEGREE * math.cos(math.radians(HERE.latitude)))
    there = rounded(Location(latitude=HERE.latitude, longitude=longitude))
    return state(station_id=f"station-{number}", battery_available=number, location=there)


def test_stations_are_found_by_where_they_stand_the_nearest_first(latest: Latest) -> None:
    latest.offer(state(station_id="nowhere"))
    for number, east_km in enumerate((3.0, -1.0, 0.5, 8.0, 400.0)):
        latest.offer(placed(number, east_km))
    near = search(latest, HERE, 5.0, limit=10, wanted=ANY)
    assert [one.state.station_id for one in near.neighbours] == ["station-2", "station-1", "station-0"]
    assert [round(one.distance_km, 2) for one in near.neighbours] == [0.5, 1.0, 3.0]
    assert near.searched_km == 5.0
    assert near.neighbours[0].state == placed(2, 0.5)
    [one] = search(latest, HERE, 5.0, limit=1, wanted=Wanted(min_available=1)).neighbours
    assert one.state.station_id == "station-2"


def test_a_station_stands_where_it_last_said_that_it_does(latest: Latest) -> None:
    first = placed(1, 1.0)
    latest.offer(first)
    latest.offer(replace(first, observed_at=NOW + timedelta(seconds=1), location=None))
    known = latest.get("station-1")
    assert known is not None
    assert known.location == first.location
    latest.offer(replace(placed(1, 30.0), observed_at=NOW + timedelta(seconds=2)))
    assert search(latest, HERE, 5.0, limit=10, wanted=ANY).neighbours == ()
    assert len(search(latest, HERE, 40.0, limit=10, wanted=ANY).neighbours) == 1


def test_where_too_many_stand_the_circle_is_smaller_and_says_so(latest: Latest) -> None:
    for number in range(12):
        latest.offer(placed(number, 0.5 * number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearby, "MOST_ENTRIES", 8)
        near = search(latest, HERE, 8.0, limit=10, wanted=ANY)
    assert near.searched_km == 2.0
    assert [one.state.station_id for one in near.neighbours] == [f"station-{number}" for number in range(5)]
    assert near.examined <= 8 + 8 + 5


numbers = itertools.count()
moments = st.integers(0, 3).map(lambda second: NOW + timedelta(seconds=second))
places = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)) | st.just((None, None))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(places, moments), min_size=1, max_size=6))
def test_dynamodbs_condition_says_what_the_order_says(cloud: Aws, history: list[Any]) -> None:
    table = DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    station_id = f"station-{next(numbers)}"
    stored: LatestState | None = None
    for (stream_id, sequence), moment in history:
        offered = state(station_id=station_id, stream_id=stream_id, sequence=sequence, observed_at=moment)
        newer = stored is None or supersedes(offered, stored)
        assert table.offer(offered) is (Offer.MOVED if newer else Offer.NOT_NEWER)
        stored = offered if newer else stored
    assert table.get(station_id) == stored


# --- bays ---


def told_bays(told: LatestState, *told_of: Bay) -> Bays:
    return bays_of(told, told.timestamp, told_of or (bay(),))


def test_bays_are_stored_with_their_state_and_found_by_their_numbers(latest: Latest) -> None:
    empty = bay(9, occupancy=Occupancy.EMPTY, charge=Charge.NONE, battery=None)
    told = told_bays(state(), bay(100), empty, bay(10))
    assert latest.get_with_bays("station-01") is None
    assert latest.offer_with_bays(state(), told) == Offered(state=Offer.MOVED, bays=Offer.MOVED)
    latest.offer(state(station_id="station-02"))
    assert latest.get_with_bays("station-01") == StationState(state=state(), bays=told.bays)
    assert [one.bay for one in told.bays] == [9, 10, 100]
    assert latest.get_with_bays("station-02") == StationState(state=state(station_id="station-02"), bays=())


def test_the_largest_station_is_stored_whole(latest: Latest) -> None:
    cabinet = [bay(number, battery=battery(serial_number="B" * 50)) for number in range(1, MAX_BAYS + 1)]
    told = told_bays(state(), *cabinet)
    latest.offer_with_bays(state(), told)
    found = latest.get_with_bays("station-01")
    assert found is not None
    assert found.bays == told.bays


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(
        st.tuples(
            places,
            moments,
            st.none() | st.sets(st.integers(1, 3), min_size=1),
            st.none() | st.tuples(places, moments),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_states_and_bays_come_to_the_same_in_memory_and_in_dynamodb(cloud: Aws, history: list[Any]) -> None:
    """Bays of the same reading as the state or of an earlier one, all or some."""
    memory, table = MemoryLatestStates(), DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    station_id = f"station-{next(numbers)}"
    for place, moment, named, speaker in history:
        told = placed_state(station_id, place, moment)
        if named is None:
            assert table.offer(told) is memory.offer(told)
            continue
        spoke = placed_state(station_id, *speaker) if speaker else told
        if supersedes(spoke, told):
            spoke = told
        bays = told_bays(spoke, *map(bay, named))
        assert table.offer_with_bays(told, bays) == memory.offer_with_bays(told, bays)
    assert table.get_with_bays(station_id) == memory.get_with_bays(station_id)


def placed_state(station_id: str, place: Any, moment: datetime) -> LatestState:
    stream_id, sequence = place
    return state(
        station_id=station_id, stream_id=stream_id, sequence=sequence, observed_at=moment, timestamp=moment
    )


@pytest.fixture
def updates(cloud: Aws) -> list[dict[str, Any]]:
    """The updates that ``table`` asks for."""
    asked: list[dict[str, Any]] = []
    cloud.observe("dynamodb.UpdateItem", asked.append)
    return asked


@pytest.fixture
def table(cloud: Aws, updates: list[dict[str, Any]]) -> DynamoLatestStates:
    return DynamoLatestStates(boto3.client("dynamodb"), TABLE)


def disturbed(cloud: Aws, disturb: Callable[[], object]) -> DynamoLatestStates:
    """A table of which somebody else does ``disturb`` just before the second update."""
    calls = itertools.count(1)
    cloud.observe("dynamodb.UpdateItem", lambda _: disturb() if next(calls) == 2 else None)
    return DynamoLatestStates(boto3.client("dynamodb"), TABLE)


def at(sequence: int) -> LatestState:
    moment = NOW + timedelta(seconds=sequence)
    return state(stream_id="s", sequence=sequence, observed_at=moment, timestamp=moment)


def cabinet(told: LatestState, size: int = 3, **changes: Any) -> Bays:
    return told_bays(told, *(bay(number, **changes) for number in range(1, size + 1)))


def test_a_reading_that_is_the_newest_is_one_write(
    table: DynamoLatestStates, updates: list[dict[str, Any]]
) -> None:
    for sequence in (1, 2, 3):
        offered = table.offer_with_bays(at(sequence), cabinet(at(sequence)))
        assert offered == Offered(state=Offer.MOVED, bays=Offer.MOVED)
    assert len(updates) == 3


def test_a_reading_that_comes_again_is_one_write_that_is_refused(
    table: DynamoLatestStates, updates: list[dict[str, Any]]
) -> None:
    table.offer_with_bays(at(1), cabinet(at(1)))
    again = table.offer_with_bays(at(1), cabinet(at(1)))
    assert again == Offered(state=Offer.NOT_NEWER, bays=Offer.NOT_NEWER)
    assert len(updates) == 2


def test_bays_whose_state_a_change_has_overtaken_take_a_second_write_that_is_no_news(
    cloud: Aws, table: DynamoLatestStates, updates: list[dict[str, Any]]
) -> None:
    table.offer_with_bays(at(1), cabinet(at(1)))
    change = replace(at(20), battery_available=1)
    table.offer(change)
    offered = table.offer_with_bays(at(12), cabinet(at(12), lock=Lock.UNLOCKED))
    assert offered == Offered(state=Offer.NOT_NEWER, bays=Offer.MOVED)
    assert len(updates) == 4
    found = table.get_with_bays("station-01")
    assert found is not None
    assert (found.state, {one.lock for one in found.bays}) == (change, {Lock.UNLOCKED})
    item = cloud.item("station-01")
    assert item is not None
    assert item["news"] == {"N": "0"}


def test_where_the_change_that_overtook_told_of_bays_itself_there_is_no_second_write(
    table: DynamoLatestStates, updates: list[dict[str, Any]]
) -> None:
    table.offer_with_bays(at(20), cabinet(at(20)))
    offered = table.offer_with_bays(at(12), cabinet(at(12), lock=Lock.UNLOCKED))
    assert offered == Offered(state=Offer.NOT_NEWER, bays=Offer.NOT_NEWER)
    assert len(updates) == 2


def test_bays_that_a_reading_does_not_name_stay_by_a_second_write(
    table: DynamoLatestStates, updates: list[dict[str, Any]]
) -> None:
    table.offer_with_bays(at(1), cabinet(at(1)))
    table.offer_with_bays(at(2), told_bays(at(2), bay(2), bay(4)))
    found = table.get_with_bays("station-01")
    assert found is not None
    assert [(one.bay, one.timestamp) for one in found.bays] == [
        (1, at(1).timestamp),
        (2, at(2).timestamp),
        (3, at(1).timestamp),
        (4, at(2).timestamp),
    ]
    assert len(updates) == 3


def test_bays_of_an_earlier_reading_are_stored_after_the_state(
    table: DynamoLatestStates, updates: list[dict[str, Any]]
) -> None:
    offered = table.offer_with_bays(at(2), cabinet(at(1)))
    assert offered == Offered(state=Offer.MOVED, bays=Offer.MOVED)
    assert len(updates) == 2


def test_what_somebody_else_has_written_meanwhile_is_not_lost(cloud: Aws, table: DynamoLatestStates) -> None:
    """Two parts of a reading at once: each has seen the item as it was before the other."""
    table.offer_with_bays(at(1), cabinet(at(1)))
    table.offer(at(3))
    other = told_bays(at(2), bay(3, lock=Lock.UNLOCKED))
    slow = disturbed(cloud, lambda: table.offer_with_bays(at(2), other))
    slow.offer_with_bays(at(2), told_bays(at(2), bay(1, lock=Lock.UNLOCKED)))
    found = table.get_with_bays("station-01")
    assert found is not None
    assert [one.lock for one in found.bays] == [Lock.UNLOCKED, Lock.LOCKED, Lock.UNLOCKED]


def test_damaged_bays_are_told_where_they_are_asked_for_and_replaced_by_the_next_reading(
    cloud: Aws, table: DynamoLatestStates
) -> None:
    table.offer_with_bays(at(1), cabinet(at(1)))
    cloud.dynamodb.update_item(
        TableName=TABLE,
        Key={"station_id": {"S": "station-01"}},
        UpdateExpression="SET bays = :damaged",
        ExpressionAttributeValues={":damaged": {"B": b"\xff"}},
    )
    with pytest.raises(LatestStateError, match="read bays of station-01: DamagedBays"):
        table.get_with_bays("station-01")
    assert table.page(limit=10, after=None).states == (at(1),)
    table.offer(at(3))
    table.offer_with_bays(at(2), cabinet(at(2)))
    found = table.get_with_bays("station-01")
    assert found is not None
    assert found.bays == cabinet(at(2)).bays


def test_a_station_that_is_removed_meanwhile_does_not_come_back_without_a_state(
    cloud: Aws, table: DynamoLatestStates
) -> None:
    table.offer(at(3))
    gone = {"station_id": {"S": "station-01"}}
    slow = disturbed(cloud, lambda: cloud.dynamodb.delete_item(TableName=TABLE, Key=gone))
    assert slow.offer_with_bays(at(2), cabinet(at(2))) == Offered(state=Offer.MOVED, bays=Offer.MOVED)
    assert table.get("station-01") == at(2)


def test_what_aws_refuses_of_bays_is_told_with_its_code(cloud: Aws) -> None:
    for operation in ("dynamodb.UpdateItem", "dynamodb.GetItem"):
        cloud.refuse(operation, "AccessDeniedException")
    table = DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    with pytest.raises(LatestStateError, match="write station-01: AccessDeniedException"):
        table.offer_with_bays(state(), told_bays(state()))
    with pytest.raises(LatestStateError, match="read station-01: AccessDeniedException"):
        table.get_with_bays("station-01")


Events = MemoryEvents | DynamoEvents


@pytest.fixture(params=KINDS)
def events(request: pytest.FixtureRequest) -> Events:
    if request.param == "memory":
        return MemoryEvents()
    request.getfixturevalue("cloud")
    return DynamoEvents(boto3.client("dynamodb"), EVENTS)


def all_of(events: Events, station_id: str, limit: int = 3) -> list[StationEvent]:
    """Through all pages."""
    seen: list[StationEvent] = []
    more, before = True, None
    while more:
        page = events.page(station_id, limit=limit, before=before)
        assert len(page.events) <= limit
        assert page.events or not page.more
        seen += page.events
        more, before = page.more, seen[-1].place if seen else None
    return seen


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_pages_hold_every_event_of_the_station_once_the_newest_first(events: Events, count: int) -> None:
    """Three at the same moment: then the place in the stream decides."""
    kept = [
        station_event(alarm(number, timestamp=NOW - timedelta(seconds=number // 3)))
        for number in range(count)
    ]
    for event in (*kept, station_event(swap(99, station_id="station-02"))):
        assert events.keep(event) is Keeping.KEPT
    assert all_of(events, "station-01") == sorted(kept, key=lambda event: event.place, reverse=True)
    assert [event.event.sequence for event in all_of(events, "station-02")] == [99]


def test_an_event_is_kept_once(events: Events) -> None:
    assert events.keep(station_event(alarm())) is Keeping.KEPT
    assert events.keep(station_event(alarm())) is Keeping.KNOWN
    assert events.keep(station_event(alarm(count=99))) is Keeping.KNOWN, "the first content stays"
    assert all_of(events, "station-01") == [station_event(alarm())]


def test_an_event_whose_time_is_corrected_moves_to_its_place(events: Events) -> None:
    wrong = NOW - timedelta(days=3)
    sent = [
        station_event(alarm(1, clock=Clock.ESTIMATED, timestamp=wrong)),
        station_event(alarm(2, timestamp=NOW - timedelta(days=1))),
        station_event(alarm(1)),
    ]
    assert [events.keep(event) for event in sent] == [Keeping.KEPT] * 3
    assert events.keep(sent[0]) is Keeping.KNOWN
    assert all_of(events, "station-01") == [sent[2], sent[1]]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(st.sampled_from(Clock), moments), min_size=1, max_size=5))
def test_dynamodbs_condition_keeps_the_event_that_the_rule_keeps(cloud: Aws, history: list[Any]) -> None:
    table = DynamoEvents(boto3.client("dynamodb"), EVENTS)
    station_id = f"station-{next(numbers)}"
    stored: StationEvent | None = None
    for clock, moment in history:
        offered = station_event(alarm(station_id=station_id, clock=clock, timestamp=moment))
        taken = stored is None or replaces(offered, stored)
        assert table.keep(offered) is (Keeping.KEPT if taken else Keeping.KNOWN)
        stored = offered if taken else stored
    assert all_of(table, station_id) == [stored]


def test_what_aws_refuses_of_events_and_acknowledgements_is_told_with_its_code(cloud: Aws) -> None:
    for operation in ("dynamodb.PutItem", "dynamodb.Query"):
        cloud.refuse(operation, "AccessDeniedException")
    cloud.refuse("iot-data-plane.Publish", "ForbiddenException")
    table = DynamoEvents(boto3.client("dynamodb"), EVENTS)
    with pytest.raises(EventStoreError, match="write station-01: AccessDeniedException"):
        table.keep(station_event(alarm()))
    with pytest.raises(EventStoreError, match="read station-01: AccessDeniedException"):
        table.page("station-01", limit=1, before=None)
    message = Acknowledgement(station_id="station-01", digests=(message_digest(b"x"),))
    with pytest.raises(AcknowledgementError) as refused:
        IotMessenger(boto3.client("iot-data")).send(message)
    assert refused.value.target == "ev/station/station-01/acknowledgement"
    assert refused.value.code == "ForbiddenException"


@pytest.fixture
def broken(cloud: Aws) -> Aws:
    for operation in ("s3.PutObject", "s3.HeadObject"):
        cloud.refuse(operation, "AccessDenied")
    for operation in ("dynamodb.UpdateItem", "dynamodb.GetItem", "dynamodb.Scan"):
        cloud.refuse(operation, "AccessDeniedException")
    return cloud


def test_what_aws_refuses_is_told_with_its_code(broken: Aws) -> None:
    s3, latest = boto3.client("s3"), DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    with pytest.raises(ArchiveError) as archived:
        S3Archive(s3, BUCKET).add(ITEM)
    assert (archived.value.operation, archived.value.target, archived.value.code) == (
        "put",
        ITEM.key,
        "AccessDenied",
    )
    with pytest.raises(QuarantineError, match="AccessDenied"):
        S3Quarantine(s3, BUCKET).keep(REFUSED)
    for ask in (
        lambda: latest.offer(state()),
        lambda: latest.get("a"),
        lambda: latest.page(limit=1, after=None),
    ):
        with pytest.raises(LatestStateError, match="AccessDeniedException"):
            ask()


def test_s3_keeps_body_and_reason_byte_for_byte(cloud: Aws) -> None:
    S3Quarantine(boto3.client("s3"), BUCKET).keep(REFUSED)
    assert cloud.body(REFUSED.key) == REFUSED.body
    assert cloud.metadata(REFUSED.key) == REFUSED.metadata


def test_numbers_are_stored_without_rounding(cloud: Aws) -> None:
    DynamoLatestStates(boto3.client("dynamodb"), TABLE).offer(state(temperature=0.1 + 0.2, humidity=1e-9))
    item = cloud.item("station-01")
    assert item is not None
    assert float(item["temperature"]["N"]) == 0.1 + 0.2
    assert float(item["humidity"]["N"]) == 1e-9
