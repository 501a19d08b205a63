"""Asking many devices in turn, so that each costs only itself.

A round is begun by whoever wants to know, and goes on when nobody waits for it any longer: a line on which a
round takes longer than a reading may still gets to everybody, and gives values that are a little older. Those
who answered last time come first, so that the time-outs of the others do not hold them up.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from evswap_edge.drivers.modbus.line import LineDown
from evswap_edge.hal import ByBay, SensorError, Unread

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class _Said(Generic[ValueT]):
    """What was known of a bay at a moment of the loop's clock."""

    at: float
    value: ValueT | Unread


@dataclass(frozen=True, slots=True)
class Turn(Generic[ValueT]):
    """The bays of one device, which are asked together; ``ask`` gives each as soon as it is known. It raises
    ``LineDown`` when nobody can be asked any more."""

    bays: tuple[int, ...]
    ask: Callable[[], AsyncIterator[tuple[int, ValueT | Unread]]]


class Rounds(Generic[ValueT]):
    """Keeps what each bay said last. ``line`` names what they are asked over."""

    def __init__(
        self,
        turns: Sequence[Turn[ValueT]],
        *,
        line: str,
        answer_within_s: float,
        max_age_s: float,
    ) -> None:
        self._turns = turns
        self._bays = [bay for turn in turns for bay in turn.bays]
        self._line = line
        self._answer_within_s: Final = answer_within_s
        self._max_age_s: Final = max_age_s
        self._said: dict[int, _Said[ValueT]] = {}
        self._round: asyncio.Task[None] | None = None

    async def read(self) -> ByBay[ValueT]:
        """What is known of each bay, asked for now and waited for ``answer_within_s``. Raises ``SensorError``
        when nothing is known of any; may be cancelled at any time."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._go_round(), name=f"round of {self._line}")
        await asyncio.wait({self._round}, timeout=self._answer_within_s)
        if self._round.done() and not self._round.cancelled():
            self._round.result()  # whatever it raises is a bug, and is not to be hidden
        known = {bay: self._known(bay) for bay in self._bays}
        self._require_something(known)
        return known

    async def aclose(self) -> None:
        """End the round that is under way."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait({self._round})
            self._round = None

    async def _go_round(self) -> None:
        turns = sorted(self._turns, key=self._failed_last_time)
        left = [bay for turn in turns for bay in turn.bays]
        try:
            for turn in turns:
                async for bay, value in turn.ask():
                    self._note(bay, value)
                    left.remove(bay)
        except LineDown as error:
            for bay in left:
                self._note(bay, Unread(str(error)))

    def _failed_last_time(self, turn: Turn[ValueT]) -> bool:
        return all(bay in self._said and isinstance(self._said[bay].value, Unread) for bay in turn.bays)

    def _note(self, bay: int, value: ValueT | Unread) -> None:
        self._said[bay] = _Said(_now(), value)

    def _known(self, bay: int) -> ValueT | Unread:
        said = self._said.get(bay)
        if said is None:
            return Unread(f"{self._line}: its turn has not come yet")
        age_s = _now() - said.at
        if age_s > self._max_age_s:
            return Unread(f"{self._line}: its turn was {age_s:.0f} s ago; the line is too slow for all on it")
        return said.value

    def _require_something(self, known: ByBay[ValueT]) -> None:
        reasons = Counter(value.reason for value in known.values() if isinstance(value, Unread))
        if len(known) == reasons.total():
            raise SensorError(sensor=self._line, reason=_summed_up(reasons))


def _summed_up(reasons: Counter[str]) -> str:
    """The most frequent of them."""
    ((reason, count),) = reasons.most_common(1)
    others = reasons.total() - count
    return f"no bay can be read: {reason}{f' (and {others} others)' if others else ''}"


def _now() -> float:
    return asyncio.get_running_loop().time()
