"""Not faster than so and so often a second."""

import random

from evswap_edge.clock import TimeSource


class Pace:
    """A token bucket: ``per_s`` a second on average, up to ``burst`` at once; 0 a second is no limit.

    With jitter each pause is between half and one and a half times as long as it would be, so that many who
    began in step do not stay in step. The state is one moment, as in the generic cell rate algorithm (ITU-T
    I.371): when the bucket will be full again.
    """

    def __init__(
        self,
        per_s: float,
        *,
        time: TimeSource,
        burst: int = 1,
        jitter: random.Random | None = None,
    ) -> None:
        self._interval_s = 1 / per_s if per_s > 0 else 0.0
        self._time = time
        self._tolerance_s = (burst - 1) * self._interval_s
        self._jitter = jitter
        self._full_at = time.monotonic()

    @property
    def next_at(self) -> float:
        """The moment (monotonic) from which on one may go."""
        return self._full_at - self._tolerance_s

    def take(self) -> None:
        """One goes."""
        if self._interval_s:
            self._full_at = max(self._full_at, self._time.monotonic()) + self._interval_s * self._stretch()

    def pause(self, longest_s: float) -> None:
        """Nothing goes for a random time of at most ``longest_s``; without a limit there is no pause."""
        if self._interval_s and self._jitter:
            wait_s = self._jitter.uniform(0, longest_s)
            self._full_at = max(self._full_at, self._time.monotonic() + wait_s + self._tolerance_s)

    def _stretch(self) -> float:
        return self._jitter.uniform(0.5, 1.5) if self._jitter else 1.0
