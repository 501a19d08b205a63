"""When the bus is looked at, and how old what was heard is: with a bus that gives what a test puts in it."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Final

import pytest

from evswap_edge.drivers.can import listener as listening
from evswap_edge.drivers.can.bus import Address, Interface
from evswap_edge.drivers.can.frames import ERROR, REMOTE, Frame, Frames
from evswap_edge.drivers.can.listener import Listener
from evswap_edge.drivers.can.receiving import Dated
from evswap_edge.testing import ManualTime
from tests.edge.can_bus import VIRTUAL, free_channel

ROOM: Final = 100
DATA: Final = bytes(8)
BUS_OFF: Final = ERROR | 0x40


class Inlet:
    """Frames that wait, in a kernel that has room for ``ROOM``."""

    room = ROOM

    def __init__(self) -> None:
        self.waiting: list[Frame] = []

    def take(self, most: int, dated: Dated) -> Frames:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        dates = dated([came_at for _, _, came_at in taken])
        return Frames.of(
            (identifier, data, at) for (identifier, data, _), at in zip(taken, dates, strict=True)
        )

    def close(self) -> None: ...


class Ears:
    """A listener, what it heard, and both clocks: the wall clock is ``ahead_s`` of the monotonic one."""

    def __init__(self) -> None:
        self.time = ManualTime()
        self.ahead_s = 1e9
        self.heard: list[Frame] = []
        self.inlet = Inlet()
        self.listener = Listener(
            Address(Interface.VIRTUAL, free_channel(VIRTUAL)),
            wanted=(),
            hear=self.heard.extend,
            monotonic=self.time.monotonic,
        )

    def wall_clock(self) -> float:
        return self.time.monotonic() + self.ahead_s

    def come(self, *identifiers: int) -> None:
        self.inlet.waiting += [(each, DATA, self.wall_clock()) for each in identifiers]

    def ages_s(self) -> list[float]:
        """Of all that was heard, to the millisecond."""
        self.listener.catch_up()
        return [round(self.time.monotonic() - at, 3) for _, _, at in self.heard]

    def next_look_in_s(self) -> float:
        pause = self.listener._pause
        assert pause is not None
        assert not pause.cancelled()
        return pause.when() - asyncio.get_running_loop().time()

    def counted_for_s(self, duration_s: float) -> None:
        """As if frames had been counted for so long."""
        self.listener._counting_since = asyncio.get_running_loop().time() - duration_s


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ears]:
    ears = Ears()
    monkeypatch.setattr(listening, "inlet_of", lambda *_: ears.inlet)
    monkeypatch.setattr(listening, "time", SimpleNamespace(time=ears.wall_clock))
    yield ears
    ears.listener.close()


async def test_the_kernels_buffer_is_never_more_than_half_full_when_somebody_looks(ears: Ears) -> None:
    ears.listener.open()
    ears.counted_for_s(1.0)
    ears.come(*range(200))
    ears.listener._look_again()
    assert 0.2 < ears.next_look_in_s() < 0.3


async def test_a_quiet_bus_is_looked_at_less_and_less_often_and_still_now_and_then(ears: Ears) -> None:
    ears.listener.open()
    pauses = []
    for _ in range(20):
        ears.counted_for_s(ears.listener._pause_s)
        ears.listener._look_again()
        pauses.append(ears.listener._pause_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3.0


async def test_nobody_wakes_up_for_what_a_reading_has_just_taken(ears: Ears) -> None:
    ears.listener.open()
    ears.listener._count_for(2.0)
    before = ears.listener._pause
    ears.listener.catch_up()
    assert before is not None
    assert before.cancelled()
    assert 1.0 < ears.next_look_in_s() <= 2.0


async def test_a_frame_is_as_old_as_it_waited(ears: Ears) -> None:
    ears.listener.open()
    ears.come(1)
    ears.time.stall(0.5)
    ears.come(2)
    ears.time.stall(0.25)
    assert ears.ages_s() == [0.75, 0.25]


@pytest.mark.parametrize("by_s", [3600.0, -3600.0, 1.0, -1.0])
async def test_a_clock_that_was_set_makes_no_frame_younger_than_it_can_be(ears: Ears, by_s: float) -> None:
    """Nobody knows what its date says: it is taken for as old as anything can be that waited."""
    ears.listener.open()
    ears.time.stall(1.0)
    ears.listener.catch_up()
    ears.come(1)
    ears.time.stall(0.5)
    ears.come(2)
    ears.ahead_s += by_s
    ears.come(3)
    ears.time.stall(0.25)
    assert ears.ages_s() == [0.75] * 3
    ears.heard.clear()
    ears.come(4)
    ears.time.stall(0.125)
    assert ears.ages_s() == [0.125]


async def test_a_controller_that_is_off_hears_again_with_the_next_frame_and_not_before(ears: Ears) -> None:
    ears.listener.open()
    ears.come(1, BUS_OFF, 1 | REMOTE)
    ears.listener.catch_up()
    assert "bus-off" in (ears.listener.trouble() or "")
    ears.time.stall(1.0)
    ears.come(2)
    ears.listener.catch_up()
    assert ears.listener.trouble() is None
    assert ears.listener.since == ears.time.monotonic()
    assert [identifier for identifier, _, _ in ears.heard] == [1, 2]
