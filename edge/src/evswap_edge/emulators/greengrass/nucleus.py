"""The socket that a component connects to, and what a person may do to the nucleus behind it."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evswap_edge.emulators import EmulatorError
from evswap_edge.emulators.greengrass.cloud import Archive
from evswap_edge.emulators.greengrass.configuration import Configuration, KeyPath
from evswap_edge.emulators.greengrass.connection import Connection, Flag, HungUp, Kind, content
from evswap_edge.emulators.greengrass.operations import (
    FROM_THE_CLOUD,
    VANISHES_FROM_BYTES,
    Answer,
    Body,
    Held,
    Operations,
    Refusal,
    Request,
    Subscription,
    configuration_event,
    iot_core_event,
    local_event,
)
from evswap_edge.emulators.greengrass.uplink import Broker, Published, Uplink
from evswap_edge.eventstream import Frame


def ignore(event: Mapping[str, Any]) -> None:
    """Nobody wants to know."""


class EmulatedNucleus:
    """A nucleus with one component. ``tell`` hears what happens to it, one mapping an event.

    While ``acknowledging``, the cloud behind it archives what arrives and says so.
    """

    def __init__(
        self,
        socket: Path,
        *,
        component: str,
        thing_name: str,
        configuration: Configuration,
        tell: Callable[[Mapping[str, Any]], None] = ignore,
    ) -> None:
        self.published: list[Published] = []
        self.largest_frame = 0
        self.token = _new_token()
        self.socket = socket
        self.acknowledging = False
        self._component = component
        self._thing_name = thing_name
        self._tell = tell
        self._archive = Archive(self.deliver)
        self._uplink = Uplink(self._arrived)
        self.operations = Operations(component, configuration, self._uplink, tell)
        self._connections: set[Connection] = set()
        self._subscriptions: list[Subscription] = []
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._coming_up: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen. Raises ``EmulatorError``."""
        if self.socket.is_socket():
            self.socket.unlink()
        try:
            self._server = await asyncio.start_unix_server(self._accept, self.socket)
        except OSError as error:
            raise EmulatorError(f"{self.socket}: cannot listen there ({error}); name another path") from error

    async def aclose(self) -> None:
        """Hang up on everybody, and listen no more."""
        server, self._server = self._server, None
        self._forget_to_come_up()
        if server is not None:
            server.close()
            self.hang_up()
            for serving in self._serving:  # also whoever came while it was closing
                serving.cancel()
            await server.wait_closed()
            await asyncio.gather(*self._serving, return_exceptions=True)
            self.socket.unlink(missing_ok=True)

    def environment(self) -> dict[str, str]:
        """What a nucleus puts into the environment of its component."""
        return {
            "SVCUID": self.token,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(self.socket),
            "AWS_IOT_THING_NAME": self._thing_name,
            "AWS_REGION": "eu-central-1",
            "GG_ROOT_CA_PATH": "/etc/ssl/certs/ca-certificates.crt",
        }

    # --- what a person does to it -------------------------------------------------------------------------

    def hang_up(self) -> None:
        """End all connections."""
        for connection in self._connections:
            connection.close()

    def restart(self) -> None:
        """As when the IPC daemon is restarted: connections end, and the SVCUID is void."""
        self.token = _new_token()
        self.hang_up()

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Deploy: merge ``changes`` into the configuration of the component."""
        self._announce(self.operations.configuration.merge((), changes))

    def deliver(self, message: Published) -> None:
        """A message from the cloud."""
        if not self._uplink.brings_down:
            self._tell({"lost_on_the_way_down": message.topic})
            return
        self._send(FROM_THE_CLOUD, message.topic, iot_core_event(message), size=len(message.payload))

    def set_broker(self, broker: Broker, *, after_s: float = 0.0) -> None:
        """What becomes of a publish from now on, or once the nucleus has noticed, ``after_s`` later."""
        self._forget_to_come_up()
        if after_s:
            self._coming_up = asyncio.get_running_loop().call_later(after_s, self._noticed, broker)
        elif lost := self._uplink.become(broker):
            self._tell({"lost": lost})

    def end_subscriptions(self) -> None:
        """As when the nucleus's other daemons are restarted: the streams end, the connection stays."""
        ended, self._subscriptions = self._subscriptions, []
        for one in ended:
            one.request.connection.terminate(one.request.stream)

    def forget_subscriptions(self) -> None:
        """As when the broker does not take them again at once after a break: nobody is told."""
        for one in self._iot_core_subscriptions():
            self._subscriptions.remove(one)

    def hold_answers(self) -> None:
        """Read requests to publish, and answer none."""
        self.operations.holding = True

    def release_answers(self) -> None:
        """Answer what was held, and everything from now on."""
        self.operations.holding = False
        while self.operations.held:
            held = self.operations.held.popleft()
            self._answer_held(held)

    def status(self) -> dict[str, Any]:
        """What has happened so far."""
        return {
            "connections": len(self._connections),
            "subscriptions": len(self._iot_core_subscriptions()),
            "published": len(self.published),
            "lost": self._uplink.lost,
            "largest_frame": self.largest_frame,
            "most_under_way": self.operations.most_under_way,
            "waiting_for_an_answer": len(self.operations.held),
            "refused": dict(self.operations.refused),
        }

    def _noticed(self, broker: Broker) -> None:
        self._tell({"broker": broker})
        self.set_broker(broker)

    def _forget_to_come_up(self) -> None:
        if self._coming_up is not None:
            self._coming_up.cancel()
            self._coming_up = None

    # --- a connection -------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._connections.add(connection)
        try:
            await connection.handshake(self.token)
            while True:
                self._handle(connection, await connection.receive())
        except HungUp as end:
            self._tell({"hung_up": end.reason})
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.close()
        self.largest_frame = max(self.largest_frame, connection.largest_frame)
        self._connections.discard(connection)
        self._subscriptions = [one for one in self._subscriptions if one.request.connection is not connection]
        held = self.operations.held
        for one in [one for one in held if one.request.connection is connection]:
            held.remove(one)

    def _handle(self, connection: Connection, frame: Frame) -> None:
        self.largest_frame = max(self.largest_frame, connection.largest_frame)
        stream = int(frame.headers.get(":stream-id", 0))
        if frame.headers.get(":message-type") == Kind.PING:
            connection.pong()
        elif int(frame.headers.get(":message-flags", 0)) & Flag.TERMINATE:
            self._end_stream(connection, stream)
            connection.terminate(stream)
        else:
            operation = str(frame.headers.get("operation", "")).removeprefix("aws.greengrass#")
            self._operate(operation, Request(connection, stream, content(frame)))

    def _end_stream(self, connection: Connection, stream: int) -> None:
        self._subscriptions = [
            one
            for one in self._subscriptions
            if (one.request.connection, one.request.stream) != (connection, stream)
        ]

    def _operate(self, operation: str, request: Request) -> None:
        try:
            answer = self.operations.perform(operation, request)
        except Refusal as refusal:
            request.connection.refuse(request.stream, refusal.error)
            return
        self._answer(operation, request, answer)
        self._follow_up()

    def _answer(self, operation: str, request: Request, answer: Answer) -> None:
        if answer.body is not None:
            request.connection.respond(request.stream, f"{operation}Response", answer.body)
        if answer.subscription is not None:
            self._subscriptions.append(answer.subscription)

    def _answer_held(self, held: Held) -> None:
        try:
            answer = self.operations.publish(held)
        except Refusal as refusal:
            held.request.connection.refuse(held.request.stream, refusal.error)
        else:
            self._answer("PublishToIoTCore", held.request, answer)

    # --- events -------------------------------------------------------------------------------------------

    def _follow_up(self) -> None:
        """Tell those who subscribed what a request has brought about."""
        changed, self.operations.changed = self.operations.changed, []
        self._announce(changed)
        local, self.operations.local = self.operations.local, []
        for message in local:
            self._send(
                "SubscriptionResponseMessage", message.topic, local_event(message), size=len(message.payload)
            )

    def _announce(self, changed: list[KeyPath]) -> None:
        for path in changed:
            self._send("ConfigurationUpdateEvents", path, configuration_event(self._component, path))

    def _send(self, model: str, subject: Any, body: Body, *, size: int = 0) -> None:
        if size >= VANISHES_FROM_BYTES:
            self._tell({"vanished": size})
            return
        for one in [one for one in self._subscriptions if one.model == model and one.wants(subject)]:
            one.request.connection.respond(one.request.stream, model, body)

    def _iot_core_subscriptions(self) -> list[Subscription]:
        return [one for one in self._subscriptions if one.model == FROM_THE_CLOUD]

    def _arrived(self, message: Published) -> None:
        self.published.append(message)
        self._tell({"topic": message.topic, "payload": message.payload})
        if self.acknowledging:
            self._archive.take(message)


def _new_token() -> str:
    return secrets.token_urlsafe(12)
