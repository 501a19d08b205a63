"""Frames of AWS's event stream encoding, the form in which Greengrass is spoken to on its socket.

All numbers are big-endian::

    frame   u32 length of all, u32 length of the headers, u32 CRC-32 of these eight bytes,
            headers, payload, u32 CRC-32 of everything before it
    header  u8 length, name, u8 type, value; type 4: i32, type 7: u16 length and UTF-8 text

The encoding has more types of headers (smithy.io, "Amazon event stream specification"); Greengrass IPC uses
these two.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

HeaderValue = int | str

PRELUDE_BYTES: Final = 12
_CHECKSUM_BYTES: Final = 4
_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_INT32: Final = struct.Struct(">i")
_TEXT_LENGTH: Final = struct.Struct(">H")
_TYPE_INT32: Final = 4
_TYPE_TEXT: Final = 7


class FrameError(Exception):
    """Bytes that are no frame, or headers that none can hold. ``problem`` says what is wrong."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"no event stream frame: {problem}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, in either direction."""

    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The bytes of ``frame``. Raises ``FrameError`` for a header that has no encoding."""
    headers = b"".join(_header(name, value) for name, value in frame.headers.items())
    lengths = struct.pack(">II", PRELUDE_BYTES + len(headers) + len(frame.payload) + 4, len(headers))
    body = lengths + _checksum(lengths) + headers + frame.payload
    return body + _checksum(body)


def frame_length(prelude: bytes) -> int:
    """How many bytes the frame has that begins with the ``PRELUDE_BYTES`` of ``prelude``. Raises
    ``FrameError``."""
    total, headers, checksum = _PRELUDE.unpack(prelude)
    if zlib.crc32(prelude[:8]) != checksum:
        raise FrameError("the checksum of its lengths is wrong")
    if headers + PRELUDE_BYTES + _CHECKSUM_BYTES > total:
        raise FrameError(f"{total} bytes cannot hold headers of {headers}")
    return int(total)


def decode(data: bytes) -> Frame:
    """The frame that ``data`` is, from its first byte to its last. Raises ``FrameError``."""
    if len(data) < PRELUDE_BYTES or frame_length(data[:PRELUDE_BYTES]) != len(data):
        raise FrameError(f"its length is not {len(data)} bytes")
    if _checksum(data[:-_CHECKSUM_BYTES]) != data[-_CHECKSUM_BYTES:]:
        raise FrameError("its checksum is wrong")
    payload_at = PRELUDE_BYTES + _PRELUDE.unpack_from(data)[1]
    try:
        headers = dict(_headers(data[PRELUDE_BYTES:payload_at]))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FrameError(f"its headers are cut off or no text ({error})") from error
    return Frame(headers, data[payload_at:-_CHECKSUM_BYTES])


def _checksum(data: bytes) -> bytes:
    return _CHECKSUM.pack(zlib.crc32(data))


def _header(name: str, value: HeaderValue) -> bytes:
    encoded = name.encode()
    try:
        start = bytes([len(encoded)]) + encoded
        if isinstance(value, int):
            return start + bytes([_TYPE_INT32]) + _INT32.pack(value)
        text = value.encode()
        return start + bytes([_TYPE_TEXT]) + _TEXT_LENGTH.pack(len(text)) + text
    except (struct.error, ValueError) as error:
        raise FrameError(f"the header {name:.40} does not fit ({error})") from error


def _headers(data: bytes) -> Iterator[tuple[str, HeaderValue]]:
    at = 0
    while at < len(data):
        name, at = _exactly(data, at + 1, data[at])
        kind, at = data[at], at + 1
        if kind == _TYPE_INT32:
            yield name.decode(), _INT32.unpack_from(data, at)[0]
            at += _INT32.size
        elif kind == _TYPE_TEXT:
            (length,) = _TEXT_LENGTH.unpack_from(data, at)
            text, at = _exactly(data, at + _TEXT_LENGTH.size, length)
            yield name.decode(), text.decode()
        else:
            raise FrameError(f"headers of type {kind} are not used here")


def _exactly(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    """``length`` bytes from ``at`` on, and what comes after them."""
    if at + length > len(data):
        raise IndexError(f"{length} bytes wanted, {len(data) - at} left")
    return data[at : at + length], at + length
