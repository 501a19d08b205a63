"""One contract, kept by the stores in memory and by those in AWS."""

import itertools
import math
from datetime import timedelta
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
from evswap_cloud.bays import BayState, BayStates, DynamoBays, bay_state
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
from evswap_cloud.latest import ANY, DynamoLatestStates, LatestState, Offer, Wanted
from evswap_cloud.memory import MemoryArchive, MemoryBays, MemoryEvents, MemoryLatestStates, MemoryQuarantine
from evswap_cloud.nearby import search
from evswap_cloud.order import supersedes
from evswap_cloud.places import KM_PER_DEGREE, rounded
from evswap_cloud.quarantine import Quarantine, Quarantined, S3Quarantine
from evswap_schema import Acknowledgement, Charge, Clock, Location, Occupancy, StationStatus, message_digest
from evswap_schema.limits import MAX_BAYS
from tests.cloud.messages import NOW, battery, bay
from tests.cloud.station_events import alarm, station_event, swap
from tests.integration.aws import BAYS, BUCKET, EVENTS, TABLE, Aws

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


def told_bay(told: LatestState, number: int = 1, **changes: Any) -> BayState:
    return bay_state(bay(number, **changes), told)


@pytest.fixture(params=KINDS)
def bays(request: pytest.FixtureRequest) -> BayStates:
    if request.param == "memory":
        return MemoryBays()
    request.getfixturevalue("cloud")
    return DynamoBays(boto3.client("dynamodb"), BAYS)


def test_bays_are_found_by_their_numbers_and_their_station(bays: BayStates) -> None:
    assert bays.of_station("station-01") == ()
    empty = told_bay(state(), 9, occupancy=Occupancy.EMPTY, charge=Charge.NONE, battery=None)
    other = told_bay(state(station_id="station-02"), 3)
    for one in (told_bay(state(), 10), empty, told_bay(state(), 100), other):
        assert bays.offer(one) is Offer.MOVED
    assert bays.of_station("station-01") == (empty, told_bay(state(), 10), told_bay(state(), 100))
    assert bays.of_station("station-02") == (other,)


def test_one_query_gives_the_largest_station_whole(bays: BayStates) -> None:
    for number in range(1, MAX_BAYS + 1):
        bays.offer(told_bay(state(), number, battery=battery(serial_number="B" * 50)))
    assert [one.bay for one in bays.of_station("station-01")] == list(range(1, MAX_BAYS + 1))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(places, moments), min_size=1, max_size=6))
def test_dynamodbs_condition_for_a_bay_says_what_the_order_says(cloud: Aws, history: list[Any]) -> None:
    table, station_id = DynamoBays(boto3.client("dynamodb"), BAYS), f"station-{next(numbers)}"
    stored: BayState | None = None
    for (stream_id, sequence), moment in history:
        told = state(station_id=station_id, stream_id=stream_id, sequence=sequence, observed_at=moment)
        offered = told_bay(told)
        newer = stored is None or supersedes(offered, stored)
        assert table.offer(offered) is (Offer.MOVED if newer else Offer.NOT_NEWER)
        stored = offered if newer else stored
    assert table.of_station(station_id) == (stored,)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(places, moments, st.booleans(), st.booleans()), min_size=1, max_size=8))
def test_who_told_of_bays_last_is_remembered_alike_in_memory_and_in_dynamodb(
    cloud: Aws, history: list[Any]
) -> None:
    memory, table = MemoryLatestStates(), DynamoLatestStates(boto3.client("dynamodb"), TABLE)
    station_id = f"station-{next(numbers)}"
    for (stream_id, sequence), moment, tells_bays, again in history:
        told = state(station_id=station_id, stream_id=stream_id, sequence=sequence, observed_at=moment)
        offer = table.offer(told, tells_bays=tells_bays)
        assert offer is memory.offer(told, tells_bays=tells_bays)
        if again:
            assert table.offer_bays(told) is memory.offer_bays(told)
    assert table.get(station_id) == memory.get(station_id)


def test_the_reading_that_told_of_bays_may_tell_of_its_other_part_until_a_newer_one_does(
    latest: Latest,
) -> None:
    first, second = state(stream_id="s", sequence=1), state(stream_id="s", sequence=2)
    latest.offer(first, tells_bays=True)
    assert latest.offer_bays(first) is Offer.MOVED
    latest.offer(second)
    assert latest.offer_bays(first) is Offer.MOVED, "the second has told of none"
    assert latest.offer_bays(second) is Offer.MOVED
    assert latest.offer_bays(first) is Offer.NOT_NEWER


def test_what_aws_refuses_of_bays_is_told_with_its_code(cloud: Aws) -> None:
    for operation in ("dynamodb.PutItem", "dynamodb.Query"):
        cloud.refuse(operation, "AccessDeniedException")
    table = DynamoBays(boto3.client("dynamodb"), BAYS)
    with pytest.raises(LatestStateError, match="write bay 1 of station-01: AccessDeniedException"):
        table.offer(told_bay(state()))
    with pytest.raises(LatestStateError, match="read bays of station-01: AccessDeniedException"):
        table.of_station("station-01")


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
