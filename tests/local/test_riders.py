"""The keys of the network on this machine, and its riders: known to the stations that the fleet runs."""

import re
import stat
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.ledger import memory_book
from evswap_cloud.remote import Dispatcher
from evswap_cloud.remote.memory import MemoryCommands
from evswap_edge.clock import SystemTime
from evswap_edge.config import SwapRules, read_fleet
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.simulated import SimulatedCabinet
from evswap_edge.simulation.world import Happening, Story, World
from evswap_edge.swaps.authorising import Signers, hasher
from evswap_local.errors import TokenKeyUnusable
from evswap_local.fleet import configuration
from evswap_local.layout import StateFolder
from evswap_local.network import keep_network
from evswap_local.riders import authorisations, authorise_riders, term
from evswap_local.settings import Settings
from evswap_schema import Authorisation, CacheAuthorisations, Command, decode_command
from evswap_schema.limits import MAX_AUTHORISATIONS

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
SETTINGS = Settings(stations=2, bays=35)


class DataPlane:
    """Notes what is published."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def publish(self, *, topic: str, qos: int, payload: bytes, messageExpiry: int) -> Any:
        assert messageExpiry > 0
        command = decode_command(payload)
        assert (topic, qos) == (f"ev/station/{command.station_id}/commands/{command.command_id}", 1)
        self.commands.append(command)

    def sent_to(self, station_id: str) -> list[CacheAuthorisations]:
        actions = [command.action for command in self.commands if command.station_id == station_id]
        return [action for action in actions if isinstance(action, CacheAuthorisations)]


def station(state: StateFolder, settings: Settings, number: int = 1) -> tuple[SwapRules, World]:
    """A station of the fleet as it is written down: its rules of swaps, and its world with its riders."""
    state.fleet_config.write_text(yaml.safe_dump(dict(configuration(state, settings, keep_network(state)))))
    config = read_fleet(state.fleet_config).stations[number - 1]
    surroundings = Surroundings(station_id=config.station_id, time=SystemTime())
    return config.swaps, SimulatedCabinet(config.driver.settings, surroundings).world


def test_the_keys_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    made = keep_network(state)
    for path in (state.token_key, state.authorisation_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = keep_network(state)
    assert kept.token_key == made.token_key
    assert kept.signing_key.key_id == made.signing_key.key_id
    assert made.token_key.hex() not in repr(made)


@pytest.mark.parametrize("content", ["", "abc", "ab" * 8, "no hex"])
def test_a_damaged_key_is_one_sentence_and_never_replaced(tmp_path: Path, content: str) -> None:
    state = StateFolder(tmp_path)
    state.token_key.write_text(content)
    with pytest.raises(TokenKeyUnusable, match="holds no key for tokens"):
        keep_network(state)
    assert state.token_key.read_text() == content


def test_every_rider_of_a_station_may_swap_there(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    rules, world = station(state, SETTINGS, number=2)
    ledger, data_plane = memory_book(), DataPlane()
    dispatcher = Dispatcher(MemoryCommands(), data_plane)
    count = authorise_riders(SETTINGS, keep_network(state), ledger, dispatcher, now=NOW)

    assert rules.token_key_file is not None
    hash_of, signers = hasher(rules.token_key_file), Signers(rules.authorisation_keys)
    sent = data_plane.sent_to("station-02")
    assert all(len(command.authorisations) <= MAX_AUTHORISATIONS for command in sent)
    believed = [
        signers.believed(signed, station_id="station-02")
        for command in sent
        for signed in command.authorisations
    ]
    assert {one.id_token for one in believed} == {hash_of(rider.token) for rider in world.riding}
    assert all(one.valid_from <= NOW < NOW + timedelta(days=30) < one.expires_at for one in believed)
    assert count == 2 * len(believed) == len(dict(ledger.accounts.every()))


def test_riders_who_are_authorised_again_are_the_same_and_are_sent_again(tmp_path: Path) -> None:
    network, ledger, data_plane = keep_network(StateFolder(tmp_path)), memory_book(), DataPlane()
    dispatcher = Dispatcher(MemoryCommands(), data_plane)
    authorise_riders(SETTINGS, network, ledger, dispatcher, now=NOW)
    known, first = dict(ledger.accounts.every()), data_plane.sent_to("station-01")
    data_plane.commands.clear()
    authorise_riders(SETTINGS, network, ledger, dispatcher, now=NOW + timedelta(days=3))
    assert dict(ledger.accounts.every()) == known
    assert data_plane.sent_to("station-01") == first


def test_batteries_of_the_network_are_told_from_foreign_ones(tmp_path: Path) -> None:
    rules, world = station(StateFolder(tmp_path), SETTINGS)
    assert all(re.fullmatch(rules.batteries, pack.serial_number) for pack in world.packs)
    assert not any(re.fullmatch(rules.batteries, serial_number) for serial_number in foreign_packs())


def foreign_packs() -> list[str]:
    """Serial numbers of what customers bring who all err, as the cabinet refuses them."""
    refused: list[str] = []

    def witness(happening: Happening) -> None:
        _token, _, why = happening.particulars.partition(" refused ")
        refused.extend([why] if why else [])

    world = World(Story(seed="1", name="station-01", bays=35, start=NOW, fault_factor=2_000.0), witness)
    while len(refused) < 3:
        world.step()
    return refused


@given(minutes=st.integers(0, 80 * 365 * 24 * 60))
def test_a_term_is_this_month_and_the_next(minutes: int) -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    begins, ends = term(now)
    assert begins <= now < ends
    assert timedelta(days=28) < ends - now <= timedelta(days=62)
    assert (begins.day, ends.day) == (1, 1)


def test_the_next_term_has_authorisations_of_its_own(tmp_path: Path) -> None:
    network = keep_network(StateFolder(tmp_path))

    def first_three(now: datetime) -> list[Authorisation]:
        return list(islice(authorisations("station-01", 8, network, now=now), 3))

    this, following = first_three(NOW), first_three(NOW + timedelta(days=10))
    assert [one.id_token for one in this] == [one.id_token for one in following]
    assert not {one.authorisation_id for one in this} & {one.authorisation_id for one in following}
