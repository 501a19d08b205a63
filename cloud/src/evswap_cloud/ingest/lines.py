"""What many messages become in the archive: JSON lines, one object for each day of receipt."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from evswap_cloud.archive import Addition, Archive, ArchiveObject, LinesFolder, day_folder, lines_object
from evswap_cloud.errors import ArchiveError
from evswap_cloud.ingest.receive import Received
from evswap_cloud.ingest.records import Failure
from evswap_schema import Identity

T = TypeVar("T")

Lines = Callable[[Received[T]], Mapping[Identity, bytes]]
"""The lines of one message, each with its identity and its end."""


class Arrival(Struct, omit_defaults=True, frozen=True, kw_only=True):
    """What a line says beside the message's own fields."""

    received_at: str
    flags: tuple[str, ...] = ()


class ArchivedLines(Struct, Generic[T], frozen=True, kw_only=True):
    """The messages that the archive has now, whether it took them or had them, and those that it refused."""

    messages: tuple[Received[T], ...]
    stored: int
    repeated: int
    failures: tuple[Failure, ...]


def archive_lines(
    archive: Archive, folder: LinesFolder, messages: Iterable[Received[T]], lines: Lines[T]
) -> ArchivedLines[T]:
    """Bring ``messages`` to ``archive``. Where an object fails, so do all the records in it."""
    additions: list[Addition] = []
    done: list[Received[T]] = []
    failures: list[Failure] = []
    for day in _by_day_received(messages):
        try:
            additions.append(archive.add(_object_of(folder, day, lines)))
        except ArchiveError as error:
            failures += [Failure(record_id=message.record_id, error=error) for message in day]
        else:
            done += day
    stored = additions.count(Addition.STORED)
    return ArchivedLines(
        messages=tuple(done),
        stored=stored,
        repeated=len(additions) - stored,
        failures=tuple(failures),
    )


def _by_day_received(messages: Iterable[Received[T]]) -> Iterable[list[Received[T]]]:
    days: dict[str, list[Received[T]]] = defaultdict(list)
    for message in messages:
        days[day_folder(message.envelope.received_at)].append(message)
    return days.values()


def _object_of(folder: LinesFolder, messages: Sequence[Received[T]], lines: Lines[T]) -> ArchiveObject:
    """The same messages make the same object, in whatever order the queue hands them out; a message that is
    there twice counts once, with its first receipt.
    """
    every: dict[Identity, bytes] = {}
    for message in sorted(messages, key=_order):
        for identity, line in lines(message).items():
            every.setdefault(identity, line)
    return lines_object(
        folder,
        b"".join(every.values()),
        received_at=min(message.envelope.received_at for message in messages),
        messages=len(messages),
    )


def _order(message: Received[T]) -> tuple[datetime, bytes]:
    return message.envelope.received_at, message.envelope.payload
