"""What the edge's tests share: coroutine tests, readings, outboxes, and waiting without sleeping."""

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from evswap_edge.testing import charged_bay
from evswap_schema import Clock, Reading, StationStatus

LONGEST_WAIT_S = 60.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


class Eventually(Protocol):
    async def __call__(self, condition: Callable[[], object]) -> None: ...


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Wait until a condition holds; fail when it does not within a generous time."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not condition():
                await asyncio.sleep(0.001)

    return wait


class MakeReading(Protocol):
    def __call__(self, n: int = 0, *, station_id: str = "station-01", bays: int = 0) -> Reading: ...


@pytest.fixture(scope="session")
def make_reading() -> MakeReading:
    """A reading without identity, as the sampler makes it; ``n`` tells it from others."""

    def make(n: int = 0, *, station_id: str = "station-01", bays: int = 0) -> Reading:
        return Reading(
            station_id=station_id,
            battery_available=n % 12,
            battery_charging=4,
            temperature=28.5,
            humidity=42.0,
            status=StationStatus.OPERATIONAL,
            timestamp=datetime(2026, 3, 1, 6, tzinfo=UTC) + timedelta(seconds=5 * n),
            clock=Clock.SYNCHRONIZED,
            bays=tuple(charged_bay(number) for number in range(1, bays + 1)) or None,
        )

    return make
