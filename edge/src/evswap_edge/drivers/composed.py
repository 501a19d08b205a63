"""A station out of several drivers, each for its role and its bays, read side by side.

What one driver does to itself costs nobody else: each is read under a time-out of its own, and what it
cannot say is said to be unknown. One that cannot be opened is opened by a later reading. Only a station of
which nothing can be opened does not begin.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeGuard, TypeVar

from evswap_edge.drivers import DriverKind, Role, Surroundings
from evswap_edge.drivers.bays import written
from evswap_edge.drivers.composition import Composition, Part
from evswap_edge.drivers.guarding import Guarded, read_together
from evswap_edge.drivers.merging import (
    Problems,
    battery_problems,
    bay_problem,
    charger_problem,
    each_by_itself,
    faults_problem,
    lock_problem,
    merged,
    unknown,
)
from evswap_edge.drivers.troubles import Trouble
from evswap_edge.hal import (
    ActionRefused,
    BatteryBank,
    BatteryFaults,
    BayActuators,
    BayBank,
    ByBay,
    Charger,
    ChargerBank,
    Climate,
    ClimateSensor,
    DriverUnavailable,
    Hardware,
    LockBank,
    Safety,
    SafetyInputs,
    SensorError,
    TokenReader,
    Unread,
)
from evswap_schema import Battery, Bay, Lock

ValueT = TypeVar("ValueT")
ProtocolT = TypeVar("ProtocolT")

_SHARE_OF_PATIENCE: Final = 0.9
"""A driver may take this share of the time that the whole reading has: who waits for all of them still gets
what the others said."""
_OPENED_AGAIN_S: Final = (0.0, 1.0, 2.0, 5.0, 10.0)
"""So long after the first failure to open a driver, the second and so on, a reading may try again: what is
back is used at once, and what never comes is not opened and closed with every look."""
_LAST_GRACE_S: Final = 1.0
"""For so long an opening that was given up is waited for."""
_NOT_SAID: Final = Unread("the driver said nothing about this bay")

_log: Final = logging.getLogger(__name__)


class _Seat:
    """A place for a driver, and the hardware that fills it once it could be opened."""

    def __init__(self, part: Part, surroundings: Surroundings) -> None:
        self.part = part
        self._surroundings = surroundings
        self._opening: asyncio.Task[Hardware] | None = None
        self._monotonic = surroundings.time.monotonic
        self._failures = 0
        self._again_at = 0.0
        self._offered: dict[type, bool] = {}

    async def hardware(self) -> Hardware:
        """Open it, unless it is. There is one attempt at a time, however long it takes, and a while between
        two that fail. Raises ``DriverUnavailable``."""
        if self._opening is None or (_failed(self._opening) and self._monotonic() >= self._again_at):
            opening = self.part.kind.open(self.part.settings, self._surroundings)
            self._opening = asyncio.ensure_future(opening)
            self._offered.clear()
            self._opening.add_done_callback(self._note)
        return await asyncio.shield(self._opening)

    def _note(self, opening: "asyncio.Task[Hardware]") -> None:
        if not _failed(opening):
            self._failures = 0
            return
        self._again_at = self._monotonic() + _OPENED_AGAIN_S[min(self._failures, len(_OPENED_AGAIN_S) - 1)]
        self._failures += 1

    async def having(self, protocol: type[ProtocolT]) -> ProtocolT:
        """The hardware, which has the ``protocol`` of the role. Raises ``SensorError``, or
        ``DriverUnavailable`` when the driver declares a role that it does not have."""
        try:
            hardware = await self.hardware()
        except DriverUnavailable as error:
            raise SensorError(sensor=error.device, reason=error.reason) from error
        if self.offers(hardware, protocol):
            return hardware
        reason = f"declares the role {self.part.role} and does not have it; mend the driver"
        raise DriverUnavailable(device=f"driver {self.part.name}", reason=reason)

    def offers(self, hardware: object, protocol: type[ProtocolT]) -> TypeGuard[ProtocolT]:
        """Whether the ``hardware`` of this seat has the ``protocol``, looked up once for each opening: that
        takes longer than what is asked of it."""
        if protocol not in self._offered:
            self._offered[protocol] = isinstance(hardware, protocol)
        return self._offered[protocol]

    async def acting(self, protocol: type[ProtocolT], bay: int) -> ProtocolT:
        """The same for something that is to be done to ``bay``. Raises ``ActionRefused``."""
        try:
            hardware = await self.hardware()
        except DriverUnavailable as error:
            raise ActionRefused(bay=bay, reason=str(error)) from error
        if isinstance(hardware, protocol):
            return hardware
        raise ActionRefused(bay=bay, reason=f"the driver {self.part.name} has no actuators")

    async def aclose(self) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        if not opening.done():
            opening.cancel()
            await asyncio.wait({opening}, timeout=_LAST_GRACE_S)
        if opening.done() and not _failed(opening):
            await opening.result().aclose()


class _Bank(Generic[ValueT]):
    """One driver in one role: what it says of its bays, always of all of them and always in time, and what
    is wrong with it."""

    def __init__(
        self,
        seat: _Seat,
        sensor: str,
        surroundings: Surroundings,
        *,
        read: Callable[[_Seat], Awaitable[Mapping[int, object]]],
        problems: Problems,
    ) -> None:
        self._seat = seat
        self._read_seat = read
        self._problems = problems
        self.sensor = Guarded(
            self._read, name=sensor, within_s=_SHARE_OF_PATIENCE * surroundings.answer_within_s
        )
        self._trouble = Trouble(_log, sensor, surroundings)
        self._troubles = {bay: Trouble(_log, sensor, surroundings, bay=bay) for bay in seat.part.bays}
        self._is_known_well = False

    def by_bay(self, answer: ByBay[ValueT] | Unread) -> ByBay[ValueT]:
        """The ``answer`` of the sensor; what is wrong with it has been told."""
        if isinstance(answer, Unread):
            answer = dict.fromkeys(self._troubles, answer)
        if not (self._is_known_well and _are_all_read(answer)):
            self._complain(answer)
        return answer

    async def aclose(self) -> None:
        await self.sensor.aclose()

    async def _read(self) -> ByBay[ValueT]:
        said = await self._read_seat(self._seat)
        values: dict[int, Any] = {bay: said.get(bay, _NOT_SAID) for bay in self._troubles}
        told = values
        if not _are_all_read(values):
            told = {bay: value for bay, value in values.items() if not isinstance(value, Unread)}
        return values | {bay: Unread(problem) for bay, problem in self._problems(told).items()}

    def _complain(self, answer: ByBay[ValueT]) -> None:
        """A driver of which no bay can be read is one trouble, and not as many as it has bays."""
        reasons = {bay: _reason(value) for bay, value in answer.items()}
        self._tell(reasons)
        troubles = (self._trouble, *self._troubles.values())
        self._is_known_well = all(trouble.is_known_well for trouble in troubles)

    def _tell(self, reasons: Mapping[int, str | None]) -> None:
        if all(reasons.values()):
            self._trouble.seen(next(iter(reasons.values())))
            return
        self._trouble.seen(None)
        for bay, reason in reasons.items():
            self._troubles[bay].seen(reason)


class ComposedCabinet:
    """A ``Cabinet`` of the drivers of a ``Composition``."""

    def __init__(self, station: Composition, surroundings: Surroundings) -> None:
        self._station = station
        self._surroundings = surroundings
        self._seats: Final = [_Seat(part, surroundings) for part in station.parts]
        self._whole: list[_Bank[Bay]] = self._banks(Role.BAYS, _read_bays, each_by_itself(bay_problem))
        self._batteries: list[_Bank[Battery | None]] = self._banks(
            Role.BATTERIES, _read_batteries, battery_problems
        )
        self._faults: list[_Bank[tuple[str, ...]]] = self._banks(
            Role.BATTERIES, _read_battery_faults, each_by_itself(faults_problem), told_as="{}_faults"
        )
        self._locks: list[_Bank[Lock]] = self._banks(Role.LOCKS, _read_locks, each_by_itself(lock_problem))
        self._chargers: list[_Bank[Charger]] = self._banks(
            Role.CHARGERS, _read_chargers, each_by_itself(charger_problem)
        )

    async def open(self) -> None:
        """Open what can be opened; what takes long goes on. Raises ``DriverUnavailable`` when nothing can
        be."""
        attempts = [asyncio.ensure_future(seat.hardware()) for seat in self._seats]
        ended, under_way = await asyncio.wait(attempts, timeout=self._surroundings.answer_within_s)
        for attempt in under_way:
            attempt.cancel()
        failures = [error for attempt in attempts if attempt in ended and (error := attempt.exception())]
        unexpected = [each for each in failures if not isinstance(each, DriverUnavailable)]
        if unexpected or len(failures) == len(attempts):
            await self.aclose()
            raise (unexpected or failures)[0]

    async def read_climate(self) -> Climate:
        sensor = await self._only(Role.CLIMATE).having(ClimateSensor)  # type: ignore[type-abstract]
        return await sensor.read_climate()

    async def read_bays(self) -> Sequence[Bay]:
        """All bays, of which some may be unknown; never raises."""
        kinds = (self._whole, self._batteries, self._faults, self._locks, self._chargers)
        answers = iter(await read_together([bank.sensor for banks in kinds for bank in banks]))
        whole, batteries, faults, locks, chargers = (
            _together([bank.by_bay(next(answers)) for bank in banks]) for banks in kinds
        )
        bays = {bay: unknown(bay) if isinstance(said, Unread) else said for bay, said in whole.items()}
        for bay, battery in batteries.items():
            known = faults.get(bay, ())
            own = () if isinstance(known, Unread) else known
            bays[bay] = merged(bay, battery, locks.get(bay), chargers.get(bay), own)
        return tuple(bays[bay] for bay in sorted(bays))

    async def unlock(self, bay: int) -> None:
        if seat := self._seat(Role.LOCKS, bay):
            await (await seat.acting(LockBank, bay)).unlock(bay)  # type: ignore[type-abstract]
        else:
            await (await self._actuators(bay, lacking="no driver has its lock")).unlock(bay)

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        if seat := self._seat(Role.CHARGERS, bay):
            chargers = await seat.acting(ChargerBank, bay)  # type: ignore[type-abstract]
            await chargers.set_charging(bay, enabled=enabled)
        else:
            actuators = await self._actuators(bay, lacking="no driver has its charger")
            await actuators.set_charging(bay, enabled=enabled)

    async def aclose(self) -> None:
        """Give back all that was opened, also when one of them fails at that."""
        for banks in (self._whole, self._batteries, self._faults, self._locks, self._chargers):
            await asyncio.gather(*(bank.aclose() for bank in banks))
        outcomes = await asyncio.gather(*(seat.aclose() for seat in self._seats), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def _banks(
        self,
        role: Role,
        read: Callable[[_Seat], Awaitable[Mapping[int, object]]],
        problems: Problems,
        *,
        told_as: str = "{}",
    ) -> list[_Bank[Any]]:
        seats = self._seats_of(role)
        names = _names([seat.part for seat in seats])
        return [
            _Bank(seat, told_as.format(name), self._surroundings, read=read, problems=problems)
            for seat, name in zip(seats, names, strict=True)
        ]

    def _seats_of(self, role: Role) -> list[_Seat]:
        return [seat for seat in self._seats if seat.part.role is role]

    def _only(self, role: Role) -> _Seat:
        return self._seats_of(role)[0]

    def _seat(self, role: Role, bay: int) -> _Seat | None:
        return next((seat for seat in self._seats_of(role) if bay in seat.part.bays), None)

    async def _actuators(self, bay: int, *, lacking: str) -> BayActuators:
        """Of the driver that has everything of the bay. Raises ``ActionRefused``."""
        if bay not in self._station.bays:
            raise ActionRefused(bay=bay, reason=f"there are bays {written(self._station.bays)}")
        if (seat := self._seat(Role.BAYS, bay)) is None:
            raise ActionRefused(bay=bay, reason=lacking)
        return await seat.acting(BayActuators, bay)  # type: ignore[type-abstract]


class _Watched(ComposedCabinet):
    """With ``SafetyInputs``."""

    async def read_safety(self) -> Safety:
        """Danger that one driver sees counts, whatever is wrong with another."""
        answers = await asyncio.gather(
            *(self._look(seat) for seat in self._seats_of(Role.SAFETY)), return_exceptions=True
        )
        seen = [answer for answer in answers if isinstance(answer, Safety)]
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        safety = Safety(
            smoke=any(each.smoke for each in seen),
            blocked_doors=frozenset().union(*(each.blocked_doors for each in seen)),
        )
        if failures and not safety.smoke:
            raise failures[0]
        return safety

    async def _look(self, seat: _Seat) -> Safety:
        return await (await seat.having(SafetyInputs)).read_safety()  # type: ignore[type-abstract]


class _WithReader(ComposedCabinet):
    """With a ``TokenReader``."""

    async def read_token(self) -> str:
        reader = await self._only(Role.READER).having(TokenReader)  # type: ignore[type-abstract]
        return await reader.read_token()


class _WatchedWithReader(_Watched, _WithReader):
    """With both."""


def composed(station: Composition, surroundings: Surroundings) -> ComposedCabinet:
    """The drivers together, with the protocols of the roles that are filled and of no others: a station
    without a smoke detector must not look like one that sees no smoke."""
    watched, reader = bool(station.of(Role.SAFETY)), bool(station.of(Role.READER))
    match watched, reader:
        case True, True:
            return _WatchedWithReader(station, surroundings)
        case True, False:
            return _Watched(station, surroundings)
        case False, True:
            return _WithReader(station, surroundings)
    return ComposedCabinet(station, surroundings)


async def open_composed(station: Composition, surroundings: Surroundings) -> ComposedCabinet:
    """Put the drivers together and open what can be opened. Raises ``DriverUnavailable``."""
    cabinet = composed(station, surroundings)
    await cabinet.open()
    return cabinet


KIND: Final = DriverKind(settings=Composition, open=open_composed, bays=lambda station: station.bays)


async def _read_bays(seat: _Seat) -> Mapping[int, object]:
    bank = await seat.having(BayBank)  # type: ignore[type-abstract]
    said: dict[int, object] = {}
    for bay in await bank.read_bays():
        said[bay.bay] = Unread("two bays have the same number") if bay.bay in said else bay
    return said


async def _read_batteries(seat: _Seat) -> Mapping[int, object]:
    return await (await seat.having(BatteryBank)).read_batteries()  # type: ignore[type-abstract]


async def _read_battery_faults(seat: _Seat) -> Mapping[int, object]:
    """Of batteries that say so. One that cannot be read is the trouble of those who read the batteries."""
    no_faults = dict.fromkeys(seat.part.bays, ())
    try:
        bank = await seat.having(BatteryBank)  # type: ignore[type-abstract]
        said = await bank.read_battery_faults() if seat.offers(bank, BatteryFaults) else {}  # type: ignore[type-abstract]
    except (SensorError, DriverUnavailable):
        return no_faults
    return {**no_faults, **{bay: one for bay, one in said.items() if not isinstance(one, Unread)}}


async def _read_locks(seat: _Seat) -> Mapping[int, object]:
    return await (await seat.having(LockBank)).read_locks()  # type: ignore[type-abstract]


async def _read_chargers(seat: _Seat) -> Mapping[int, object]:
    return await (await seat.having(ChargerBank)).read_chargers()  # type: ignore[type-abstract]


def _together(answers: Iterable[ByBay[Any]]) -> dict[int, Any]:
    """What several drivers of one role say."""
    return {bay: value for answer in answers for bay, value in answer.items()}


def _are_all_read(answer: Mapping[int, object]) -> bool:
    return Unread not in {*map(type, answer.values())}


def _reason(value: object) -> str | None:
    return value.reason if isinstance(value, Unread) else None


def _names(parts: Sequence[Part]) -> list[str]:
    """What log and alarms call each driver of a role: ``batteries_can``, ``batteries_can_2``."""
    names: list[str] = []
    for part in parts:
        plain = re.sub(r"[^a-z0-9]", "_", f"{part.role}_{part.name}".lower())[:32]
        same = sum(name == plain or name.startswith(f"{plain}_") for name in names)
        names.append(f"{plain}_{same + 1}" if same else plain)
    return names


def _failed(opening: "asyncio.Task[Hardware]") -> bool:
    """Whether the attempt has ended without success."""
    return opening.done() and (opening.cancelled() or opening.exception() is not None)
