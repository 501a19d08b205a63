"""What the cloud has: the end-to-end acknowledgement, for stations whose own link proves nothing.

A station that asks for it (``acknowledge`` in a reading, a batch or an event) keeps its copy until the cloud
names the message by the digest of its bytes. A digest holds for any kind of message, needs no memory in the
cloud, and leaves no question where numbers are missing on purpose (samples that a full outbox dropped).
"""

from base64 import b32encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_schema import codec
from evswap_schema.fields import StationId
from evswap_schema.limits import MAX_ACKNOWLEDGED, MAX_COMMAND_BYTES

_DIGEST_CHARACTERS: Final = 16
"""80 bits: a station has at most thousands of messages under way, so two never share a digest."""

Digest = Annotated[str, Meta(pattern=r"^[A-Z2-7]{16}\Z", description="Of a message's bytes, as sent.")]


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """The cloud has archived these messages of the station."""

    station_id: StationId
    digests: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=MAX_ACKNOWLEDGED)]


def message_digest(payload: bytes) -> str:
    """Names a message by its bytes: the first 80 bits of their SHA-256, in base 32."""
    return b32encode(sha256(payload).digest())[:_DIGEST_CHARACTERS].decode("ascii")


def acknowledgements(station_id: str, digests: Iterable[str]) -> Iterator[Acknowledgement]:
    """As few acknowledgements as name all of ``digests``, each small enough for every transport."""
    every = tuple(digests)
    for start in range(0, len(every), MAX_ACKNOWLEDGED):
        yield Acknowledgement(station_id=station_id, digests=every[start : start + MAX_ACKNOWLEDGED])


def encode_acknowledgement(acknowledgement: Acknowledgement) -> bytes:
    """Write ``acknowledgement`` as JSON."""
    return codec.encode(acknowledgement)


def decode_acknowledgement(raw: bytes) -> Acknowledgement:
    """Read an acknowledgement; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, Acknowledgement, limit=MAX_COMMAND_BYTES)
