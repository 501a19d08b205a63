"""From state to state, with drivers that only write down what they are told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labgrid.strategy.common import StrategyError

from evswap_hil.bench.errors import NotOnline, NotReached, StationRefused
from evswap_hil.bench.facade import Bench
from evswap_hil.bench.strategy import StationStrategy, Status
from tests.bench.fakes import STATION, World, strategy_of


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def states(world: World) -> StationStrategy:
    return strategy_of(world)


def test_from_nothing_to_online_and_back(world: World, states: StationStrategy) -> None:
    states.transition("online")
    assert states.status is Status.online
    assert world.told == [
        "cloud on",
        "climate on",
        "link on",
        "station on",
        "prepare",
        "link restored",
        "start",
    ]
    world.told.clear()
    states.transition("off")
    assert world.told == ["stop", "station off", "climate off", "link off", "cloud off"]
    assert states.exit_status == 0


def test_what_is_reached_already_is_left_alone(world: World, states: StationStrategy) -> None:
    states.transition(Status.booted)
    told = list(world.told)
    states.transition("booted")
    assert world.told == told
    assert "start" not in told


def test_power_comes_first_and_goes_last(world: World) -> None:
    states = strategy_of(world, power=True)
    states.transition("booted")
    # Nobody knows what was left behind: off comes before on.
    assert world.told[:4] == ["power on", "power off", "power on", "cloud on"]
    states.transition("off")
    assert world.told[-1] == "power off"


def test_a_killed_station_is_a_booted_one(world: World, states: StationStrategy) -> None:
    states.transition("online")
    states.kill()
    assert states.status is Status.booted
    world.told.clear()
    states.transition("online")
    assert world.told == ["link restored", "start"]


def test_a_station_that_died_by_itself_is_started_again(world: World, states: StationStrategy) -> None:
    states.transition("online")
    world.running = False
    states.transition("online")
    assert world.running
    world.running = False
    states.transition("off")
    assert world.told.count("stop") == 0


def test_online_is_something_new_in_the_cloud(world: World, states: StationStrategy) -> None:
    states.transition("booted")
    world.sequence = 41
    states.transition("online")
    assert world.sequence > 41


def test_a_station_that_stays_silent_is_not_online(world: World, states: StationStrategy) -> None:
    states.transition("booted")
    world.sequence = 41
    with pytest.raises(NotOnline, match="the last words") as late:
        states.await_online({"stream_id": "s", "sequence": 41}, within=0.2)
    assert late.value.station_id == STATION


def test_a_bench_that_broke_is_not_used_again(world: World, states: StationStrategy) -> None:
    world.refuses = StationRefused("no such driver")
    bench = Bench(states)
    with pytest.raises(NotReached, match="no such driver"):
        bench.go("online")
    world.refuses = None
    with pytest.raises(NotReached, match="no such driver"):
        bench.go("booted")


def test_an_unknown_state_is_told(states: StationStrategy) -> None:
    with pytest.raises(StrategyError) as broken:
        states.transition("asleep")
    assert "off, booted and online" in broken.value.__cause__.msg


def test_what_a_test_broke_is_mended(world: World, states: StationStrategy) -> None:
    bench = Bench(states)
    bench.go("online")
    bench.link.cut()
    bench.kill()
    bench.heal()
    assert world.link_is_up
    assert world.running
    assert "sensor heals" in world.told


@given(st.lists(st.sampled_from(["off", "booted", "online", "kill"]), max_size=8), st.booleans())
def test_every_way_ends_where_it_was_to(way: list[str], power: bool) -> None:
    world = World()
    states = strategy_of(world, power=power)
    for step in way:
        if step == "kill":
            if states.status is Status.online:
                states.kill()
            continue
        states.transition(step)
        assert states.status is Status[step]
        assert world.running == (step == "online")
        assert world.powered == (power and step != "off")
