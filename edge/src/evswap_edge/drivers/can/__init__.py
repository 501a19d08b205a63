"""Batteries on CAN: what their management systems say by themselves, by a DBC file and a profile of it.

Settings with their constraints; the profile and the DBC file made ready (``layout``, ``addressing``); frames
into batteries, and what may be believed of them (``decoding``, ``memory``), without any I/O; the bus and its
faults (``bus``, ``listener``); and a class that puts them behind a protocol of the HAL.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.dbc import UnknownProfile, read_profile
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import DriverKind, Role, SettingRefused, Surroundings
from evswap_edge.drivers.bays import BayRanges, bay_numbers
from evswap_edge.drivers.can.addressing import BadAddress, Place, heartbeat_key, places
from evswap_edge.drivers.can.bus import Address, Interface, Key
from evswap_edge.drivers.can.decoding import Report
from evswap_edge.drivers.can.layout import LAST_EXTENDED, BadMapping, Layout, make_layout
from evswap_edge.drivers.can.listener import Listener
from evswap_edge.drivers.can.memory import Hearing, Slate, read_all
from evswap_edge.drivers.troubles import Trouble
from evswap_edge.hal import ByBay, DriverUnavailable, SensorError, Unread
from evswap_schema import Battery

_log: Final = logging.getLogger(__name__)

_SETTLING_S: Final = 1.0
"""A bus that was just opened gets so long to have said everything once; what it has not said then, the next
reading finds."""
_LOOK_AGAIN_S: Final = 0.05
_SILENCE_ADVICE: Final = (
    "look at the batteries' supply, CAN_H and CAN_L, termination and bit rate; `evswap-edge probe` shows "
    "what is on the bus"
)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bus, what is said on it, and which bay says it where. What is left out is as the profile has
    it."""

    profile: NameOrFile
    channel: Annotated[str, Meta(pattern=r"^\S{1,64}\Z")]
    bays: BayRanges
    interface: Interface = Interface.SOCKETCAN
    base: Annotated[int, Meta(ge=0, le=LAST_EXTENDED)] | None = None
    stride: Annotated[int, Meta(ge=1, le=LAST_EXTENDED)] | None = None
    nodes: tuple[Annotated[int, Meta(ge=0, le=0xFFFF)], ...] | None = None
    stale_after_s: Annotated[float, Meta(ge=0.05, le=3600)] = 3.0

    def __post_init__(self) -> None:
        bay_numbers(self.bays)

    @property
    def address(self) -> Address:
        """The bus."""
        return Address(self.interface, self.channel)


class CanBatteries:
    """A ``BatteryBank``. What it heard lately is what it answers: a battery management system speaks without
    being asked."""

    def __init__(
        self,
        layout: Layout,
        addressed: Mapping[Key, Place],
        *,
        address: Address,
        stale_after_s: float,
        surroundings: Surroundings,
    ) -> None:
        self._layout = layout
        self._time = surroundings.time
        self._address = address
        self._stale_after_s = stale_after_s
        self._settling_s = min(_SETTLING_S, surroundings.answer_within_s / 2)
        bays = sorted({bay for bay, _ in addressed.values()})
        self._slates = {bay: Slate(layout, stale_after_s=stale_after_s) for bay in bays}
        heartbeat = heartbeat_key(layout)
        self._hearing = Hearing(
            self._slates.values(),
            {key: self._slates[bay].ears[kind.name] for key, (bay, kind) in addressed.items()},
            heartbeat=heartbeat,
        )
        self._troubles = {bay: Trouble(_log, "bms", surroundings, bay=bay) for bay in bays}
        self._listener = Listener(
            address,
            wanted=[*addressed, *([] if heartbeat is None else [heartbeat])],
            hear=self._hearing.hear,
            monotonic=self._time.monotonic,
        )

    def open(self) -> None:
        """Begin to listen. Raises ``DriverUnavailable``."""
        self._listener.open()

    async def read_batteries(self) -> ByBay[Battery | None]:
        deadline = asyncio.get_running_loop().time() + self._settling_s
        while True:
            self._listen()
            reports = self._reports()
            if self._has_settled(reports) or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        self._require_sound_bus()
        self._tell_faults(reports)
        return {
            bay: report.battery if isinstance(report, Report) else report for bay, report in reports.items()
        }

    async def read_battery_faults(self) -> ByBay[tuple[str, ...]]:
        """The faults that each battery's own management system sees, by their names in the DBC file; none of
        an empty bay. Raises ``SensorError``."""
        self._listen()
        self._require_sound_bus()
        return {bay: _faults(report) for bay, report in self._reports().items()}

    async def aclose(self) -> None:
        self._listener.close()

    # --- reading ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Hear what has come until now, on a bus that is opened again when it was lost."""
        self._listener.catch_up()
        try:
            self._listener.open()
        except DriverUnavailable as error:
            raise SensorError(sensor=error.device, reason=error.reason) from error

    def _reports(self) -> Mapping[int, Report | Unread | None]:
        now, since = self._time.monotonic(), self._listener.since
        return read_all(self._layout, self._slates, now, listening_since=since)

    def _has_settled(self, reports: Mapping[int, Report | Unread | None]) -> bool:
        """Whether there is nothing to wait for: all is read, or the bus had its time."""
        listened_s = self._time.monotonic() - self._listener.since
        return listened_s > self._settling_s or not any(isinstance(each, Unread) for each in reports.values())

    def _require_sound_bus(self) -> None:
        """Raises ``SensorError`` while the bus itself is what is wrong. That all bays are empty is believed
        only while somebody is heard."""
        if trouble := self._listener.trouble():
            raise SensorError(sensor=str(self._address), reason=trouble)
        now, heard_at = self._time.monotonic(), self._hearing.heard_at
        if heard_at is None or now - heard_at > self._stale_after_s:
            heard = "yet" if heard_at is None else f"for {now - heard_at:.1f} s"
            error = self._listener.last_error(since=heard_at or 0.0)
            reason = f"no bay has been heard {heard}{error}; {_SILENCE_ADVICE}"
            raise SensorError(sensor=str(self._address), reason=reason)

    def _tell_faults(self, reports: Mapping[int, Report | Unread | None]) -> None:
        """In the log and as alarms. Of a bay that cannot be read, nothing new is known."""
        for bay, report in reports.items():
            if isinstance(report, Unread):
                continue
            faults = report.faults if report else ()
            self._troubles[bay].seen(f"the battery reports {', '.join(faults)}" if faults else None)


def _faults(report: Report | Unread | None) -> tuple[str, ...] | Unread:
    if isinstance(report, Unread):
        return report
    return report.faults if report else ()


def read_layout(profile: NameOrFile) -> Layout:
    """The profile and its DBC file, ready. Raises ``UnknownProfile``, or ``ConfigurationError`` about either
    file."""
    described, document = read_profile(profile)
    try:
        return make_layout(described)
    except BadMapping as error:
        raise document.error(error.key, error.problem, nearest=error.nearest) from error


def _addressed(settings: Settings, layout: Layout) -> Mapping[Key, Place]:
    return places(
        layout,
        bays=bay_numbers(settings.bays),
        base=settings.base,
        stride=settings.stride,
        nodes=settings.nodes,
    )


def check_can(settings: Settings) -> None:
    """Look at profile, DBC file and identifiers. Raises ``SettingRefused``, or ``ConfigurationError`` about
    one of the files."""
    try:
        layout = read_layout(settings.profile)
        _addressed(settings, layout)
        if settings.interface is Interface.UDP_MULTICAST:
            settings.address.group()
    except UnknownProfile as error:
        raise SettingRefused("profile", str(error), nearest=error.nearest) from error
    except BadAddress as error:
        raise SettingRefused(error.setting, error.problem) from error
    except ValueError as error:
        raise SettingRefused("channel", str(error)) from error


async def open_can(settings: Settings, surroundings: Surroundings) -> CanBatteries:
    """Open the bus and begin to listen. Whether anybody speaks there shows with the first reading."""
    layout = read_layout(settings.profile)
    batteries = CanBatteries(
        layout,
        _addressed(settings, layout),
        address=settings.address,
        stale_after_s=settings.stale_after_s,
        surroundings=surroundings,
    )
    batteries.open()
    return batteries


KIND: Final = DriverKind(
    settings=Settings,
    open=open_can,
    check=check_can,
    provides=frozenset({Role.BATTERIES}),
    bays=lambda settings: bay_numbers(settings.bays),
    where=lambda settings, _: settings.channel,
)
