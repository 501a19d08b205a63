"""How the station is brought from one state to another.

=======  =========================================================================================
off      no power, no program, no sensor
booted   the machine runs, the sensor answers, the station accepts its configuration and could start
online   the program runs, and something new of it is in the API
=======  =========================================================================================
"""

from enum import Enum
from typing import Any, Final

import attr
from labgrid.binding import BindingState
from labgrid.factory import target_factory
from labgrid.protocol import PowerProtocol
from labgrid.step import step
from labgrid.strategy.common import Strategy, StrategyError, never_retry

from evswap_hil.bench.errors import NotOnline
from evswap_hil.bench.protocols import ClimateProtocol, CloudProtocol, LinkProtocol, StationProtocol
from evswap_hil.deadline import NotInTime, Waited, wait_until
from evswap_hil.observers.rest import ApiUnreachable

ONLINE_WITHIN_S: Final = 60.0
LAST_WORDS: Final = 5


class Status(Enum):
    """The states. `unknown` is where a bench begins: nobody knows what was left behind."""

    unknown = 0
    off = 1
    booted = 2
    online = 3


@target_factory.reg_driver
@attr.s(eq=False)
class StationStrategy(Strategy):
    """Off, booted, online, and back. A bench without a power switch is off when nothing runs."""

    bindings = {
        "power": {PowerProtocol, None},
        "cloud": CloudProtocol,
        "climate": ClimateProtocol,
        "link": LinkProtocol,
        "station": StationProtocol,
    }

    status: Status = attr.ib(default=Status.unknown)
    exit_status: int | None = attr.ib(default=None, init=False)
    """How the station's program ended when it was last told to."""

    @never_retry
    @step(args=["status"])
    def transition(self, status: Status | str) -> None:
        """Go to `status` by the shortest way; where it is already, nothing happens.

        Raises StrategyError, whose cause is what went wrong; the bench is not used again after that.
        """
        self._look_at_the_station()
        match self._meant(status):
            case Status.off:
                self._go_off()
            case Status.booted:
                self._go_booted()
            case Status.online:
                self._go_online()
            case _:
                raise StrategyError(f"there is no way to {status}")

    def force(self, status: Status | str) -> None:
        """Believe that the bench is in `status` (labgrid's --lg-initial-state)."""
        self.status = self._meant(status)
        if self.status is not Status.off:
            self._activate()

    def kill(self) -> None:
        """End the station's program without warning: an online station is a booted one then."""
        self.station.kill()
        self.status = Status.booted

    def last_words(self, lines: int) -> str:
        """The end of the station's log; empty where the bench is off."""
        return str(self.station.log(lines)) if self.station.state is BindingState.active else ""

    def version(self) -> str:
        """The version of the station's program; empty where the bench is off."""
        return str(self.station.version()) if self.station.state is BindingState.active else ""

    def await_online(self, before: dict[str, Any] | None, *, within: float = ONLINE_WITHIN_S) -> Waited[Any]:
        """Wait for a state in the API other than `before`, and return it. Raises NotOnline."""
        station_id = self.station.station_id
        known = _identity(before)

        def news() -> dict[str, Any] | None:
            try:
                state: dict[str, Any] | None = self.cloud.latest(station_id)
            except ApiUnreachable:
                return None
            return state if _identity(state) != known else None

        try:
            return wait_until(news, what=f"{station_id} online", within=within)
        except NotInTime as late:
            raise NotOnline(station_id, late.seconds, self.last_words(LAST_WORDS)) from late

    def _look_at_the_station(self) -> None:
        """What was online may have died by itself since."""
        if self.status is Status.online and not self.station.is_running():
            self.status = Status.booted

    def _go_off(self) -> None:
        if self.status is Status.off:
            return
        if self.status is Status.online:
            self._stop()
        for driver in (self.station, self.climate, self.link, self.cloud):
            self.target.deactivate(driver)
        if self.power is not None:
            self.target.activate(self.power)
            self.power.off()
        self.status = Status.off

    def _go_booted(self) -> None:
        if self.status is Status.booted:
            return
        if self.status is Status.online:
            self._stop()
        else:
            self._go_off()
            self._power_on()
            self._activate()
            self.station.prepare()
        self.status = Status.booted

    def _go_online(self) -> None:
        if self.status is Status.online:
            return
        self._go_booted()
        self.link.restore()
        before = self.cloud.latest(self.station.station_id)
        self.station.start()
        self.await_online(before)
        self.status = Status.online

    def _stop(self) -> None:
        self.exit_status = self.station.stop()

    def _power_on(self) -> None:
        if self.power is not None:
            self.target.activate(self.power)
            self.power.on()

    def _activate(self) -> None:
        for driver in (self.cloud, self.climate, self.link, self.station):
            self.target.activate(driver)

    @staticmethod
    def _meant(status: Status | str) -> Status:
        try:
            return status if isinstance(status, Status) else Status[status]
        except KeyError:
            raise StrategyError(f"there is no state {status!r}; there are off, booted and online") from None


def _identity(state: dict[str, Any] | None) -> tuple[Any, ...]:
    return () if state is None else (state.get("stream_id"), state.get("sequence"), state.get("timestamp"))
