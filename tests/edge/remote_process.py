"""A station's desk in a process of its own, which kills itself at one point of a command's way. The cabinet's
mechanics, and whoever sends commands, outlive it: they are files in a folder."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from evswap_edge.clock import SystemTime
from evswap_edge.hal import Climate
from evswap_edge.message import Message
from evswap_edge.remote.desk import Desk
from evswap_edge.remote.journal import Journal
from evswap_edge.testing import charged_bay
from evswap_edge.transports import Assurance
from evswap_schema import Bay, Channel, Clock, Lock, broker_topic
from tests.edge.remote import STATION, configuration
from tests.edge.swapping import swapping

NOWHERE: Final = "nowhere"
BEFORE_INTENT: Final = "before the intent is written down"
AFTER_INTENT: Final = "after the intent is written down"
ORDERED: Final = "after the relay has moved"
BEFORE_RESULT: Final = "before the result is written down"
AFTER_RESULT: Final = "after the result is written down"
BEFORE_TELLING: Final = "before the result is told"
TOLD: Final = "after the result is told"
MARKED: Final = "after it is written down that it was told"
POINTS: Final = (
    BEFORE_INTENT, AFTER_INTENT, ORDERED, BEFORE_RESULT, AFTER_RESULT, BEFORE_TELLING, TOLD, MARKED,
)  # fmt: skip

BAY: Final = 2
ORDERS: Final = "orders"
RESULTS: Final = "results"
COMMAND: Final = "command"
SHUT: Final = "shut"
"""Exists once the door has fallen shut again."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def append(file: Path, line: str) -> None:
    with file.open("a") as opened:
        opened.write(f"{line}\n")


class Synchronized(SystemTime):
    def state(self) -> Clock:
        return Clock.SYNCHRONIZED


class MechanicalCabinet:
    """What was ordered is in a file, and so is what the door shows."""

    def __init__(self, folder: Path, point: str) -> None:
        self._folder = folder
        self._point = point

    async def read_climate(self) -> Climate:
        return Climate(temperature=20.0, humidity=40.0)

    async def read_bays(self) -> Sequence[Bay]:
        ordered = (self._folder / ORDERS).exists() and not (self._folder / SHUT).exists()
        return [bay_of(number, unlocked=ordered and number == BAY) for number in range(1, 4)]

    async def unlock(self, bay: int) -> None:
        append(self._folder / ORDERS, str(bay))
        if self._point == ORDERED:
            die()

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        raise AssertionError

    async def aclose(self) -> None:
        pass


def bay_of(number: int, *, unlocked: bool) -> Bay:
    closed = charged_bay(number)
    return Bay(**{**{name: getattr(closed, name) for name in closed.__struct_fields__},
                  "lock": Lock.UNLOCKED if unlocked else Lock.LOCKED})  # fmt: skip


class Wire:
    """Delivers the one command, and keeps what came up."""

    assurance = Assurance.DELIVERED

    def __init__(self, folder: Path, point: str) -> None:
        self._folder = folder
        self._point = point
        self.on_message: Callable[[str, bytes], None]

    async def connect(self) -> None:
        if (self._folder / COMMAND).exists():
            topic = broker_topic(Channel.COMMAND, STATION, "c-1")
            self.on_message(topic, (self._folder / COMMAND).read_bytes())

    async def send(self, message: Message) -> None:
        if not message.topic.endswith("/result"):
            return
        final = json.loads(message.payload)["outcome"] != "accepted"
        if final and self._point == BEFORE_TELLING:
            die()
        append(self._folder / RESULTS, message.payload.decode())
        if final and self._point == TOLD:
            die()

    async def subscribe(self, topic_filter: str, on_message: Callable[[str, bytes], None]) -> None:
        self.on_message = on_message

    async def aclose(self) -> None:
        pass


def booby_trap(point: str, marked: asyncio.Event) -> None:
    """Have the journal's own steps followed, or preceded, by the end."""
    steps = {
        "begin": (BEFORE_INTENT, AFTER_INTENT),
        "finish": (BEFORE_RESULT, AFTER_RESULT),
        "mark": ("", MARKED),
    }
    loop = asyncio.get_running_loop()

    def trapped(name: str) -> Callable[..., Any]:
        real, (before, after) = getattr(Journal, name), steps[name]

        def step(*given: Any, **named: Any) -> Any:
            if point == before:
                die()
            outcome = real(*given, **named)
            if point == after:
                die()
            if name == "mark" and named["told"]:
                loop.call_soon_threadsafe(marked.set)
            return outcome

        return step

    for name in steps:
        setattr(Journal, name, trapped(name))


async def main(folder: Path, point: str) -> None:
    """Until the result was told and that was written down, or this process is dead."""
    marked, stop = asyncio.Event(), asyncio.Event()
    booby_trap(point, marked)
    wire = Wire(folder, point)
    (config,) = configuration(folder, feedback_s=0.5).stations
    time, cabinet = Synchronized(), MechanicalCabinet(folder, point)
    async with swapping(config, cabinet, time) as swaps:
        desk = Desk(
            config,
            cabinet=cabinet,
            transport=wire,
            time=time,
            take_reading=None,  # type: ignore[arg-type]
            control=None,
            swaps=swaps,
        )
        await desk.listen()
        working = asyncio.create_task(desk.run(stop))
        desk.on_link(True)
        await wire.connect()
        async with asyncio.timeout(20):
            await marked.wait()
        stop.set()
        await working


def live(folder: str, point: str) -> None:
    """The whole life of such a process."""
    asyncio.run(main(Path(folder), point))
