"""Asking many devices in turn, so that each costs only itself.

A round is begun by whoever wants to know, and goes on when nobody waits for it any longer: a line on which a
round takes longer than a reading may still gets to everybody, and gives values that are a little older. Those
who answered last time come first, so that the time-outs of the others do not hold them up.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
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


class Rounds(Generic[ValueT]):
    """Keeps what each bay said last. ``asks`` are the questions by bay; ``line`` names what they are asked
    over."""

    def __init__(
        self,
        asks: Mapping[int, Callable[[], Awaitable[ValueT | Unread]]],
        *,
        line: str,
        answer_within_s: float,
        max_age_s: float,
    ) -> None:
        self._asks = asks
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
        known = {bay: self._known(bay) for bay in self._asks}
        self._require_something(known)
        return known

    async def aclose(self) -> None:
        """End the round that is under way."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait({self._round})
            self._round = None

    async def _go_round(self) -> None:
        turns = iter(sorted(self._asks, key=self._failed_last_time))
        for bay in turns:
            try:
                self._note(bay, await self._asks[bay]())
            except LineDown as error:
                for without_line in (bay, *turns):
                    self._note(without_line, Unread(str(error)))
            except SensorError as error:
                self._note(bay, Unread(str(error)))

    def _failed_last_time(self, bay: int) -> bool:
        return bay in self._said and isinstance(self._said[bay].value, Unread)

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
