"""What a running station may ask of whoever runs it."""

from dataclasses import dataclass
from typing import Protocol

from evswap_edge.config import Configuration
from evswap_edge.remote.adjustments import Adjustments


@dataclass(frozen=True, slots=True)
class Refusal:
    """Adjustments that could not be put in force. ``key`` is the one at fault; empty: the whole."""

    adjustments: Adjustments
    key: str
    reason: str


class Control(Protocol):
    """The configuration of the station, to be looked at and changed by the station itself."""

    @property
    def configuration(self) -> Configuration:
        """What the station runs with."""
        ...

    @property
    def adjustments(self) -> Adjustments:
        """What of it comes from afar."""
        ...

    @property
    def refusal(self) -> Refusal | None:
        """The last adjustments, when they were refused."""
        ...

    def check(self, adjustments: Adjustments) -> None:
        """Look whether the station could run with ``adjustments`` in the place of those in force. Raises
        ``ConfigurationError``."""
        ...

    def adjust(self, adjustments: Adjustments) -> bool:
        """Have ``adjustments`` in the place of those in force.

        True: they are usable, and the station is about to be replaced by one that runs with them. False:
        they change nothing, and are remembered. Raises ``ConfigurationError``; then nothing changes.
        """
        ...
