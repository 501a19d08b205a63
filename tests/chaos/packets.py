"""As much of MQTT 5 as stands between a station and its broker: reading packets whole, and saying a few."""

import asyncio
from dataclasses import dataclass
from typing import Final

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14

_ALL_BITS: Final = 0x7F


@dataclass(frozen=True, slots=True)
class Packet:
    """`raw` is all of it; `body` is what follows the fixed header."""

    kind: int
    flags: int
    body: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Publish:
    """What a PUBLISH says. `packet_id` is 0 with QoS 0."""

    topic: str
    payload: bytes
    packet_id: int
    qos: int
    again: bool
    """The sender says that it sends it another time (DUP)."""


async def read_packet(reader: asyncio.StreamReader) -> Packet:
    """Raises `asyncio.IncompleteReadError` when the other side has gone."""
    raw = bytearray(await reader.readexactly(1))
    length, shift, more = 0, 0, True
    while more:
        digit = await reader.readexactly(1)
        raw += digit
        length, shift, more = length | (digit[0] & _ALL_BITS) << shift, shift + 7, digit[0] > _ALL_BITS
    body = await reader.readexactly(length)
    return Packet(kind=raw[0] >> 4, flags=raw[0] & 0x0F, body=body, raw=bytes(raw) + body)


def publish_of(packet: Packet) -> Publish:
    """The content of a PUBLISH (MQTT 5, section 3.3). Topic aliases are not for us: nobody offers any."""
    qos = packet.flags >> 1 & 3
    topic, rest = _string(packet.body)
    packet_id = 0
    if qos:
        packet_id, rest = int.from_bytes(rest[:2], "big"), rest[2:]
    properties, width = _length(rest)
    again = bool(packet.flags & 8)
    return Publish(topic, rest[width + properties :], packet_id, qos, again)


def packet_id_of(packet: Packet) -> int:
    """Of a PUBACK, SUBSCRIBE or UNSUBSCRIBE."""
    return int.from_bytes(packet.body[:2], "big")


def connack() -> bytes:
    """Welcome, without a session from before."""
    return bytes([CONNACK << 4, 3, 0, 0, 0])


def puback(packet_id: int) -> bytes:
    return bytes([PUBACK << 4, 2]) + packet_id.to_bytes(2, "big")


def granted(packet: Packet) -> bytes:
    """The answer to a SUBSCRIBE or an UNSUBSCRIBE of one topic filter."""
    kind, code = (SUBACK, 1) if packet.kind == SUBSCRIBE else (UNSUBACK, 0)
    return bytes([kind << 4, 4]) + packet.body[:2] + bytes([0, code])


def pong() -> bytes:
    return bytes([PINGRESP << 4, 0])


def _string(body: bytes) -> tuple[str, bytes]:
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end].decode(), body[end:]


def _length(body: bytes) -> tuple[int, int]:
    """A variable byte integer, and how many bytes it takes."""
    value, width = 0, 0
    while True:
        digit = body[width]
        value |= (digit & _ALL_BITS) << 7 * width
        width += 1
        if digit <= _ALL_BITS:
            return value, width
