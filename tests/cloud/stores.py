"""The shipped stores in memory, and ones that fail when they are told to."""

from dataclasses import dataclass, field

from evswap_cloud.archive import Addition, ArchiveObject
from evswap_cloud.errors import ArchiveError, LatestStateError, QuarantineError
from evswap_cloud.ingest import BulkIngest, ChangeIngest, LiveIngest
from evswap_cloud.latest import LatestState, Offer
from evswap_cloud.memory import MemoryArchive, MemoryLatestStates, MemoryQuarantine
from evswap_cloud.quarantine import Quarantined


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
        self.offers.append(state)
        if state.station_id in self.refused:
            raise LatestStateError(operation="write", target=state.station_id, code="ThrottlingException")
        return super().offer(state)


@dataclass
class Stores:
    """One of each, and ingest over them."""

    archive: FailingArchive = field(default_factory=FailingArchive)
    quarantine: FailingQuarantine = field(default_factory=FailingQuarantine)
    latest: FailingLatestStates = field(default_factory=FailingLatestStates)

    @property
    def live(self) -> LiveIngest:
        return LiveIngest(archive=self.archive, latest=self.latest, quarantine=self.quarantine)

    @property
    def change(self) -> ChangeIngest:
        return ChangeIngest(latest=self.latest, quarantine=self.quarantine)

    @property
    def bulk(self) -> BulkIngest:
        return BulkIngest(archive=self.archive, latest=self.latest, quarantine=self.quarantine)
