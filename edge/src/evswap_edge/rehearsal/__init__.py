"""A rehearsal: the station's own swaps, on a simulated cabinet with its customers, in virtual time.

What decides is what decides at a real station: the controller, its journal, the alarms and the outbox, over
the HAL. Only the hardware, the customers and the clock are made up, and the cloud is a file.

    SimulationError (evswap_edge.simulation)
    ├── StoryBroken       what a station told is not what happened at it
    └── EventsUnwritable  the folder for its events takes none
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evswap_edge.simulation import SimulationError

_SHOWN: Final = 5


class StoryBroken(SimulationError):
    """``contradictions`` between what ``station_id`` told and what happened there, in sentences."""

    def __init__(self, station_id: str, contradictions: Sequence[str]) -> None:
        self.station_id = station_id
        self.contradictions = tuple(contradictions)
        told = "; ".join(self.contradictions[:_SHOWN])
        more = max(0, len(contradictions) - _SHOWN)
        super().__init__(f"{station_id} tells what is not so: {told}{f'; and {more} more' if more else ''}")


class EventsUnwritable(SimulationError):
    """Nothing can be written at ``path``; ``reason`` says why."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: events cannot be written ({reason}); name another folder")
