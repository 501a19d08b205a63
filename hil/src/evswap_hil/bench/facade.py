"""What the suites work with: a bench, and the few questions that they all ask."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from labgrid.strategy.common import StrategyError

from evswap_hil.bench.errors import NotReached
from evswap_hil.bench.protocols import ClimateProtocol, LinkProtocol
from evswap_hil.bench.strategy import StationStrategy
from evswap_hil.deadline import NotInTime, wait_until
from evswap_hil.observers.archive import Account
from evswap_hil.observers.rest import ApiUnreachable
from evswap_hil.report.record import NEVER
from evswap_schema import parse_timestamp

State = dict[str, Any]

LOOK_EVERY_S: Final = 0.25
ARCHIVED_WITHIN_S: Final = 30.0
LIST_EVERY_S: Final = 1.0
PATIENCE: Final = 2.0
"""How much longer than allowed something is waited for: by how much it was late is worth knowing."""


@dataclass(frozen=True)
class Looked:
    """The state that was seen last, and after how many seconds it was the one that was waited for (or
    NEVER)."""

    state: State
    seconds: float


class Bench:
    """A station on a bench, and its cloud."""

    def __init__(self, strategy: StationStrategy) -> None:
        self._strategy = strategy

    @property
    def climate(self) -> ClimateProtocol:
        driver: ClimateProtocol = self._strategy.climate
        return driver

    @property
    def link(self) -> LinkProtocol:
        driver: LinkProtocol = self._strategy.link
        return driver

    @property
    def exit_status(self) -> float:
        """How the program ended when it was last told to; NEVER where it was not."""
        status = self._strategy.exit_status
        return NEVER if status is None else float(status)

    def go(self, status: str) -> float:
        """Bring the station to a state; returns the seconds that it took. Raises NotReached."""
        began = time.monotonic()
        try:
            self._strategy.transition(status)
        except StrategyError as error:
            raise NotReached(status, error.__cause__) from error.__cause__
        return time.monotonic() - began

    def kill(self) -> None:
        """End the station's program without warning."""
        self._strategy.kill()

    def heal(self) -> None:
        """Whatever a test has broken, mend it, so that the next one finds a station that is online."""
        self.climate.heal()
        self.link.restore()
        self.go("online")

    def state(self) -> State:
        """The station's latest state in the API; empty where there is none."""
        state: State | None = self._strategy.cloud.latest(self._strategy.station.station_id)
        return state or {}

    def look(self, wanted: Callable[[State], bool], *, allowed: float) -> Looked:
        """Look at the API until the state is as `wanted`, for longer than is `allowed`."""
        last: State = {}

        def as_wanted() -> bool:
            try:
                last.update(self.state())
            except ApiUnreachable:
                return False
            return wanted(last)

        try:
            found = wait_until(as_wanted, what="the state", within=allowed * PATIENCE, every=LOOK_EVERY_S)
        except NotInTime:
            return Looked(last, NEVER)
        return Looked(last, found.seconds)

    def look_for_news(self, since: datetime, *, allowed: float) -> Looked:
        """Look until the API has something that was sampled after `since`."""
        return self.look(lambda state: sampled(state) > since, allowed=allowed)

    def account(self, since: datetime, *, first: int, last: int) -> Account:
        """What the archive has of the samples `first` to `last`, once it has them all or time is over."""
        station_id = self._strategy.station.station_id
        found: list[Account] = []

        def all_of_them() -> bool:
            account: Account = self._strategy.cloud.account(station_id, since)
            found[:] = [account]
            return account.newest >= last and account.lost(first, last) == 0

        try:
            wait_until(all_of_them, what="the archive", within=ARCHIVED_WITHIN_S, every=LIST_EVERY_S)
        except NotInTime:
            return found[0]
        return found[0]


def now() -> datetime:
    """The bench's own time. A station's clock has to agree with it."""
    return datetime.now(UTC)


def sampled(state: State) -> datetime:
    """When the station sampled this; long ago where there is nothing."""
    timestamp = state.get("timestamp")
    return parse_timestamp(timestamp) if timestamp else datetime.min.replace(tzinfo=UTC)
