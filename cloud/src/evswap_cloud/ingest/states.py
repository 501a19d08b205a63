"""The second half of the dual write: what has been archived moves the latest states with their bays, once a
station."""

from collections.abc import Sequence

from msgspec import Struct

from evswap_cloud.bays import bays_of
from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import LatestStateError
from evswap_cloud.ingest.admit import state_of
from evswap_cloud.ingest.records import Each, Failure
from evswap_cloud.latest import LatestState, LatestWriter, Offer
from evswap_cloud.order import are_of_one_reading, newest
from evswap_schema import Bay, Reading


class Candidate(Struct, frozen=True, kw_only=True):
    """A state that a record offers for its station, with the bays that the same reading tells of."""

    record_id: str
    state: LatestState
    bays: tuple[Bay, ...] = ()


class Moves(Struct, frozen=True, kw_only=True):
    """How many states moved and bays were stored, and which records have to come again because theirs could
    not be written."""

    moved: int
    bays: int
    failures: tuple[Failure, ...]


class _Move(Struct, frozen=True, kw_only=True):
    offer: Offer
    bays: int = 0


def candidate_of(record_id: str, reading: Reading, envelope: Envelope) -> Candidate:
    """What ``reading`` offers for its station."""
    return Candidate(record_id=record_id, state=state_of(reading, envelope), bays=reading.bays or ())


def move_states(latest: LatestWriter, candidates: Sequence[Candidate], each: Each) -> Moves:
    """Offer the newest of ``candidates`` of each station. Where that fails, all the station's records failed:
    the one that was picked may not come back together with the others.
    """
    stations: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        stations.setdefault(candidate.state.station_id, []).append(candidate)

    def move(of_station: Sequence[Candidate]) -> _Move | LatestStateError:
        try:
            return _move(latest, of_station)
        except LatestStateError as error:
            return error

    outcomes = dict(zip(stations, each(move, stations.values()), strict=True))
    failures = []
    for candidate in candidates:
        outcome = outcomes[candidate.state.station_id]
        if isinstance(outcome, LatestStateError):
            failures.append(Failure(record_id=candidate.record_id, error=outcome))
    moves = [outcome for outcome in outcomes.values() if isinstance(outcome, _Move)]
    return Moves(
        moved=sum(move.offer is Offer.MOVED for move in moves),
        bays=sum(move.bays for move in moves),
        failures=tuple(failures),
    )


def _move(latest: LatestWriter, candidates: Sequence[Candidate]) -> _Move:
    """The newest state, and the bays of the newest reading that tells of any, all of its parts together."""
    newest_state = newest(candidates, _place).state
    telling = [candidate for candidate in candidates if candidate.bays]
    if not telling:
        return _Move(offer=latest.offer(newest_state))
    speaker = newest(telling, _place).state
    parts = [candidate for candidate in telling if are_of_one_reading(candidate.state, speaker)]
    told = bays_of(speaker, speaker.timestamp, (bay for part in parts for bay in part.bays))
    offered = latest.offer_with_bays(newest_state, told)
    return _Move(offer=offered.state, bays=len(told.bays) if offered.bays is Offer.MOVED else 0)


def _place(candidate: Candidate) -> LatestState:
    return candidate.state
