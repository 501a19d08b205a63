"""What the banks of batteries and of chargers have in common: a device for each bay, asked in rounds."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Final, Generic, TypeVar

from evswap_edge.drivers.modbus.decoding import Block, Contents, NotMeasured, contents, joined
from evswap_edge.drivers.modbus.line import Line, LineDown, Manners, Refusal, Silence
from evswap_edge.drivers.modbus.lines import Share
from evswap_edge.drivers.modbus.pulse import Pulse
from evswap_edge.drivers.modbus.rounds import Rounds, Turn
from evswap_edge.drivers.modbus.seats import Seat
from evswap_edge.hal import ByBay, SensorError, Unread
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


class Registers:
    """The registers of one unit as they are in one round: each question is asked once, for all bays that need
    it."""

    def __init__(self, line: Line, unit: int, manners: Manners, together: "Together") -> None:
        self._line = line
        self._unit = unit
        self._manners = manners
        self._together = together
        self._together_failed: dict[Block, SensorError | None] = {}
        self._alone_failed: dict[Block, SensorError | None] = {}
        self._contents: dict[int, int] = {}
        self._silence: Silence | None = None

    async def having(self, several: Sequence[Block]) -> Contents:
        """What was read in this round; all of ``several`` is in it. Raises ``SensorError``."""
        for block in several:
            if failure := await self._failure_of(block):
                raise failure
        return self._contents

    async def _failure_of(self, block: Block) -> SensorError | None:
        """What is asked for together may fail for the sake of one bay, because the device does not have what
        lies between two, or because one answer was lost: then each is asked for by itself. Who is silent to
        that too is not asked any more in this round."""
        if self._silence is not None:
            return self._silence
        whole = self._together.of(block)
        if whole not in self._together_failed:
            self._together_failed[whole] = await self._ask(whole)
        failure = self._together_failed[whole]
        if failure is None or not self._together.is_shared(whole):
            return failure
        if block not in self._alone_failed:
            self._alone_failed[block] = await self._ask(block)
        own = self._alone_failed[block]
        if isinstance(own, Silence):
            self._silence = own
        if own is None and isinstance(failure, Refusal):
            self._together.part(whole)
        return own

    async def _ask(self, block: Block) -> SensorError | None:
        """Raises ``LineDown``."""
        try:
            words = await self._line.read(self._unit, block, self._manners)
        except LineDown:
            raise
        except SensorError as error:
            return error
        self._contents.update(contents(block, words))
        return None


class Together:
    """Which registers of a unit are asked for in one question, though they are of several bays."""

    def __init__(self, by_bay: Sequence[Sequence[Block]], *, read_across: int, most: int) -> None:
        self.wholes: Final = joined(chain.from_iterable(by_bay), read_across=read_across, most=most)
        self._of = {
            block: next(whole for whole in self.wholes if whole.holds(block))
            for block in chain.from_iterable(by_bay)
        }
        self._shared = {
            whole for whole in self.wholes if sum(any(map(whole.holds, own)) for own in by_bay) > 1
        }
        self._parted: set[Block] = set()

    def is_shared(self, whole: Block) -> bool:
        """Whether several bays need it."""
        return whole in self._shared

    def of(self, block: Block) -> Block:
        """The question that has the answer for ``block``."""
        whole = self._of[block]
        return block if whole in self._parted else whole

    def part(self, whole: Block) -> None:
        """The device does not answer to that, and does to its parts: never ask so again."""
        self._parted.add(whole)


class Device(Generic[BayMapT, ValueT]):
    """The device of one bay, or its part of a device that keeps several."""

    def __init__(
        self,
        line: Line,
        seat: Seat[BayMapT],
        manners: Manners,
        decode: Callable[[Contents], ValueT],
    ) -> None:
        self.line: Final = line
        self.seat: Final[Seat[BayMapT]] = seat
        self.manners: Final = manners
        self._decode = decode
        self._pulse = Pulse(seat.layout.heartbeat)

    async def read(self, registers: Registers) -> ValueT:
        """What its registers say. Raises ``SensorError``."""
        found = await registers.having(self.seat.blocks)
        try:
            self._pulse.feel(found)
            return self._decode(found)
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
        ask: Callable[[Device[BayMapT, ValueT], Registers], Awaitable[ValueT | Unread]],
        decoder: Callable[[BayMapT], Callable[[Contents], ValueT]],
    ) -> None:
        """``decoder`` makes for each bay what finds out a value from its registers."""
        self._share = share
        self._manners = manners
        self._ask = ask
        self.devices: Final[Mapping[int, Device[BayMapT, ValueT]]] = {
            seat.bay: Device(share.line, seat, manners, decoder(seat.layout)) for seat in seats
        }
        by_unit = groupby(self.devices.values(), key=lambda device: device.seat.unit)
        self._rounds: Rounds[ValueT] = Rounds(
            [self._turn(unit, tuple(devices)) for unit, devices in by_unit],
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

    def _turn(self, unit: int, devices: Sequence[Device[BayMapT, ValueT]]) -> Turn[ValueT]:
        line, manners = self._share.line, self._manners
        together = Together(
            [device.seat.blocks for device in devices],
            read_across=devices[0].seat.layout.read_across,
            most=line.most_registers(manners),
        )

        async def ask() -> AsyncIterator[tuple[int, ValueT | Unread]]:
            registers = Registers(line, unit, manners, together)
            for device in devices:
                try:
                    value = await self._ask(device, registers)
                except LineDown:
                    raise
                except SensorError as error:
                    value = Unread(str(error))
                yield device.seat.bay, value

        return Turn(tuple(device.seat.bay for device in devices), ask)
