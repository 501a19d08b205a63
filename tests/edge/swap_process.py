"""A station that swaps, in a process of its own which kills itself at one moment of a swap's way. The cabinet
and its customer outlive it: they are files in a folder.

The customer does at once what an open door is for: puts the old battery into an empty bay, and takes what is
in a full one.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from evswap_edge.clock import SystemTime
from evswap_edge.config import StationConfig
from evswap_edge.hal import Climate
from evswap_edge.outbox import Outbox
from evswap_edge.swaps.controller import Swaps
from evswap_edge.swaps.floor import Request
from evswap_edge.swaps.journal import SwapJournal
from evswap_schema import Authority, Bay, Clock
from tests.edge.swapping import Mechanics, battery, configured, swaps_over

NOWHERE: Final = ("nowhere", 0, "")
STEPS: Final = ("commit", "place", "append_event", "paid", "unlock")
REQUEST: Final = 41
OLD: Final = "EVS-OLD"
TRUTH: Final = "truth"
ORDERS: Final = "orders"
_RULES: Final = ("confirm_s: 0.02", "watch_s: 0.05", "idle_s: 0.5")

Point = tuple[str, int, str]
"""Which step, which call of it, and whether before or after it."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Synchronized(SystemTime):
    def state(self) -> Clock:
        return Clock.SYNCHRONIZED


class Kept(Mechanics):
    """A cabinet whose state is a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder = folder

    async def read_bays(self) -> Sequence[Bay]:
        self.inside = {
            int(number): None if serial is None else battery(serial)
            for number, serial in truth(self._folder).items()
        }
        return await super().read_bays()

    async def unlock(self, bay: int) -> None:
        with (self._folder / ORDERS).open("a") as orders:
            orders.write(f"{bay}\n")
        bays = truth(self._folder)
        number = str(bay)
        if bays[number] is not None:
            bays[number] = None
        elif OLD not in bays.values():
            bays[number] = OLD
        draft = self._folder / f"{TRUTH}.draft"
        draft.write_text(json.dumps(bays))
        draft.replace(self._folder / TRUTH)

    async def read_climate(self) -> Climate:
        raise AssertionError


def truth(folder: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads((folder / TRUTH).read_text())
    return found


def booby_trap(point: Point) -> None:
    """Have the chosen call of a step preceded, or followed, by the end."""
    name, nth, when = point
    if point == NOWHERE:
        return
    owner: Any = {"append_event": Outbox, "unlock": Kept}.get(name, SwapJournal)
    real = getattr(owner, name)
    calls = 0

    def due(moment: str) -> None:
        if calls == nth and when == moment:
            die()

    def step(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        due("before")
        outcome = real(*given, **named)
        due("after")
        return outcome

    async def slow_step(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        due("before")
        outcome = await real(*given, **named)
        due("after")
        return outcome

    setattr(owner, name, slow_step if asyncio.iscoroutinefunction(real) else step)


async def main(folder: Path, point: Point) -> None:
    """Until the swap is over and told, or this process is dead."""
    config = configured(folder, *_RULES)
    time, cabinet = Synchronized(), Kept(folder)
    booby_trap(point)
    outbox = await Outbox.open(config.outbox_path, station_id=config.station_id, time=time)
    async with swaps_over(config, cabinet, time, outbox) as swaps, asyncio.timeout(20):
        await until(lambda: swaps._told_inventory)
        if await swaps.find(REQUEST) is None:
            await swaps.begin(Request(request_id=REQUEST, id_token="1" * 64, authority=Authority.ONLINE))
        while not await is_over(config, swaps):
            await asyncio.sleep(0.02)
    await outbox.aclose()


async def is_over(config: StationConfig, swaps: Swaps) -> bool:
    swap = await swaps.find(REQUEST)
    return swap is not None and swap.over and not swaps._owing and not swaps._is_busy()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def live(folder: str, point: Point) -> None:
    """The whole life of such a process."""
    asyncio.run(main(Path(folder), point))
