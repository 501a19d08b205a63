"""What the suite holds against a station after a schedule, with everything counted."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from evswap_cloud.envelope import Envelope
from evswap_cloud.ingest.admit import state_of
from evswap_cloud.latest import LatestState
from evswap_cloud.order import newest, supersedes
from evswap_schema import Clock, Reading, decode_own_reading
from tests.chaos.proxy import Connection
from tests.chaos.truth import Accepted, Arrived, Identity, Lane, arrived

DURABLE_LANES: Final = frozenset({Lane.SAMPLE, Lane.LIVE, Lane.BACKLOG, Lane.EVENT})
"""A change is a copy: its sample arrives in a batch, too."""
_UNSEEN_A_KILL: Final = 100
"""What was committed together may be on disk when a kill comes before its witness has written: on a busy
machine, half a second of the fastest sampling (200 a second)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known after a schedule."""

    accepted: Sequence[Accepted]
    arrived: Sequence[Arrived]
    connections: Sequence[Connection]
    window: int
    kills: Sequence[float]
    """When a process ended without having been asked to, seconds since 1970."""
    ends: Sequence[float]
    """When a process ended, however."""
    answer_s: float
    """How long the station waits for an answer before it asks again."""
    counts_until: float = math.inf
    """What was accepted after it had no time to arrive."""
    states_compare: bool = True
    """Whether the cloud can tell the newer of two readings: within a stream it always can, between streams
    only by a wall clock that could be believed."""


@dataclass(slots=True)
class Verdict:
    """What was counted, and `faults`, which ought to be empty."""

    committed: int = 0
    volatile: int = 0
    messages: int = 0
    repeated: int = 0
    repeated_at_most: int = 0
    connections: int = 0
    moves: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = (
            f"{self.committed} committed, {self.volatile} in memory, {self.messages} messages arrived,"
            f" {self.repeated} of at most {self.repeated_at_most} sent again over {self.connections}"
            f" connections, latest state moved {self.moves} times"
        )
        return "; ".join([said, *(fault.upper() for fault in self.faults)])


def judge(evidence: Evidence) -> Verdict:
    """Every rule of docs/chaos.md."""
    verdict = Verdict(
        committed=sum(one.durable for one in evidence.accepted),
        volatile=sum(not one.durable for one in evidence.accepted),
        messages=len(evidence.arrived),
        connections=len(evidence.connections),
    )
    _nothing_lost(evidence, verdict)
    _nothing_invented(evidence, verdict)
    _nothing_altered(evidence, verdict)
    _order_kept(evidence, verdict)
    _little_repeated(evidence, verdict)
    _latest_goes_forward(evidence, verdict)
    return verdict


def arrived_identities(arrived: Iterable[Arrived]) -> set[Identity]:
    return {one for message in arrived if message.lane in DURABLE_LANES for one in message.identities}


def _nothing_lost(evidence: Evidence, verdict: Verdict) -> None:
    there = arrived_identities(evidence.arrived)
    last_end = max(evidence.ends[:-1], default=0.0)
    lost = [
        one.identity
        for one in evidence.accepted
        # What is held in memory, and said to be, goes with its process.
        if one.identity not in there
        and one.at <= evidence.counts_until
        and (one.durable or one.at > last_end)
    ]
    if lost:
        verdict.faults.append(f"{len(lost)} lost: {_some(lost)}")


def _nothing_invented(evidence: Evidence, verdict: Verdict) -> None:
    known = {one.identity for one in evidence.accepted}
    if len(known) != len(evidence.accepted):
        verdict.faults.append("one identity was given to two samples")
    invented = arrived_identities(evidence.arrived) - known
    if len(invented) > _UNSEEN_A_KILL * len(evidence.kills):
        verdict.faults.append(f"{len(invented)} arrived that nobody accepted: {_some(invented)}")


def _nothing_altered(evidence: Evidence, verdict: Verdict) -> None:
    bodies = {one.identity: one for one in evidence.accepted}
    altered = [
        identity
        for message in evidence.arrived
        for identity, reading in zip(message.identities, message.readings, strict=False)
        if identity in bodies and not _same(decode_own_reading(bodies[identity].body), reading)
    ]
    if altered:
        verdict.faults.append(f"{len(altered)} altered on the way: {_some(altered)}")


def _same(sent: Reading, came: Reading) -> bool:
    """What was measured, and when; an estimated time may have been corrected since."""
    measured = ("battery_available", "battery_charging", "temperature", "humidity", "status", "quality")
    return all(getattr(sent, name) == getattr(came, name) for name in measured) and (
        sent.timestamp == came.timestamp or sent.clock is Clock.ESTIMATED
    )


def _order_kept(evidence: Evidence, verdict: Verdict) -> None:
    """First arrivals, stream by stream. Flat samples do not say whether they waited: live ones and backlog
    are two rising rows that mix, so no three of them may fall. Events are two rows, too: the urgent ones
    overtake the others."""
    rows: dict[tuple[Lane, str], list[int]] = defaultdict(list)
    seen: set[tuple[bool, Identity]] = set()
    for message in evidence.arrived:
        for identity in message.identities:
            key = (message.lane is Lane.CHANGE, identity)
            if key not in seen:
                seen.add(key)
                rows[message.lane, identity.stream].append(identity.sequence)
    for (lane, stream), numbers in rows.items():
        longest = longest_fall(numbers)
        if longest > (2 if lane in {Lane.SAMPLE, Lane.EVENT} else 1):
            verdict.faults.append(f"order of {lane} in {stream} is lost: {_some(numbers)}")


def longest_fall(numbers: Sequence[int]) -> int:
    """The length of the longest falling subsequence: the least number of rising rows that make `numbers`
    (Dilworth)."""
    tops: list[int] = []
    for number in numbers:
        place = next((index for index, top in enumerate(tops) if top < number), None)
        if place is None:
            tops.append(number)
        else:
            tops[place] = number
    return len(tops)


def _little_repeated(evidence: Evidence, verdict: Verdict) -> None:
    """A message that was sent before, unless its answer did not come in time on a connection that stood."""
    seen: set[Identity] = set()
    for connection in evidence.connections:
        asked_at: dict[Identity, float] = {}
        for message in arrived(connection.published):
            if message.lane not in DURABLE_LANES:
                continue
            waited_s = message.at - min(asked_at.get(one, message.at) for one in message.identities)
            verdict.repeated += seen.issuperset(message.identities) and waited_s < evidence.answer_s
            seen.update(message.identities)
            asked_at.update(dict.fromkeys(message.identities, message.at))
    verdict.repeated_at_most = evidence.window * max(0, len(evidence.connections) - 1)
    if verdict.repeated > verdict.repeated_at_most:
        verdict.faults.append(f"{verdict.repeated} sent again, {verdict.repeated_at_most} allowed")


def _latest_goes_forward(evidence: Evidence, verdict: Verdict) -> None:
    """The cloud's own rule on what arrived, beside the order in which it was measured."""
    rank = {one.identity: index for index, one in enumerate(evidence.accepted) if not one.is_event}
    latest: LatestState | None = None
    shown = -1
    for state in _offered(evidence.arrived):
        if latest is not None and not supersedes(state, latest):
            continue
        latest = state
        verdict.moves += 1
        place = rank.get(Identity(state.stream_id or "", state.sequence or 0), shown)
        if place < shown and evidence.states_compare:
            verdict.faults.append(f"latest state went back from {shown} to {place}")
        shown = max(shown, place)


def _offered(arrived: Iterable[Arrived]) -> Iterable[LatestState]:
    """What ingest offers to the latest state: the newest of each message, and of backlog nothing."""
    for message in arrived:
        if message.lane is Lane.BACKLOG or not message.readings:
            continue
        received_at = datetime.fromtimestamp(message.at, UTC)
        envelope = Envelope(payload=b"", topic="", station_id="", client_id=None, received_at=received_at)
        states = (state_of(one, envelope) for one in message.readings)
        yield newest(states, lambda state: state)


def _some(things: Iterable[object]) -> str:
    few = [str(one) if isinstance(one, int) else f"{one[0][:8]}/{one[1]}" for one in list(things)[:8]]  # type: ignore[index]
    return ", ".join(few)
