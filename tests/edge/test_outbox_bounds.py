"""The bound: never exceeded, and what goes is what the policy of docs/outbox.md says."""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import pytest

from evswap_edge.drivers import Surroundings, load_driver, open_cabinet
from evswap_edge.outbox import Bounds, Losses, Parcel, StoredEvent
from evswap_edge.outbox.keeper import Keeper
from evswap_edge.outbox.operations import Forget, PutAside, Release, Seal, Take
from evswap_edge.outbox.records import Kind
from evswap_edge.outbox.schema import Allowance
from evswap_edge.testing import ManualTime
from evswap_schema import Channel, aws_topic, decode_batch, encode_batches, encode_reading
from tests.edge.conftest import MakeReading
from tests.edge.outboxes import (
    ALL,
    SMALLEST,
    ask,
    event,
    free,
    keeper,
    parcel_of,
    sample,
    size,
)

FULL: Final = os.environ.get("EVSWAP_CHAOS") == "full"
MINUTES: Final = 14 * 24 * 60 if FULL else 16 * 60
"""Two weeks, or some hours of them."""
SAMPLES_A_MINUTE: Final = 12
INTERVAL_S: Final = 5.0
BAYS: Final = 35
RESTART_S: Final = 2.0
QUARTER: Final = 4
OLDEST_LEVEL: Final = 4
_TOGETHER: Final = 40
_MINUTES_TOGETHER: Final = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def parcels(outbox: Keeper) -> list[Parcel]:
    return [item for item in free(outbox) if isinstance(item, Parcel)]


def fill(outbox: Keeper, count: int, *, changed: bool = False, bytes_each: int = 2_100) -> list[Parcel]:
    """Parcels of one sample each, many in one transaction."""
    bodies = random.Random(count)
    made: list[Parcel] = []
    while len(made) < count:
        samples = ask(outbox, *[sample() for _ in range(min(_TOGETHER, count - len(made)))])
        seals = [
            Seal([one], [parcel_of([one], bodies.randbytes(bytes_each), changed=changed)]) for one in samples
        ]
        made += [parcel for (parcel,) in ask(outbox, *seals)]
    return made


def numbers(items: Sequence[Parcel]) -> list[int]:
    return [item.first for item in items]


def test_every_second_of_the_older_ones_goes_first(path: Path) -> None:
    outbox = keeper(path)
    stored = fill(outbox, 300)
    while not outbox.standing.losses.samples:
        stored += fill(outbox, 1)
    left = parcels(outbox)
    lost = outbox.standing.losses.samples
    assert 0 < lost < len(stored) / 4
    assert numbers(left)[: 2 * lost] == [*range(1, 2 * lost, 2), *range(2 * lost + 1, 3 * lost + 1)]
    assert numbers(left)[-len(stored) // 2 :] == numbers(stored)[-len(stored) // 2 :]
    assert [parcel.level for parcel in left] == [1] * lost + [0] * (len(left) - lost)
    outbox.close()


def test_thinning_goes_on_down_to_one_in_sixteen_and_then_the_oldest_go(path: Path) -> None:
    outbox = keeper(path)
    fill(outbox, 4_000)
    left = parcels(outbox)
    levels = [parcel.level for parcel in left]
    assert levels == sorted(levels, reverse=True)
    assert {0, OLDEST_LEVEL} < set(levels) <= set(range(OLDEST_LEVEL + 1)), "others are on their way"
    assert levels.count(0) >= len(levels) // QUARTER
    for level in range(OLDEST_LEVEL):
        of_level = [parcel.first for parcel in left if parcel.level == level]
        steps = [after - before for before, after in pairwise(of_level)]
        assert steps == [2**level] * len(steps), "is one of two to the power of its level"
    assert outbox.standing.losses == Losses(samples=4_000 - len(left))
    outbox.close()


def test_what_tells_of_a_change_outlives_what_does_not(path: Path) -> None:
    outbox = keeper(path)
    changed = fill(outbox, 100, changed=True)
    fill(outbox, 900)
    kept = set(numbers(parcels(outbox)))
    assert set(numbers(changed)) <= kept
    outbox.close()


def test_events_outlive_everything_and_are_given_up_only_when_they_alone_are_too_many(path: Path) -> None:
    outbox = keeper(path)
    bodies = random.Random(1)
    ask(outbox, *[event(bodies.randbytes(2_500)) for _ in range(100)])
    fill(outbox, 600, changed=True)
    assert outbox.standing.losses.events == 0
    while not outbox.standing.losses.events:
        ask(outbox, event(bodies.randbytes(2_500)))
    left = free(outbox)
    assert all(isinstance(item, StoredEvent) for item in left)
    sequences = [item.sequence for item in left if isinstance(item, StoredEvent)]
    assert sequences == list(range(outbox.standing.losses.events + 1, sequences[-1] + 1))
    outbox.close()


def test_what_was_set_aside_goes_before_anything_that_can_be_delivered(path: Path) -> None:
    outbox = keeper(path)
    stored = fill(outbox, 250)
    (taken,) = ask(outbox, Take(Kind.PARCEL, 100))
    ask(outbox, PutAside([parcel.ticket for parcel in taken], "poison"))
    fill(outbox, 120)
    assert outbox.standing.losses.samples == 0
    assert outbox.standing.losses.set_aside > 0
    assert set(numbers(stored[100:])) <= set(numbers(parcels(outbox)))
    outbox.close()


def test_what_is_being_sent_is_never_given_up(path: Path) -> None:
    outbox = keeper(path)
    stored = fill(outbox, 200)
    (taken,) = ask(outbox, Take(Kind.PARCEL, 50))
    fill(outbox, 700)
    ask(outbox, Release([parcel.ticket for parcel in taken]))
    assert set(numbers(stored[:50])) <= set(numbers(parcels(outbox)))
    outbox.close()


def test_how_far_thinning_has_come_is_known_after_a_restart(path: Path) -> None:
    outbox = keeper(path)
    fill(outbox, 700)
    before = [(parcel.first, parcel.level) for parcel in parcels(outbox)]
    losses = outbox.standing.losses
    outbox.close()
    outbox = keeper(path)
    assert [(parcel.first, parcel.level) for parcel in parcels(outbox)] == before
    assert outbox.standing.losses == losses
    fill(outbox, 50)
    levels = [parcel.level for parcel in parcels(outbox)]
    assert levels == sorted(levels, reverse=True)
    outbox.close()


@pytest.mark.parametrize("bytes_each", [60, 700, 2_100, 4_900, 20_000])
def test_the_bound_holds_for_things_of_any_size(path: Path, bytes_each: int) -> None:
    outbox = keeper(path)
    bodies = random.Random(1)
    at_once = 1 + 30_000 // bytes_each
    for _ in range(70):
        ask(outbox, *[sample(bodies.randbytes(bytes_each)) for _ in range(at_once)])
        assert size(path) <= SMALLEST.max_bytes
    assert outbox.standing.trouble is None
    waiting, lost = outbox.standing.waiting, outbox.standing.losses.samples
    assert waiting.samples + lost == 70 * at_once
    assert waiting.bytes > SMALLEST.max_bytes / 2, "the bound is made use of"
    outbox.close()


def test_the_log_takes_several_of_the_largest_transactions_before_it_is_copied(path: Path) -> None:
    """Each time it is, the disk is waited for; and it holds no more than it may."""
    outbox = keeper(path, Bounds())
    allowance, bodies = Allowance(Bounds()), random.Random(1)
    log = path.with_name(f"{path.name}-wal")
    as_opened, copied = path.stat().st_size, []
    for _ in range(8):
        ask(outbox, *[sample(bodies.randbytes(250)) for _ in range(allowance.transaction_bytes // 320)])
        copied.append(path.stat().st_size > as_opened)
        assert log.stat().st_size <= 2 * allowance.wal_bytes
    assert copied[:2] == [False, False]
    assert copied[-1]
    outbox.close()


def test_small_things_wait_in_large_numbers_while_somebody_reads(path: Path) -> None:
    """A reader holds the log: it must not grow beyond the bound, and nothing may be lost by that."""
    outbox = keeper(path, Bounds(max_bytes=4 * 1024 * 1024))
    ask(outbox, sample())
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM samples").fetchone()
    bodies = random.Random(1)
    for _ in range(40):
        ask(outbox, *[sample(bodies.randbytes(1_000)) for _ in range(20)])
        assert size(path) <= 4 * 1024 * 1024
    assert outbox.standing.trouble is not None
    reader.close()
    outbox.close()
    outbox = keeper(path, Bounds(max_bytes=4 * 1024 * 1024))
    assert outbox.standing.waiting.samples == 801
    outbox.close()


# --- two weeks offline -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batches(make_reading: MakeReading) -> list[bytes]:
    """Forty minutes of a simulated cabinet with 35 bays, as they travel: a parcel each."""
    return asyncio.run(story_of(make_reading, minutes=40))


async def story_of(make_reading: MakeReading, *, minutes: int) -> list[bytes]:
    clock, kind = ManualTime(), load_driver("simulated")
    surroundings = Surroundings(station_id="station-01", time=clock)
    cabinet = await open_cabinet(kind, kind.settings(bays=BAYS), surroundings)
    made = []
    for minute in range(minutes):
        readings = []
        for sequence in range(minute * SAMPLES_A_MINUTE + 1, (minute + 1) * SAMPLES_A_MINUTE + 1):
            clock.stall(INTERVAL_S)
            bays = tuple(await cabinet.read_bays())
            reading = make_reading(sequence)
            readings.append(
                msgspec.structs.replace(reading, bays=bays, stream_id="s" * 32, sequence=sequence)
            )
        (batch,) = encode_batches(readings, topic=aws_topic(Channel.BATCH, "station-01"))
        made.append(batch.payload)
    await cabinet.aclose()
    return made


def offline(outbox: Keeper, path: Path, batches: Sequence[bytes], bounds: Bounds) -> int:
    """Minutes without a link: samples become a parcel a minute, now and then something happens. Returns the
    most that the files took."""
    body = encode_reading(decode_batch(batches[0]).readings[0])
    most = 0
    for first in range(0, MINUTES, _MINUTES_TOGETHER):
        minutes = range(first, min(first + _MINUTES_TOGETHER, MINUTES))
        uptimes = [60.0 * minute + INTERVAL_S * at for minute in minutes for at in range(SAMPLES_A_MINUTE)]
        samples = ask(outbox, *[sample(body, uptime=uptime) for uptime in uptimes])
        seals = []
        for minute in minutes:
            own, samples = samples[:SAMPLES_A_MINUTE], samples[SAMPLES_A_MINUTE:]
            payload = batches[minute % len(batches)]
            seals.append(Seal(own, [parcel_of(own, payload, changed=minute % 10 == 0)]))
        ask(outbox, *seals, event(b'{"event": "swap"}' * 10, uptime=uptimes[0]))
        most = max(most, size(path))
        assert most <= bounds.max_bytes
    return most


def restarted(outbox: Keeper, path: Path, bounds: Bounds) -> Keeper:
    """As after a power cut: the file is looked through."""
    outbox.close()
    path.with_name(f"{path.name}.lock").write_text("4711")
    began = time.perf_counter()
    again = keeper(path, bounds)
    took_s = time.perf_counter() - began
    print(f"restart in {took_s:.2f} s")
    if FULL:
        assert took_s < RESTART_S
    return again


@pytest.mark.timeout(1_800)
def test_offline_with_the_default_bounds_loses_nothing(path: Path, batches: list[bytes]) -> None:
    bounds = Bounds()
    outbox = keeper(path, bounds)
    most = offline(outbox, path, batches, bounds)
    mean = sum(map(len, batches)) / len(batches)
    print(f"{MINUTES} minutes, {BAYS} bays, {mean:.0f} bytes a parcel: {most / 2**20:.1f} MiB")
    outbox = restarted(outbox, path, bounds)
    assert outbox.standing.losses == Losses()
    assert outbox.standing.waiting.all_samples == MINUTES * SAMPLES_A_MINUTE
    covered = 0
    while taken := ask(outbox, Take(Kind.PARCEL, 1_000))[0]:
        assert [parcel.first for parcel in taken] == [
            covered + 1 + at * SAMPLES_A_MINUTE for at in range(len(taken))
        ]
        covered = taken[-1].last
        ask(outbox, Forget([parcel.ticket for parcel in taken]))
    assert covered == MINUTES * SAMPLES_A_MINUTE
    assert len(ask(outbox, Take(Kind.EVENT, ALL))[0]) == MINUTES // _MINUTES_TOGETHER
    outbox.close()


@pytest.mark.timeout(1_800)
def test_offline_with_a_small_bound_keeps_all_events_and_thins_as_declared(
    path: Path, batches: list[bytes]
) -> None:
    bounds = Bounds(max_bytes=(16 if FULL else 2) * 1024 * 1024)
    outbox = keeper(path, bounds)
    most = offline(outbox, path, batches, bounds)
    print(f"at most {most} of {bounds.max_bytes} bytes")
    outbox = restarted(outbox, path, bounds)
    assert len(ask(outbox, Take(Kind.EVENT, ALL))[0]) == MINUTES // _MINUTES_TOGETHER
    left = parcels(outbox)
    losses = outbox.standing.losses
    assert losses.events == losses.volatile == 0
    assert losses.samples == (MINUTES - len(left)) * SAMPLES_A_MINUTE > 0
    changed = [parcel for parcel in left if parcel.changed]
    plain = [parcel for parcel in left if not parcel.changed]
    assert len(changed) == MINUTES // 10
    assert [parcel.level for parcel in plain] == sorted((parcel.level for parcel in plain), reverse=True)
    assert {parcel.level for parcel in left[-len(left) // QUARTER :]} == {0}
    outbox.close()
