"""How much a publisher may do at once."""

from dataclasses import dataclass
from typing import Final

_RESERVE: Final = 4
"""A quarter of the window is for what is newer than the backlog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``window`` counts what may reach the far side twice when the power goes: messages that are not
    answered, and those that are, while the outbox does not know it durably. ``drain_s`` is how long delivery
    goes on once it was told to stop. ``backlog_per_s`` messages of the backlog go a second (0: as fast as
    they can), after a random pause of at most ``backlog_pause_s``."""

    window: int
    drain_s: float
    backlog_per_s: float
    backlog_pause_s: float

    @property
    def backlog_window(self) -> int:
        """Up to how much of the window the backlog may begin something."""
        return max(1, self.window - max(1, self.window // _RESERVE))

    @property
    def samples_in_a_parcel(self) -> int:
        """How many messages one parcel may become, where each sample is sent by itself: two of them go at
        once, and one that was cut short by a power cut repeats no more than that."""
        return max(1, self.window // 2)
