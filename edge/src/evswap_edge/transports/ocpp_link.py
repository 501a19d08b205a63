"""One WebSocket to a CSMS: requests up, one at a time; requests down, each answered; until it ends."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from evswap_edge.ocpp21.checking import InvalidPayload, checked_response
from evswap_edge.ocpp21.frames import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    Document,
    Frame,
    InvalidFrame,
    Send,
    decode_frame,
    encode_frame,
)
from evswap_edge.transports import NotAcknowledged, NotConnected, ReasonCode, TransportError

_MOST_UNDER_WAY: Final = 8
"""Requests of the CSMS that are answered at the same time; it should not send two."""

_CODES: Final = {
    1003: ReasonCode.PAYLOAD_FORMAT_INVALID,
    1007: ReasonCode.PAYLOAD_FORMAT_INVALID,
    1009: ReasonCode.PACKET_TOO_LARGE,
}
"""Close codes of WebSocket (RFC 6455, section 7.4.1) that lie in a message."""

_log: Final = logging.getLogger(__name__)


class CallRefused(Exception):
    """The CSMS has answered a request with a CALLERROR of ``code``."""

    def __init__(self, action: str, answer: CallError) -> None:
        self.action = action
        self.code = answer.code
        super().__init__(f"{action} refused with {answer.code}: {answer.description}".rstrip(": "))


@dataclass(frozen=True, slots=True)
class Answer:
    """To a request of the CSMS; ``then`` is done once it was sent."""

    frame: CallResult | CallError
    then: Callable[[], Awaitable[None]] | None = None


class OcppLink:
    """``answer`` is asked for every request of the CSMS that can be read."""

    def __init__(
        self, socket: ClientConnection, answer: Callable[[Call], Awaitable[Answer]], *, timeout_s: float
    ) -> None:
        self.ended = asyncio.Event()
        self.lost = NotConnected("the CSMS hung up")
        self._socket = socket
        self._answer = answer
        self._timeout_s = timeout_s
        self._line = asyncio.Lock()
        self._awaited: tuple[str, asyncio.Future[CallResult | CallError]] | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hear what comes until the link has ended; ``ended`` is set and ``lost`` says why, then."""
        try:
            async for raw in self._socket:
                self._hear(raw)
        except ConnectionClosed:
            pass  # what has ended it is looked at below
        finally:
            self._end()

    async def call(self, action: str, payload: Document, message_id: str) -> Document:
        """The CSMS's response. Whoever is cancelled meanwhile leaves the request under way.

        Raises ``CallRefused``, ``NotConnected``, ``NotAcknowledged``; ``InvalidPayload`` for a response that
        is none.
        """
        await self._line.acquire()
        exchange = asyncio.create_task(self._exchange(Call(message_id, action, payload)))
        exchange.add_done_callback(self._over)
        return await asyncio.shield(exchange)

    async def aclose(self) -> None:
        """Hang up."""
        await self._socket.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    # --- requests up --------------------------------------------------------------------------------------

    async def _exchange(self, call: Call) -> Document:
        answer: asyncio.Future[CallResult | CallError] = asyncio.get_running_loop().create_future()
        self._awaited = (call.message_id, answer)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._say(call)
                frame = await answer
        except TimeoutError as error:
            raise NotAcknowledged(timeout_s=self._timeout_s) from error
        finally:
            self._awaited = None
        if isinstance(frame, CallError):
            raise CallRefused(call.action, frame)
        return await self._usable(call, frame)

    async def _usable(self, call: Call, frame: CallResult) -> Document:
        try:
            return checked_response(call.action, frame.payload)
        except InvalidPayload as error:
            await self._say(CallResultError(frame.message_id, error.code, str(error)))
            raise

    def _over(self, exchange: "asyncio.Task[Document]") -> None:
        self._line.release()
        if not exchange.cancelled():
            exchange.exception()  # whoever waited for it has it

    async def _say(self, frame: Frame) -> None:
        if self.ended.is_set():
            raise self.lost
        try:
            await self._socket.send(encode_frame(frame))
        except ConnectionClosed:
            await self.ended.wait()
            raise self.lost from None

    # --- what comes down ----------------------------------------------------------------------------------

    def _hear(self, raw: str | bytes) -> None:
        try:
            frame = decode_frame(raw)
        except InvalidFrame as error:
            _log.warning("the CSMS says what is no OCPP: %s", error.rule)  # its value may hold a token
            self._begin(self._say(CallError(error.message_id, "RpcFrameworkError", error.rule)))
            return
        match frame:
            case Call():
                self._asked(frame)
            case CallResult() | CallError():
                self._answered(frame)
            case CallResultError():
                _log.warning("the CSMS cannot use an answer: %s %s", frame.code, frame.description)
            case Send():
                _log.debug("nothing is done about a %s of the CSMS", frame.action)

    def _answered(self, frame: CallResult | CallError) -> None:
        """One that comes too late, or for nothing, is of no use to anybody."""
        if self._awaited is not None and self._awaited[0] == frame.message_id and not self._awaited[1].done():
            self._awaited[1].set_result(frame)

    def _asked(self, call: Call) -> None:
        if len(self._answering) < _MOST_UNDER_WAY:
            self._begin(self._respond(call))
        else:
            busy = CallError(call.message_id, "RpcFrameworkError", "too many requests are under way")
            self._begin(self._say(busy))

    async def _respond(self, call: Call) -> None:
        answer = await self._answer(call)
        await self._say(answer.frame)
        if answer.then is not None:
            await answer.then()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(_quietly(work))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _end(self) -> None:
        code = self._socket.close_code
        reason = self._socket.close_reason or f"the link was closed with code {code}"
        self.lost = NotConnected(reason, reason_code=_CODES.get(code or 0))
        self.ended.set()
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(self.lost)


async def _quietly(work: Awaitable[None]) -> None:
    """A request of the CSMS whose answer, or what follows from it, cannot be said any more is over."""
    with suppress(TransportError, CallRefused, InvalidPayload):
        await work
