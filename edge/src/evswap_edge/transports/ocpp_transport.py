"""One station's link to its CSMS, made again whenever it breaks (websockets)."""

import asyncio
import logging
import random
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from evswap_edge.backoff import Backoff
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.ocpp21 import station
from evswap_edge.ocpp21.checking import InvalidPayload
from evswap_edge.ocpp21.facts import Outlook
from evswap_edge.ocpp21.frames import SUBPROTOCOL, Document
from evswap_edge.ocpp21.happenings import requests_of
from evswap_edge.transports import (
    Assurance,
    Caller,
    CertificateRefused,
    CredentialsError,
    NotConnected,
    OnMessage,
    ReasonCode,
    Rejected,
    TransportError,
    identity,
)
from evswap_edge.transports.dialling import lost
from evswap_edge.transports.keeping import until_up
from evswap_edge.transports.ocpp import Settings
from evswap_edge.transports.ocpp_answers import Answers, Registrar
from evswap_edge.transports.ocpp_credentials import Shown
from evswap_edge.transports.ocpp_link import CallRefused, OcppLink
from evswap_edge.transports.subscriptions import Subscriptions, matches
from evswap_schema import (
    Channel,
    InvalidMessage,
    Reading,
    decode_batch,
    decode_event,
    decode_reading,
    decode_result,
    rule_source,
)

_PERMANENT: Final = {
    "FormatViolation",
    "FormationViolation",
    "MessageTypeNotSupported",
    "NotImplemented",
    "NotSupported",
    "OccurrenceConstraintViolation",
    "PropertyConstraintViolation",
    "ProtocolError",
    "TypeConstraintViolation",
}
"""Codes of a CALLERROR (OCPP-J 2.1, section 4.3) that lie in the request: it would be refused again."""
_REFUSES_STATION: Final = {401, 403}
_DISTRIBUTION: Final = "evswap-edge"
_FRESH_BOOT_S: Final = 600.0
_CLOCKS_DIFFER_S: Final = 60.0
_LARGEST_MESSAGE: Final = 256 * 1024
_FAREWELL_S: Final = 2.0

_log: Final = logging.getLogger(__name__)


class _Dial(connect):
    """A password goes to the address that was configured, and wherever that points to it does not."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Socket(ClientConnection):
    """One that tells, too, what broke it before the CSMS had answered: in TLS 1.3 a certificate is refused
    after the handshake."""

    broken_by: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken_by = exc
        super().connection_lost(exc)

    async def handshake(self, *args: Any, **more: Any) -> None:
        try:
            await super().handshake(*args, **more)
        except InvalidHandshake as error:
            if self.broken_by is not None:
                raise error from self.broken_by
            raise


class OcppTransport:
    """``clock_offset_s`` is how far the CSMS's clock is ahead of this station's, as far as it has said: a
    hint for whoever looks for the reason of strange times; nothing is set by it."""

    assurance = Assurance.DELIVERED

    def __init__(self, settings: Settings, caller: Caller) -> None:
        self.clock_offset_s: float | None = None
        self._settings = settings
        self._caller = caller
        self._time = caller.time
        self._url = f"{settings.url.rstrip('/')}/{quote(caller.station_id)}"
        self._subscriptions = Subscriptions(caller.time.monotonic)
        self._outlook = Outlook()
        self._registrar = Registrar()
        self._answers = Answers(
            caller,
            registrar=self._registrar,
            outlook=self._outlook,
            subscriptions=self._subscriptions,
            teller=self,
            timeout_s=settings.command_timeout_s,
        )
        self._trouble = self._episode(f"connection to {settings.url}")
        self._registering = self._episode("registration with the CSMS")
        self._clocks = self._episode("the CSMS's clock")
        self._state_refused = self._episode("telling the CSMS of the state")
        self._unusable = self._episode("an answer of the CSMS")
        self._credentials_problem: str | None = ""
        self._keeper: asyncio.Task[None] | None = None
        self._link: OcppLink | None = None
        self._up = asyncio.Event()
        self._reason = "no connection yet"
        self._events = asyncio.Lock()
        self._setback: TransportError | None = None
        self._setbacks = 0
        self._state = asyncio.Lock()

    async def connect(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name=f"link {self._caller.station_id}")
        await until_up(self._keeper, self._up)

    async def send(self, message: Message) -> None:
        self._standing()
        if not self._up.is_set():
            raise NotConnected("the CSMS has not accepted this station yet")
        try:
            await self._delivery(message)
        except InvalidMessage as error:
            reason_code = ReasonCode.PAYLOAD_FORMAT_INVALID
            raise Rejected(topic=message.topic, reason_code=reason_code, reason=str(error)) from error
        except CallRefused as refusal:
            raise _rejected(message.topic, refusal) from refusal

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> None:
        self._subscriptions.add(topic_filter, on_message)

    async def aclose(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})

    # --- what goes up -------------------------------------------------------------------------------------

    async def _delivery(self, message: Message) -> None:
        """Tell the CSMS what ``message`` says, as far as OCPP has words for it."""
        channel = next((each for each in _TOLD if matches(rule_source(each), message.topic)), None)
        match channel:
            case Channel.EVENT:
                await self._tell_event(message)
            case Channel.CHANGE | Channel.TELEMETRY:
                await self._tell_readings([decode_reading(message.payload)])
            case Channel.BATCH:
                await self._tell_batch(message.payload)
            case Channel.RESULT:
                self._answers.result(decode_result(message.payload))
            case Channel.PENDING | Channel.CONNECTION | Channel.CERTIFICATE:
                pass  # a CSMS sends each command at once, sees whether there is a link, and signs nothing
            case _:
                raise Rejected(topic=message.topic, reason_code=ReasonCode.TOPIC_NAME_INVALID)

    async def _tell_event(self, message: Message) -> None:
        """One event after another. When one does not pass, those that wait behind it do not either: they are
        all tried again, in their order."""
        requests = requests_of(decode_event(message.payload))
        setbacks = self._setbacks
        async with self._events:
            if setbacks != self._setbacks and self._setback is not None:
                raise self._setback
            try:
                for request in requests:
                    await self._call(request.action, request.payload, request.message_id)
            except (CallRefused, TransportError) as error:
                self._note_setback(message.topic, error)
                raise

    def _note_setback(self, topic: str, error: CallRefused | TransportError) -> None:
        setback = _rejected(topic, error) if isinstance(error, CallRefused) else error
        if not (isinstance(setback, Rejected) and setback.permanent):
            self._setback = setback
            self._setbacks += 1

    async def _tell_batch(self, payload: bytes) -> None:
        """What has waited through an outage is no news: the state of now is told apart."""
        batch = decode_batch(payload)
        if not batch.backlog:
            await self._tell_readings(_newest(batch.readings))

    async def _tell_readings(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            self._outlook.take(reading)
        await self.say_state()

    async def say_state(self) -> None:
        """What the CSMS has not heard of the station's state. What it never takes is not said again before
        it changes."""
        async with self._state:
            for news in self._outlook.news():
                try:
                    await self._call(news.action, news.payload, str(uuid4()))
                except CallRefused as refusal:
                    if refusal.code not in _PERMANENT:
                        raise
                    self._state_refused.begin(refusal)
                self._outlook.heard(news)

    async def say_heartbeat(self) -> None:
        """That the station is there; the answer has the CSMS's time."""
        answer = await self._standing().call(station.HEARTBEAT, {}, str(uuid4()))
        self._note_clock((station.time_of(answer) - self._time.now()).total_seconds())

    async def say(self, action: str, payload: Document) -> None:
        """Any request."""
        await self._call(action, payload, str(uuid4()))

    async def _call(self, action: str, payload: Document, message_id: str) -> None:
        """A request whose response says nothing. An answer is an answer, be it a wrong one."""
        try:
            await self._standing().call(action, payload, message_id)
        except InvalidPayload as error:
            self._unusable.begin(error)

    # --- the link -----------------------------------------------------------------------------------------

    def _standing(self) -> OcppLink:
        """The link, be it one over which the station is not accepted yet. Raises ``NotConnected``."""
        if self._link is None:
            raise NotConnected(self._reason)
        if self._link.ended.is_set():
            raise self._link.lost
        return self._link

    async def _keep(self) -> None:
        """Have a link for as long as this is not cancelled."""
        settings = self._settings
        backoff = Backoff(
            base_s=settings.reconnect_min_s, cap_s=max(settings.reconnect_min_s, settings.reconnect_max_s)
        )
        while True:
            began = self._time.monotonic()
            try:
                await self._live()
            except CredentialsError as error:
                self._tell_credentials(error)
            except TransportError as error:
                self._reason = getattr(error, "reason", str(error))
                self._trouble.begin(error)
            if self._time.monotonic() - began > settings.reconnect_max_s:
                backoff.reset()
            await asyncio.sleep(self._next_look_s() if self._credentials_problem else backoff.next_s())

    async def _live(self) -> None:
        """One link from beginning to end. Raises what has ended it."""
        link = OcppLink(await self._reach(), self._answers.answer, timeout_s=self._settings.answer_timeout_s)
        self._answers.begin()
        self._link = link
        hearing = asyncio.create_task(link.run(), name=f"hear {self._caller.station_id}")
        try:
            await self._register(link)
            self._announce()
            await self._beat(link)
            raise link.lost
        finally:
            self._withdraw(link)
            await link.aclose()
            hearing.cancel()
            await asyncio.wait({hearing})

    async def _reach(self) -> ClientConnection:
        """A WebSocket that speaks OCPP 2.1. Raises ``CredentialsError`` or ``NotConnected``."""
        settings = self._settings
        shown = await asyncio.to_thread(Shown.now, settings, self._time)
        self._answers.hashed = shown.hashed
        try:
            socket = await _Dial(
                self._url,
                ssl=shown.tls,
                additional_headers=shown.headers(self._caller.station_id),
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                open_timeout=settings.connect_timeout_s,
                ping_interval=settings.keep_alive_s,
                ping_timeout=settings.keep_alive_s,
                close_timeout=_FAREWELL_S,
                max_size=_LARGEST_MESSAGE,
                proxy=None,
                create_connection=_Socket,
            )
        except (OSError, TimeoutError, EOFError, WebSocketException) as error:
            raise _meaning(error, shown) from error
        self._tell_credentials(None)
        if socket.subprotocol != SUBPROTOCOL:
            await socket.close(1002)
            raise NotConnected(f"the CSMS at {settings.url} does not speak {SUBPROTOCOL}")
        return socket

    async def _register(self, link: OcppLink) -> None:
        """Until the CSMS has accepted this run of the station. One that has done so is asked again only when
        it does not know that any more. Raises ``NotConnected`` or ``NotAcknowledged``."""
        if self._registrar.accepted and await self._is_still_known(link):
            return
        reason = "PowerUp" if self._time.monotonic() < _FRESH_BOOT_S else "ApplicationReset"
        while True:
            self._registrar.boot_now.clear()
            wait_s = await self._boot(link, reason)
            if self._registrar.accepted:
                self._registering.end()
                return
            self._registering.begin(f"{self._registrar.status or 'refused'}; tried again every {wait_s:g} s")
            if (
                await _any_of(link.ended, self._registrar.boot_now, within_s=wait_s)
                is self._registrar.boot_now
            ):
                reason = "Triggered"
            if link.ended.is_set():
                raise link.lost

    async def _boot(self, link: OcppLink, reason: str) -> float:
        """Say that the station has begun; returns after how many seconds that is to be said again."""
        settings = self._settings
        notification = station.boot_notification(
            model=settings.model, vendor=settings.vendor, firmware=version(_DISTRIBUTION), reason=reason
        )
        try:
            answer = await link.call(station.BOOT_NOTIFICATION, notification, str(uuid4()))
            told = station.registration(answer)
        except (CallRefused, InvalidPayload) as error:
            self._unusable.begin(error)
            return settings.boot_retry_s
        self._registrar.status = told.status
        self._note_clock((told.now - self._time.now()).total_seconds())
        if told.interval_s and self._registrar.accepted:
            self._registrar.heartbeat_s = float(told.interval_s)
        return float(told.interval_s) or settings.boot_retry_s

    async def _is_still_known(self, link: OcppLink) -> bool:
        try:
            await link.call(station.HEARTBEAT, {}, str(uuid4()))
        except CallRefused:
            self._registrar.status = None
            return False
        except InvalidPayload as error:
            self._unusable.begin(error)
        return True

    async def _beat(self, link: OcppLink) -> None:
        """Say now and then that the station is there, until the link has ended."""
        heartbeat = self._registrar.changed
        while not link.ended.is_set():
            heartbeat.clear()
            due = await _any_of(link.ended, heartbeat, within_s=self._registrar.heartbeat_s) is None
            if due:
                with suppress(TransportError, CallRefused, InvalidPayload):
                    await self.say_heartbeat()

    def _announce(self) -> None:
        self._outlook.tell_all_again()
        self._up.set()
        if self._trouble.ongoing:
            self._trouble.end()
        else:
            _log.info("connected to %s", self._url)
        self._caller.on_link(True)

    def _withdraw(self, link: OcppLink) -> None:
        self._link = None
        self._reason = link.lost.reason
        if self._up.is_set():
            self._up.clear()
            self._caller.on_link(False)

    def _tell_credentials(self, problem: CredentialsError | None) -> None:
        said = None if problem is None else str(problem)
        if problem is not None:
            self._reason = problem.problem
        if said != self._credentials_problem:
            if said is not None:
                _log.error("nothing can be sent: %s (this is looked at again and again)", said)
            self._credentials_problem = said
            self._caller.on_credentials(problem)

    def _next_look_s(self) -> float:
        """At credentials that were of no use."""
        return random.uniform(identity.LOOK_AGAIN_S / 2, identity.LOOK_AGAIN_S)  # noqa: S311 - jitter

    def _note_clock(self, offset_s: float) -> None:
        self.clock_offset_s = offset_s
        if abs(offset_s) > _CLOCKS_DIFFER_S:
            self._clocks.begin(f"is {offset_s:.0f} s ahead of this station's")
        else:
            self._clocks.end()

    def _episode(self, subject: str) -> Episode:
        return Episode(_log, subject, monotonic=self._caller.time.monotonic)


_TOLD: Final = (
    Channel.EVENT,
    Channel.CHANGE,
    Channel.BATCH,
    Channel.TELEMETRY,
    Channel.RESULT,
    Channel.PENDING,
    Channel.CONNECTION,
    Channel.CERTIFICATE,
)


def _newest(readings: Iterable[Reading]) -> list[Reading]:
    """The newest of each share of the bays."""
    by_part = {None if reading.part is None else reading.part.index: reading for reading in readings}
    return list(by_part.values())


def _rejected(topic: str, refusal: CallRefused) -> Rejected:
    """Whether it lies in the message or in the CSMS, by the code of its CALLERROR."""
    permanent = refusal.code in _PERMANENT
    code = ReasonCode.PAYLOAD_FORMAT_INVALID if permanent else ReasonCode.UNSPECIFIED_ERROR
    return Rejected(topic=topic, reason_code=code, reason=str(refusal))


def _meaning(error: Exception, shown: Shown) -> TransportError:
    """What keeps a WebSocket from being opened."""
    if isinstance(error, InvalidStatus) and error.response.status_code in _REFUSES_STATION:
        problem = f"the CSMS refuses this station with it (HTTP {error.response.status_code})"
        return CredentialsError(shown.file, problem)
    if isinstance(error, TimeoutError):
        return NotConnected("the CSMS gave no answer in time")
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            meant = lost(cause)
            reason = meant.reason.replace("the broker", "the CSMS")
            refused = isinstance(meant, CertificateRefused)
            return CredentialsError(shown.file, reason) if refused else NotConnected(reason)
    if any(isinstance(cause, EOFError | ConnectionResetError) for cause in _causes(error)):
        doubt = "" if shown.password else f"; so does one that says nothing of not taking {shown.file}"
        return NotConnected(f"the CSMS hung up before it had answered{doubt}")
    if isinstance(error, InvalidHandshake):
        return NotConnected(f"what answers is no CSMS: {error}")
    return NotConnected(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def _any_of(*events: asyncio.Event, within_s: float) -> asyncio.Event | None:
    """The first of ``events`` that is set; None when none is in time."""
    waits = {asyncio.ensure_future(event.wait()): event for event in events}
    try:
        done, _ = await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return next((event for wait, event in waits.items() if wait in done), None)
