"""A real station in a process of its own, whose clock, sensors and bugs are pulled by strings.

Told by one JSON file (`Orders`); while it runs it takes a line of JSON (`Pull`) from its standard input for
each string that is pulled. What its outbox has accepted is written to the witness file after `append_all`
has returned: the truth that the suite holds the broker's records against.

    python -m tests.chaos.station ORDERS
"""

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from unittest import mock

import msgspec
from msgspec import Struct

from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import Chosen, StationConfig, station_of
from evswap_edge.documents import Document
from evswap_edge.drivers import DriverKind, Surroundings
from evswap_edge.hal import Climate, SensorError
from evswap_edge.lean import with_one_heap
from evswap_edge.logs import configure
from evswap_edge.outbox import NewSample, Outbox, Sample
from evswap_edge.stopping import until_stopped
from evswap_edge.testing import charged_bay
from evswap_schema import Bay, Charge, Reservation
from evswap_schema import Clock as ClockState
from tests.chaos import plants

READY: Final = "ready"


class Pull(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One string: what it is set to. Absent: as before."""

    wall_ahead_s: float | None = None
    clock: ClockState | None = None
    climate: str | None = None
    bays: str | None = None


class Orders(Struct, frozen=True, kw_only=True):
    """`configuration` is a station.yaml; its driver is replaced by the one on strings, and its interval by
    `interval_s` where that is given: a configuration allows none as short. Time runs `speed` times as fast as
    it does."""

    configuration: str
    boot_id: str
    witness: str | None = None
    strings: Pull = Pull()
    plant: plants.Plant | None = None
    speed: float = 1.0
    interval_s: float | None = None
    bays: int = 4
    is_brief: bool = False
    """The witness writes one byte a sample: how many there were."""


class StringedTime(SystemTime):
    """The machine's clocks, as they would be in the boot that is told: a process that comes later in it
    counts on from where those before it were."""

    def __init__(self, boot_id: str, speed: float) -> None:
        super().__init__()
        self.boot_id = boot_id
        self.ahead_s = 0.0
        self.clock = ClockState.SYNCHRONIZED
        self._speed = speed
        self._began_at = time.time()
        # Each boot counts from another moment, as each boot of a machine does.
        self._counts_from_s = float(int(boot_id[:4], 16))

    def monotonic(self) -> float:
        return self._counts_from_s + super().monotonic() * self._speed

    def now(self) -> datetime:
        true_s = self._began_at + (time.time() - self._began_at) * self._speed
        return datetime.fromtimestamp(true_s, UTC) + timedelta(seconds=self.ahead_s)

    def state(self) -> ClockState:
        return self.clock

    async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
        await super().wait_until((moment - self._counts_from_s) / self._speed, unless=unless)


class StringedCabinet:
    """Bays in which something changes now and then, and sensors that fail or hang when told to."""

    WORKS: Final = "works"
    RAISES: Final = "raises"
    HANGS: Final = "hangs"

    def __init__(self, bays: int) -> None:
        self.climate = self.bays = self.WORKS
        self._numbers = range(1, bays + 1)
        self._reads = 0

    async def read_climate(self) -> Climate:
        await self._behave(self.climate, "climate")
        return Climate(temperature=20 + self._reads % 40 / 10, humidity=42.0)

    async def read_bays(self) -> Sequence[Bay]:
        await self._behave(self.bays, "bays")
        self._reads += 1
        return tuple(_bay(number, self._reads) for number in self._numbers)

    async def aclose(self) -> None:
        pass

    async def _behave(self, how: str, sensor: str) -> None:
        if how == self.RAISES:
            raise SensorError(sensor=sensor, reason="told to fail")
        if how == self.HANGS:
            await asyncio.Event().wait()


def _bay(number: int, reads: int) -> Bay:
    """One bay after another charges for seven reads; reservations follow another beat."""
    charging = reads // 7 % 6 == number
    return msgspec.structs.replace(
        charged_bay(number),
        charge=Charge.CHARGING if charging else Charge.CHARGED,
        reservation=Reservation.RESERVED if reads // 11 % 5 == number else Reservation.FREE,
    )


class Strings:
    """Applies pulls to clock and sensors."""

    def __init__(self, time_source: StringedTime, cabinet: StringedCabinet) -> None:
        self._time = time_source
        self._cabinet = cabinet

    def pull(self, pull: Pull) -> None:
        self._time.ahead_s = self._time.ahead_s if pull.wall_ahead_s is None else pull.wall_ahead_s
        self._time.clock = pull.clock or self._time.clock
        self._cabinet.climate = pull.climate or self._cabinet.climate
        self._cabinet.bays = pull.bays or self._cabinet.bays

    async def obey(self) -> None:
        """Follow what the standard input says."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            self.pull(msgspec.json.decode(line, type=Pull))


class Witness:
    """Says what was accepted, once it was."""

    def __init__(self, file: Path, *, is_brief: bool = False) -> None:
        self._is_brief = is_brief
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note all that any outbox of this process accepts."""
        append_all, append_event = Outbox.append_all, Outbox.append_event

        async def noting_samples(outbox: Outbox, samples: Sequence[NewSample]) -> Sequence[Any]:
            stored = await append_all(outbox, samples)
            for sample in stored:
                if isinstance(sample, Sample):
                    self._note("sample", sample, durable=outbox.trouble is None)
            return stored

        async def noting_events(outbox: Outbox, *arguments: Any, **options: Any) -> Any:
            event = await append_event(outbox, *arguments, **options)
            self._note("event", event, durable=outbox.trouble is None)
            return event

        with (
            mock.patch.object(Outbox, "append_all", noting_samples),
            mock.patch.object(Outbox, "append_event", noting_events),
        ):
            yield

    def _note(self, kind: str, stored: Any, *, durable: bool) -> None:
        if self._is_brief:
            os.write(self._file, b"." if kind == "sample" else b"")
            return
        line = {
            "kind": kind,
            "stream": stored.stream_id,
            "sequence": stored.sequence,
            "durable": durable,
            "at": time.time(),
            "body": base64.b64encode(stored.body).decode(),
        }
        os.write(self._file, json.dumps(line).encode() + b"\n")


def _configured(orders: Orders, cabinet: StringedCabinet) -> StationConfig:
    [config] = station_of(Document(Path(orders.configuration))).stations

    async def open_cabinet(_: Struct, __: Surroundings) -> StringedCabinet:
        return cabinet

    driver = Chosen(name="stringed", kind=DriverKind(settings=Struct, open=open_cabinet), settings=Struct())
    transport, sampling = config.transport, config.sampling
    if orders.plant is not None:
        transport = dataclasses.replace(transport, kind=plants.planted(transport.kind, orders.plant))
    if orders.interval_s is not None:
        sampling = msgspec.structs.replace(sampling, interval_s=orders.interval_s)
    return dataclasses.replace(config, driver=driver, transport=transport, sampling=sampling)


async def _run(config: StationConfig, time_source: StringedTime, stop: asyncio.Event) -> None:
    print(READY, flush=True)  # from here on a SIGTERM is a request, and no longer the end
    await run_station(config, time_source, stop)


async def main(orders: Orders) -> None:
    with_one_heap()
    time_source = StringedTime(orders.boot_id, orders.speed)
    cabinet = StringedCabinet(orders.bays)
    strings = Strings(time_source, cabinet)
    strings.pull(orders.strings)
    config = _configured(orders, cabinet)
    with contextlib.ExitStack() as stack:
        if orders.witness is not None:
            stack.enter_context(Witness(Path(orders.witness), is_brief=orders.is_brief).watching())
        async with asyncio.TaskGroup() as tasks:
            obeying = tasks.create_task(strings.obey())
            await until_stopped(lambda stop: _run(config, time_source, stop))
            obeying.cancel()


if __name__ == "__main__":
    configure("info")
    asyncio.run(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)))
