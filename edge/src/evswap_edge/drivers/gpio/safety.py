"""Smoke and doors: contacts that are closed while all is well, so that a cut wire reads as danger."""

from evswap_edge.clock import TimeSource
from evswap_edge.drivers.gpio.pins import Board
from evswap_edge.drivers.gpio.settings import Settings
from evswap_edge.hal import Safety


class GpioSafety:
    """``SafetyInputs``. A door that stays open for long is taken for one that cannot close."""

    def __init__(self, board: Board, settings: Settings, time: TimeSource) -> None:
        self._board = board
        self._smoke = None if settings.smoke is None else board.switch(settings.smoke, settings.pull)
        doors = zip(settings.numbers, settings.doors, strict=bool(settings.doors))
        self._doors = {bay: board.switch(pin, settings.pull) for bay, pin in doors}
        self._blocked_after_s = settings.blocked_after_s
        self._monotonic = time.monotonic
        self._open_since: dict[int, float] = {}

    async def read_safety(self) -> Safety:
        smoke = self._smoke is not None and not self._smoke.is_closed()
        return Safety(smoke=smoke, blocked_doors=frozenset(self._blocked()))

    async def aclose(self) -> None:
        self._board.close()

    def _blocked(self) -> set[int]:
        now = self._monotonic()
        for bay, switch in self._doors.items():
            if switch.is_closed():
                self._open_since.pop(bay, None)
            else:
                self._open_since.setdefault(bay, now)
        return {bay for bay, since in self._open_since.items() if now - since >= self._blocked_after_s}
