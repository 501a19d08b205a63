"""The commands in memory: for tests and trying out."""

from collections.abc import Iterator
from datetime import datetime
from threading import Lock

from evswap_cloud.remote.records import Overdue, Record, Step, advanced
from evswap_cloud.remote.store import CommandPage


class MemoryCommands:
    """Commands in a dictionary: ``records`` by station_id and command_id."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], Record] = {}
        self._lock = Lock()

    def add(self, record: Record) -> Record | None:
        key = record.command.station_id, record.command.command_id
        with self._lock:
            known = self.records.get(key)
            if known is None:
                self.records[key] = record
            return known

    def get(self, station_id: str, command_id: str) -> Record | None:
        return self.records.get((station_id, command_id))

    def advance(
        self, station_id: str, command_id: str, step: Step, *, overdue: Overdue | None = None
    ) -> bool:
        with self._lock:
            record = self.records.get((station_id, command_id))
            after = None if record is None else advanced(record, step, overdue=overdue)
            if after is None:
                return False
            self.records[station_id, command_id] = after
            return True

    def waiting(self, station_id: str, *, limit: int) -> tuple[Record, ...]:
        return tuple([one for one in self._by_time(station_id) if one.waits is not None][:limit])

    def page(self, station_id: str, *, limit: int, before: str | None) -> CommandPage:
        following = [one for one in self._by_time(station_id) if before is None or one.place < before]
        following.reverse()
        return CommandPage(records=tuple(following[:limit]), more=len(following) > limit)

    def overdue(self, now: datetime) -> Iterator[Overdue]:
        for (station_id, command_id), one in tuple(self.records.items()):
            if one.waits is not None and one.deadline is not None and one.deadline <= now:
                yield Overdue(
                    station_id=station_id, command_id=command_id, waits=one.waits, deadline=one.deadline
                )

    def _by_time(self, station_id: str) -> list[Record]:
        records = [one for (of, _), one in self.records.items() if of == station_id]
        return sorted(records, key=lambda one: one.place)
