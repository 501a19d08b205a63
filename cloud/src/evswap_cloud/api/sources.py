"""Where the answers come from."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from evswap_cloud.connection.figures import FiguresStore
from evswap_cloud.events import EventReader
from evswap_cloud.history import HistoryReader
from evswap_cloud.latest import LatestReader
from evswap_cloud.ledger import BatteryReader
from evswap_cloud.nearby import PlaceIndex
from evswap_cloud.remote import CommandReader


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the routes read from."""

    latest: LatestReader
    places: PlaceIndex
    events: EventReader
    history: HistoryReader
    batteries: BatteryReader
    figures: FiguresStore
    now: Callable[[], datetime] = _now
    commands: CommandReader
