"""What is sent to a client. Every frame has its ``type`` and the moment ``at`` which it was made."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from evswap_cloud.api.problems import Problem
from evswap_cloud.watching.limits import MAX_FRAME_BYTES
from evswap_cloud.watching.shown import Shown


class States(Struct, frozen=True, kw_only=True, tag_field="type", tag="states"):
    """Stations, new or changed. More than one frame where they do not fit."""

    at: int
    states: tuple[Shown, ...]


class Synchronised(Struct, frozen=True, kw_only=True, tag_field="type", tag="synchronised"):
    """The client now has all that it subscribed to: ``stations`` of them. What changes follows."""

    at: int
    stations: int


class Heartbeat(Struct, frozen=True, kw_only=True, tag_field="type", tag="heartbeat"):
    """The answer to ``alive``."""

    at: int
    closes_at: int


class Closing(Struct, frozen=True, kw_only=True, tag_field="type", tag="closing"):
    """The same, shortly before the connection ends at ``closes_at``: connect anew and resume."""

    at: int
    closes_at: int


class Refused(Struct, frozen=True, kw_only=True, tag_field="type", tag="problem"):
    """What the client said was not understood or is not done; ``problem`` is of RFC 9457."""

    at: int
    problem: Problem


Frame = States | Synchronised | Heartbeat | Closing | Refused

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Frame]] = msgspec.json.Decoder(Frame)
_AFTER_STATES: Final = b"]}"


def encode_frame(frame: Frame) -> bytes:
    """``frame`` as it goes out."""
    return _encoder.encode(frame)


def decode_frame(data: bytes | str) -> Frame:
    """A frame as a client reads it; raises ``msgspec.DecodeError``."""
    return _decoder.decode(data)


def state_frames(states: Iterable[Shown], at: int) -> Iterator[bytes]:
    """``states`` in as few frames as they fit into."""
    before = encode_frame(States(at=at, states=())).removesuffix(_AFTER_STATES)
    room = MAX_FRAME_BYTES - len(before) - len(_AFTER_STATES)
    parts: list[bytes] = []
    left = room
    for part in map(_encoder.encode, states):
        if parts and len(part) + 1 > left:
            yield before + b",".join(parts) + _AFTER_STATES
            parts, left = [], room
        parts.append(part)
        left -= len(part) + 1
    if parts:
        yield before + b",".join(parts) + _AFTER_STATES
