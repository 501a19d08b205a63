"""Which names new things get: a stream and a number in it, and a ticket."""

from uuid import uuid4

from evswap_edge.outbox.records import URGENT, Kind, Ticket, ticket_after
from evswap_edge.outbox.store import Sequences


class Numbers:
    """The numbers of one stream for samples and one for events."""

    def __init__(self, sample_stream: str, event_stream: str, last: Sequences) -> None:
        self._streams = {Kind.SAMPLE: sample_stream, Kind.EVENT: event_stream}
        self.used = {Kind.SAMPLE: last.sample, Kind.EVENT: last.event}
        """The numbers that were used up last; whoever uses one up writes it here."""

    @classmethod
    def volatile(cls) -> "Numbers":
        """Streams that nobody has counted in before."""
        return cls(uuid4().hex, uuid4().hex, Sequences())

    @property
    def last(self) -> Sequences:
        """The numbers that were used up last."""
        return Sequences(self.used[Kind.SAMPLE], self.used[Kind.EVENT])

    def stream_id(self, kind: Kind) -> str:
        """The stream of samples, or of events."""
        return self._streams[kind]

    def revert(self, last: Sequences) -> None:
        """What was used since is not used up: it never left this process."""
        self.used = {Kind.SAMPLE: last.sample, Kind.EVENT: last.event}


class Tickets:
    """Hands out tickets, each newer than all before it."""

    def __init__(self, newest: Ticket) -> None:
        self.newest = newest

    def next(self, kind: Kind) -> Ticket:
        """A ticket that was never handed out."""
        self.newest = ticket = ticket_after(self.newest, kind)
        return ticket

    def next_urgent(self) -> Ticket:
        """The same for an event that is urgent."""
        self.newest = ticket = ticket_after(self.newest, URGENT)
        return ticket
