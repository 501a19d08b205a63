"""The second half of the dual write: what has been archived moves the latest states, once a station, and then
the bays that it tells something new of."""

from collections.abc import Sequence

from msgspec import Struct

from evswap_cloud.bays import BayStates, bay_state, is_news
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
    """How many states moved and bays were written, and which records have to come again because theirs could
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


def move_states(latest: LatestWriter, bays: BayStates, candidates: Sequence[Candidate], each: Each) -> Moves:
    """Offer the newest of ``candidates`` of each station. Where that fails, all the station's records failed:
    the one that was picked may not come back together with the others.
    """
    stations: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        stations.setdefault(candidate.state.station_id, []).append(candidate)

    def move(of_station: Sequence[Candidate]) -> _Move | LatestStateError:
        try:
            return _move(latest, bays, of_station)
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


def _move(latest: LatestWriter, bays: BayStates, candidates: Sequence[Candidate]) -> _Move:
    """The state, and the bays where no newer reading has told of them: a late one would otherwise bring back
    what the newer one, having found nothing new, did not write."""
    first = newest(candidates, _place).state
    telling = [candidate for candidate in candidates if candidate.bays]
    if not telling:
        return _Move(offer=latest.offer(first))
    speaker = newest(telling, _place).state
    is_first = are_of_one_reading(first, speaker)
    offer = latest.offer(first, tells_bays=is_first)
    if not (is_first and offer is Offer.MOVED) and latest.offer_bays(speaker) is Offer.NOT_NEWER:
        return _Move(offer=offer)
    parts = [candidate for candidate in telling if are_of_one_reading(candidate.state, speaker)]
    return _Move(offer=offer, bays=_write_bays(bays, speaker, parts))


def _write_bays(bays: BayStates, speaker: LatestState, parts: Sequence[Candidate]) -> int:
    """How many bays of ``parts`` were worth writing. A bay that none of them names is left as it is."""
    shown = {bay.bay: bay for bay in bays.of_station(speaker.station_id)}
    told = {bay.bay: bay_state(bay, speaker) for part in parts for bay in part.bays}
    news = [bay for number, bay in told.items() if is_news(bay, shown.get(number))]
    return sum(bays.offer(bay) is Offer.MOVED for bay in news)


def _place(candidate: Candidate) -> LatestState:
    return candidate.state
