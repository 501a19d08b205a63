"""The auditor: replays an archive of events and says whether it is consistent with itself.

It forgets nothing, unlike the ledger that serves the API, and uses the same functions over the same facts.
Repeated and reordered lines change nothing, as they change nothing in the ledger.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from evswap_cloud.events import StationEvent, supersedes
from evswap_cloud.ledger import authorisations, batteries, slots, swaps
from evswap_cloud.ledger.authorisations import Account, Grant
from evswap_cloud.ledger.batteries import Battery, Missed, Place
from evswap_cloud.ledger.facts import Facts, facts_of
from evswap_cloud.ledger.findings import Code, Finding
from evswap_cloud.ledger.stamps import joined, stamp_of
from evswap_cloud.ledger.swaps import Debt, Swap, SwapState
from evswap_schema import (
    Clock,
    Event,
    InventoryEvent,
    RefusalEvent,
    SchemaError,
    decode_event,
    parse_timestamp,
)
from evswap_schema.limits import FUTURE_TOLERANCE

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


Word = TypeVar("Word", bound=str)


class Line(Struct, frozen=True):
    """One line of an archive, and where it stands."""

    source: str
    content: bytes


class Audit(Struct, frozen=True, kw_only=True):
    """What was counted, and what was found. ``until`` is the newest event's time, by which debts are judged.

    ``customers_owed`` and ``customers_owing`` are customers whose swaps, taken together, left them with fewer
    or more batteries than they brought.
    """

    lines: int
    events: int
    stations: int
    until: datetime | None
    swaps: Mapping[SwapState, int]
    debts: Mapping[Debt, int]
    offline_swaps: int
    authorisations: int
    refusals: int
    inventories: int
    batteries: Mapping[Place, int]
    orphans: int
    unregistered: int
    customers_owed: int
    customers_owing: int
    findings: tuple[Finding, ...]

    @property
    def violations(self) -> tuple[Finding, ...]:
        """Those findings that a complete log of correct stations cannot have."""
        return tuple(finding for finding in self.findings if finding.is_violation)


def audit(lines: Iterable[Line], grants: Mapping[str, Grant] | None = None) -> Audit:
    """Replay ``lines``, in whatever order they are, and count. Where the ``grants`` are given, by
    authorisation, what was spent offline is held against them."""
    log = _Log()
    for line in lines:
        log.take(line)
    events = list(log.events.values())
    facts = facts_of(events)
    records = [_battery(serial, facts) for serial in sorted(facts.sightings)]
    gone = _misses(facts)
    done = [swaps.absorb(None, key, steps) for key, steps in facts.steps.items()]
    until = max((event.occurred_at for event in events), default=None)
    debts = [debt for swap in done if until and (debt := swaps.debt_of(swap, until)) is not None]
    balances = _balances(done, until)
    return Audit(
        lines=log.lines,
        events=len(events),
        stations=len({event.event.station_id for event in events}),
        until=until,
        swaps=Counter(map(swaps.state_of, done)),
        debts=Counter(debts),
        offline_swaps=len({swap for spent in facts.spent.values() for swap in spent}),
        authorisations=len(facts.spent),
        refusals=sum(isinstance(event.event, RefusalEvent) for event in events),
        inventories=sum(isinstance(event.event, InventoryEvent) for event in events),
        batteries=Counter(_place(record, gone) for record in records),
        orphans=sum(map(batteries.is_orphan, records)),
        unregistered=sum(map(batteries.is_unregistered, records)),
        customers_owed=sum(balance > 0 for balance in balances.values()),
        customers_owing=sum(balance < 0 for balance in balances.values()),
        findings=(
            *log.findings,
            *(one for said in facts.statements.values() for one in slots.contradictions(joined(said))),
            *_contradictions(records, gone, done),
            *(() if grants is None else _overspent(facts, grants)),
        ),
    )


class _Log:
    """The events of an archive, each once, as the events' table would end with them."""

    def __init__(self) -> None:
        self.lines = 0
        self.events: dict[tuple[str, str], StationEvent] = {}
        self.findings: list[Finding] = []

    def take(self, line: Line) -> None:
        self.lines += 1
        try:
            event = read_line(line.content)
        except (SchemaError, ValueError) as error:
            self.findings.append(
                Finding(code=Code.UNREADABLE, subject=line.source, detail=str(error).partition("; found")[0])
            )
            return
        identity = event.event.station_id, event.event_id
        known = self.events.get(identity)
        if known is not None and _story(known.event) != _story(event.event):
            self.findings.append(
                Finding(
                    code=Code.TOLD_DIFFERENTLY,
                    subject=line.source,
                    detail=f"event {event.event_id} of {event.event.station_id} stands elsewhere otherwise",
                    stamp=stamp_of(event),
                )
            )
        elif known is None or supersedes(event, known):
            self.events[identity] = event


class _Arrival(Struct):
    received_at: str


def read_line(content: bytes) -> StationEvent:
    """The event in a line of the archive; raises ``InvalidMessage`` or ``ValueError``."""
    event = decode_event(content)
    received_at = parse_timestamp(msgspec.json.decode(content, type=_Arrival).received_at)
    occurred_at = min(event.timestamp, received_at + FUTURE_TOLERANCE)
    return StationEvent(event=event, occurred_at=occurred_at, received_at=received_at)


def _story(event: Event) -> Event:
    """What stays the same when a station corrects an event's time."""
    return replace(event, timestamp=_NO_TIME, clock=Clock.ESTIMATED, acknowledge=False)


def _battery(serial_number: str, facts: Facts) -> Battery:
    seen = facts.sightings[serial_number]
    return batteries.absorb(None, serial_number, seen, kept=len(seen))


def _misses(facts: Facts) -> dict[str, list[Missed]]:
    """Of each battery, in the order of time."""
    gone: dict[str, list[Missed]] = defaultdict(list)
    for (_, bay), statements in facts.statements.items():
        for serial, shown in slots.missed(None, statements):
            gone[serial].append(Missed(shown.stamp, bay, shown.seen))
    for misses in gone.values():
        misses.sort(key=lambda missed: missed.stamp.order)
    return gone


def _place(battery: Battery, gone: Mapping[str, list[Missed]]) -> Place:
    """As of the newest time that it was missed where it was seen last."""
    here = [one for one in gone.get(battery.serial_number, ()) if one.slot == battery.last.slot]
    return batteries.whereabouts(replace(battery, missed=here[-1] if here else None)).place


def _balances(done: Iterable[Swap], until: datetime | None) -> Counter[str]:
    """Batteries that each customer has given and not got, over the swaps that left a debt."""
    balances: Counter[str] = Counter()
    for swap in done:
        match until and swaps.debt_of(swap, until):
            case Debt.CUSTOMER_IS_OWED:
                balances[swap.key.id_token] += 1
            case Debt.CUSTOMER_OWES:
                balances[swap.key.id_token] -= 1
    return balances


def _contradictions(
    records: Iterable[Battery], gone: Mapping[str, list[Missed]], done: Iterable[Swap]
) -> Iterator[Finding]:
    for record in records:
        serial, seen = record.serial_number, record.sightings
        misses = gone.get(serial, [])
        yield from batteries.contradictions_among(serial, seen, misses)
        yield from batteries.misses_among(serial, seen, misses)
    for swap in done:
        yield from swaps.contradictions(swap)


def _overspent(facts: Facts, grants: Mapping[str, Grant]) -> Iterator[Finding]:
    for name, spent in facts.spent.items():
        yield from authorisations.contradictions(Account(name, grants.get(name), tuple(sorted(spent))))


def told(result: Audit) -> Iterator[str]:
    """What a person reads: what was counted, then each finding with the event at fault."""
    yield f"{result.lines} lines, {result.events} events of {result.stations} stations"
    if result.until is not None:
        yield f"until {result.until.isoformat()}"
    total = sum(result.swaps.values())
    yield (
        f"swaps: {total} ({_counts(result.swaps)}); {result.offline_swaps} of them offline by"
        f" {result.authorisations} authorisations; {result.refusals} customers turned away"
    )
    yield (
        f"debts: {_counts(result.debts) or 'none'}; {result.customers_owed} customers are owed a battery,"
        f" {result.customers_owing} owe one"
    )
    yield (
        f"batteries: {sum(result.batteries.values())} ({_counts(result.batteries)});"
        f" {result.orphans} orphans, {result.unregistered} unregistered; {result.inventories} inventories"
    )
    codes = Counter(finding.code for finding in result.findings if not finding.is_violation)
    yield f"findings: {_counts(codes) or 'none'}"
    yield f"violations: {len(result.violations)}"
    for finding in result.violations:
        yield f"  {finding.code}: {finding.subject}: {finding.detail}{_where(finding)}"


def _counts(counts: Mapping[Word, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _where(finding: Finding) -> str:
    stamp = finding.stamp
    if stamp is None:
        return ""
    return f" (event {stamp.sequence} of stream {stamp.stream_id} at {stamp.at.isoformat()})"
