"""Sensirion's SHT30, SHT31 and SHT35 on I2C: temperature and humidity of the cabinet.

Each sample is one measurement that the sensor was asked for; nothing runs between two of them, and its
heater is off. ``decoding`` is pure, ``wire`` is the bus.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from evswap_edge.drivers import DriverKind, Role, Surroundings
from evswap_edge.drivers.sht3x.decoding import Repeatability
from evswap_edge.drivers.sht3x.wire import Sensor, device
from evswap_edge.hal import Climate

_LAST_GRACE_S: Final = 1.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the sensor is, and how exactly it measures. Bus 1 is that of the header of a Raspberry Pi."""

    bus: Annotated[int, Meta(ge=0, le=255)] = 1
    address: Literal[0x44, 0x45] = 0x44
    repeatability: Repeatability = Repeatability.HIGH


class Sht3xClimate:
    """A ``ClimateSensor``. The bus blocks, and may hang: it has a thread of its own."""

    def __init__(self, sensor: Sensor, repeatability: Repeatability) -> None:
        self._sensor = sensor
        self._repeatability = repeatability
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sht3x")
        self._turn = asyncio.Lock()
        self._owed: asyncio.Future[Climate] | None = None
        self._is_closed = False

    async def connect(self) -> None:
        """Open the bus. Raises ``DriverUnavailable``."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._sensor.connect)

    async def read_climate(self) -> Climate:
        async with self._turn:
            await self._end_of_the_last()
            measuring = self._thread.submit(self._sensor.measure, self._repeatability)
            self._owed = asyncio.wrap_future(measuring)
            self._owed.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            return await asyncio.shield(self._owed)

    async def aclose(self) -> None:
        """The bus is given back by its own thread, behind whatever that is at; one that hangs is not waited
        for."""
        if self._is_closed:
            return
        self._is_closed = True
        closing = asyncio.wrap_future(self._thread.submit(self._sensor.close))
        self._thread.shutdown(wait=False)
        await asyncio.wait({closing}, timeout=_LAST_GRACE_S)

    async def _end_of_the_last(self) -> None:
        """Somebody may have given up a measurement that the thread is still at."""
        if self._owed is not None and not self._owed.done():
            await asyncio.wait({self._owed})


async def open_sht3x(settings: Settings, _: Surroundings) -> Sht3xClimate:
    """Open the bus. Whether a sensor answers there shows with the first reading."""
    climate = Sht3xClimate(Sensor(settings.bus, settings.address), settings.repeatability)
    try:
        await climate.connect()
    except BaseException:
        await climate.aclose()
        raise
    return climate


def _where(settings: Settings, _: int | None = None) -> str:
    return f"{device(settings.bus)} address {settings.address:#04x}"


KIND: Final = DriverKind(
    settings=Settings,
    open=open_sht3x,
    provides=frozenset({Role.CLIMATE}),
    claims=lambda settings: {"address": _where(settings)},
    where=_where,
)
