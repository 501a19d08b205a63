"""A station's swaps: online by a command, offline by a token, and what goes wrong with either."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace as changed

from evswap_edge.clock import stamp_now
from evswap_edge.config import SwapOrder
from evswap_edge.hal import ActionRefused, ActuatorError, SensorError
from evswap_edge.swaps.authorising import KeysUnusable, Signers, hasher
from evswap_edge.swaps.controller import NotPossible
from evswap_edge.swaps.floor import Declined, Floor, Outcome, Request
from evswap_edge.swaps.journal import OWN_REQUESTS_FROM, SwapJournal, SwapJournalError
from evswap_edge.swaps.swap import Phase, Swap
from evswap_edge.testing import ManualTime
from evswap_schema import (
    Authorisation,
    Authority,
    CacheAuthorisations,
    Charge,
    Clock,
    Health,
    RefusalReason,
    Reservation,
    SwapEvent,
    SwappedBattery,
    decode_command,
    encode_authorisation,
)
from tests.edge.swapping import STATION, Shop, authorisation, battery, cached, hashed, signed

CUSTOMER = "1" * 64
OLD = battery("EVS-OLD", soc=9.0)
GOLDEN = Path(__file__).parents[1] / "shared" / "golden"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def online(request_id: int = 41, **known: Any) -> Request:
    return Request(**{"request_id": request_id, "id_token": CUSTOMER, "authority": Authority.ONLINE, **known})


async def ready(shop: Shop) -> None:
    """The station has looked at its bays, and said what stands in them."""
    await shop.passes(lambda: shop.swaps._told_inventory)


# --- online ---------------------------------------------------------------------------------------------


async def test_a_customer_who_was_let_in_gives_a_battery_and_gets_one(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        taken = await shop.exchanges(OLD, into=1, out_of=2)
        assert taken.serial_number == "EVS-2"
        assert await shop.steps() == [(41, "battery_in", "EVS-OLD"), (41, "battery_out", "EVS-2")]
        assert [order for order in shop.cabinet.orders if order[0] == "unlock"] == [
            ("unlock", 1),
            ("unlock", 2),
        ]
        assert (await shop.swaps.find(41)) is not None
        assert [reason for reason, _ in await shop.inventories()] == ["start"]


async def test_a_swap_is_begun_once_whoever_asks_again(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        with pytest.raises(Declined, match="the swap 41 was begun before"):
            await shop.swaps.begin(online())
        await shop.exchanges(OLD, into=1, out_of=2)
    async with shop.open():
        await ready(shop)
        with pytest.raises(Declined, match="the swap 41 was begun before"):
            await shop.swaps.begin(online())
        assert shop.cabinet.orders.count(("unlock", 1)) == 1


async def test_a_process_that_comes_next_goes_on_with_the_swap(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        await shop.waits_for_door(1)
        shop.cabinet.put(1, OLD)
        await shop.waits_for_door(2)
    async with shop.open():
        shop.cabinet.take(2)
        await shop.rests()
        swap = await shop.swaps.find(41)
        assert swap is not None
        assert swap.phase == "completed"
        assert [step for _, step, _ in await shop.steps()] == ["battery_in", "battery_out"]


async def test_what_cannot_be_written_down_does_not_begin(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SwapJournalError(Path("x"), "database or disk is full")

    async with shop.open():
        await ready(shop)
        monkeypatch.setattr(SwapJournal, "commit", full)
        with pytest.raises(Declined) as caught:
            await shop.swaps.begin(online())
        assert caught.value.reason is RefusalReason.UNAVAILABLE
        await shop.goes_by(10.0)
        assert shop.cabinet.orders == []


async def test_bays_that_cannot_be_read_swap_nothing(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        shop.cabinet.blind = SensorError(sensor="bays", reason="no answer")
        with pytest.raises(Declined, match="the bays cannot be read"):
            await shop.swaps.may_begin(online())


async def test_a_station_that_runs_no_swaps_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.config = replace(shop.config, swaps=changed(shop.config.swaps, enabled=False))
    async with shop.open():
        with pytest.raises(Declined, match=r"swaps\.enabled is off"):
            await shop.swaps.may_begin(online())


async def test_a_door_that_jams_is_tried_again_until_the_time_is_up(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        shop.cabinet.jammed = ActuatorError(bay=1, reason="the relay does not answer")
        await shop.swaps.begin(online())
        await shop.goes_by(20.0)
        assert 3 <= len(shop.cabinet.orders) <= 8
        await shop.goes_by(60.0)
        swap = await shop.swaps.find(41)
        assert swap is not None
        assert swap.phase == "in_timed_out"
        before = len(shop.cabinet.orders)
        await shop.goes_by(20.0)
        assert len(shop.cabinet.orders) == before


async def test_the_interlock_keeps_doors_shut_and_its_refusal_is_obeyed(shop: Shop) -> None:
    forbidden: set[int] = set()
    shop.around = {"veto": lambda bay: "smoke" if bay in forbidden else None}
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        forbidden.add(1)
        await shop.goes_by(10.0)
        assert ("unlock", 1) not in shop.cabinet.orders[1:]
        assert shop.swaps.told(await shop.cabinet.read_bays())[0].health is Health.QUARANTINED
        forbidden.clear()
        shop.cabinet.jammed = ActionRefused(bay=1, reason="smoke")
        await shop.goes_by(5.0)
        shop.cabinet.jammed = None
        await shop.exchanges(OLD, into=1, out_of=2)


# --- what is told of the bays ---------------------------------------------------------------------------


async def test_bays_are_told_with_what_the_station_decided(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        until = shop.time.now() + timedelta(seconds=100)
        await shop.swaps.reserve(3, id_token="3" * 64, seconds=100.0, until=until)
        await shop.swaps.begin(online())
        told = shop.swaps.told(await shop.cabinet.read_bays())
        reserved, free = Reservation.RESERVED, Reservation.FREE
        assert [bay.reservation for bay in told] == [reserved, reserved, reserved, free]
        with pytest.raises(NotPossible, match="bay 3 is reserved"):
            await shop.swaps.reserve(3, id_token="4" * 64, seconds=100.0, until=until)
    async with shop.open():
        told = shop.swaps.told(await shop.cabinet.read_bays())
        assert told[2].reservation is reserved, "a restart takes no promise back"
        await shop.goes_by(101.0)
        told = shop.swaps.told(await shop.cabinet.read_bays())
        assert told[2].reservation is free


async def test_a_battery_at_its_target_is_told_as_charged(shop: Shop) -> None:
    shop.cabinet.inside[4] = battery("EVS-4", soc=96.0)
    async with shop.open():
        await ready(shop)
        assert shop.swaps.told(await shop.cabinet.read_bays())[3].charge is Charge.CHARGED


async def test_what_came_and_went_without_a_swap_is_told_once(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
    shop.cabinet.inside[2] = None
    async with shop.open():
        await ready(shop)
        shop.cabinet.inside[1] = battery("EVS-9")
        await shop.goes_by(15.0)
        standing = {1: None, 2: "EVS-2", 3: "EVS-3", 4: "EVS-4"}
        assert await shop.inventories() == [
            ("start", standing),
            ("contradicted", {2: None}),
            ("start", {**standing, 2: None}),
            ("contradicted", {1: "EVS-9"}),
        ]


# --- alarms ---------------------------------------------------------------------------------------------


async def test_a_foreign_battery_is_starved_told_and_cleared_when_it_is_gone(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        await shop.waits_for_door(1)
        shop.cabinet.put(1, battery("OTHER-1", soc=50.0))
        await shop.passes(lambda: ("set_charging", 1, False) in shop.cabinet.orders)
        (refusal,) = await shop.refusals()
        assert (refusal.reason, refusal.bay, refusal.request_id) == ("unregistered_battery", 1, 41)
        await shop.goes_by(30.0)
        shop.cabinet.inside[1] = None
        await shop.goes_by(60.0)
        assert shop.cabinet.orders[-1] == ("set_charging", 1, True)
        alarms = [one for one in await shop.alarms() if one[1] == 1]
        assert alarms[:2] == [("battery_unregistered", 1, "raised"), ("bay_quarantined", 1, "raised")]
        assert set(alarms[2:]) == {("battery_unregistered", 1, "cleared"), ("bay_quarantined", 1, "cleared")}


async def test_what_safety_forbids_is_not_charged_again_because_a_quarantine_is_over(shop: Shop) -> None:
    forbidden = {1}
    shop.around = {"veto": lambda bay: "hot" if bay in forbidden else None}
    shop.cabinet.inside[1] = battery("OTHER-1", soc=50.0)
    async with shop.open():
        await shop.passes(lambda: ("set_charging", 1, False) in shop.cabinet.orders)
        shop.cabinet.inside[1] = None
        await shop.goes_by(15.0)
        assert shop.cabinet.orders == [("set_charging", 1, False)]
        forbidden.clear()
        await shop.goes_by(10.0)
        assert shop.cabinet.orders[1:] == [("set_charging", 1, True)]


async def test_no_charged_battery_is_an_alarm_when_it_lasts(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        full = dict(shop.cabinet.inside)
        for number in (2, 3):
            shop.cabinet.inside[number] = battery(f"EVS-{number}", soc=50.0)
        await shop.goes_by(40.0)
        assert await shop.alarms() == []
        await shop.goes_by(40.0)
        assert await shop.alarms() == [("no_charged_battery", None, "raised")]
        shop.cabinet.inside.update(full)
        await shop.goes_by(15.0)
        assert len(await shop.alarms()) == 1
        await shop.goes_by(40.0)
        assert (await shop.alarms())[1:] == [("no_charged_battery", None, "cleared")]


async def test_an_uncollected_battery_is_reported_and_an_alarm(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        await shop.waits_for_door(1)
        shop.cabinet.put(1, OLD)
        await shop.waits_for_door(2)
        shop.cabinet.open.clear()
        shop.cabinet.jammed = ActuatorError(bay=2, reason="nobody there")
        await shop.goes_by(80.0)
        assert (await shop.steps())[1:] == [(41, "battery_out_timeout", "EVS-2")]
        assert ("battery_uncollected", 2, "raised") in await shop.alarms()


# --- offline --------------------------------------------------------------------------------------------


async def shows(shop: Shop, token: str) -> None:
    await shop.cabinet.tokens.put(token)


async def keep(shop: Shop, *authorisations: Authorisation) -> None:
    await shop.swaps.cache(cached(*authorisations), as_of=shop.time.now())


async def test_a_token_at_the_reader_begins_a_swap_by_what_the_cloud_has_signed(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await keep(shop, authorisation("anna", shop.time.now()))
        await shows(shop, "anna")
        await shop.exchanges(OLD, into=1, out_of=2)
        events = [one for one in await shop.events() if isinstance(one, SwapEvent)]
        assert [one.step for one in events] == ["battery_in", "battery_out"]
        for one in events:
            assert (one.authority, one.authorisation_id) == (Authority.OFFLINE, "auth-anna")
            assert one.id_token == hashed("anna")
            assert one.request_id == OWN_REQUESTS_FROM
    stored = b"".join(file.read_bytes() for file in shop.config.outbox_path.parent.glob("outbox.sqlite*"))
    assert b"anna" not in stored.replace(b"auth-anna", b""), "the token stays at the reader"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires_at": timedelta(minutes=-1)}, RefusalReason.EXPIRED),
        ({"valid_from": timedelta(minutes=1)}, RefusalReason.NOT_YET_VALID),
        ({"id_token": hashed("somebody else")}, RefusalReason.UNAUTHORISED),
    ],
    ids=["expired", "not yet valid", "unauthorised"],
)
async def test_whoever_may_not_swap_is_turned_away_and_told_of_once(
    shop: Shop, changes: dict[str, Any], reason: RefusalReason
) -> None:
    async with shop.open():
        await ready(shop)
        now = shop.time.now()
        moments = {name: now + one if isinstance(one, timedelta) else one for name, one in changes.items()}
        one = authorisation("anna", now, **{"valid_from": now - timedelta(hours=2), **moments})
        await keep(shop, one)
        for _ in range(3):
            assert await shop.swaps.present("anna", hashed) is reason
        (refusal,) = await shop.refusals()
        assert (refusal.reason, refusal.id_token, refusal.authority) == (reason, hashed("anna"), "offline")
        assert shop.cabinet.orders == []


async def test_an_authorisation_is_used_up_also_across_restarts_and_renewals(shop: Shop) -> None:
    now = shop.time.now()
    one = authorisation("anna", now, max_swaps=2)
    async with shop.open():
        await ready(shop)
        await keep(shop, one)
        await shop.swaps.present("anna", hashed)
        await shop.goes_by(70.0)
        await shop.swaps.present("anna", hashed)
        await shop.exchanges(OLD, into=1, out_of=2)
    async with shop.open():
        await ready(shop)
        await keep(shop, changed(one, expires_at=now + timedelta(hours=2)))
        await shop.swaps.present("anna", hashed)
        await shop.exchanges(battery("EVS-OLD-2", soc=9.0), into=2, out_of=3)
        assert await shop.swaps.present("anna", hashed) is RefusalReason.LIMIT_REACHED
        await shop.swaps.cache(CacheAuthorisations(withdrawn=("auth-anna",)), as_of=shop.time.now())
        assert await shop.swaps.present("anna", hashed) is RefusalReason.UNAUTHORISED
        await keep(shop, one)
        assert await shop.swaps.present("anna", hashed) is RefusalReason.LIMIT_REACHED


async def test_a_clock_that_is_a_guess_lets_in_whom_it_cannot_prove_to_be_late(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.time.clock_state = Clock.ESTIMATED
    async with shop.open():
        await ready(shop)
        now = shop.time.now()
        future = authorisation("anna", now + timedelta(days=30))
        await keep(shop, future)
        assert isinstance(await shop.swaps.present("anna", hashed), Swap)
        await shop.goes_by(100.0)
        late = CacheAuthorisations(withdrawn=("auth-nobody",))
        await shop.swaps.cache(late, as_of=now + timedelta(days=31))
        assert await shop.swaps.present("anna", hashed) is RefusalReason.EXPIRED


async def test_a_network_may_have_a_guess_refused(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "estimated_clock: refuse")
    async with shop.open():
        await ready(shop)
        await keep(shop, authorisation("anna", shop.time.now()))
        shop.time.clock_state = Clock.ESTIMATED
        assert await shop.swaps.present("anna", hashed) is RefusalReason.CLOCK_UNKNOWN


async def test_a_customer_whose_token_is_shown_twice_has_one_swap(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
        await keep(shop, authorisation("anna", shop.time.now()))
        assert isinstance(await shop.swaps.present("anna", hashed), Swap)
        assert await shop.swaps.present("anna", hashed) is RefusalReason.BUSY
        await shop.exchanges(OLD, into=1, out_of=2)
        assert len(await shop.steps()) == 2


async def test_a_hundred_swaps_without_a_link_are_a_hundred_pairs_of_events(shop: Shop) -> None:
    """The customers bring what they took last: four batteries go around, through the same bays."""
    async with shop.open():
        await ready(shop)
        everybody = [f"customer-{number}" for number in range(100)]
        for some in (everybody[:40], everybody[40:80], everybody[80:]):
            await keep(shop, *(authorisation(token, shop.time.now(), max_swaps=1) for token in some))
        hand = battery("EVS-OLD")
        for token in everybody:
            swap = await shop.swaps.present(token, hashed)
            assert isinstance(swap, Swap)
            old, hand = hand, await shop.exchanges(hand, into=swap.bay_in, out_of=swap.bay_out)
            assert old.serial_number != hand.serial_number
        steps = await shop.steps()
        assert [step for _, step, _ in steps] == ["battery_in", "battery_out"] * 100
        numbers = [number for number, _, _ in steps]
        assert numbers == sorted(list(range(OWN_REQUESTS_FROM, OWN_REQUESTS_FROM + 100)) * 2)
        for (_, _, brought), (_, _, taken) in zip(steps[2::2], steps[1:-1:2], strict=True):
            assert brought == taken
        events = await shop.events()
        assert [one.sequence for one in events] == list(range(1, len(events) + 1))
        assert [reason for reason, _ in await shop.inventories()] == ["start"]


# --- what is believed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda one: signed(one, key=Ed25519PrivateKey.generate()), "its signature by network-1 is wrong"),
        (lambda one: signed(one, key_id="network-2"), "a key that this station does not know"),
        (lambda one: signed(changed(one, stations=("station-02",))), "auth-anna is not for this station"),
        (
            lambda one: changed(signed(one), payload=encode_authorisation(changed(one, max_swaps=1_000))),
            "its signature by network-1 is wrong",
        ),
    ],
    ids=["another key", "an unknown key", "another station", "a limit that was changed"],
)
async def test_what_the_cloud_has_not_signed_for_this_station_is_not_kept_and_nothing_that_came_with_it(
    shop: Shop, make: Callable[[Authorisation], Any], reason: str
) -> None:
    async with shop.open():
        await ready(shop)
        good = signed(authorisation("bert", shop.time.now()))
        bad = make(authorisation("anna", shop.time.now()))
        with pytest.raises(NotPossible, match=reason):
            await shop.swaps.cache(CacheAuthorisations(authorisations=(good, bad)), as_of=shop.time.now())
        for token in ("anna", "bert"):
            assert await shop.swaps.present(token, hashed) is RefusalReason.UNAUTHORISED


def test_the_golden_authorisation_is_believed(tmp_path: Path) -> None:
    """Signed by the key of the bytes 0 to 31: Ed25519 is deterministic, so everybody signs it alike."""
    shop = Shop(tmp_path)
    action = decode_command((GOLDEN / "command-cache-authorisations.json").read_bytes()).action
    assert isinstance(action, CacheAuthorisations)
    (one,) = action.authorisations
    believed = Signers(shop.config.swaps.authorisation_keys).believed(one, station_id=STATION)
    assert encode_authorisation(believed) == (GOLDEN / "authorisation.json").read_bytes().strip()
    assert signed(believed) == one


def test_a_key_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("00" * 32)
    key.chmod(0o640)
    with pytest.raises(KeysUnusable, match="chmod 600"):
        hasher(key)
    key.chmod(0o600)
    assert hasher(key)("anna") != hashed("anna")
    key.write_text("00" * 31)
    with pytest.raises(KeysUnusable, match="at least 32 bytes"):
        hasher(key)
    with pytest.raises(KeysUnusable, match="Ed25519 public key"):
        Signers({"network-1": key})


async def test_a_journal_that_is_damaged_is_begun_anew_and_swaps_go_on(shop: Shop) -> None:
    async with shop.open():
        await ready(shop)
    shop.config.outbox_path.with_name("outbox.sqlite.swaps").write_bytes(b"no database" * 1_000)
    async with shop.open():
        await ready(shop)
        await shop.swaps.begin(online())
        await shop.exchanges(OLD, into=1, out_of=2)


def test_only_the_swaps_of_long_ago_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evswap_edge.swaps.journal._KEPT_SWAPS", 3)
    journal = SwapJournal(tmp_path / "outbox.sqlite", station_id=STATION)
    now = stamp_now(ManualTime())
    running = Swap(
        request_id=0,
        id_token=CUSTOMER,
        authority=Authority.ONLINE,
        order=SwapOrder.IN_FIRST,
        bay_in=1,
        bay_out=2,
        battery_out=SwappedBattery(bay=2, serial_number="EVS-2", soc=99.0, soh=95.0),
        since=now,
    )
    journal.commit(Outcome(Floor(), swaps=(running,)), now)
    for request_id in range(1, 7):
        over = changed(running, request_id=request_id, phase=Phase.COMPLETED)
        journal.commit(Outcome(Floor(), swaps=(over,)), now)
    assert [number for number in range(7) if journal.find(number)] == [0, 4, 5, 6]
    assert set(journal.floor().swaps) == {0}
    journal.close()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    journal = SwapJournal(tmp_path / "outbox.sqlite", station_id=STATION)
    assert journal.next_request() == OWN_REQUESTS_FROM
    assert journal._book.rows("PRAGMA synchronous") == [(2,)]
    journal.close()
    assert sqlite3.connect(tmp_path / "outbox.sqlite.swaps").execute("PRAGMA journal_mode").fetchone() == (
        "wal",
    )
