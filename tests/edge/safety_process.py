"""An interlock in a process of its own which kills itself at one moment of a cut's way. The cabinet outlives
it: its chargers and its batteries are files in a folder."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from evswap_edge.alarms import Alarms, book_beside
from evswap_edge.clock import SystemTime
from evswap_edge.config import SafetyRules
from evswap_edge.outbox import Outbox
from evswap_edge.safety import interlock as module
from evswap_edge.safety.interlock import Interlock, Surroundings
from evswap_schema import Bay
from tests.edge.interlocking import STATION, Rack, pack

TRUTH: Final = "truth.json"
POINTS: Final = (
    "before set_charging",
    "after set_charging",
    "before write_latch",
    "after write_latch",
    "before append_event",
    "after append_event",
)
NOWHERE: Final = "nowhere"
_RULES: Final = SafetyRules(every_s=0.1, rise_k_per_s=10, rise_for_s=10)
_ALIVE_S: Final = 30.0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Kept(Rack):
    """A cabinet whose state is a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(2, SystemTime())
        self._file = folder / TRUTH

    async def read_bays(self) -> Sequence[Bay]:
        said = json.loads(self._file.read_text())
        self.inside = {int(n): pack(f"EVS-{n}", temperature=warm) for n, warm in said["warmth"].items()}
        self.enabled = {int(number): enabled for number, enabled in said["enabled"].items()}
        return await super().read_bays()

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        said = json.loads(self._file.read_text())
        said["enabled"][str(bay)] = enabled
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(said))
        draft.replace(self._file)


def put(folder: Path, *, warmth: float, enabled: bool) -> None:
    """Bay 1 is so; bay 2 is well."""
    said = {"warmth": {"1": warmth, "2": 25.0}, "enabled": {"1": enabled, "2": True}}
    (folder / TRUTH).write_text(json.dumps(said))


def charges(folder: Path, bay: int) -> bool:
    return bool(json.loads((folder / TRUTH).read_text())["enabled"][str(bay)])


def booby_trap(point: str) -> None:
    """Have the first call of a step preceded, or followed, by the end."""
    if point == NOWHERE:
        return
    when, name = point.split()
    owner: Any = {"append_event": Outbox, "set_charging": Kept}.get(name, module)
    real = getattr(owner, name)

    def step(*given: Any, **named: Any) -> Any:
        if when == "before":
            die()
        real(*given, **named)
        die()

    async def slow_step(*given: Any, **named: Any) -> Any:
        if when == "before":
            die()
        await real(*given, **named)
        die()

    setattr(owner, name, slow_step if asyncio.iscoroutinefunction(real) else step)


async def main(folder: Path, point: str) -> None:
    """Until what is dangerous is cut, written down and told, or this process is dead."""
    booby_trap(point)
    time, path = SystemTime(), folder / "outbox.sqlite"
    outbox = await Outbox.open(path, station_id=STATION, time=time)
    alarms = Alarms(station_id=STATION, outbox=outbox, time=time, book=book_beside(path))
    around = Surroundings(cabinet=Kept(folder), bays=(), alarms=alarms, time=time, outbox_path=path)
    interlock = Interlock(_RULES, around)
    stop = asyncio.Event()
    working = [asyncio.create_task(run(stop)) for run in (interlock.run, alarms.run)]
    async with asyncio.timeout(_ALIVE_S):
        await until(lambda: interlock.veto(1) and not charges(folder, 1))
        await until(lambda: interlock._kept.is_set() and not alarms._turns)
    stop.set()
    await asyncio.gather(*working)
    await outbox.aclose()


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def live(folder: str, point: str) -> None:
    """The whole life of such a process."""
    asyncio.run(main(Path(folder), point))
