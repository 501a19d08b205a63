"""What is heard of links, and the round of all stations: in memory and in DynamoDB alike."""

from datetime import datetime, timedelta
from typing import Any

import boto3
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evswap_cloud import wiring
from evswap_cloud.connection import Connection, Contact, Presence, Word
from evswap_cloud.connection.contact import presence_supersedes, word_supersedes
from evswap_cloud.connection.figures import DynamoFigures, Figures, FiguresStore
from evswap_cloud.connection.store import DynamoContacts
from evswap_cloud.handlers import connection as connection_function
from evswap_cloud.handlers import sweep as sweep_function
from evswap_cloud.latest import DynamoLatestStates, Offer
from evswap_cloud.memory import MemoryFigures, MemoryLatestStates
from evswap_schema import ConnectionState, StationStatus
from tests.cloud.messages import NOW
from tests.integration.aws import FLEET, TABLE, Aws
from tests.integration.test_store_contracts import state

ON, OFF = ConnectionState.ONLINE, ConnectionState.OFFLINE

Latest = MemoryLatestStates | DynamoLatestStates
Contacts = MemoryLatestStates | DynamoContacts


@pytest.fixture(params=["memory", "aws"])
def both(request: pytest.FixtureRequest) -> tuple[Latest, Contacts]:
    if request.param == "memory":
        latest = MemoryLatestStates()
        return latest, latest
    request.getfixturevalue("cloud")
    client = boto3.client("dynamodb")
    return DynamoLatestStates(client, TABLE), DynamoContacts(client, TABLE)


@pytest.fixture(params=["memory", "aws"])
def figures(request: pytest.FixtureRequest) -> FiguresStore:
    if request.param == "memory":
        return MemoryFigures()
    request.getfixturevalue("cloud")
    return DynamoFigures(boto3.client("dynamodb"), FLEET)


def contact(latest: Latest, station_id: str = "station-01") -> Contact:
    known = latest.get(station_id)
    assert known is not None
    return known.contact


def test_what_was_heard_stays_beside_the_state_whatever_moves_that(both: tuple[Latest, Contacts]) -> None:
    latest, contacts = both
    latest.offer(state(stream_id="s", sequence=1))
    heard = Presence(state=ON, version=7, at=NOW)
    said = Word(state=OFF, session="run", at=NOW + timedelta(milliseconds=1))
    assert contacts.note_presence("station-01", heard) is Offer.MOVED
    assert contacts.note_word("station-01", said) is Offer.MOVED
    latest.offer(state(stream_id="s", sequence=2))
    assert contact(latest) == Contact(presence=heard, word=said, noted="offline")


def test_of_a_station_that_never_reported_nothing_is_kept(both: tuple[Latest, Contacts]) -> None:
    latest, contacts = both
    assert contacts.note_presence("nobody", Presence(state=ON, version=1, at=NOW)) is Offer.NOT_NEWER
    assert contacts.note_word("nobody", Word(state=ON, session="s", at=NOW)) is Offer.NOT_NEWER
    assert latest.get("nobody") is None
    assert latest.offer(state(station_id="nobody")) is Offer.MOVED


def test_what_was_made_of_a_state_is_noted_unless_another_has_come(both: tuple[Latest, Contacts]) -> None:
    latest, contacts = both
    first = state(stream_id="s", sequence=1)
    latest.offer(first)
    assert contacts.note_connection(first, Connection.STALE) is Offer.MOVED
    assert contact(latest).noted == "stale"
    latest.offer(state(stream_id="s", sequence=2, received_at=NOW + timedelta(seconds=1)))
    assert contacts.note_connection(first, Connection.OFFLINE) is Offer.NOT_NEWER
    assert contact(latest).noted == "stale"


def test_all_are_met_once(both: tuple[Latest, Contacts]) -> None:
    latest, _ = both
    for number in range(9):
        latest.offer(state(station_id=f"station-{number}"))
    assert sorted(one.station_id for one in latest.all()) == [f"station-{number}" for number in range(9)]


moments = st.sampled_from([0, 1, 1_799, 1_800, 1_801, 4_000]).map(lambda s: NOW + timedelta(seconds=s))
presences = st.builds(Presence, state=st.sampled_from(ConnectionState), version=st.integers(0, 2), at=moments)
words = st.builds(
    Word, state=st.sampled_from(ConnectionState), session=st.sampled_from(["a", "b"]), at=moments
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(told=st.lists(presences | words, min_size=1, max_size=8))
def test_dynamodbs_conditions_say_what_the_rules_say(cloud: Aws, told: list[Presence | Word]) -> None:
    client = boto3.client("dynamodb")
    client.delete_item(TableName=TABLE, Key={"station_id": {"S": "station-01"}})
    latest, contacts = DynamoLatestStates(client, TABLE), DynamoContacts(client, TABLE)
    latest.offer(state())
    kept: dict[str, Any] = {"presence": None, "word": None}
    for one in told:
        if isinstance(one, Presence):
            moves = presence_supersedes(one, kept["presence"])
            offer = contacts.note_presence("station-01", one)
            kept |= {"presence": one} if moves else {}
        else:
            moves = word_supersedes(one, kept["word"])
            offer = contacts.note_word("station-01", one)
            kept |= {"word": one} if moves else {}
        assert (offer is Offer.MOVED) is moves
    assert (contact(latest).presence, contact(latest).word) == (kept["presence"], kept["word"])


def test_the_figures_are_kept_in_place_of_those_before(figures: FiguresStore) -> None:
    assert figures.get() is None
    for stations in (1, 2):
        counted = Figures(
            as_of=NOW,
            stations=stations,
            connection={Connection.ONLINE: stations, Connection.OFFLINE: 0, Connection.STALE: 0},
            status=dict.fromkeys(StationStatus, 0),
            battery_available=12,
            battery_charging=4,
        )
        figures.put(counted)
        assert figures.get() == counted


# --- the functions ---


def record(payload: dict[str, Any], topic: str, at: datetime) -> dict[str, Any]:
    envelope = {
        "payload": msgspec.json.encode(payload),
        "topic": topic,
        "station_id": "station-01",
        "received_at": round(at.timestamp() * 1_000),
    }
    return {
        "messageId": "r1",
        "body": msgspec.json.encode(envelope).decode(),
        "attributes": {"SentTimestamp": "1795421730250"},
    }


def test_the_functions_note_who_went_and_count_him(cloud: Aws) -> None:
    wiring.latest_reader().offer(state())
    went = {
        "clientId": "station-01",
        "timestamp": round(NOW.timestamp() * 1_000),
        "eventType": "disconnected",
        "versionNumber": 3,
    }
    records = [record(went, "$aws/events/presence/disconnected/station-01", NOW)]
    assert connection_function.handler({"Records": records}, None) == {"batchItemFailures": []}
    counted = sweep_function.handler({"source": "aws.events"}, None)
    assert counted["connection"] == {"online": 0, "offline": 1, "stale": 0}
    kept = wiring.figures().get()
    assert kept is not None
    assert kept.stations == 1


def test_the_function_asks_for_what_could_not_be_noted_again(cloud: Aws) -> None:
    wiring.latest_reader().offer(state())
    cloud.refuse("dynamodb.UpdateItem", "ThrottlingException")
    wiring._dynamodb.cache_clear()
    wiring.contacts.cache_clear()
    wiring.connection_notes.cache_clear()
    went = {"clientId": "station-01", "timestamp": 1, "eventType": "connected", "versionNumber": 3}
    records = [record(went, "$aws/events/presence/connected/station-01", NOW)]
    answer = connection_function.handler({"Records": records}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "r1"}]}
