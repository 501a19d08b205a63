"""Which Parquet files are current, and which raw objects are in them: one small object, replaced as a whole.

A run writes files under names that nobody knows, then this object. Who reads it once has a history of one
moment, as files are never changed and stay a day after they are current no more.
"""

import gzip
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from evswap_cloud.compaction.kinds import Kind
from evswap_cloud.compaction.objects import Objects
from evswap_cloud.errors import HistoryError

DATA: Final = "data/"
"""The Parquet files."""
INDEX: Final = "index/"
"""Beside each Parquet file one of the sequences in it."""
TAKEN: Final = "taken/"
"""What was taken from each raw object."""
CURRENT: Final = "current/"
"""Each day's current files once more, for Athena."""


class DataFile(Struct, frozen=True, kw_only=True):
    """A Parquet file: the rows of one day that belong to one ``share`` of the stations."""

    key: str
    share: int
    rows: int
    bytes: int

    @property
    def index(self) -> str:
        """The key of the sequences in it."""
        return f"{INDEX}{self.key.removeprefix(DATA)}"


class Day(Struct, frozen=True, kw_only=True):
    """The files of a day sampled; its stations are divided among ``shares``, a power of two."""

    shares: int
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """How many readings or events the day has."""
        return sum(file.rows for file in self.files)


class Taking(Struct, frozen=True, kw_only=True):
    """Raw objects that one run took; ``key`` is the list of them."""

    key: str
    at: datetime
    objects: int


class TakenObject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was taken from a raw object: so many ``rows`` of these ``days``. Lines that are no message stay
    where they are, and the object with them.
    """

    key: str
    rows: int
    days: tuple[str, ...] = ()
    unreadable: int = 0


class Manifest(Struct, frozen=True, kw_only=True):
    """``days`` by their ISO date. ``changed`` are the days of the last run, which Athena may not have been
    told of.
    """

    days: dict[str, Day] = {}
    takings: tuple[Taking, ...] = ()
    changed: tuple[str, ...] = ()

    def files(self) -> Iterable[DataFile]:
        """Every current file."""
        return (file for day in self.days.values() for file in day.files)

    def keys(self) -> set[str]:
        """Every object that has to stay."""
        data = [key for file in self.files() for key in (file.key, file.index)]
        return {*data, *(taking.key for taking in self.takings)}


class Kept(Struct, frozen=True, kw_only=True):
    """A manifest as it was read; ``etag`` is None where there was none."""

    manifest: Manifest
    etag: str | None


def manifest_key(kind: Kind) -> str:
    """Where the manifest of ``kind`` lies."""
    return f"manifest/{kind.name}.json"


def load(objects: Objects, kind: Kind) -> Kept:
    """The manifest as it is now; raises ``HistoryError``."""
    found = objects.read(manifest_key(kind))
    if found is None:
        return Kept(manifest=Manifest(), etag=None)
    return Kept(manifest=_decoded(found.body, manifest_key(kind)), etag=found.etag)


def commit(objects: Objects, kind: Kind, kept: Kept, manifest: Manifest) -> None:
    """Put ``manifest`` in the place of the one that was read; raises ``Overtaken``, ``HistoryError``."""
    objects.replace(manifest_key(kind), msgspec.json.encode(manifest), expected=kept.etag)


def taken_lines(taken: Iterable[TakenObject]) -> bytes:
    """The list of a taking, as it is stored."""
    return gzip.compress(b"\n".join(map(msgspec.json.encode, taken)), mtime=0)


def taken_in(objects: Objects, taking: Taking) -> list[TakenObject]:
    """The list of ``taking``; raises ``HistoryError``."""
    found = objects.read(taking.key)
    if found is None:
        raise HistoryError(operation="read", target=taking.key, code="the manifest names it and it is gone")
    lines = gzip.decompress(found.body).splitlines()
    return [msgspec.json.decode(line, type=TakenObject) for line in lines]


def taken_keys(objects: Objects, manifest: Manifest) -> set[str]:
    """The raw objects that are in the Parquet files already; raises ``HistoryError``."""
    return {taken.key for taking in manifest.takings for taken in taken_in(objects, taking)}


def _decoded(body: bytes, key: str) -> Manifest:
    try:
        return msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HistoryError(operation="read", target=key, code=f"is no manifest: {error}") from error
