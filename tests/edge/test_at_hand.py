"""Which samples may be sealed without asking the outbox: all that are open, or none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.outbox import Losses, Outbox, Sample, StorageTrouble, TroubleKind
from evswap_edge.publisher.at_hand import AtHand
from evswap_edge.reporting import Mode
from evswap_edge.testing import ManualTime
from evswap_schema import Reading, decode_reading
from tests.edge.conftest import Eventually, MakeReading
from tests.edge.publishing import Publishing, opened, store


class Telling:
    """An outbox, and what is at hand of it."""

    def __init__(self, outbox: Outbox, make_reading: MakeReading) -> None:
        self.outbox = outbox
        self.at_hand = AtHand(outbox)
        self._make_reading = make_reading

    async def sample(self, *, told: bool = True) -> Sample:
        sample = await store(self.outbox, self._make_reading(), ManualTime())
        if told:
            self.tell(sample)
        return sample

    def tell(self, sample: Sample) -> None:
        self.at_hand.add([(sample, said(sample))])

    async def seal_open(self) -> None:
        """As ``Sealing`` does what it finds in the outbox."""
        found = await self.outbox.open_samples(1_000)
        with self.at_hand.sealing(found[-1]):
            await self.outbox.seal(found, [])

    def numbers(self, limit: int = 1_000) -> list[int] | None:
        oldest = self.at_hand.oldest(limit)
        return None if oldest is None else [sample.sequence for sample, _ in oldest]


def said(sample: Sample) -> Reading:
    return decode_reading(sample.body)


@asynccontextmanager
async def telling_of(folder: Path, make_reading: MakeReading) -> AsyncIterator[Telling]:
    outbox = await opened(folder)
    yield Telling(outbox, make_reading)
    await outbox.aclose()


async def test_nothing_is_certain_before_something_was_sealed(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        assert telling.numbers() is None
        await telling.sample()
        assert telling.numbers() is None


async def test_what_came_since_the_last_one_was_sealed_is_at_hand(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        await telling.sample()
        await telling.seal_open()
        assert telling.numbers() == []
        newer = [await telling.sample() for _ in range(3)]
        assert telling.at_hand.oldest(2) == [(sample, said(sample)) for sample in newer[:2]]
        with telling.at_hand.sealing(newer[1]):
            pass
        assert telling.numbers() == [4]


async def test_what_an_earlier_run_left_behind_the_sealed_ones_is_asked_for(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        left = [await telling.sample(told=False) for _ in range(3)]
        with telling.at_hand.sealing(left[0]):
            pass
        assert telling.numbers() is None
        await telling.sample()
        assert telling.numbers() is None


async def test_a_sample_that_nobody_told_of_makes_the_outbox_be_asked(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        await telling.sample()
        await telling.seal_open()
        await telling.sample()
        await telling.sample(told=False)
        await telling.sample()
        assert telling.numbers() is None
        await telling.seal_open()
        await telling.sample()
        assert telling.numbers() == [5]


async def test_what_is_told_only_after_it_was_sealed_is_not_sealed_again(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        late = await telling.sample(told=False)
        await telling.seal_open()
        telling.tell(late)
        assert telling.numbers() == []


async def test_a_sealing_that_failed_makes_the_outbox_be_asked(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        await telling.sample()
        await telling.seal_open()
        sample = await telling.sample()
        with pytest.raises(OSError, match="disk"), telling.at_hand.sealing(sample):
            raise OSError("disk")
        assert telling.numbers() is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("losses", Losses(samples=1)),
        ("trouble", StorageTrouble(kind=TroubleKind.FULL, since=0.0, reason="full")),
    ],
)
async def test_what_was_given_up_or_held_in_memory_is_for_the_outbox_to_say(
    tmp_path: Path, make_reading: MakeReading, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        await telling.sample()
        await telling.seal_open()
        await telling.sample()
        with monkeypatch.context() as patched:
            patched.setattr(Outbox, name, property(lambda _: value))
            assert telling.numbers() is None
        assert telling.numbers() is None


async def test_large_samples_are_not_kept(tmp_path: Path, make_reading: MakeReading) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        await telling.sample()
        await telling.seal_open()
        large = await telling.outbox.append(lambda *_: b" " * 1_001, stamp=(await telling.sample()).stamp)
        telling.at_hand.add([(large, said(await telling.sample(told=False)))])
        assert telling.numbers() is None


async def test_no_more_are_kept_than_a_few_batches(
    tmp_path: Path, make_reading: MakeReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        monkeypatch.setattr("evswap_edge.publisher.at_hand._MOST", 2)
        await telling.sample()
        await telling.seal_open()
        kept = [await telling.sample() for _ in range(4)]
        assert telling.numbers() == [2, 3]
        with telling.at_hand.sealing(kept[1]):
            pass
        assert telling.numbers() is None


async def test_what_a_disk_in_trouble_has_sealed_may_come_back(
    tmp_path: Path, make_reading: MakeReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = StorageTrouble(kind=TroubleKind.FULL, since=0.0, reason="full")
    async with telling_of(tmp_path, make_reading) as telling:
        sample = await telling.sample()
        with monkeypatch.context() as patched:
            patched.setattr(Outbox, "trouble", property(lambda _: trouble))
            with telling.at_hand.sealing(sample):
                pass
        assert telling.numbers() is None


async def test_a_row_that_begins_beyond_what_was_sealed_has_a_gap(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    async with telling_of(tmp_path, make_reading) as telling:
        left = [await telling.sample(told=False) for _ in range(3)]
        await telling.sample()
        with telling.at_hand.sealing(left[0]):
            pass
        assert telling.numbers() is None


async def test_a_station_reads_the_first_samples_only_and_delivers_each_once(
    tmp_path: Path, make_reading: MakeReading, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = await opened(tmp_path)
    asked: list[int] = []
    open_samples = outbox.open_samples

    async def counted(limit: int) -> list[Sample]:
        asked.append(limit)
        return await open_samples(limit)

    monkeypatch.setattr(outbox, "open_samples", counted)
    async with Publishing(outbox, SystemTime(), mode=Mode.ON_CHANGE, age_s=0.01) as run:
        await run.sample(make_reading(1))
        await eventually(lambda: run.archived == [1])
        reads = len(asked)
        for number in (2, 3, 4):
            await run.sample(make_reading(number))
            await eventually(lambda: run.archived[-1:] == [number])  # noqa: B023 - awaited
    assert len(asked) <= reads + 1, "one more, to flush at the end"
    assert run.archived == [1, 2, 3, 4]
    await outbox.aclose()
