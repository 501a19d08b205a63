"""The machine's clocks, and the clock for tests that stands in for them."""

import asyncio
import ctypes
import uuid
from types import SimpleNamespace

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.testing import ManualTime, settle
from evswap_schema import Clock


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (0, Clock.SYNCHRONIZED),  # TIME_OK
        (1, Clock.SYNCHRONIZED),  # TIME_INS: a leap second is announced
        (5, Clock.ESTIMATED),  # TIME_ERROR: not synchronised
        (-1, Clock.ESTIMATED),  # not permitted
    ],
)
def test_the_kernel_says_whether_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch, answer: int, state: Clock
) -> None:
    monkeypatch.setattr(ctypes, "PyDLL", lambda name: SimpleNamespace(adjtimex=lambda timex: answer))
    assert SystemTime().state() is state


def test_this_kernel_answers_and_is_not_asked_to_change_anything() -> None:
    time = SystemTime()
    before = time.now()
    assert time.state() in Clock
    assert time.now() >= before
    assert time.now().tzinfo is not None
    assert str(uuid.UUID(time.boot_id)) == time.boot_id


async def test_waiting_ends_at_the_moment_or_with_the_event() -> None:
    time = SystemTime()
    never = asyncio.Event()
    await time.wait_until(time.monotonic() - 1, unless=never)
    await time.wait_until(time.monotonic() + 0.01, unless=never)
    never.set()
    await time.wait_until(time.monotonic() + 3_600, unless=never)


async def test_manual_time_wakes_in_order_and_only_what_is_due() -> None:
    time = ManualTime()
    start = time.monotonic()
    woken: list[float] = []
    never = asyncio.Event()

    async def sleeper(seconds: float) -> None:
        await time.wait_until(start + seconds, unless=never)
        woken.append(time.monotonic() - start)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3.0, 1.0, 2.0, 9.0)]
    await settle()
    await time.advance(5.0)
    assert woken == [1.0, 2.0, 3.0]
    assert time.monotonic() == start + 5.0
    await time.advance(4.0)
    await asyncio.gather(*tasks)
