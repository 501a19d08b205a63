"""Which of two readings of a station is the newer."""

from collections.abc import Iterable

from evswap_cloud.latest import LatestState


def supersedes(new: LatestState, stored: LatestState) -> bool:
    """Whether ``new`` is to take the place of ``stored``.

    Within a stream the sequence decides, whatever the clock did; between streams, and for seed messages, the
    clamped time of observation. At the same moment the name of the stream decides, so that the order of
    arrival does not. ``DynamoLatestStates`` says the same as a condition, and a test compares the two.
    """
    if new.sequence is not None and stored.sequence is not None and new.stream_id == stored.stream_id:
        return new.sequence > stored.sequence
    return (new.observed_at, new.stream_id or "") > (stored.observed_at, stored.stream_id or "")


def newest_by_station(states: Iterable[LatestState]) -> dict[str, LatestState]:
    """The newest of ``states`` for each station: one write a station is enough."""
    newest: dict[str, LatestState] = {}
    for state in states:
        stored = newest.get(state.station_id)
        if stored is None or supersedes(state, stored):
            newest[state.station_id] = state
    return newest
