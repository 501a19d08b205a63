"""What is known of a command, and the steps by which more becomes known.

Steps only lead upwards, in whatever order they come: sent, accepted, concluded by the cloud, concluded by the
station. So what is delivered late, twice or out of order ends in the same record, and the first result that a
station tells is the one that stands. What the cloud concludes is an inference from silence; the station knows
better, and its word replaces it.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from evswap_cloud.order import sortable
from evswap_schema import Command, CommandResult

GRACE: Final = timedelta(minutes=1)
"""How long after its expiry a command may still be heard of before it is taken for expired: what its station
did at the last moment is on its way."""

UNDER_WAY: Final = timedelta(hours=2)
"""How long a station that has accepted a command may take: its bay may be busy until the command expires, and
a swap has a customer in it."""

PLACE_PATTERN: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/[A-Za-z0-9_-]{1,64}\Z"
"""What ``Record.place`` looks like."""


class State(StrEnum):
    """How far a command has come. ``pending`` has not left the cloud, ``sent`` is with AWS IoT; the others
    are outcomes of the contract."""

    PENDING = "pending"
    SENT = "sent"
    ACCEPTED = "accepted"
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Wait(StrEnum):
    """What a command that has no result waits for: any word of its station, or the outcome."""

    WORD = "word"
    OUTCOME = "outcome"


_WAITS: Final = {State.PENDING: Wait.WORD, State.SENT: Wait.WORD, State.ACCEPTED: Wait.OUTCOME}
_RANKS: Final = {State.PENDING: 0, State.SENT: 1, State.ACCEPTED: 2}
_OF_THE_CLOUD: Final = 3
_OF_THE_STATION: Final = 4


class Step(Struct, frozen=True, kw_only=True):
    """Something that has become known at ``at``, by the cloud's clock. ``said_at`` is the station's own clock
    where the station said it; ``deadline`` is until when there is to be more, None where there is no more."""

    state: State
    at: datetime
    said_at: datetime | None = None
    reason: str | None = None
    deadline: datetime | None = None

    @property
    def rank(self) -> int:
        """Of two steps the one of the higher rank stands."""
        return _rank(self.state, self.said_at)

    @property
    def waits(self) -> Wait | None:
        """What is still to come."""
        return _WAITS.get(self.state)


class Record(Struct, frozen=True, kw_only=True):
    """A command and how far it has come. ``issued_by`` is the person or the machine, as the authoriser names
    it; ``deadline`` is None once there is a result."""

    command: Command
    issued_by: str
    state: State
    changed_at: datetime
    said_at: datetime | None = None
    reason: str | None = None
    deadline: datetime | None = None

    @property
    def place(self) -> str:
        """Sorts a station's commands by the time of their issue."""
        return f"{sortable(self.command.issued_at)}/{self.command.command_id}"

    @property
    def rank(self) -> int:
        """That of the last step."""
        return _rank(self.state, self.said_at)

    @property
    def waits(self) -> Wait | None:
        """What is still to come; None once there is a result."""
        return _WAITS.get(self.state)


class Overdue(Struct, frozen=True, kw_only=True):
    """A command that was still waiting at its deadline."""

    station_id: str
    command_id: str
    waits: Wait
    deadline: datetime


def opened(command: Command, issued_by: str) -> Record:
    """The record of a new command."""
    return Record(
        command=command,
        issued_by=issued_by,
        state=State.PENDING,
        changed_at=command.issued_at,
        deadline=command.expires_at + GRACE,
    )


def sent(at: datetime) -> Step:
    """AWS IoT has taken it."""
    return Step(state=State.SENT, at=at)


def heard(result: CommandResult, at: datetime) -> Step:
    """The station has said ``result``, which was received ``at``."""
    state = State(result.outcome.value)
    return Step(
        state=state,
        at=at,
        said_at=result.timestamp,
        reason=result.reason,
        deadline=at + UNDER_WAY if state is State.ACCEPTED else None,
    )


def given_up(overdue: Overdue, at: datetime) -> Step:
    """Nobody waits for it any longer: it was never heard of, or it was accepted and never told."""
    if overdue.waits is Wait.WORD:
        return Step(state=State.EXPIRED, at=at, reason="the station said nothing of it until it had expired")
    return Step(state=State.UNKNOWN, at=at, reason="the station accepted it and never told what became of it")


def advanced(record: Record, step: Step, *, overdue: Overdue | None = None) -> Record | None:
    """``record`` after ``step``; None where that is not higher, or where the record is no longer ``overdue``.

    ``DynamoCommands`` says the same as a condition, and a test compares the two.
    """
    if step.rank <= record.rank:
        return None
    if overdue is not None and (overdue.waits, overdue.deadline) != (record.waits, record.deadline):
        return None
    kept = record.deadline if step.state is State.SENT else step.deadline
    return replace(
        record,
        state=step.state,
        changed_at=step.at,
        said_at=step.said_at,
        reason=step.reason,
        deadline=kept,
    )


def _rank(state: State, said_at: datetime | None) -> int:
    return _RANKS.get(state, _OF_THE_CLOUD if said_at is None else _OF_THE_STATION)
