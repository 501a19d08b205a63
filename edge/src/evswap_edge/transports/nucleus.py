"""The IPC connection of a Greengrass component to its nucleus, as the event loop wants it.

AWS's client (``awsiot.greengrasscoreipc.clientv2``) calls from threads of its own and never connects again.
A nucleus that was restarted does not know the SVCUIDs of the one before: a component learns its new one only
by being started again. So the end of a connection is final, and ``RestartRequired``.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from awscrt.exceptions import AwsCrtError
from awsiot import greengrasscoreipc
from awsiot.eventstreamrpc import ConnectionClosedError, LifecycleHandler
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.transports import (
    NotConnected,
    NotUnderGreengrass,
    OnMessage,
    ReasonCode,
    Rejected,
    RestartRequired,
)

AnswerT = TypeVar("AnswerT")
ClientT = TypeVar("ClientT", bound="GreengrassCoreIPCClient")

SOCKET_VARIABLE: Final = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKEN_VARIABLE: Final = "SVCUID"  # noqa: S105 - the variable's name
THING_VARIABLE: Final = "AWS_IOT_THING_NAME"

_MQTT_PROXY: Final = "aws.greengrass.ipc.mqttproxy"
_NOBODY_LISTENS: Final = (
    "AWS_ERROR_FILE_INVALID_PATH",
    "AWS_IO_SOCKET_CONNECTION_REFUSED",
    "AWS_IO_SOCKET_TIMEOUT",
)
_CONNECT_TIMEOUT_S: Final = 10.0
_CLOSE_TIMEOUT_S: Final = 5.0
_NEWS_TIMEOUT_S: Final = 1.0
"""How long a call that failed waits to learn from the connection that it has ended."""

_RETRY_MIN_S: Final = 0.2
_RETRY_MAX_S: Final = 5.0

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """Where the nucleus listens, and what it knows this component by."""

    socket: str
    token: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Door":
        """As the nucleus told. Raises ``NotUnderGreengrass``."""
        return cls(socket=required(environment, SOCKET_VARIABLE), token=required(environment, TOKEN_VARIABLE))

    @classmethod
    def of_this_process(cls) -> "Door":
        """Of the environment that this process was started with. Raises ``NotUnderGreengrass``."""
        return cls.of(os.environ)


def required(environment: Mapping[str, str], variable: str) -> str:
    """The value of ``variable``. Raises ``NotUnderGreengrass`` when it is missing or empty."""
    if value := environment.get(variable):
        return value
    raise NotUnderGreengrass(variable)


@dataclass(eq=False, slots=True)
class Stream:
    """Something that the nucleus tells as it happens. ``ended`` is set when it tells no more."""

    operation: Any = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def none(cls) -> "Stream":
        """One that has ended before it began."""
        stream = cls()
        stream.ended.set()
        return stream

    async def aclose(self) -> None:
        """Ask for no more. Safe to call twice."""
        if not self.ended.is_set():
            await asyncio.wait({asyncio.wrap_future(self.operation.close())}, timeout=_CLOSE_TIMEOUT_S)


class Nucleus:
    """One connection. ``lost`` is set, and ``on_lost`` called, when it has ended without having been closed;
    ``reason`` says why."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.on_lost: Callable[[], None] = _nothing
        self.reason = ""
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._ipc: GreengrassCoreIPCClientV2 | None = None

    @classmethod
    async def reached(cls, door: Door, time: TimeSource) -> "Nucleus":
        """Connect, and wait for as long as nobody listens. Raises ``RestartRequired`` when the nucleus hangs
        up on this process."""
        absent = Episode(_log, f"Greengrass nucleus at {door.socket}", monotonic=time.monotonic)
        backoff = Backoff(base_s=_RETRY_MIN_S, cap_s=_RETRY_MAX_S)
        while True:
            try:
                nucleus = await cls.connected(door)
            except ConnectionRefusedError as error:
                absent.begin(error)
                await asyncio.sleep(backoff.next_s())
            else:
                absent.end()
                return nucleus

    @classmethod
    async def connected(cls, door: Door) -> "Nucleus":
        """Connect at once. Raises ``ConnectionRefusedError`` when nobody listens, else
        ``RestartRequired``."""
        nucleus = cls()
        try:
            client = await _unless_cancelled(
                asyncio.to_thread(
                    greengrasscoreipc.connect,
                    ipc_socket=door.socket,
                    authtoken=door.token,
                    lifecycle_handler=_Notice(nucleus._on_end),
                    timeout=_CONNECT_TIMEOUT_S,
                )
            )
        except TimeoutError as error:
            raise ConnectionRefusedError(f"no answer within {_CONNECT_TIMEOUT_S:g} s") from error
        except (AwsCrtError, RuntimeError) as error:
            if any(name in str(error) for name in _NOBODY_LISTENS):
                raise ConnectionRefusedError(
                    f"nobody listens there, is the nucleus running? ({error})"
                ) from error
            raise RestartRequired(
                f"the nucleus hung up on this component; its SVCUID may be an old one ({_told(error)})"
            ) from error
        # Events come from the connection's own thread, one after another: in the threads of an executor they
        # would overtake each other. Whoever is called there only hands over to the event loop.
        nucleus._ipc = GreengrassCoreIPCClientV2(client=client, executor=None)
        return nucleus

    # --- what a component asks for ------------------------------------------------------------------------

    async def configuration(self, key: str) -> Any:
        """What stands under ``key`` in the component's configuration; None when there is nothing.

        Raises ``RestartRequired``, or ``NotConnected`` when the nucleus cannot answer now.
        """
        try:
            answer = await self._asked(lambda ipc: ipc.get_configuration_async(key_path=[key]))
        except _NothingThere:
            return None
        return answer.value

    async def watch_configuration(self, key_path: Sequence[str], changed: Callable[[], None]) -> Stream:
        """Have ``changed`` called in the event loop whenever something below ``key_path`` may have changed.

        What it was changed to has to be read: an event names only the leaf. Raises as ``configuration``.
        """
        try:
            return await self._streaming(
                lambda ipc, **callbacks: ipc.subscribe_to_configuration_update_async(
                    key_path=list(key_path), **callbacks
                ),
                lambda _: changed(),
            )
        except model.GreengrassCoreIPCError as error:
            raise _unanswered(error) from error

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> Stream:
        """Have ``on_message`` called in the event loop for what AWS IoT Core has for ``topic_filter``, in the
        order in which it comes. Raises ``RestartRequired``, ``NotConnected``, or AWS's error as it is."""
        return await self._streaming(
            lambda ipc, **callbacks: ipc.subscribe_to_iot_core_async(
                topic_name=topic_filter, qos=model.QOS.AT_LEAST_ONCE, **callbacks
            ),
            lambda event: on_message(event.message.topic_name, bytes(event.message.payload or b"")),
        )

    async def _streaming(
        self, subscribe: Callable[..., "tuple[Future[Any], Any]"], on_event: Callable[[Any], None]
    ) -> Stream:
        stream = Stream()

        def on_error(error: Exception) -> bool:
            _log.warning("an event of the nucleus cannot be read: %s", _told(error))
            return False  # the stream goes on

        def begin(ipc: GreengrassCoreIPCClientV2) -> "Future[Any]":
            started, stream.operation = subscribe(
                ipc,
                on_stream_event=lambda event: self._hand_over(on_event, event),
                on_stream_error=on_error,
                on_stream_closed=lambda: self._hand_over(stream.ended.set),
            )
            return started

        pending = self.begin(begin)
        await asyncio.wait({pending})
        await self.result_of(pending)
        return stream

    def _hand_over(self, call: Callable[..., None], *arguments: Any) -> None:
        """From awscrt's thread to the event loop, if that still runs."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments, context=self._context)

    async def report(self, state: str) -> None:
        """Tell the nucleus the component's state (``model.ReportedLifecycleState``). Raises as
        ``configuration``."""
        await self._asked(lambda ipc: ipc.update_state_async(state=state))

    async def _asked(self, call: Callable[[GreengrassCoreIPCClientV2], "Future[AnswerT]"]) -> AnswerT:
        pending = self.begin(call)
        await asyncio.wait({pending})
        try:
            return await self.result_of(pending)
        except model.ResourceNotFoundError as error:
            raise _NothingThere from error
        except model.GreengrassCoreIPCError as error:
            raise _unanswered(error) from error

    def begin(
        self, call: Callable[[GreengrassCoreIPCClientV2], "Future[AnswerT]"]
    ) -> "asyncio.Future[AnswerT]":
        """Make ``call`` and return at once; ``result_of`` says how it ended. Raises ``RestartRequired``."""
        if self._ipc is None:
            raise RestartRequired("this connection to the nucleus is closed")
        try:
            pending = asyncio.wrap_future(call(self._ipc))
        except (RuntimeError, AwsCrtError) as error:
            raise self._end(error) from error
        pending.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        return pending

    async def result_of(self, pending: "asyncio.Future[AnswerT]") -> AnswerT:
        """The answer to a call that has ended. Raises ``RestartRequired``, ``NotConnected`` when this call
        alone came to nothing, or AWS's error as it is."""
        try:
            return pending.result()
        except model.GreengrassCoreIPCError:
            raise
        except (RuntimeError, AwsCrtError) as error:
            with suppress(TimeoutError):
                async with asyncio.timeout(_NEWS_TIMEOUT_S):
                    await self.lost.wait()
            if self.lost.is_set() or isinstance(error, ConnectionClosedError | AwsCrtError):
                raise self._end(error) from error
            raise _unanswered(error) from error

    async def aclose(self) -> None:
        """Hang up. Safe to call twice."""
        ipc, self._ipc = self._ipc, None
        if ipc is None:
            return
        closed = asyncio.wrap_future(ipc.close(executor_wait=False))
        await asyncio.wait({closed}, timeout=_CLOSE_TIMEOUT_S)
        if closed.done():
            closed.exception()

    # --- its end ------------------------------------------------------------------------------------------

    def _end(self, error: Exception) -> RestartRequired:
        return RestartRequired(f"the connection to the nucleus has ended ({self.reason or _told(error)})")

    def _on_end(self, reason: Exception | None) -> None:
        """Called by awscrt, from a thread of its own."""
        if reason is not None:
            self._hand_over(self._note_end, _told(reason))

    def _note_end(self, reason: str) -> None:
        self.reason = reason
        self.lost.set()
        self.on_lost()


def _nothing() -> None:
    """Nobody wants to know."""


class _NothingThere(Exception):
    """There is no such key in the configuration."""


async def _unless_cancelled(connecting: Coroutine[Any, Any, ClientT]) -> ClientT:
    """The connection. A thread cannot be stopped: one that is made too late is closed."""

    def close(late: asyncio.Task[ClientT]) -> None:
        if not late.cancelled() and late.exception() is None:
            late.result().close()

    made = asyncio.create_task(connecting)
    try:
        return await asyncio.shield(made)
    except asyncio.CancelledError:
        made.add_done_callback(close)
        raise


def not_authorized(operation: str, topic: str) -> Rejected:
    """What a nucleus means by its UnauthorizedError, whose text is empty."""
    reason = (
        f"the component's accessControl has no aws.greengrass#{operation} for this topic: add it to"
        f" {_MQTT_PROXY} in the configuration of the component"
    )
    return Rejected(topic=topic, reason_code=ReasonCode.NOT_AUTHORIZED, reason=reason)


def _unanswered(error: Exception) -> NotConnected:
    return NotConnected(f"the nucleus answered {type(error).__name__} {error}".strip())


def _told(error: Exception) -> str:
    """AWS's exceptions often have no text."""
    return str(error) or type(error).__name__


class _Notice(LifecycleHandler):  # type: ignore[misc] # the SDK has no types
    """Passes on the end of a connection."""

    def __init__(self, on_end: Callable[[Exception | None], None]) -> None:
        self._on_end = on_end

    def on_disconnect(self, reason: Exception | None) -> None:
        self._on_end(reason)
