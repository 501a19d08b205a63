"""Pages: how many, and from where."""

import base64
import re
import zlib
from typing import Final

from evswap_cloud.api.problems import bad_parameter

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 500

_CHECKSUM_BYTES: Final = 4


def parse_limit(text: str | None) -> int:
    """How many are asked for; raises ``ProblemError``."""
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise bad_parameter("limit", f"limit has to be a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def encode_cursor(last: str) -> str:
    """The cursor that goes on after ``last``, a page's last key. Opaque to clients: its form may change."""
    name = last.encode()
    return base64.urlsafe_b64encode(_checksum(name) + name).decode().rstrip("=")


def parse_cursor(text: str | None, pattern: str) -> str | None:
    """The key, one of ``pattern``, that the cursor stands behind; None for the first page; raises
    ``ProblemError``.
    """
    if text is None:
        return None
    last = _decoded(text)
    if not re.match(pattern, last) or encode_cursor(last) != text:
        raise bad_parameter("cursor", "cursor has to be the next_cursor of an earlier page, unchanged.")
    return last


def _decoded(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[_CHECKSUM_BYTES:].decode("ascii")
    except ValueError:
        return ""


def _checksum(name: bytes) -> bytes:
    """A cursor that was cut short or retyped is refused, not taken for another; it is no secret."""
    return zlib.crc32(name).to_bytes(_CHECKSUM_BYTES, "big")
