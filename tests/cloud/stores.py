"""The shipped stores in memory, and ones that fail when they are told to."""

from dataclasses import dataclass, field

from evswap_cloud.acknowledge import Acknowledger
from evswap_cloud.archive import Addition, ArchiveObject
from evswap_cloud.bays import Bays
from evswap_cloud.errors import (
    AcknowledgementError,
    ArchiveError,
    EventStoreError,
    LatestStateError,
    MinuteStoreError,
    QuarantineError,
)
from evswap_cloud.events import Keeping, StationEvent
from evswap_cloud.history import Keeping as QuarterKeeping
from evswap_cloud.history import Quarter
from evswap_cloud.ingest import BulkIngest, ChangeIngest, EventIngest, LiveIngest
from evswap_cloud.latest import LatestState, Offer, Offered
from evswap_cloud.ledger import Book, LedgerReader, memory_book
from evswap_cloud.memory import (
    MemoryArchive,
    MemoryEvents,
    MemoryHistory,
    MemoryLatestStates,
    MemoryMessenger,
    MemoryQuarantine,
)
from evswap_cloud.quarantine import Quarantined
from evswap_schema import Acknowledgement


class FailingArchive(MemoryArchive):
    """Refuses the keys that hold one of ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()

    def add(self, item: ArchiveObject) -> Addition:
        if any(part in item.key for part in self.refused):
            raise ArchiveError(operation="put", target=item.key, code="SlowDown")
        return super().add(item)


class FailingQuarantine(MemoryQuarantine):
    def __init__(self) -> None:
        super().__init__()
        self.down = False

    def keep(self, message: Quarantined) -> None:
        if self.down:
            raise QuarantineError(operation="put", target=message.key, code="InternalError")
        super().keep(message)


class FailingLatestStates(MemoryLatestStates):
    """Refuses the stations in ``refused``; ``offers`` counts the writes it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.offers: list[LatestState] = []

    def offer(self, state: LatestState) -> Offer:
        self._take(state)
        return super().offer(state)

    def offer_with_bays(self, state: LatestState, bays: Bays) -> Offered:
        self._take(state)
        return super().offer_with_bays(state, bays)

    def _take(self, state: LatestState) -> None:
        self.offers.append(state)
        if state.station_id in self.refused:
            raise LatestStateError(operation="write", target=state.station_id, code="ThrottlingException")


class FailingEvents(MemoryEvents):
    """Refuses the stations in ``refused``; ``writes`` are those it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.writes: list[StationEvent] = []

    def keep(self, event: StationEvent) -> Keeping:
        self.writes.append(event)
        if event.event.station_id in self.refused:
            raise EventStoreError(
                operation="write", target=event.event.station_id, code="ThrottlingException"
            )
        return super().keep(event)


class FailingHistory(MemoryHistory):
    """Refuses the stations in ``refused``; ``writes`` are those it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.writes: list[Quarter] = []

    def keep(self, quarter: Quarter) -> QuarterKeeping:
        self.writes.append(quarter)
        if quarter.station_id in self.refused:
            raise MinuteStoreError(operation="write", target=quarter.station_id, code="ThrottlingException")
        return super().keep(quarter)


class FailingMessenger(MemoryMessenger):
    """Reaches no station in ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()

    def send(self, acknowledgement: Acknowledgement) -> None:
        if acknowledgement.station_id in self.refused:
            raise AcknowledgementError(
                operation="publish", target=acknowledgement.station_id, code="ThrottlingException"
            )
        super().send(acknowledgement)


@dataclass
class Stores:
    """One of each, and ingest over them."""

    archive: FailingArchive = field(default_factory=FailingArchive)
    quarantine: FailingQuarantine = field(default_factory=FailingQuarantine)
    latest: FailingLatestStates = field(default_factory=FailingLatestStates)
    history: FailingHistory = field(default_factory=FailingHistory)
    kept: FailingEvents = field(default_factory=FailingEvents)
    ledger: Book = field(default_factory=memory_book)
    messenger: FailingMessenger = field(default_factory=FailingMessenger)

    @property
    def live(self) -> LiveIngest:
        return LiveIngest(archive=self.archive, latest=self.latest, quarantine=self.quarantine)

    @property
    def change(self) -> ChangeIngest:
        return ChangeIngest(latest=self.latest, quarantine=self.quarantine)

    @property
    def bulk(self) -> BulkIngest:
        return BulkIngest(
            archive=self.archive,
            latest=self.latest,
            history=self.history,
            quarantine=self.quarantine,
        )

    @property
    def events(self) -> EventIngest:
        return EventIngest(
            archive=self.archive, events=self.kept, ledger=self.ledger, quarantine=self.quarantine
        )

    @property
    def batteries(self) -> LedgerReader:
        return LedgerReader(self.ledger.batteries, self.ledger.swaps)

    @property
    def acknowledger(self) -> Acknowledger:
        return Acknowledger(self.messenger)
