"""What is given up when there is no room: the declared policy of docs/outbox.md.

What could not be delivered anyway goes first, what says that nothing changed before what tells of a change,
events last. Within a class the old are thinned before any are given up whole: of the things older than the
newest quarter every second one goes, from the oldest on, again and again, until one of sixteen is left.
Only then the oldest go. What somebody is sending right now stays.

How far each round of thinning has come is all that has to be remembered: everything up to ``front[n]`` was
thinned more than ``n`` times.

SQLite gives back whole pages. Things of which several share a page therefore go in runs that fill two.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import Struct

from evswap_edge.outbox.records import Kind, Ticket

NO_TICKET: Final = Ticket(-1)
"""Older than any."""
LAST_TICKET: Final = Ticket(2**63 - 1)
"""Newer than any."""

ROUNDS: Final = 4
"""Two to the power of this: one of sixteen is left."""

Class = tuple[Kind, bool]
"""Things of a kind that tell of a change, or not."""
Fronts = Mapping[Class, Sequence[Ticket]]
"""For each class, how far the rounds have come; the first round is ahead."""

_UNTHINNED: Final = (NO_TICKET,) * ROUNDS
_ORDER: Final[Sequence[Class]] = tuple(
    (kind, changed) for changed in (False, True) for kind in (Kind.PARCEL, Kind.SAMPLE)
)
_ALONE_BYTES: Final = 2_000
"""Two that are larger do not fit on one page."""
_RUN_BYTES: Final = 2 * 4096
_PROTECTED: Final = 4
"""One in so many, the newest, is not thinned."""
_LOOKED_AT: Final = (256, 8_192)
"""How many things are looked at to find some that may go; more where they are small."""
_OLDEST_AT_ONCE: Final = 64


class Candidate(Struct, frozen=True, gc=False):
    """A thing that might go: the samples that it stands for, and what it takes."""

    ticket: Ticket
    samples: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Cut:
    """What goes now, and how far the rounds have come when it is gone."""

    kind: Kind
    victims: Sequence[Candidate]
    fronts: Fronts = field(default_factory=dict)


class Shelf(Protocol):
    """What the policy has to know of a store."""

    @property
    def fronts(self) -> Fronts:
        """How far the rounds have come."""
        ...

    def newest_but(self, kind: Kind, newer: int) -> Ticket:
        """The thing of ``kind`` of which ``newer`` are newer; ``NO_TICKET`` when there are not so many."""
        ...

    def count(self, kind: Kind) -> int:
        """How many things of ``kind`` there are."""
        ...

    def candidates(self, which: Class, *, after: Ticket, upto: Ticket, limit: int) -> Sequence[Candidate]:
        """Things of a class by their tickets, oldest first."""
        ...

    def oldest_events(self, limit: int) -> Sequence[Candidate]:
        """Events, oldest first."""
        ...


class Held(Protocol):
    """Which things somebody is sending."""

    def __contains__(self, ticket: object) -> bool: ...

    def count(self, kind: Kind) -> int:
        """How many of ``kind``."""
        ...


def level_of(ticket: Ticket, fronts: Sequence[Ticket]) -> int:
    """How many rounds the thing has outlived."""
    return sum(ticket <= front for front in fronts)


def cuts(shelf: Shelf, held: Held, *, goal_bytes: int) -> Iterator[Cut]:
    """What to give up, step by step; ask for the next when the one before is gone and there is still too
    little room. Each frees about ``goal_bytes`` or less."""
    for which in _ORDER:
        upto = _older_than_newest_quarter(shelf, which[0])
        yield from _thin(shelf, which, held, upto, goal_bytes)
        yield from _oldest(shelf, which, held, upto, goal_bytes)
    for which in _ORDER:
        yield from _oldest(shelf, which, held, LAST_TICKET, goal_bytes)
    yield from _oldest_events(shelf, held, goal_bytes)


def _older_than_newest_quarter(shelf: Shelf, kind: Kind) -> Ticket:
    """Samples in no parcel yet are mostly newer than all that are in one."""
    kinds = [other for other in {kind, Kind.PARCEL} if shelf.count(other)]
    quarters = (shelf.newest_but(other, -(-shelf.count(other) // _PROTECTED)) for other in kinds)
    return min(quarters, default=NO_TICKET)


def _thin(shelf: Shelf, which: Class, held: Held, upto: Ticket, goal_bytes: int) -> Iterator[Cut]:
    """The least thinned first, from the oldest on."""
    while cut := _next_thinning(shelf, which, held, upto, goal_bytes):
        yield cut


def _next_thinning(shelf: Shelf, which: Class, held: Held, upto: Ticket, goal_bytes: int) -> Cut | None:
    fronts = shelf.fronts.get(which, _UNTHINNED)
    ends = (upto, *fronts)
    for level, front in enumerate(fronts):
        end = min(ends[level], upto)
        for limit in _LOOKED_AT:
            found = shelf.candidates(which, after=front, upto=end, limit=limit)
            victims, reached = _every_second(_free(found, held), goal_bytes)
            if victims:
                moved = (*fronts[:level], reached, *fronts[level + 1 :])
                return Cut(which[0], victims, {which: moved})
            if len(found) < limit:
                break
    return None


def _every_second(candidates: Iterable[Candidate], goal_bytes: int) -> tuple[list[Candidate], Ticket]:
    """Keep a run, give up the next, until enough is given up; and the last one that was judged."""
    runs = _runs(candidates)
    victims: list[Candidate] = []
    reached, freed = NO_TICKET, 0
    for _, given_up in zip(runs, runs, strict=False):
        victims += given_up
        reached = given_up[-1].ticket
        freed += sum(victim.bytes for victim in given_up)
        if freed >= goal_bytes:
            break
    return victims, reached


def _runs(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    run: list[Candidate] = []
    filled = 0
    for candidate in candidates:
        run.append(candidate)
        filled += candidate.bytes
        if candidate.bytes > _ALONE_BYTES or filled >= _RUN_BYTES:
            yield run
            run, filled = [], 0


def _oldest(shelf: Shelf, which: Class, held: Held, upto: Ticket, goal_bytes: int) -> Iterator[Cut]:
    limit = _OLDEST_AT_ONCE + held.count(which[0])
    while victims := _enough(
        shelf.candidates(which, after=NO_TICKET, upto=upto, limit=limit), held, goal_bytes
    ):
        yield Cut(which[0], victims)


def _oldest_events(shelf: Shelf, held: Held, goal_bytes: int) -> Iterator[Cut]:
    limit = _OLDEST_AT_ONCE + held.count(Kind.EVENT)
    while victims := _enough(shelf.oldest_events(limit), held, goal_bytes):
        yield Cut(Kind.EVENT, victims)


def _enough(candidates: Iterable[Candidate], held: Held, goal_bytes: int) -> list[Candidate]:
    """The first that together take ``goal_bytes``."""
    victims: list[Candidate] = []
    freed = 0
    for candidate in _free(candidates, held):
        if freed >= goal_bytes:
            break
        victims.append(candidate)
        freed += candidate.bytes
    return victims


def _free(candidates: Iterable[Candidate], held: Held) -> Iterator[Candidate]:
    return (candidate for candidate in candidates if candidate.ticket not in held)
