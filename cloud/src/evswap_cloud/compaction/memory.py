"""A bucket in memory, with the contract of the real one: for tests and trying out."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from evswap_cloud.compaction.objects import Document, Listed
from evswap_cloud.errors import HistoryError, Overtaken


class MemoryObjects:
    """A bucket as dictionaries by key: ``bodies``, when each was ``modified``, ``metadata`` where there is
    some."""

    address = "memory://bucket"

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.bodies: dict[str, bytes] = {}
        self.metadata: dict[str, Mapping[str, str]] = {}
        self.modified: dict[str, datetime] = {}
        self._clock = clock

    def every(self, prefix: str) -> Iterator[Listed]:
        for key in sorted(self.bodies):
            if key.startswith(prefix):
                yield Listed(key=key, size=len(self.bodies[key]), modified=self.modified[key])

    def read(self, key: str) -> Document | None:
        body = self.bodies.get(key)
        return None if body is None else Document(body=body, etag=_etag(body))

    def fetch(self, key: str, path: Path) -> Mapping[str, str]:
        if key not in self.bodies:
            raise HistoryError(operation="fetch", target=f"{self.address}/{key}", code="NoSuchKey")
        path.write_bytes(self.bodies[key])
        return self.metadata.get(key, {})

    def put(self, key: str, path: Path) -> None:
        self.write(key, path.read_bytes())

    def write(self, key: str, body: bytes) -> None:
        self.bodies[key] = body
        self.modified[key] = self._clock()

    def replace(self, key: str, body: bytes, *, expected: str | None) -> None:
        stored = self.bodies.get(key)
        if (None if stored is None else _etag(stored)) != expected:
            raise Overtaken(key)
        self.write(key, body)

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.bodies.pop(key, None)


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
