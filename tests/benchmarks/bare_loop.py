"""What anybody would write first: the loops that a station is measured against.

One SQLite table (WAL, synchronous=FULL), paho, QoS 1, at most 20 messages without their PUBACK. The plain
loop commits each sample and publishes each by itself; the batched one commits and sends as many together as
a station does. Neither survives what the chaos suite does to a station.
"""

import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.mosquitto import Credentials

WINDOW: Final = 20

_PATIENCE_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.05


class BareTable:
    """Rows in a file, durable at each commit."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, body BLOB)")

    def add(self, bodies: Iterable[bytes]) -> None:
        """One commit for all of them."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO rows (body) VALUES (?)", ((body,) for body in bodies))
        self._db.execute("COMMIT")

    def oldest(self, count: int, *, after: int) -> list[tuple[int, bytes]]:
        query = "SELECT number, body FROM rows WHERE number > ? ORDER BY number LIMIT ?"
        return self._db.execute(query, (after, count)).fetchall()

    def forget(self, numbers: Sequence[int]) -> None:
        """One commit for all of them."""
        self._db.execute("BEGIN")
        self._db.executemany("DELETE FROM rows WHERE number = ?", ((number,) for number in numbers))
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class BareLink:
    """paho, with a window and a note of what was acknowledged."""

    def __init__(self, mine: Credentials, host: str, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=mine.name, protocol=mqtt.MQTTv5)
        self._client.tls_set(
            ca_certs=str(mine.ca_file),
            certfile=str(mine.certificate_file),
            keyfile=str(mine.key_file),
            tls_version=ssl.PROTOCOL_TLS_CLIENT,
        )
        self._client.max_inflight_messages_set(WINDOW)
        self._client.on_publish = self._on_publish
        self._address = host, port
        self._up = threading.Event()
        self._client.on_connect = lambda *_: self._up.set()
        self._answers: SimpleQueue[int] = SimpleQueue()
        self._under_way: dict[int, int] = {}
        self.first_answer_at: float | None = None

    def connect(self) -> None:
        """Dial until somebody answers."""
        while True:
            try:
                self._client.connect(*self._address)
                break
            except OSError:
                time.sleep(_LOOK_EVERY_S)
        self._client.loop_start()
        if not self._up.wait(_PATIENCE_S):
            raise TimeoutError("no connection")

    def publish(self, topic: str, number: int, body: bytes) -> list[int]:
        """Send when there is room in the window; the numbers that were answered meanwhile."""
        answered = self._answered(room=1)
        self._under_way[self._client.publish(topic, body, qos=1).mid] = number
        return answered

    def rest(self) -> list[int]:
        """Wait until all is answered."""
        return self._answered(room=WINDOW)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _answered(self, *, room: int) -> list[int]:
        """What was answered, once at most so many are under way that there is `room`."""
        answered: list[int] = []
        while len(self._under_way) > WINDOW - room or not self._answers.empty():
            answered.append(self._under_way.pop(self._answers.get(timeout=_PATIENCE_S)))
        return answered

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, *_: Any) -> None:
        self.first_answer_at = self.first_answer_at or time.monotonic()
        self._answers.put(mid)


def take_and_deliver(table: BareTable, link: BareLink, topic: str, bodies: Iterable[bytes]) -> None:
    """The plain loop: commit a sample, publish it, and commit each sample's end when it is answered."""
    for number, body in enumerate(bodies, start=1):
        table.add([body])
        for done in link.publish(topic, number, body):
            table.forget([done])
    for done in link.rest():
        table.forget([done])


def drain(table: BareTable, link: BareLink, topic: str) -> int:
    """The plain loop after an outage: publish what is there, oldest first; returns how many there were."""
    after = count = 0
    while rows := table.oldest(WINDOW, after=after):
        for number, body in rows:
            for done in link.publish(topic, number, body):
                table.forget([done])
        after, count = rows[-1][0], count + len(rows)
    for done in link.rest():
        table.forget([done])
    return count


def take_and_deliver_batched(
    table: BareTable,
    link: BareLink,
    topic: str,
    bodies: Iterable[bytes],
    *,
    together: int,
    pack: Callable[[Sequence[bytes]], Sequence[bytes]],
) -> None:
    """The same with batches: `together` samples a commit, packed into messages, forgotten in one commit."""
    number = start = 0
    waiting: dict[int, list[int]] = {}
    bodies = iter(bodies)
    while share := list(islice(bodies, together)):
        table.add(share)
        messages = pack(share)
        for message in messages:
            number += 1
            last = message is messages[-1]
            waiting[number] = list(range(start + 1, start + len(share) + 1)) if last else []
            _forget_all(table, waiting, link.publish(topic, number, message))
        start += len(share)
    _forget_all(table, waiting, link.rest())


def _forget_all(table: BareTable, waiting: dict[int, list[int]], answered: Iterable[int]) -> None:
    numbers = [number for message in answered for number in waiting.pop(message)]
    if numbers:
        table.forget(numbers)
