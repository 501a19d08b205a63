"""One station's link to an MQTT 5 broker, made again whenever it breaks (aiomqtt)."""

import asyncio
import logging
import ssl
from contextlib import suppress
from contextvars import copy_context
from typing import Final

from evswap_edge.backoff import Backoff
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.transports import (
    ACCEPTED,
    Assurance,
    Caller,
    CertificateRefused,
    CredentialsError,
    NotAcknowledged,
    NotConnected,
    OnMessage,
    ReasonCode,
    Rejected,
)
from evswap_edge.transports.dialling import dial, tls_context
from evswap_edge.transports.identity import Identity
from evswap_edge.transports.keeping import until_up
from evswap_edge.transports.mqtt import Settings
from evswap_edge.transports.mqtt_link import Greeting, MqttLink
from evswap_edge.transports.subscriptions import Subscriptions

_log: Final = logging.getLogger(__name__)


class MqttTransport:
    """One station's link, made again whenever it breaks. The client id is the station's id."""

    assurance = Assurance.DELIVERED

    def __init__(self, settings: Settings, caller: Caller) -> None:
        self._settings = settings
        self._caller = caller
        self._context = copy_context()
        monotonic = caller.time.monotonic
        self._monotonic = monotonic
        self._trouble = Episode(_log, f"connection to {settings.host}:{settings.port}", monotonic=monotonic)
        self._identity = Identity(settings, caller, tls_of)
        self._subscriptions = Subscriptions(monotonic)
        self._keeper: asyncio.Task[None] | None = None
        self._link: MqttLink | None = None
        self._up = asyncio.Event()
        self._reason = "no connection yet"

    async def connect(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name=f"link {self._caller.station_id}")
        await until_up(self._keeper, self._up)

    async def send(self, message: Message) -> None:
        link = self._standing()
        if link is None:
            raise self._link.lost if self._link else NotConnected(self._reason)
        timeout_s = self._settings.acknowledge_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                code, reason = await link.publish_answered(message)
        except TimeoutError as error:
            raise NotAcknowledged(timeout_s=timeout_s) from error
        if code not in ACCEPTED:
            raise Rejected(topic=message.topic, reason_code=code, reason=reason)

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> None:
        self._subscriptions.add(topic_filter, on_message)
        if link := self._standing():
            with suppress(NotConnected):  # the next link takes it up
                await self._take_up(topic_filter, link)

    async def aclose(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})

    # --- the link ---------------------------------------------------------------------------------------

    def _standing(self) -> MqttLink | None:
        if self._link is None or self._link.ended.is_set():
            return None
        return self._link

    async def _keep(self) -> None:
        """Have a link for as long as this is not cancelled, and credentials that are of some use."""
        backoff = self._new_backoff()
        while True:
            began = self._monotonic()
            try:
                await self._live()
            except CredentialsError as error:
                self._reason = str(error)
            except CertificateRefused as error:
                self._reason = error.reason
                self._identity.refused(error.reason)
            except NotConnected as error:
                self._note(error.reason)
            except NotAcknowledged as error:
                self._note(str(error))
            if self._monotonic() - began > self._settings.reconnect_max_s:
                backoff.reset()
            troubled = self._identity.problem is not None
            await asyncio.sleep(self._identity.next_look_s() if troubled else backoff.next_s())

    def _note(self, reason: str) -> None:
        self._reason = reason
        self._trouble.begin(reason)

    def _new_backoff(self) -> Backoff:
        shortest, longest = self._settings.reconnect_min_s, self._settings.reconnect_max_s
        return Backoff(base_s=shortest, cap_s=max(shortest, longest))

    async def _live(self) -> None:
        """One link from beginning to end. Raises ``NotConnected`` with the reason for its end, or
        ``NotAcknowledged`` when the broker leaves a subscription unanswered: another link, another try."""
        link = await self._reach()
        try:
            self._link = link
            await self._renew(link)
            self._announce()
            await link.ended.wait()
            raise link.lost
        finally:
            self._withdraw()
            await link.farewell()
            await link.abandon()

    async def _reach(self) -> MqttLink:
        settings = self._settings
        context = await self._identity.context()
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                line = await dial(settings.host, settings.port, context)
        except TimeoutError as error:
            raise NotConnected(f"no answer within {settings.connect_timeout_s} s") from error
        link = MqttLink(line, self._greeting(), self._on_message, timeout_s=settings.connect_timeout_s)
        try:
            await link.open()
            self._identity.accepted()
        except BaseException:
            await link.abandon()
            raise
        return link

    def _greeting(self) -> Greeting:
        """paho waits for the answer to a ping for as long as it waits before it sends one."""
        return Greeting(
            client_id=self._caller.station_id,
            keep_alive_s=max(1, self._settings.keep_alive_s // 2),
            will=self._caller.will,
            will_delay_s=self._settings.will_delay_s,
        )

    def _announce(self) -> None:
        self._up.set()
        if self._trouble.ongoing:
            self._trouble.end()
        else:
            _log.info("connected to %s:%d", self._settings.host, self._settings.port)
        self._caller.on_link(True)

    def _withdraw(self) -> None:
        self._link = None
        if self._up.is_set():
            self._up.clear()
            self._caller.on_link(False)

    # --- subscriptions ----------------------------------------------------------------------------------

    async def _renew(self, link: MqttLink) -> None:
        """Take up every subscription on a new link. One that is refused holds up nobody."""
        for topic_filter in self._subscriptions.filters:
            with suppress(Rejected):
                await self._take_up(topic_filter, link)

    async def _take_up(self, topic_filter: str, link: MqttLink) -> None:
        code = await link.subscribe_answered(topic_filter)
        if code >= ReasonCode.UNSPECIFIED_ERROR:
            refusal = Rejected(topic=topic_filter, reason_code=code)
            self._subscriptions.refused(refusal)
            raise refusal
        self._subscriptions.accepted(topic_filter)

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._subscriptions.dispatch(topic, payload, self._context)


def tls_of(settings: Settings) -> ssl.SSLContext:
    """Raises ``CredentialsError``."""
    return tls_context(
        certificate_file=settings.certificate_file,
        key_file=settings.key_file,
        ca_file=settings.ca_file,
    )
