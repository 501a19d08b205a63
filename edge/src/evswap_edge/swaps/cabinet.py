"""The cabinet as the station tells of it: what its hardware shows, under what the station has decided."""

from collections.abc import Callable, Sequence

from evswap_edge.hal import BayActuators, Cabinet, Climate
from evswap_schema import Bay

Telling = Callable[[Sequence[Bay]], list[Bay]]


class ToldCabinet:
    """A ``Cabinet`` that only shows."""

    def __init__(self, inside: Cabinet, telling: Telling) -> None:
        self._inside = inside
        self._telling = telling

    async def read_climate(self) -> Climate:
        return await self._inside.read_climate()

    async def read_bays(self) -> Sequence[Bay]:
        return self._telling(await self._inside.read_bays())

    async def aclose(self) -> None:
        await self._inside.aclose()


class ActingCabinet(ToldCabinet):
    """One whose bays can be acted upon."""

    def __init__(self, inside: Cabinet, acting: BayActuators, telling: Telling) -> None:
        super().__init__(inside, telling)
        self._acting = acting

    async def unlock(self, bay: int) -> None:
        await self._acting.unlock(bay)

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        await self._acting.set_charging(bay, enabled=enabled)


def told(cabinet: Cabinet, telling: Telling) -> Cabinet:
    """``cabinet`` with its bays as ``telling`` has them, and as able to act as it is."""
    if isinstance(cabinet, BayActuators):
        return ActingCabinet(cabinet, cabinet, telling)
    return ToldCabinet(cabinet, telling)
