"""What the stations of a stack have committed, read from their outboxes."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.e2e.local_stack import LocalStack
from tests.repeats import connections, sent_again_at_most


def numbers(last: dict[str, int]) -> set[tuple[str, int]]:
    """Every reading up to the last of each stream."""
    return {(stream_id, sequence) for stream_id, end in last.items() for sequence in range(1, end + 1)}


def outboxes(stack: LocalStack) -> list[Path]:
    return sorted(stack.state_dir.glob("**/outbox.sqlite"))


def waiting(stack: LocalStack) -> int:
    """Samples that are on a station's disk and not yet acknowledged."""
    return sum(ask(outbox, "SELECT samples + parcel_samples FROM ledger") for outbox in outboxes(stack))


def last_sequences(stack: LocalStack) -> dict[str, int]:
    """The number of each stream's last committed sample. Numbers begin at one and leave none out."""
    named = "SELECT stream_id FROM ledger JOIN streams ON stream = sample_stream"
    return {
        ask(outbox, named): ask(outbox, "SELECT sample_sequence FROM ledger") for outbox in outboxes(stack)
    }


def sent_again_by_all_at_most(stack: LocalStack) -> int:
    """How many messages the stations of the fleet, and of the one before it, may have sent twice."""
    logs = sorted((stack.state_dir / "logs").glob("fleet.log*"))
    connected = connections(line for log in logs for line in log.read_text(errors="replace").splitlines())
    return sum(map(sent_again_at_most, connected.values()))


def ask(database: Path, question: str) -> Any:
    """One value out of a database that a station may be writing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(question).fetchone()[0]
