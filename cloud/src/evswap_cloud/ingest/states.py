"""The second half of the dual write: what has been archived moves the latest states, once a station."""

from collections.abc import Sequence

from msgspec import Struct

from evswap_cloud.errors import LatestStateError
from evswap_cloud.ingest.order import newest_by_station
from evswap_cloud.ingest.records import Each, Failure
from evswap_cloud.latest import LatestState, LatestWriter, Offer


class Candidate(Struct, frozen=True, kw_only=True):
    """A state that a record offers for its station."""

    record_id: str
    state: LatestState


class Moves(Struct, frozen=True, kw_only=True):
    """How many states moved, and which records have to come again because theirs could not be written."""

    moved: int
    failures: tuple[Failure, ...]


def move_states(writer: LatestWriter, candidates: Sequence[Candidate], each: Each) -> Moves:
    """Offer the newest of ``candidates`` of each station. Where that fails, all the station's records failed:
    the one that was picked may not come back together with the others.
    """
    newest = newest_by_station(candidate.state for candidate in candidates)

    def offer(state: LatestState) -> Offer | LatestStateError:
        try:
            return writer.offer(state)
        except LatestStateError as error:
            return error

    outcomes = dict(zip(newest, each(offer, newest.values()), strict=True))
    failures = []
    for candidate in candidates:
        outcome = outcomes[candidate.state.station_id]
        if isinstance(outcome, LatestStateError):
            failures.append(Failure(record_id=candidate.record_id, error=outcome))
    return Moves(
        moved=sum(outcome is Offer.MOVED for outcome in outcomes.values()),
        failures=tuple(failures),
    )
