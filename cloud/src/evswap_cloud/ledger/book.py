"""The ledger as a whole: its four shelves, and how events are entered in it.

Entering is idempotent and does not depend on order, so a record of the queue that failed half-way is mended
by entering it again.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from evswap_cloud.errors import LedgerError
from evswap_cloud.events import RETENTION, StationEvent
from evswap_cloud.ledger import authorisations, batteries, slots, swaps
from evswap_cloud.ledger.authorisations import Account
from evswap_cloud.ledger.batteries import Battery, Missed
from evswap_cloud.ledger.facts import Facts, facts_of
from evswap_cloud.ledger.findings import Finding
from evswap_cloud.ledger.layouts import ACCOUNTS, BATTERIES, SLOTS, SlotKey, swaps_kept
from evswap_cloud.ledger.reading import LedgerReader
from evswap_cloud.ledger.shelves import Change, DynamoShelf, MemoryShelf, Shelf
from evswap_cloud.ledger.slots import Slot
from evswap_cloud.ledger.swaps import Swap, SwapKey

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

R = TypeVar("R")

Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Book:
    """The records, each kind on its shelf."""

    batteries: Shelf[str, Battery]
    slots: Shelf[SlotKey, Slot]
    swaps: Shelf[SwapKey, Swap]
    accounts: Shelf[str, Account]


class Entry(Struct, frozen=True, kw_only=True):
    """What became of events: what was found that had not been found before, and the places of those events
    that could not be entered, with why."""

    findings: tuple[Finding, ...]
    failures: dict[int, LedgerError]


def memory_book() -> Book:
    """A ledger in memory: for tests, the auditor and trying out."""
    return Book(MemoryShelf(), MemoryShelf(), MemoryShelf(), MemoryShelf())


def dynamo_reader(client: "DynamoDBClient", *, batteries: str, ledger: str) -> LedgerReader:
    """What reads the ledger in the DynamoDB tables of these names."""
    return LedgerReader(DynamoShelf(client, batteries, BATTERIES), DynamoShelf(client, ledger, swaps_kept()))


def dynamo_book(
    client: "DynamoDBClient",
    *,
    batteries: str,
    ledger: str,
    authorisations: str,
    swaps: timedelta = RETENTION,
) -> Book:
    """The ledger in the DynamoDB tables of these names; ``swaps`` is how long those are remembered."""
    return Book(
        DynamoShelf(client, batteries, BATTERIES),
        DynamoShelf(client, ledger, SLOTS),
        DynamoShelf(client, ledger, swaps_kept(swaps)),
        DynamoShelf(client, authorisations, ACCOUNTS),
    )


def enter(book: Book, events: Sequence[StationEvent], run: Run = map) -> Entry:
    """Enter what ``events`` say. ``run`` may do so with several records at the same time."""
    each = [facts_of([event]) for event in events]
    every = facts_of(events)
    _look_ahead(book, every)
    jobs = list(_jobs(book, every))
    outcomes = dict(zip((key for key, _ in jobs), run(_tried, (job for _, job in jobs)), strict=True))
    findings, failures = _sorted_out(outcomes)
    gone = list(_misses(book, every, outcomes))
    for (key, _), outcome in zip(gone, run(_tried, (job for _, job in gone)), strict=True):
        more, failed = _sorted_out({key: outcome})
        findings += more
        failures.update(failed)
    return Entry(
        findings=tuple(findings),
        failures={
            place: failures[key]
            for place, facts in enumerate(each)
            for key in _keys(facts)
            if key in failures
        },
    )


Key = tuple[str, object]
Job = Callable[[], Change[Any]]
Outcome = Change[Any] | LedgerError


def _look_ahead(book: Book, facts: Facts) -> None:
    book.batteries.look_ahead(facts.sightings)
    book.slots.look_ahead(facts.statements)
    book.swaps.look_ahead(facts.steps)
    book.accounts.look_ahead(facts.spent)


def _jobs(book: Book, facts: Facts) -> Iterable[tuple[Key, Job]]:
    """A change of each record that something was said about."""
    for serial, seen in facts.sightings.items():
        absorb = partial(batteries.absorb, serial_number=serial, sightings=seen)
        yield ("battery", serial), partial(book.batteries.change, serial, absorb)
    for slot, said in facts.statements.items():
        absorb_said = partial(slots.absorb, station_id=slot[0], bay=slot[1], statements=said)
        yield ("slot", slot), partial(book.slots.change, slot, absorb_said)
    for swap, steps in facts.steps.items():
        absorb_steps = partial(swaps.absorb, key=swap, steps=steps)
        yield ("swap", swap), partial(book.swaps.change, swap, absorb_steps)
    for name, spent in facts.spent.items():
        absorb_spent = partial(authorisations.absorb, authorisation_id=name, swaps=spent)
        yield ("account", name), partial(book.accounts.change, name, absorb_spent)


def _misses(book: Book, facts: Facts, outcomes: dict[Key, Outcome]) -> Iterable[tuple[Key, Job]]:
    """Batteries that a bay was said to hold and does not: every time, as the time before may have failed."""
    for (station_id, bay), said in facts.statements.items():
        key: Key = "slot", (station_id, bay)
        outcome = outcomes[key]
        if isinstance(outcome, Change):
            for serial, shown in slots.missed(outcome.before, said):
                yield key, partial(_miss, book, serial, Missed(shown.stamp, bay, shown.seen))


def _miss(book: Book, serial_number: str, missed: Missed) -> Change[Battery]:
    """The bay was told of together with its battery, so the battery's record is there, or on its way: then
    its event comes again, and the bay's record brings it here again."""

    def absorb(battery: Battery | None) -> Battery:
        if battery is None:
            raise LedgerError(operation="miss", target=serial_number, code="NotEntered")
        return batteries.absorb(battery, serial_number, missed=[missed])

    return book.batteries.change(serial_number, absorb)


def _tried(job: Job) -> Outcome:
    try:
        return job()
    except LedgerError as error:
        return error


def _sorted_out(outcomes: dict[Key, Outcome]) -> tuple[list[Finding], dict[Key, LedgerError]]:
    findings: list[Finding] = []
    failures: dict[Key, LedgerError] = {}
    for key, outcome in outcomes.items():
        if isinstance(outcome, LedgerError):
            failures[key] = outcome
        else:
            before = () if outcome.before is None else _contradictions(outcome.before)
            findings += [one for one in _contradictions(outcome.after) if one not in before]
    return findings, failures


def _contradictions(record: Battery | Slot | Swap | Account) -> Collection[Finding]:
    match record:
        case Battery():
            return batteries.contradictions(record)
        case Swap():
            return swaps.contradictions(record)
        case Account():
            return authorisations.contradictions(record)
        case Slot():
            return ()


def _keys(facts: Facts) -> Iterable[Key]:
    yield from (("battery", serial) for serial in facts.sightings)
    yield from (("slot", slot) for slot in facts.statements)
    yield from (("swap", swap) for swap in facts.steps)
    yield from (("account", name) for name in facts.spent)
