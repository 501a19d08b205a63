"""Frames there and back; that it is the real encoding, AWS's own client says in test_greengrass_emulator."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.eventstream import PRELUDE_BYTES, Frame, FrameError, decode, encode, frame_length

names = st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) <= 255)
values = st.integers(-(2**31), 2**31 - 1) | st.text(max_size=300)
frames = st.builds(Frame, st.dictionaries(names, values, max_size=6), st.binary(max_size=2_000))


@given(frames)
def test_every_frame_comes_back(frame: Frame) -> None:
    data = encode(frame)
    assert decode(data) == frame
    assert frame_length(data[:PRELUDE_BYTES]) == len(data)


@given(frames, st.data())
def test_no_changed_byte_goes_unnoticed(frame: Frame, data: st.DataObject) -> None:
    intact = bytearray(encode(frame))
    at = data.draw(st.integers(0, len(intact) - 1))
    intact[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameError):
        decode(bytes(intact))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_a_declared_error(data: bytes) -> None:
    """Also where both checksums happen to be right."""
    lengths = struct.pack(">II", 16 + len(data), len(data))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + data
    with suppress(FrameError):
        assert decode(body + struct.pack(">I", zlib.crc32(body))).payload == b""


@given(frames)
def test_a_frame_that_is_cut_off_is_none(frame: Frame) -> None:
    data = encode(frame)
    for end in (0, PRELUDE_BYTES - 1, PRELUDE_BYTES, len(data) - 1):
        with pytest.raises(FrameError):
            decode(data[:end])


def test_a_frame_as_the_specification_draws_it() -> None:
    """Written by hand from the specification, byte by byte."""
    headers = bytes([1]) + b"n" + bytes([4]) + b"\xff\xff\xff\xfe" + bytes([1]) + b"t" + b"\x07\x00\x02hi"
    lengths = b"\x00\x00\x00\x21" + b"\x00\x00\x00\x0e"
    body = lengths + zlib.crc32(lengths).to_bytes(4) + headers + b"pay"
    assert encode(Frame({"n": -2, "t": "hi"}, b"pay")) == body + zlib.crc32(body).to_bytes(4)


@pytest.mark.parametrize("headers", [{"n": 2**31}, {"n" * 256: 1}, {"n": "x" * 65_536}])
def test_a_header_that_does_not_fit_is_refused_by_name(headers: dict[str, int | str]) -> None:
    with pytest.raises(FrameError, match="the header n"):
        encode(Frame(headers))
