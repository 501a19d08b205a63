"""What a station has to remember of its swaps, durable before anything moves or is told.

One transaction holds all that something comes to: the swap, its bays, the events that are owed, and the use
of an authorisation. So a power cut finds either none of it or all. An event that is owed is written down with
the place that the outbox is about to give it; whoever comes next can tell by that whether it got there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from evswap_edge.clock import Stamp
from evswap_edge.outbox.notebook import Notebook
from evswap_edge.swaps.bay import BayState
from evswap_edge.swaps.drafts import Draft
from evswap_edge.swaps.floor import Floor, Outcome
from evswap_edge.swaps.swap import Swap
from evswap_schema import Authorisation, Clock, encode_event

OWN_REQUESTS_FROM: Final = 2**30
"""The station numbers the swaps that it authorises itself from here on; the cloud's numbers are below."""
_OWN_REQUESTS: Final = 2**30

MAX_AUTHORISATIONS: Final = 10_000
"""About 5 MB; a station has some hundred customers."""

_EXPIRED_KEPT_S: Final = 7 * 86_400.0
"""So long after its end somebody with an authorisation is told that it has expired, and not that there is
none."""

_KEPT_SWAPS: Final = 2_000
"""How many swaps that are over stay, so that nobody begins one of them again: two weeks of a busy station."""

_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE bays (bay INTEGER PRIMARY KEY, state BLOB NOT NULL) STRICT;
CREATE TABLE swaps (
    request_id INTEGER PRIMARY KEY,
    swap       BLOB NOT NULL,
    over       INTEGER NOT NULL,
    ended      INTEGER
) STRICT;
CREATE INDEX running ON swaps (request_id) WHERE over = 0;
CREATE TABLE owed (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    draft     BLOB NOT NULL,
    stamp     BLOB NOT NULL,
    stream_id TEXT,
    sequence  INTEGER
) STRICT;
CREATE TABLE authorisations (
    authorisation_id TEXT PRIMARY KEY,
    id_token         TEXT NOT NULL,
    body             BLOB,
    used             INTEGER NOT NULL DEFAULT 0,
    expires_at       REAL NOT NULL
) STRICT;
CREATE INDEX by_token ON authorisations (id_token) WHERE body IS NOT NULL;
CREATE TABLE facts (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT
"""
_LATEST: Final = "latest"
_NEXT_REQUEST: Final = "next_request"
_LATER: Final = (
    "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
)


class SwapJournalError(Exception):
    """Nothing can be read or written; nothing was changed. ``path`` is the file."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"journal of swaps {path}: {reason}")


@dataclass(frozen=True, slots=True)
class Owed:
    """An event that is to be in the outbox. ``place`` is the stream and number that it was about to get."""

    number: int
    draft: Draft
    stamp: Stamp
    place: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Known:
    """An authorisation that the station keeps, and how many of its swaps were used here."""

    authorisation: Authorisation
    used: int


class SwapJournal:
    """The swaps of one station in one SQLite file. May be used from any thread; calls are done in turn.

    All of it may raise ``SwapJournalError``; then nothing was changed."""

    def __init__(self, outbox: Path, *, station_id: str) -> None:
        """Beside ``outbox``; nothing is made before it is needed."""
        self._book = Notebook(
            outbox.with_name(f"{outbox.name}.swaps"),
            station_id=station_id,
            tables=_TABLES,
            version=_VERSION,
            unusable=SwapJournalError,
        )

    # --- bays and swaps -----------------------------------------------------------------------------------

    def floor(self) -> Floor:
        """The bays and the swaps under way, as they were written down last."""
        if not self._book.exists:
            return Floor()
        states = [_read(body, BayState) for (body,) in self._book.rows("SELECT state FROM bays")]
        running = self._book.rows("SELECT swap FROM swaps WHERE over = 0")
        swaps = [_read(body, Swap) for (body,) in running]
        return Floor({state.bay: state for state in states}, {swap.request_id: swap for swap in swaps})

    def commit(self, outcome: Outcome, now: Stamp) -> None:
        """Write down all that ``outcome`` comes to, as of ``now``."""
        with self._book.transaction() as db:
            for state in outcome.bays:
                db.execute(
                    "INSERT OR REPLACE INTO bays VALUES (?, ?)", (state.bay, _written(state.durable()))
                )
            for swap in outcome.swaps:
                _put(db, swap)
            for draft in outcome.told:
                row = (encode_event(draft), _written(now))
                db.execute("INSERT INTO owed (draft, stamp) VALUES (?, ?)", row)
            if outcome.spent is not None:
                _count(db, outcome.spent, 1)
            for authorisation_id in outcome.given_back:
                _count(db, authorisation_id, -1)
            if now.clock is Clock.SYNCHRONIZED:
                db.execute(_LATER, (_LATEST, now.wall_s))

    def find(self, request_id: int) -> Swap | None:
        """The swap of that number, under way or over."""
        if not self._book.exists:
            return None
        rows = self._book.rows("SELECT swap FROM swaps WHERE request_id = ?", request_id)
        return _read(rows[0][0], Swap) if rows else None

    def next_request(self) -> int:
        """A number for a swap that the station authorises itself. It is used up by this."""
        with self._book.transaction() as db:
            found = db.execute("SELECT value FROM facts WHERE name = ?", (_NEXT_REQUEST,)).fetchone()
            number = int(found[0]) if found else 0
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_NEXT_REQUEST, number + 1))
        return OWN_REQUESTS_FROM + number % _OWN_REQUESTS

    # --- events -------------------------------------------------------------------------------------------

    def owed(self) -> list[Owed]:
        """The events that are to be told still, in their order."""
        if not self._book.exists:
            return []
        rows = self._book.rows("SELECT number, draft, stamp, stream_id, sequence FROM owed ORDER BY number")
        return [
            Owed(
                number=number,
                draft=_read(draft, Draft),
                stamp=_read(stamp, Stamp),
                place=None if stream_id is None else (stream_id, sequence),
            )
            for number, draft, stamp, stream_id, sequence in rows
        ]

    def place(self, number: int, stream_id: str, sequence: int) -> None:
        """The outbox is about to put the event there."""
        with self._book.transaction() as db:
            row = (stream_id, sequence, number)
            db.execute("UPDATE owed SET stream_id = ?, sequence = ? WHERE number = ?", row)

    def paid(self, number: int) -> None:
        """The event is in the outbox."""
        with self._book.transaction() as db:
            db.execute("DELETE FROM owed WHERE number = ?", (number,))

    # --- authorisations -----------------------------------------------------------------------------------

    def keep(self, authorisations: list[Authorisation], withdrawn: list[str], *, as_of: float) -> None:
        """Keep these and not those any more. What was used of one stays used, also of one that was withdrawn
        and comes back. ``as_of`` (seconds since 1970) is when the cloud said so."""
        with self._book.transaction() as db:
            for one in authorisations:
                row = (one.authorisation_id, one.id_token, _written(one), one.expires_at.timestamp())
                db.execute(
                    "INSERT INTO authorisations (authorisation_id, id_token, body, expires_at) "
                    "VALUES (?, ?, ?, ?) ON CONFLICT (authorisation_id) DO UPDATE SET "
                    "id_token = excluded.id_token, body = excluded.body, expires_at = excluded.expires_at",
                    row,
                )
            for authorisation_id in withdrawn:
                query = "UPDATE authorisations SET body = NULL WHERE authorisation_id = ?"
                db.execute(query, (authorisation_id,))
            db.execute(_LATER, (_LATEST, as_of))
            gone = (
                "DELETE FROM authorisations WHERE expires_at < (SELECT value FROM facts WHERE name = ?) - ?"
            )
            db.execute(gone, (_LATEST, _EXPIRED_KEPT_S))
            self._require_room(db)

    def authorisations_of(self, id_token: str) -> list[Known]:
        """What is kept for a customer."""
        if not self._book.exists:
            return []
        query = "SELECT body, used FROM authorisations WHERE id_token = ? AND body IS NOT NULL"
        return [Known(_read(body, Authorisation), used) for body, used in self._book.rows(query, id_token)]

    def latest(self) -> float:
        """It is certainly later than this, in seconds since 1970: a clock that was right showed it, or the
        cloud did."""
        if not self._book.exists:
            return 0.0
        rows = self._book.rows("SELECT value FROM facts WHERE name = ?", _LATEST)
        return float(rows[0][0]) if rows else 0.0

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._book.close()

    def _require_room(self, db: Any) -> None:
        (count,) = db.execute("SELECT count(*) FROM authorisations").fetchone()
        if count > MAX_AUTHORISATIONS:
            reason = f"no more than {MAX_AUTHORISATIONS} authorisations are kept; withdraw some"
            raise SwapJournalError(self._book.path, reason)


def _put(db: Any, swap: Swap) -> None:
    ended = "(SELECT coalesce(max(ended), 0) + 1 FROM swaps)" if swap.over else "NULL"
    query = f"INSERT OR REPLACE INTO swaps VALUES (?, ?, ?, {ended})"  # noqa: S608 - one of our own two
    db.execute(query, (swap.request_id, _written(swap), swap.over))
    if swap.over:
        db.execute("DELETE FROM swaps WHERE ended <= (SELECT max(ended) - ? FROM swaps)", (_KEPT_SWAPS,))


def _count(db: Any, authorisation_id: str, uses: int) -> None:
    query = "UPDATE authorisations SET used = max(0, used + ?) WHERE authorisation_id = ?"
    db.execute(query, (uses, authorisation_id))


def _written(thing: object) -> bytes:
    return msgspec.json.encode(thing)


def _read(body: bytes, kind: Any) -> Any:
    return msgspec.json.decode(body, type=kind)
