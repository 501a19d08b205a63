"""Play a schedule: real processes, real brokers, and everything mended at its end."""

import asyncio
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from evswap_schema import Clock
from tests.authority import LOOPBACK, Authority
from tests.chaos.far_sides import CHECKOUT, FarSide, far_side
from tests.chaos.plants import Plant
from tests.chaos.proxy import Proxy, Way
from tests.chaos.schedule import THINGS, Fault, Schedule, Step
from tests.chaos.station import Orders, Pull, StringedCabinet
from tests.chaos.truth import Identity, accepted, arrived
from tests.chaos.verdict import Evidence, Verdict, arrived_identities, judge
from tests.mosquitto import Credentials, Mosquitto

STATION: Final = "station-01"
WINDOW: Final = 20
ACKNOWLEDGE_TIMEOUT_S: Final = 3.0

UNHURRIED_S: Final = 0.05

_PATIENCE_S: Final = 40.0
"""For what has to come to pass once everything is mended."""
_IMPATIENCE_S: Final = 4.0
"""For what is not expected to."""
_DRAIN_S: Final = 20.0
_LOOK_EVERY_S: Final = 0.02
_TMPFS: Final = "5m"


async def play(
    schedule: Schedule,
    folder: Path,
    authority: Authority,
    *,
    plant: Plant | None = None,
    is_patient: bool = True,
) -> Verdict:
    """Run the schedule in `folder`, which is empty, and judge what came of it."""
    async with AsyncExitStack() as stack:
        stage = await Stage.prepared(schedule, folder, authority, plant, stack)
        stage.patience_s = _PATIENCE_S if is_patient else _IMPATIENCE_S
        await stage.perform()
        return stage.judged()


class Stage:
    """A station, its way, its broker, and what can be done to them."""

    def __init__(
        self, schedule: Schedule, disk: Path, side: FarSide, proxy: Proxy, station: "Station"
    ) -> None:
        self._schedule = schedule
        self._disk = disk
        self._side = side
        self._proxy = proxy
        self._station = station
        self._counts_until = math.inf
        self._busy = {thing: asyncio.Lock() for thing in THINGS}
        self.patience_s = _PATIENCE_S

    @classmethod
    async def prepared(
        cls,
        schedule: Schedule,
        folder: Path,
        authority: Authority,
        plant: Plant | None,
        stack: AsyncExitStack,
    ) -> "Stage":
        side = far_side(schedule.broker, folder, authority)
        stack.push_async_callback(side.aclose)
        await side.start()
        certificates = Mosquitto(folder / "certificates", authority=authority)
        mine = certificates.station_credentials(STATION)
        proxy = Proxy(mine, certificates.station_credentials("mosquitto"), side.port)
        stack.push_async_callback(proxy.aclose)
        await proxy.start()
        disk = stack.enter_context(tmpfs()) if schedule.has(Fault.DISK_FULL) else folder
        configuration = folder / "station.json"
        configuration.write_text(json.dumps(_configuration(schedule, proxy.port, mine, disk)))
        station = Station(
            folder,
            configuration,
            plant=plant,
            interval_s=schedule.interval_s,
            boots=random.Random(schedule.name),
        )
        stack.push_async_callback(station.kill)
        return cls(schedule, disk, side, proxy, station)

    async def perform(self) -> None:
        """Every step in its time; then everything is mended and the station is given the time to deliver,
        and asked to stop."""
        await self._station.start()
        await self._until(lambda: any(accepted(self._station.witness)), "the station accepts nothing")
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for step in self._schedule.steps:
                tasks.create_task(self._do(step, begun), name=str(step))
            tasks.create_task(asyncio.sleep(self._schedule.seconds))
        # A step that ended is mended.
        if self._schedule.interval_s < UNHURRIED_S:
            await self._station.slow_down()
        # What is stored by now has to arrive while the station runs:
        await self._until(self._is_at_work, "nothing new arrives once everything is mended")
        mended = time.time()
        await self._until(lambda: self._is_there(until=mended), "not all arrives once everything is mended")
        asked = time.time()
        await self._station.stop()
        # what was stored before it was asked to stop, before it ends;
        await self._until(lambda: self._is_there(until=asked), "stopped, it did not deliver")
        # and what came while it ended, such as an alarm, when it runs again.
        self._counts_until = time.time()
        if not self._is_there(until=self._counts_until):
            await self._station.start()
            await self._until(
                lambda: self._is_there(until=self._counts_until), "not all arrives the next time"
            )
            await self._station.kill()

    def judged(self) -> Verdict:
        schedule, station = self._schedule, self._station
        verdict = judge(
            Evidence(
                accepted=list(accepted(station.witness)),
                counts_until=self._counts_until,
                arrived=list(arrived(self._side.arrivals())),
                connections=self._proxy.connections,
                window=WINDOW,
                kills=station.kills,
                ends=[end for end in station.ends if end <= self._counts_until],
                # A little sooner than it says: the proxy's clock began later than the station's.
                answer_s=ACKNOWLEDGE_TIMEOUT_S * 0.9,
                # A full disk begins another stream.
                states_compare=not (schedule.has(Fault.DISK_FULL) and schedule.has(*_LYING)),
            )
        )
        verdict.faults += station.faults
        return verdict

    # --- the faults ---------------------------------------------------------------------------------------

    async def _do(self, step: Step, begun: float) -> None:
        await asyncio.sleep(max(0.0, begun + step.at - time.monotonic()))
        # What takes longer to be mended than was planned holds up its own next fault, and no other.
        async with self._busy[_thing(step.fault)], self._fault(step):
            await asyncio.sleep(step.seconds)

    @asynccontextmanager
    async def _fault(self, step: Step) -> AsyncIterator[None]:
        match step.fault:
            case Fault.STATION_KILLED | Fault.STATION_STOPPED | Fault.POWER_CUT:
                async with self._without_station(step):
                    yield
            case Fault.BROKER_STOPPED | Fault.BROKER_KILLED:
                await (self._side.stop if step.fault is Fault.BROKER_STOPPED else self._side.kill)()
                yield
                await self._side.start()
            case Fault.DISK_FULL:
                with full_disk(self._disk):
                    yield
            case Fault.LINK_DIES_SILENTLY:
                self._proxy.silence()
                yield
            case Fault.ANSWERED_TWICE:
                self._proxy.acknowledges_twice = True
                yield
                self._proxy.acknowledges_twice = False
            case fault if fault in _WAYS:
                self._proxy.way = _WAYS[fault]
                if fault is Fault.LINK_CUT:
                    self._proxy.cut()
                yield
                self._mend_the_way(fault)
            case _:
                self._station.pull(_wrong(step))
                yield
                self._station.pull(_RIGHT)

    def _mend_the_way(self, fault: Fault) -> None:
        """A connection that lost something never works again; whoever waits finds out by its reset."""
        self._proxy.way = Way.OPEN
        if fault in (Fault.LINK_SWALLOWS, Fault.ANSWERS_SWALLOWED):
            self._proxy.cut()

    @asynccontextmanager
    async def _without_station(self, step: Step) -> AsyncIterator[None]:
        if step.fault is Fault.STATION_STOPPED:
            await self._station.stop()
        else:
            await self._station.kill()
        yield
        if step.fault is not Fault.POWER_CUT:
            await self._station.start()
            return
        self._station.new_boot()
        self._station.pull(Pull(wall_ahead_s=step.amount, clock=Clock.ESTIMATED))
        await self._station.start()
        seen = len(list(accepted(self._station.witness)))
        await self._until(
            lambda: len(list(accepted(self._station.witness))) > seen, "the station accepts nothing"
        )
        self._station.pull(_RIGHT)

    # --- waiting ------------------------------------------------------------------------------------------

    def _is_at_work(self) -> bool:
        """Something that this very process accepted has arrived: it has a link, over which it can deliver
        what is left when it is stopped."""
        began = max(self._station.ends, default=0.0)
        there = self._there()
        return any(one.at > began and one.identity in there for one in accepted(self._station.witness))

    def _is_there(self, *, until: float) -> bool:
        """Whether all has arrived that was accepted until then, but for what a process held in memory that
        has ended since."""
        held_since = max(self._station.ends[: None if self._station.runs else -1], default=0.0)
        there = self._there()
        return all(
            one.identity in there
            for one in accepted(self._station.witness)
            if one.at <= until and (one.durable or one.at > held_since)
        )

    def _there(self) -> set[Identity]:
        return arrived_identities(arrived(self._side.arrivals()))

    async def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.patience_s
        while not holds():
            if time.monotonic() > deadline or self._station.ended_by_itself:
                self._station.faults.append(f"{otherwise} within {self.patience_s:.0f} s")
                return
            await asyncio.sleep(_LOOK_EVERY_S)


class Station:
    """The station's process, as often as it is started."""

    def __init__(
        self,
        folder: Path,
        configuration: Path,
        *,
        boots: random.Random,
        plant: Plant | None = None,
        interval_s: float | None = None,
        speed: float = 1.0,
        bays: int = 4,
    ) -> None:
        self.witness = folder / "witness.jsonl"
        self.faults: list[str] = []
        self.kills: list[float] = []
        self.ends: list[float] = []
        self._folder = folder
        self._orders = Orders(
            configuration=str(configuration),
            witness=str(self.witness),
            boot_id="",
            plant=plant,
            interval_s=interval_s,
            speed=speed,
            bays=bays,
        )
        self._boots = boots
        self._strings = _RIGHT
        self._process: asyncio.subprocess.Process | None = None
        self.new_boot()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def ended_by_itself(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    def new_boot(self) -> None:
        """The next start is on a machine that was started anew."""
        self._boot_id = str(UUID(int=self._boots.getrandbits(128), version=4))

    def pull(self, pull: Pull) -> None:
        """Now, and again whenever it is started."""
        set_now = {name: value for name, value in msgspec.structs.asdict(pull).items() if value is not None}
        self._strings = msgspec.structs.replace(self._strings, **set_now)
        if self.runs and self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(msgspec.json.encode(pull) + b"\n")

    async def start(self) -> None:
        orders = self._folder / "orders.json"
        orders.write_bytes(
            msgspec.json.encode(
                msgspec.structs.replace(self._orders, boot_id=self._boot_id, strings=self._strings)
            )
        )
        with (self._folder / "station.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.station",
                str(orders),
                cwd=CHECKOUT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        await self._process.stdout.readline()  # READY, or nothing: then it has ended, and that is noticed

    async def slow_down(self) -> None:
        """Go on at a pace at which there is time for the backlog, too."""
        await self.stop()
        self._orders = msgspec.structs.replace(self._orders, interval_s=UNHURRIED_S)
        await self.start()

    async def stop(self) -> None:
        """SIGTERM; it has to end by itself, in good order and time."""
        await self._end(signal.SIGTERM, expected=0)

    async def kill(self) -> None:
        if self.runs:
            self.kills.append(time.time())
        await self._end(signal.SIGKILL, expected=-signal.SIGKILL)

    async def _end(self, how: signal.Signals, *, expected: int) -> None:
        if self._process is None:
            return
        process = self._process
        with suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(_DRAIN_S + _PATIENCE_S):
                code = await process.wait()
        except TimeoutError:
            self.faults.append(f"it does not end by {how.name}")
            process.kill()
            code = await process.wait()
        self._process = None
        self.ends.append(time.time())
        if code != expected:
            self.faults.append(f"ended with {code}, see {self._folder / 'station.log'}")


_WAYS: Final = {
    Fault.LINK_CUT: Way.CUT,
    Fault.LINK_SWALLOWS: Way.SWALLOWS,
    Fault.ANSWERS_SWALLOWED: Way.SWALLOWS_ANSWERS,
    Fault.LINK_SLOW: Way.SLOW,
    Fault.LINK_LATE: Way.LATE,
}
_RIGHT: Final = Pull(
    wall_ahead_s=0.0,
    clock=Clock.SYNCHRONIZED,
    climate=StringedCabinet.WORKS,
    bays=StringedCabinet.WORKS,
)


_LYING: Final = (Fault.CLOCK_JUMPS, Fault.CLOCK_ESTIMATED, Fault.POWER_CUT)
"""The wall clock is wrong meanwhile."""


def _thing(fault: Fault) -> str:
    return next((thing for thing, faults in THINGS.items() if fault in faults), "way")


def _wrong(step: Step) -> Pull:
    match step.fault:
        case Fault.CLOCK_JUMPS:
            return Pull(wall_ahead_s=step.amount)
        case Fault.CLOCK_ESTIMATED:
            return Pull(wall_ahead_s=step.amount, clock=Clock.ESTIMATED)
        case Fault.SENSOR_RAISES | Fault.SENSOR_HANGS:
            how = StringedCabinet.RAISES if step.fault is Fault.SENSOR_RAISES else StringedCabinet.HANGS
            return Pull(climate=how) if step.what == "climate" else Pull(bays=how)
    raise ValueError(step.fault)


def _configuration(schedule: Schedule, port: int, mine: Credentials, disk: Path) -> dict[str, object]:
    """A station.yaml (JSON is YAML) whose every time is short."""
    return {
        "station_id": STATION,
        "driver": {"name": "simulated"},
        "transport": {"name": schedule.transport, **_link(schedule.transport, port, mine)},
        "outbox": {"path": str(disk / "outbox.sqlite")},
        "sampling": {"sensor_timeout_s": 0.03},
        "reporting": {"mode": schedule.mode, "batch_age_s": 1.0},
        "publishing": {
            "window": WINDOW,
            "drain_s": _DRAIN_S,
            "retry_min_s": 0.05,
            "retry_max_s": 0.3,
            "backlog_per_s": schedule.backlog_per_s,
            "backlog_jitter_s": 0.3,
        },
    }


def _link(transport: str, port: int, mine: Credentials) -> dict[str, object]:
    settings: dict[str, object] = {
        "host": LOOPBACK,
        "port": port,
        "certificate_file": str(mine.certificate_file),
        "key_file": str(mine.key_file),
        "ca_file": str(mine.ca_file),
        "keep_alive_s": 15,
        "acknowledge_timeout_s": int(ACKNOWLEDGE_TIMEOUT_S),
        "connect_timeout_s": 1,
        "reconnect_min_s": 0.1,
        "reconnect_max_s": 0.3,
    }
    # AWS's own limits would be the bottleneck of a schedule; the plain transport knows none.
    return settings | ({"aws_quotas": False} if transport == "aws-iot" else {})


# --- a disk of its own -----------------------------------------------------------------------------------


def can_mount() -> bool:
    """Whether a disk can be made that may be filled: mount(8), and the right to use it."""
    return (
        os.geteuid() == 0
        and subprocess.run(["mount", "--version"], capture_output=True, check=False).returncode == 0
    )


@contextmanager
def tmpfs() -> Iterator[Path]:
    """A small disk, gone at the end whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="evswap-chaos-disk-"))
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_TMPFS}", "tmpfs", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        folder.rmdir()


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Not a byte is free on the disk that holds `folder`."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()
