"""A connection from its handshake to its end, and what a client may say on it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.errors import LatestStateError
from evswap_cloud.watching.frames import Closing, Heartbeat, States, decode_frame, state_frames
from evswap_cloud.watching.limits import (
    BEAT,
    MAX_AGE,
    MAX_FRAME_BYTES,
    MAX_SILENCE,
    MAX_SNAPSHOT,
    SECOND,
    SUBSCRIBE_EVERY,
    TICKET_LIFE,
    WARNING,
)
from evswap_cloud.watching.requests import Scope
from evswap_cloud.watching.shown import Shown
from evswap_cloud.watching.tickets import MemoryTickets, may_connect, new_ticket
from tests.cloud.watching import START, World, shown

LOCAL = ("http://127.0.0.1:*", "https://watch.example")


@pytest.fixture
def world() -> World:
    made = World()
    made.store(shown(number, geohash=f"u33d{number:02d}") for number in range(1, 6))
    return made


# --- tickets and origins ---


def test_a_ticket_counts_once() -> None:
    tickets, ticket = MemoryTickets(), new_ticket(START)
    tickets.keep(ticket)
    assert may_connect(tickets, ticket.ticket, None, (), START)
    assert not may_connect(tickets, ticket.ticket, None, (), START)


def test_a_ticket_counts_for_a_minute() -> None:
    tickets, ticket = MemoryTickets(), new_ticket(START)
    tickets.keep(ticket)
    assert not may_connect(tickets, ticket.ticket, None, (), START + TICKET_LIFE)


@pytest.mark.parametrize("ticket", [None, "", "x", "A" * 43, "A" * 42 + "\n", "é" * 43, "A" * 5_000])
def test_what_is_no_ticket_of_ours_does_not_count(ticket: str | None) -> None:
    tickets = MemoryTickets()
    tickets.keep(new_ticket(START))
    assert not may_connect(tickets, ticket, None, (), START)


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        (None, True),
        ("http://127.0.0.1:4566", True),
        ("http://127.0.0.1", True),
        ("https://watch.example", True),
        ("https://watch.example.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://127.0.0.1:4566.evil.example", False),
        ("http://127x0x0x1:80", False),
        ("https://127.0.0.1:4566", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_page_from_elsewhere_is_refused_whatever_ticket_it_has(origin: str | None, let_in: bool) -> None:
    tickets, ticket = MemoryTickets(), new_ticket(START)
    tickets.keep(ticket)
    assert may_connect(tickets, ticket.ticket, origin, LOCAL, START) is let_in
    assert may_connect(tickets, ticket.ticket, None, LOCAL, START) is not let_in


# --- subscriptions ---


@pytest.mark.parametrize(
    ("scope", "numbers"),
    [
        ({"kind": "all"}, {1, 2, 3, 4, 5}),
        ({"kind": "region", "geohash": "u33"}, {1, 2, 3, 4, 5}),
        ({"kind": "region", "geohash": "u33d02"}, {2}),
        ({"kind": "stations", "stations": ["station-03", "nowhere"]}, {3}),
    ],
)
def test_a_subscription_begins_with_all_that_it_is_about(
    world: World, scope: dict[str, Any], numbers: set[int]
) -> None:
    client = world.connect("c")
    world.subscribe("c", scope)
    wanted = {f"station-{number:02d}" for number in numbers}
    assert client.stations.keys() == wanted
    assert client.synchronised == len(wanted)
    world.push.deliver([shown(number, version=2, geohash=f"u33d{number:02d}") for number in range(1, 6)])
    assert {name for name, one in client.stations.items() if one.version == 2} == wanted


def test_another_subscription_takes_the_place_of_the_first(world: World) -> None:
    client = world.connect("c")
    world.subscribe("c", {"kind": "stations", "stations": ["station-01"]})
    world.now += SUBSCRIBE_EVERY
    world.subscribe("c", {"kind": "stations", "stations": ["station-02"]})
    world.push.deliver([shown(1, version=2), shown(2, version=2)])
    assert client.have == {"station-01": 1, "station-02": 2}


def test_who_resumes_is_sent_only_what_is_newer(world: World) -> None:
    client = world.connect("c")
    world.subscribe("c", have={"station-01": 1, "station-02": 0, "elsewhere": 7})
    assert client.stations.keys() == {f"station-{number:02d}" for number in (2, 3, 4, 5)}
    assert client.synchronised == 5


def test_subscribing_again_at_once_is_refused(world: World) -> None:
    client = world.connect("c")
    world.subscribe("c")
    world.subscribe("c")
    assert [one.problem.status for one in client.problems] == [400]


def test_a_larger_fleet_is_watched_by_regions(world: World) -> None:
    world.store(shown(number, geohash="gcpv") for number in range(MAX_SNAPSHOT + 1))
    client = world.connect("c")
    world.subscribe("c")
    assert "subscribe to a region" in client.problems[0].problem.detail
    assert not client.stations


def test_a_table_that_is_down_is_told_as_a_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise LatestStateError(operation="read", target="stations", code="ThrottlingException")

    monkeypatch.setattr(world.stations, "of", fail)
    client = world.connect("c")
    with pytest.raises(LatestStateError):
        world.subscribe("c")
    assert client.problems[0].problem.status == 500
    assert "Throttling" not in client.problems[0].problem.detail


# --- alive ---


def test_a_connection_lives_as_long_as_its_client_reads(world: World) -> None:
    client = world.connect("c")
    world.subscribe("c")
    while world.now < START + MAX_AGE - WARNING - BEAT:
        world.now += BEAT
        world.alive("c", client.newest)
    assert {type(beat) for beat in client.beats} == {Heartbeat}
    world.now += BEAT
    world.alive("c", client.newest)
    assert client.beats[-1] == Closing(at=world.now, closes_at=START + MAX_AGE)
    world.now = START + MAX_AGE
    world.alive("c", client.newest)
    assert world.watchers.watchers == {}
    assert world.line.clients == {}


def test_a_client_that_reads_too_slowly_is_dropped_although_it_speaks(world: World) -> None:
    client = world.connect("c")
    world.subscribe("c")
    read = client.newest
    for _ in range(MAX_SILENCE // BEAT + 1):
        world.now += BEAT
        world.alive("c", read)
    assert world.watchers.watchers == {}
    assert world.line.clients == {}


def test_a_client_cannot_have_read_what_is_not_yet_written(world: World) -> None:
    world.connect("c")
    world.alive("c", world.now + 10 * MAX_AGE)
    world.now += MAX_SILENCE + SECOND
    world.alive("c", world.now)
    assert world.watchers.watchers == {}


def test_who_has_left_is_forgotten(world: World) -> None:
    world.connect("c")
    world.line.clients.clear()
    world.subscribe("c")
    assert world.watchers.watchers == {}


def test_a_connection_that_nobody_knows_is_ended(world: World) -> None:
    world.connect("c")
    world.sessions.closed("c")
    world.subscribe("c")
    assert world.line.clients == {}


# --- hostile frames ---

HOSTILE: list[str] = [
    *("", "null", "[]", "0", '"subscribe"', "{}", "{", "\x00", "NaN", "\ufeff{}", "[" * 30_000, "1e999"),
    '{"action":"subscribe"}',
    '{"action":"delete","scope":{"kind":"all"}}',
    '{"action":"subscribe","scope":{"kind":"all","geohash":"u33"}}',
    '{"action":"subscribe","scope":{"kind":"region"}}',
    '{"action":"subscribe","scope":{"kind":"region","geohash":"u3"}}',
    '{"action":"subscribe","scope":{"kind":"region","geohash":"u33\\u0000"}}',
    '{"action":"subscribe","scope":{"kind":"region","geohash":"u33 OR 1=1"}}',
    '{"action":"subscribe","scope":{"kind":"stations","stations":[]}}',
    '{"action":"subscribe","scope":{"kind":"stations","stations":["a","a"]}}',
    '{"action":"subscribe","scope":{"kind":"stations","stations":["../x"]}}',
    '{"action":"subscribe","scope":{"kind":"stations","stations":[1]}}',
    '{"action":"subscribe","scope":{"kind":"all"},"have":{"a":-1}}',
    '{"action":"subscribe","scope":{"kind":"all"},"have":{"a":1.5}}',
    '{"action":"subscribe","scope":{"kind":"all"},"have":{"a":9007199254740992}}',
    '{"action":"subscribe","scope":{"kind":"all"},"have":[]}',
    '{"action":"subscribe","scope":{"kind":"all"},"more":1}',
    '{"action":"alive"}',
    '{"action":"alive","at":-1}',
    '{"action":"alive","at":null}',
    '{"action":"alive","at":' + "9" * 400 + "}",
    json.dumps(
        {"action": "subscribe", "scope": {"kind": "stations", "stations": [f"s{n}" for n in range(101)]}}
    ),
    json.dumps({"action": "subscribe", "scope": {"kind": "all"}, "have": {f"s{n}": n for n in range(9_000)}}),
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_request_is_answered_with_a_problem_and_changes_nothing(world: World, body: str) -> None:
    client = world.connect("c")
    before = dict(world.watchers.watchers)
    world.say("c", body)
    assert [one.problem.status for one in client.problems] == [400]
    assert world.watchers.watchers == before
    assert not client.stations


@given(
    body=st.text()
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_whatever_a_client_says_it_is_answered(body: str) -> None:
    world = World()
    client = world.connect("c")
    world.say("c", body)
    assert client.newest == START


# --- frames ---


@given(
    stations=st.lists(
        st.builds(shown, st.integers(1, 99), station_id=st.text("ab", max_size=64), version=st.integers(0)),
        max_size=400,
    )
)
def test_states_go_into_frames_whole_and_in_order(stations: list[Shown]) -> None:
    frames = list(state_frames(stations, START))
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in frames)
    read = [decode_frame(frame) for frame in frames]
    assert all(isinstance(frame, States) and frame.at == START and frame.states for frame in read)
    assert [one for frame in read if isinstance(frame, States) for one in frame.states] == stations


def test_a_frame_is_filled_before_another_is_begun() -> None:
    frames = list(state_frames((shown(number) for number in range(400)), START))
    size = len(frames[0]) // frames[0].count(b"station_id")
    assert all(len(frame) > MAX_FRAME_BYTES - 2 * size for frame in frames[:-1])


def test_a_scope_comes_back_as_it_was_stored() -> None:
    from evswap_cloud.watching.requests import Kind, read_scope, write_scope

    for scope in (
        Scope(kind=Kind.ALL),
        Scope(kind=Kind.REGION, geohash="u33"),
        Scope(kind=Kind.STATIONS, stations=("a", "b")),
    ):
        assert read_scope(write_scope(scope)) == scope
