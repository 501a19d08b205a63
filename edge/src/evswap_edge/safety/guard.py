"""The cabinet as all others get to act on it: nothing charges, and no door opens, that is locked out."""

from collections.abc import Sequence

from msgspec.structs import replace

from evswap_edge.hal import ActionRefused, BayActuators, Cabinet, Climate, TokenReader
from evswap_edge.safety.interlock import Interlock
from evswap_schema import Bay, Health


class GuardedCabinet:
    """A ``Cabinet`` with ``BayActuators`` that refuses what the interlock forbids. A healthy bay that is
    locked out shows in quarantine."""

    def __init__(self, inside: Cabinet, acting: BayActuators, interlock: Interlock) -> None:
        self._inside = inside
        self._acting = acting
        self._interlock = interlock

    async def read_climate(self) -> Climate:
        return await self._inside.read_climate()

    async def read_bays(self) -> Sequence[Bay]:
        return [self._shown(bay) for bay in await self._inside.read_bays()]

    async def unlock(self, bay: int) -> None:
        self._require_released(bay)
        await self._acting.unlock(bay)

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        if not enabled:
            await self._acting.set_charging(bay, enabled=False)
            self._interlock.wished(bay, enabled=False)
            return
        self._require_released(bay)
        self._interlock.wished(bay, enabled=True)
        try:
            await self._acting.set_charging(bay, enabled=True)
        finally:
            self._interlock.somebody_enabled(bay)

    async def aclose(self) -> None:
        await self._inside.aclose()

    def _require_released(self, bay: int) -> None:
        if reason := self._interlock.veto(bay):
            raise ActionRefused(bay=bay, reason=reason)

    def _shown(self, bay: Bay) -> Bay:
        if bay.health is Health.HEALTHY and self._interlock.veto(bay.bay) is not None:
            return replace(bay, health=Health.QUARANTINED)
        return bay


class GuardedCabinetWithReader(GuardedCabinet):
    """One with a ``TokenReader``."""

    def __init__(
        self, inside: Cabinet, acting: BayActuators, reader: TokenReader, interlock: Interlock
    ) -> None:
        super().__init__(inside, acting, interlock)
        self._reader = reader

    async def read_token(self) -> str:
        return await self._reader.read_token()


def guarded(cabinet: Cabinet, interlock: Interlock) -> Cabinet:
    """``cabinet`` with what is locked out refused; one that cannot act has nothing to be refused."""
    if not isinstance(cabinet, BayActuators):
        return cabinet
    if isinstance(cabinet, TokenReader):
        return GuardedCabinetWithReader(cabinet, cabinet, cabinet, interlock)
    return GuardedCabinet(cabinet, cabinet, interlock)
