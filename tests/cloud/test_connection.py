"""Whether a station is there: by AWS IoT's presence, by its own word, by its silence."""

import itertools
import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.connection import STALE_AFTER, Connection, Contact, Presence, Word, connection_of
from evswap_cloud.connection.contact import milliseconds, presence_supersedes, word_supersedes
from evswap_cloud.connection.notes import ConnectionNotes
from evswap_cloud.connection.sweep import sweep
from evswap_cloud.errors import LatestStateError
from evswap_cloud.ingest import Report
from evswap_cloud.latest import LatestState, Offer
from evswap_cloud.memory import MemoryFigures, MemoryLatestStates, MemoryQuarantine
from evswap_schema import Channel, Clock, ConnectionState, StationStatus, encode_connection
from evswap_schema import Connection as Said
from tests.cloud.messages import NOW, altered, delivery, envelope

ON, OFF = ConnectionState.ONLINE, ConnectionState.OFFLINE
SECOND = timedelta(seconds=1)


def known(contact: Contact = Contact(), *, received_at: datetime = NOW) -> LatestState:  # noqa: B008
    return LatestState(
        station_id="station-01",
        battery_available=12,
        battery_charging=4,
        temperature=28.5,
        humidity=42.0,
        status=StationStatus.OPERATIONAL,
        timestamp=received_at,
        observed_at=received_at,
        received_at=received_at,
        contact=contact,
    )


def presence(state: ConnectionState, version: int, at: datetime = NOW) -> Presence:
    return Presence(state=state, version=version, at=at)


def word(state: ConnectionState, session: str = "s", at: datetime = NOW) -> Word:
    return Word(state=state, session=session, at=at)


# --- what is made of it ---


@pytest.mark.parametrize(
    ("contact", "silent_s", "connection"),
    [
        (Contact(), 0, "online"),
        (Contact(), 601, "stale"),
        (Contact(presence=presence(ON, 1)), 599, "online"),
        (Contact(presence=presence(ON, 1)), 601, "stale"),
        (Contact(presence=presence(OFF, 1)), 0, "offline"),
        (Contact(presence=presence(OFF, 1)), 9_999, "offline"),
        (Contact(word=word(OFF)), 0, "offline"),
        (Contact(word=word(OFF), presence=presence(ON, 2, NOW + SECOND)), 2, "online"),
        (Contact(word=word(ON, at=NOW + SECOND), presence=presence(OFF, 1)), 2, "online"),
        (Contact(presence=presence(OFF, 1, NOW - 4 * SECOND)), 0, "offline"),
        (Contact(presence=presence(OFF, 1, NOW - 6 * SECOND)), 0, "online"),
        (Contact(presence=presence(OFF, 1, NOW - 6 * SECOND)), 601, "stale"),
        (Contact(presence=presence(ON, 1, NOW + 300 * SECOND)), 899, "online"),
    ],
)
def test_a_station_is_judged_by_what_was_heard_last(contact: Contact, silent_s: int, connection: str) -> None:
    assert connection_of(known(contact), NOW + silent_s * SECOND) == connection


# --- which is the last ---


@st.composite
def lives(draw: st.DrawFn) -> list[Presence]:
    """What AWS IoT says of a client over days, in its order: two events a connection; after an hour away it
    counts from 0 again."""
    told: list[Presence] = []
    at, version = NOW, 0
    for _ in range(draw(st.integers(1, 6))):
        told.append(presence(ON, version, at))
        at += timedelta(seconds=draw(st.integers(0, 100_000)))
        if draw(st.booleans()):
            told.append(presence(OFF, version, at))
        away = timedelta(seconds=draw(st.sampled_from([0, 1, 30, 3_000, 3_700, 90_000])))
        version = 0 if away > timedelta(hours=1) else version + draw(st.integers(1, 3))
        at += away
    return told


@given(lives(), st.randoms(use_true_random=False))
def test_presence_ends_with_the_last_whatever_the_order_and_however_often_it_is_told(
    life: list[Presence], dice: random.Random
) -> None:
    told = [*life, *dice.sample(life, len(life) // 2)]
    window = max(1, len(told) // 2)
    told.sort(key=lambda one: life.index(one) + dice.random() * window)
    kept: Presence | None = None
    for one in told:
        if presence_supersedes(one, kept):
            kept = one
    assert kept == life[-1]


def test_the_will_of_a_run_that_was_replaced_means_nothing() -> None:
    assert not word_supersedes(word(OFF, "former", NOW + SECOND), word(ON, "present"))
    assert word_supersedes(word(OFF, "present", NOW + SECOND), word(ON, "present"))
    assert not word_supersedes(word(OFF, "present", NOW - SECOND), word(ON, "present"))
    assert word_supersedes(word(ON, "next", NOW + SECOND), word(OFF, "present"))
    assert word_supersedes(word(OFF), None)


# --- from the rules ---


class Notes:
    """Stations that have reported, and what the rules bring of them."""

    def __init__(self, *stations: str) -> None:
        self.states = MemoryLatestStates()
        for name in stations or ("station-01",):
            self.states.states[name] = known()
        self.quarantine = MemoryQuarantine()
        self.notes = ConnectionNotes(contacts=self.states, quarantine=self.quarantine)
        self._ids = itertools.count()

    def event(self, kind: str, version: int, at: datetime = NOW, **changes: Any) -> Report:
        body = {
            "clientId": "station-01",
            "timestamp": milliseconds(at),
            "eventType": kind,
            "sessionIdentifier": "00000000-0000-0000-0000-000000000000",
            "principalIdentifier": "000000000000/ABCDEFG:some-user",
            "ipAddress": "192.0.2.7",
            "versionNumber": version,
        } | changes
        topic = f"$aws/events/presence/{kind}/station-01"
        return self.bring(altered(envelope(json.dumps(body).encode()), {"topic": topic, "client_id": None}))

    def says(self, state: ConnectionState, session: str, at: datetime = NOW) -> Report:
        said = Said(
            station_id="station-01", state=state, session=session, timestamp=NOW, clock=Clock.SYNCHRONIZED
        )
        body = envelope(encode_connection(said), channel=Channel.CONNECTION, received_at=at)
        return self.bring(altered(body, {"client_id": None}))

    def bring(self, body: str) -> Report:
        return self.notes.process([delivery(body, f"r{next(self._ids)}")])

    def connection(self, now: datetime = NOW) -> Connection:
        return connection_of(self.states.states["station-01"], now)


def test_aws_iots_events_are_noted_and_the_version_decides() -> None:
    notes = Notes()
    assert notes.event("disconnected", 4, NOW + SECOND).moved == 1
    assert notes.connection() == "offline"
    assert notes.event("connected", 4).moved == 0, "late: its connection has ended"
    assert notes.connection() == "offline"
    assert notes.event("connected", 5, NOW + SECOND).moved == 1
    assert notes.connection() == "online"


def test_the_stations_own_word_is_noted() -> None:
    notes = Notes()
    assert notes.says(ON, "a").moved == 1
    assert notes.says(OFF, "a", NOW + SECOND).moved == 1
    assert notes.connection() == "offline"
    assert notes.says(ON, "b", NOW + 2 * SECOND).moved == 1
    assert notes.says(OFF, "a", NOW + 3 * SECOND).moved == 0
    assert notes.connection() == "online"


def test_a_client_that_has_never_reported_is_no_station() -> None:
    notes = Notes("another")
    assert notes.event("connected", 1).moved == 0
    assert notes.states.states.keys() == {"another"}


@pytest.mark.parametrize(
    "changes",
    [
        {"clientId": "station-02"},
        {"eventType": "subscribed"},
        {"versionNumber": -1},
        {"versionNumber": 2**64},
        {"versionNumber": "1"},
        {"timestamp": None},
        {"timestamp": 10**18},
    ],
)
def test_what_is_no_event_of_its_topic_is_put_aside(changes: dict[str, Any]) -> None:
    notes = Notes()
    assert notes.event("connected", 1, **changes).failures == ()
    assert len(notes.quarantine.messages) == 1
    assert notes.states.states["station-01"].contact == Contact()


def test_the_word_of_one_station_on_anothers_topic_is_put_aside() -> None:
    notes = Notes()
    said = Said(station_id="station-02", state=OFF, session="s", timestamp=NOW, clock=Clock.SYNCHRONIZED)
    notes.bring(envelope(encode_connection(said), channel=Channel.CONNECTION))
    assert len(notes.quarantine.messages) == 1


class Throttled(MemoryLatestStates):
    def note_presence(self, station_id: str, presence: Presence) -> Offer:
        raise LatestStateError(operation="write", target=station_id, code="ThrottlingException")


def test_what_could_not_be_noted_comes_again() -> None:
    notes = Notes()
    notes.notes = ConnectionNotes(contacts=Throttled(), quarantine=notes.quarantine)
    [failure] = notes.event("connected", 1).failures
    assert failure.record_id == "r0"


# --- the round ---


def test_the_round_notes_who_has_gone_silent_once_and_counts_the_fleet() -> None:
    states, figures = MemoryLatestStates(), MemoryFigures()
    for name, silent in (("here", timedelta(0)), ("silent", STALE_AFTER + SECOND)):
        one = known(received_at=NOW - silent)
        states.states[name] = LatestState(
            **{field: getattr(one, field) for field in one.__struct_fields__} | {"station_id": name}
        )
    first = sweep(states, states, figures, NOW)
    assert first.noted == 2
    assert figures.figures == first.figures
    assert first.figures.connection == {
        Connection.ONLINE: 1,
        Connection.OFFLINE: 0,
        Connection.STALE: 1,
    }
    assert states.states["silent"].contact.noted == "stale"
    assert sweep(states, states, figures, NOW).noted == 0
