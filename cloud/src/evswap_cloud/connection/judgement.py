"""Whether a station is there: judged whenever it is asked, from all that is known."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from evswap_cloud.connection.contact import Contact
from evswap_schema import ConnectionState

STALE_AFTER: Final = timedelta(minutes=10)
"""Ten batches of a minute, or two of five."""

_READING_PROVES_AFTER: Final = timedelta(seconds=5)
"""A reading that comes so long after a farewell shows that the station is back: its greeting was lost. What
was on its way when the link broke arrives sooner."""


class Connection(StrEnum):
    """``offline``: the link is known to have ended. ``stale``: it is not, and still nothing comes."""

    ONLINE = "online"
    OFFLINE = "offline"
    STALE = "stale"


class Heard(Protocol):
    """What is known of a station."""

    @property
    def received_at(self) -> datetime:
        """When its newest reading came."""

    @property
    def contact(self) -> Contact:
        """What is known of its link."""


def connection_of(station: Heard, now: datetime) -> Connection:
    """Whether ``station`` is there."""
    said = [one for one in (station.contact.presence, station.contact.word) if one is not None]
    last = max(said, key=lambda one: one.at, default=None)
    if last is not None and last.state is ConnectionState.OFFLINE:
        if station.received_at <= last.at + _READING_PROVES_AFTER:
            return Connection.OFFLINE
        last = None
    heard_at = station.received_at if last is None else max(station.received_at, last.at)
    return Connection.STALE if now - heard_at > STALE_AFTER else Connection.ONLINE
