"""What a station still has to say about a batch when it sends it, long after it was packed.

Whether it waited through an outage, whether the cloud is to confirm it, and what time it really was: none of
that is known when samples are packed. Only the header is read and written here; the columns stay the bytes
that they are.
"""

import zlib
from typing import Any

import msgspec

from evswap_schema import codec
from evswap_schema.errors import MalformedMessage, OversizedMessage
from evswap_schema.fields import Clock
from evswap_schema.limits import MAX_BATCH_BYTES
from evswap_schema.unpacking import inflate_batch


def rewrite_batch(
    payload: bytes,
    *,
    backlog: bool = False,
    acknowledge: bool = False,
    shift_us: int = 0,
    clock: Clock | None = None,
) -> bytes:
    """The batch ``payload`` with flags set, its samples' timestamps moved by ``shift_us`` microseconds, and
    their ``clock``, where one is given, in place of whatever each had. A flag that is set stays set. Minutes
    are left out where time moves: they would be others.

    Gives ``payload`` itself when there is nothing to say. Raises ``MalformedMessage`` when it is no batch,
    and ``OversizedMessage`` when it was packed without ``BATCH_HEADROOM`` and is too large now.
    """
    said = {"backlog": backlog, "acknowledge": acknowledge}
    if not (any(said.values()) or shift_us or clock):
        return payload
    before = _header(payload)
    header = before | {name: msgspec.Raw(b"true") for name, value in said.items() if value}
    if clock is not None:
        header["clock"] = msgspec.Raw(codec.encode(clock))
    if shift_us:
        header["timestamp"] = msgspec.Raw(codec.encode(_moved(header, shift_us)))
        header.pop("minutes", None)
    if header == before:
        return payload
    rewritten = zlib.compress(codec.encode(header), 9)
    if len(rewritten) > MAX_BATCH_BYTES:
        raise OversizedMessage(field="", rule=f"at most {MAX_BATCH_BYTES} bytes", value=rewritten)
    return rewritten


def _header(payload: bytes) -> dict[str, msgspec.Raw]:
    """The fields of the batch, each as the JSON that it is."""
    try:
        return msgspec.json.decode(inflate_batch(payload), type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise MalformedMessage(field="", rule="has to be a batch", value=payload) from error


def _moved(header: dict[str, msgspec.Raw], shift_us: int) -> int:
    found: Any = header.get("timestamp", msgspec.Raw(b"null"))
    try:
        return int(msgspec.json.decode(found, type=int)) + shift_us
    except msgspec.DecodeError as error:
        raise MalformedMessage(field="timestamp", rule="has to be an integer", value=bytes(found)) from error
