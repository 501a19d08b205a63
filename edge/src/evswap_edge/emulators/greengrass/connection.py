"""One component's connection: frames in, frames out, and which stream belongs to which operation."""

import asyncio
import json
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Any, Final

from evswap_edge.eventstream import PRELUDE_BYTES, Frame, FrameError, decode, encode, frame_length

MAX_FRAME_BYTES: Final = 10_000
"""Nucleus lite has a buffer of this size for a message; a longer one ends the connection."""

_VERSION: Final = "0.1.0"
_JSON: Final = "application/json"


class Kind(IntEnum):
    """``:message-type``."""

    MESSAGE = 0
    ERROR = 1
    PING = 2
    PONG = 3
    CONNECT = 4
    CONNECT_ACK = 5


class Flag(IntFlag):
    """``:message-flags``."""

    NONE = 0
    ACCEPTED = 1
    TERMINATE = 2


class HungUp(Exception):
    """The connection ends; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Connection:
    """Speaks frames over one accepted socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.largest_frame = 0

    async def handshake(self, token: str) -> None:
        """Accept the component that knows ``token``. Raises ``HungUp``: nucleus lite refuses without a
        word."""
        frame = await self.receive()
        if frame.headers.get(":message-type") != Kind.CONNECT or frame.headers.get(":version") != _VERSION:
            raise HungUp("did not begin with a connect message of version 0.1.0")
        if content(frame).get("authToken") != token:
            raise HungUp("its SVCUID is none of this nucleus")
        self._write(Kind.CONNECT_ACK, Flag.ACCEPTED, 0)

    async def receive(self) -> Frame:
        """The next frame. Raises ``HungUp`` when there is none, or none that the nucleus takes."""
        try:
            prelude = await self._reader.readexactly(PRELUDE_BYTES)
            length = frame_length(prelude)
            self.largest_frame = max(self.largest_frame, length)
            if length > MAX_FRAME_BYTES:
                raise HungUp(f"a frame of {length} bytes is over {MAX_FRAME_BYTES}")
            return decode(prelude + await self._reader.readexactly(length - PRELUDE_BYTES))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise HungUp("the component hung up") from error
        except FrameError as error:
            raise HungUp(str(error)) from error

    def respond(self, stream: int, model: str, body: Mapping[str, Any]) -> None:
        """Answer on ``stream``, or send an event there. ``model`` is the type's name without its prefix."""
        self._write(Kind.MESSAGE, Flag.NONE, stream, model=model, body=body)

    def refuse(self, stream: int, error: str) -> None:
        """Answer with an error; nucleus lite gives it a type and no text."""
        self._write(Kind.ERROR, Flag.TERMINATE, stream, model=error, body={"_errorCode": error})

    def terminate(self, stream: int) -> None:
        """Answer a terminated stream."""
        self._write(Kind.MESSAGE, Flag.TERMINATE, stream)

    def pong(self) -> None:
        """Answer a ping."""
        self._write(Kind.PONG, Flag.NONE, 0)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    def _write(
        self, kind: Kind, flags: Flag, stream: int, *, model: str = "", body: Mapping[str, Any] | None = None
    ) -> None:
        headers: dict[str, int | str] = {
            ":message-type": int(kind),
            ":message-flags": int(flags),
            ":stream-id": stream,
        }
        if model:
            headers |= {":content-type": _JSON, "service-model-type": f"aws.greengrass#{model}"}
        payload = b"" if body is None else json.dumps(body).encode()
        if not self._writer.is_closing():
            self._writer.write(encode(Frame(headers, payload)))


def content(frame: Frame) -> dict[str, Any]:
    """The JSON object that ``frame`` carries; an empty one when it carries none. Raises ``HungUp``."""
    try:
        body = json.loads(frame.payload) if frame.payload else {}
    except ValueError as error:
        raise HungUp(f"its payload is no JSON ({error})") from error
    if not isinstance(body, dict):
        raise HungUp("its payload is no JSON object")
    return body
