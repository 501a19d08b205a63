"""What the banks of batteries and of chargers have in common: a device for each bay, asked in rounds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from evswap_edge.drivers.modbus.decoding import Contents, NotMeasured, contents
from evswap_edge.drivers.modbus.line import Line, Manners
from evswap_edge.drivers.modbus.lines import Share
from evswap_edge.drivers.modbus.pulse import Pulse
from evswap_edge.drivers.modbus.rounds import Rounds
from evswap_edge.drivers.modbus.seats import Seat
from evswap_edge.hal import ByBay, Unread
from evswap_edge.registers import Table
from evswap_edge.registers.placing import BayMapT

ValueT = TypeVar("ValueT")

MAX_AGE_S: Final = 30.0
"""How old a value of a line gets that is too slow for a round within one reading."""
_SHARE_OF_TIME: Final = 0.8
"""Of the time for which a reading is waited for: what is known by then is better than nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a reading may take, and how old what it tells may be."""

    answer_within_s: float
    max_age_s: float

    @classmethod
    def of(cls, *, waited_for_s: float, max_age_s: float | None) -> "Pace":
        """For a reading that is given up after ``waited_for_s``."""
        return cls(answer_within_s=_SHARE_OF_TIME * waited_for_s, max_age_s=max_age_s or MAX_AGE_S)


class Device(Generic[BayMapT]):
    """The device of one bay."""

    def __init__(self, line: Line, seat: Seat[BayMapT], manners: Manners) -> None:
        self.line: Final = line
        self.seat: Final[Seat[BayMapT]] = seat
        self.manners: Final = manners
        self._pulse = Pulse(seat.layout.heartbeat)

    async def read(self, decode: Callable[[BayMapT, Contents], ValueT]) -> ValueT:
        """What ``decode`` makes of its registers. Raises ``SensorError``."""
        registers: dict[tuple[Table, int], int] = {}
        for block in self.seat.blocks:
            registers |= contents(block, await self.line.read(self.seat.unit, block, self.manners))
        try:
            self._pulse.feel(registers)
            return decode(self.seat.layout, registers)
        except NotMeasured as error:
            raise self.line.failure(self.seat.unit, str(error)) from error


class Bank(Generic[BayMapT, ValueT]):
    """The devices of some bays on one line."""

    def __init__(
        self,
        share: Share,
        seats: Sequence[Seat[BayMapT]],
        manners: Manners,
        pace: Pace,
        ask: Callable[[Device[BayMapT]], Awaitable[ValueT | Unread]],
    ) -> None:
        self._share = share
        self.devices: Final[Mapping[int, Device[BayMapT]]] = {
            seat.bay: Device(share.line, seat, manners) for seat in seats
        }
        self._rounds: Rounds[ValueT] = Rounds(
            {bay: _asking(ask, device) for bay, device in self.devices.items()},
            line=str(share.line.address),
            answer_within_s=pace.answer_within_s,
            max_age_s=pace.max_age_s,
        )

    async def read(self) -> ByBay[ValueT]:
        """As ``Rounds.read``."""
        return await self._rounds.read()

    async def aclose(self) -> None:
        await self._rounds.aclose()
        self._share.give_back()


def _asking(
    ask: Callable[[Device[BayMapT]], Awaitable[ValueT | Unread]], device: Device[BayMapT]
) -> Callable[[], Awaitable[ValueT | Unread]]:
    return lambda: ask(device)
