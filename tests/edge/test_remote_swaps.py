"""Swaps as the cloud asks for them: accepted when there is a battery to give, done when the swap is over."""

from dataclasses import replace
from pathlib import Path

import pytest

from evswap_schema import Clock, Outcome, RequestSwap
from tests.edge.conftest import Eventually
from tests.edge.remote import AtOnce, Bench, configuration
from tests.edge.swapping import Mechanics, authorisation, battery, cached, configured

CUSTOMER = "1" * 64
OLD = battery("EVS-OLD", soc=9.0)
SWAP = RequestSwap(request_id=41, id_token=CUSTOMER)


@pytest.fixture
def cabinet() -> Mechanics:
    return Mechanics({1: None, 2: battery("EVS-2"), 3: battery("EVS-3")})


@pytest.fixture
def bench(tmp_path: Path, eventually: Eventually) -> Bench:
    bench = Bench(tmp_path, eventually)
    rules = configured(tmp_path).swaps
    base = configuration(tmp_path)
    (station,) = base.stations
    bench.control = AtOnce(replace(base, stations=(replace(station, swaps=rules),)))
    return bench


async def accepted(bench: Bench, cabinet: Mechanics, command_id: str = "c-1") -> None:
    """As soon as the station has seen its bays, the customer is let in."""
    await bench.time.advance(2.0)
    bench.send(bench.command(command_id, SWAP))
    await bench.passes(lambda: bench.told(command_id))
    assert bench.outcomes(command_id) == [Outcome.ACCEPTED]
    await bench.passes(lambda: 1 in cabinet.open)


async def test_a_swap_is_accepted_and_done_when_it_is_over(bench: Bench, cabinet: Mechanics) -> None:
    async with bench.at_work(cabinet=cabinet):
        await accepted(bench, cabinet)
        cabinet.put(1, OLD)
        await bench.passes(lambda: 2 in cabinet.open)
        await bench.time.advance(20.0)
        assert bench.outcomes("c-1") == [Outcome.ACCEPTED], "longer than a bay may take to show an order"
        cabinet.take(2)
        await bench.passes(lambda: bench.final("c-1"))
        assert bench.outcomes("c-1") == [Outcome.ACCEPTED, Outcome.DONE]
        assert bench.final("c-1")[0].reason is None


async def test_a_swap_that_ends_otherwise_is_done_and_says_how(bench: Bench, cabinet: Mechanics) -> None:
    async with bench.at_work(cabinet=cabinet):
        await accepted(bench, cabinet)
        cabinet.open.clear()
        cabinet.on_unlock = cabinet.open.discard
        await bench.passes(lambda: bench.final("c-1"), step_s=1.0)
        (result,) = bench.final("c-1")
        assert (result.outcome, result.reason) == (Outcome.DONE, "in_timed_out")


async def test_a_station_without_a_battery_rejects_before_anything_moves(
    bench: Bench, cabinet: Mechanics
) -> None:
    for number in (2, 3):
        cabinet.inside[number] = battery(f"EVS-{number}", soc=50.0)
    async with bench.at_work(cabinet=cabinet):
        await bench.time.advance(2.0)
        bench.send(bench.command("c-1", SWAP))
        await bench.passes(lambda: bench.final("c-1"))
        (result,) = bench.told("c-1")
        assert result.outcome is Outcome.REJECTED
        assert (result.reason or "").startswith("no_battery: ")
        assert cabinet.orders == []


async def test_nobody_is_let_in_by_a_command_whose_age_cannot_be_judged(
    bench: Bench, cabinet: Mechanics
) -> None:
    bench.time.clock_state = Clock.ESTIMATED
    async with bench.at_work(cabinet=cabinet):
        result = await bench.done(bench.command("c-1", SWAP))
        assert (result.outcome, cabinet.orders) == (Outcome.REJECTED, [])
        assert result.reason == "its age cannot be judged: the station's clock is not synchronized"


async def test_a_command_that_is_delivered_again_and_a_swap_that_is_asked_for_again_do_nothing_twice(
    bench: Bench, cabinet: Mechanics
) -> None:
    async with bench.at_work(cabinet=cabinet):
        await accepted(bench, cabinet)
        bench.send(bench.command("c-1", SWAP))
        bench.send(bench.command("c-2", SWAP))
        await bench.passes(lambda: bench.final("c-2"))
        result = bench.final("c-2")[0]
        assert (result.outcome, result.reason) == (
            Outcome.REJECTED,
            "busy: the swap 41 was begun before",
        )
        cabinet.put(1, OLD)
        await bench.passes(lambda: 2 in cabinet.open)
        cabinet.take(2)
        await bench.passes(lambda: bench.final("c-1"))
        bench.send(bench.command("c-1", SWAP))
        await bench.passes(lambda: len(bench.final("c-1")) == 2)
        assert {result.outcome for result in bench.final("c-1")} == {Outcome.DONE}
        assert cabinet.orders == [("unlock", 1), ("unlock", 2)]


async def test_the_next_process_brings_the_swap_to_its_end_and_tells_its_result(
    bench: Bench, cabinet: Mechanics
) -> None:
    async with bench.at_work(cabinet=cabinet):
        await accepted(bench, cabinet)
        cabinet.put(1, OLD)
        await bench.passes(lambda: 2 in cabinet.open)
    async with bench.at_work(cabinet=cabinet):
        await bench.time.advance(5.0)
        assert bench.final("c-1") == []
        cabinet.take(2)
        await bench.passes(lambda: bench.final("c-1"))
        (result,) = bench.final("c-1")
        assert (result.outcome, result.reason) == (Outcome.DONE, None)


async def test_authorisations_are_kept_or_rejected_with_a_reason(bench: Bench, cabinet: Mechanics) -> None:
    async with bench.at_work(cabinet=cabinet):
        one = authorisation("anna", bench.time.now())
        assert (await bench.done(bench.command("c-1", cached(one)))).outcome is Outcome.DONE
        elsewhere = cached(authorisation("anna", bench.time.now(), stations=("station-99",)))
        result = await bench.done(bench.command("c-2", elsewhere))
        assert result.outcome is Outcome.REJECTED
        assert result.reason == "auth-anna is not for this station"
