"""A part of a station that may fail: two lines in the log for each time, and an alarm that does not
flutter."""

import logging
from typing import Final

from evswap_edge.drivers import Surroundings
from evswap_edge.episode import Episode

RAISE_AFTER_S: Final = 10.0
"""A failure that lasts so long is an alarm. A frame that was lost is none."""
CLEAR_AFTER_S: Final = 30.0
"""What works for so long without a failure is well again. A loose plug is not."""


class Trouble:
    """What is known of the part called ``sensor``, or of one ``bay`` of it."""

    def __init__(
        self, logger: logging.Logger, sensor: str, surroundings: Surroundings, *, bay: int | None = None
    ) -> None:
        self._sensor = sensor
        self._bay = bay
        self._surroundings = surroundings
        self._monotonic = surroundings.time.monotonic
        subject = f"sensor {sensor}" if bay is None else f"sensor {sensor}, bay {bay}"
        self._episode = Episode(logger, subject, monotonic=self._monotonic)
        self._alarmed = False
        self.is_known_well = False
        """It works, has worked for long, and that has been told."""
        self._turned_at: float | None = None

    def seen(self, reason: str | None) -> None:
        """It was read: it failed for ``reason``, or works (None)."""
        if reason is None and self.is_known_well:
            return
        if reason is None:
            self._episode.end()
        else:
            self._episode.begin(reason)
        is_settled = self._settled(failing=reason is not None)
        if is_settled:
            self._surroundings.on_sensor(self._sensor, reason, self._bay)
        self.is_known_well = is_settled and reason is None

    def _settled(self, *, failing: bool) -> bool:
        """Whether that has lasted for long enough to be told."""
        if failing == self._alarmed:
            self._turned_at = None
            return True
        now = self._monotonic()
        self._turned_at = now if self._turned_at is None else self._turned_at
        if now - self._turned_at < (RAISE_AFTER_S if failing else CLEAR_AFTER_S):
            return False
        self._alarmed = failing
        self._turned_at = None
        return True
