"""Giving up commands that nothing was heard of."""

from datetime import datetime

from evswap_cloud.remote.records import given_up
from evswap_cloud.remote.store import CommandStore


def expire(store: CommandStore, now: datetime) -> int:
    """Give up the commands whose deadline is over at ``now``, and count them. One that was heard of meanwhile
    is left alone. Raises ``CommandError``; then the rest is for the next time."""
    return sum(
        store.advance(one.station_id, one.command_id, given_up(one, now), overdue=one)
        for one in store.overdue(now)
    )
