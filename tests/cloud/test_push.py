"""Changes on their way to those who watch: at a pace, to all, and resumed without a gap."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from evswap_cloud.errors import WatcherError
from evswap_cloud.watching.limits import ATTEMPTS, FRAME_EVERY, MAX_SILENCE, SECOND, SUBSCRIBE_EVERY
from evswap_cloud.watching.push import Delivery
from evswap_cloud.watching.shown import Shown, newest_of_each, news_in
from tests.cloud.watching import Client, World, shown


@pytest.fixture
def world() -> World:
    made = World()
    made.store(shown(number) for number in range(1, 4))
    return made


def watching(world: World, connection_id: str, scope: Any = None) -> Client:
    client = world.connect(connection_id)
    world.subscribe(connection_id, scope)
    client.arrivals.clear()
    return client


def test_all_who_watch_a_station_are_sent_its_change(world: World) -> None:
    one, other = watching(world, "a"), watching(world, "b", {"kind": "stations", "stations": ["station-02"]})
    world.connect("has not subscribed")
    sent = world.push.deliver([shown(1, version=2)])
    assert sent == Delivery(stations=1, served=1, left=0, dropped=0)
    assert one.have["station-01"] == 2
    assert other.arrivals == []


def test_where_nobody_watches_nothing_is_sent(world: World) -> None:
    assert world.push.deliver([shown(1)]) == Delivery(stations=1, served=0, left=0, dropped=0)
    assert world.slept == []


def test_a_connection_gets_one_frame_a_second(world: World) -> None:
    client = watching(world, "a")
    for version in range(2, 12):
        world.push.deliver([shown(1, version=version)])
        world.now += 50
    gaps = [later - earlier for earlier, later in pairwise(client.arrivals)]
    assert len(client.arrivals) == 10
    assert min(gaps) >= FRAME_EVERY
    assert client.have["station-01"] == 11


def test_what_comes_in_its_own_second_is_sent_at_once(world: World) -> None:
    watching(world, "a")
    for version in range(2, 6):
        world.push.deliver([shown(1, version=version)])
        world.now += FRAME_EVERY
    assert world.slept == []


def test_who_has_left_is_forgotten(world: World) -> None:
    watching(world, "a")
    world.line.clients.clear()
    assert world.push.deliver([shown(1, version=2)]) == Delivery(stations=1, served=0, left=1, dropped=0)
    assert world.watchers.watchers == {}


def test_who_cannot_be_sent_to_is_dropped_and_the_others_are_served(world: World) -> None:
    slow, other = watching(world, "slow"), watching(world, "other")
    world.line.failing.add("slow")
    world.line.attempts = 0
    assert world.push.deliver([shown(1, version=2)]) == Delivery(stations=1, served=1, left=0, dropped=1)
    assert world.line.attempts == ATTEMPTS + 1
    assert world.watchers.watchers.keys() == {"other"}
    assert (slow.have["station-01"], other.have["station-01"]) == (1, 2)


def test_who_has_not_read_for_long_is_dropped(world: World) -> None:
    watching(world, "silent")
    world.now += MAX_SILENCE + SECOND
    assert world.push.deliver([shown(1, version=2)]) == Delivery(stations=1, served=0, left=0, dropped=1)
    assert world.line.clients == {}


def test_a_store_that_is_down_brings_the_changes_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise WatcherError(operation="read", target="all connections", code="ThrottlingException")

    client = watching(world, "a")
    with monkeypatch.context() as broken:
        broken.setattr(world.watchers, "all", fail)
        with pytest.raises(WatcherError):
            world.push.deliver([shown(1, version=2)])
    world.push.deliver([shown(1, version=2)])
    assert client.have["station-01"] == 2


# --- the stream ---


def image(**changes: Any) -> dict[str, Any]:
    state: dict[str, Any] = {
        "station_id": {"S": "station-01"},
        "version": {"N": "7"},
        "status": {"S": "operational"},
        "battery_available": {"N": "5"},
        "battery_charging": {"N": "3"},
        "temperature": {"N": "21.5"},
        "timestamp": {"S": "2026-01-01T00:00:00Z"},
    }
    return state | changes


def record(new: dict[str, Any] | None, old: dict[str, Any] | None = None) -> dict[str, Any]:
    images = {"NewImage": new, "OldImage": old}
    return {"dynamodb": {name: one for name, one in images.items() if one is not None}}


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        ({}, False),
        ({"timestamp": {"S": "2026-01-01T00:01:00Z"}, "version": {"N": "8"}}, False),
        ({"bays_sequence": {"N": "8"}}, False),
        ({"battery_available": {"N": "4"}}, True),
        ({"status": {"S": "maintenance"}}, True),
        ({"temperature": {"NULL": True}}, True),
        ({"connection": {"S": "lost"}}, True),
    ],
)
def test_only_what_a_watcher_sees_is_news(change: dict[str, Any], is_news: bool) -> None:
    assert len(news_in([record(image(**change), image())])) == is_news


def test_a_new_station_is_news_and_a_removed_one_is_not() -> None:
    assert [one.version for one in news_in([record(image())])] == [7]
    assert news_in([record(None, image())]) == ()
    assert news_in([record({"station_id": {"S": "x"}, "connection": {"S": "lost"}})]) == ()


def test_of_many_changes_of_a_station_the_last_is_sent() -> None:
    """Out of order as well: a batch may come again after a later one."""
    records = [
        record(image(version={"N": str(version)}, battery_available={"N": str(version)}), image())
        for version in (9, 12, 11)
    ]
    assert [one.version for one in news_in(records)] == [12]


# --- resuming ---

NUMBERS = st.integers(1, 4)


class Resuming(RuleBasedStateMachine):
    """One client stays, another leaves and comes back anywhere, and the stream repeats itself and lags
    behind: in the end both have what the table has."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.stream: list[Shown] = []
        self.delivered = 0
        self.connections = 0
        self.staying, self.leaving = self.world.connect("stays"), Client()
        self.world.subscribe("stays")
        self.name: str | None = None

    @rule(number=NUMBERS, available=st.integers(0, 3))
    def change(self, number: int, available: int) -> None:
        """The table first, then its stream; a write that says nothing new is not in it."""
        known = self.world.stations.stations.get(f"station-{number:02d}")
        new = shown(number, version=known.version + 1 if known else 1, battery_available=available)
        self.world.store([new])
        if known is None or new.differs_from(known):
            self.stream.append(new)

    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        batch = self.stream[self.delivered : self.delivered + count]
        self.world.push.deliver(newest_of_each(batch))
        self.delivered += len(batch)

    @rule(back=st.integers(0, 5))
    def deliver_again(self, back: int) -> None:
        """Lambda does a batch again whose end it has not heard of."""
        first = max(0, self.delivered - back)
        self.world.push.deliver(newest_of_each(self.stream[first : self.delivered]))

    @rule()
    def leave(self) -> None:
        """Without a word: the next frame finds nobody."""
        if self.name is not None:
            del self.world.line.clients[self.name]
            self.name = None

    @rule()
    def resume(self) -> None:
        self.leave()
        self.world.now += SUBSCRIBE_EVERY
        self.connections += 1
        self.name = f"connection-{self.connections}"
        self.world.connect(self.name, self.leaving)
        self.world.subscribe(self.name, have=self.leaving.have)

    @rule(milliseconds=st.integers(0, 2_000))
    def pass_time(self, milliseconds: int) -> None:
        self.world.now += milliseconds
        for name, client in tuple(self.world.line.clients.items()):
            self.world.alive(name, client.newest)

    @invariant()
    def at_a_pace(self) -> None:
        if hasattr(self, "world"):
            arrivals = self.staying.arrivals
            assert all(b - a >= FRAME_EVERY for a, b in pairwise(arrivals))

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.resume()
        while self.delivered < len(self.stream):
            self.deliver(5)
        assert (
            seen(self.leaving)
            == seen(self.staying)
            == {name: blind(one) for name, one in self.world.stations.stations.items()}
        )


def seen(client: Client) -> dict[str, Shown]:
    return {name: blind(one) for name, one in client.stations.items()}


def blind(one: Shown) -> Shown:
    """All but the version, which also counts writes that said nothing new."""
    return shown(station_id=one.station_id, battery_available=one.battery_available, version=0)


TestResuming = Resuming.TestCase
TestResuming.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
