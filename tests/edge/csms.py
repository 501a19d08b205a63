"""A charging station management system of the tests' own: the server side of the library ``ocpp`` over a
WebSocket and TLS. It misbehaves on demand.
"""

import asyncio
import json
import ssl
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from ocpp.exceptions import OCPPError  # type: ignore[import-untyped]
from ocpp.routing import on  # type: ignore[import-untyped]
from ocpp.v21 import ChargePoint, call_result  # type: ignore[import-untyped]
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from evswap_edge import keys
from tests.authority import Authority, common_name, key_pem, new_key
from tests.mqtt_wire import server_context

STATION: Final = "station-01"
PASSWORD: Final = "correct horse battery"
OCPP: Final = (Subprotocol("ocpp2.1"),)


class Heard(NamedTuple):
    """A request as it came in."""

    message_id: str
    action: str
    payload: dict[str, Any]


class Csms:
    """What the stations said to it, and how it behaves.

    ``errors`` are answers to the next requests of an action; None is a good one. ``registrations`` are those
    to the next BootNotifications, with their intervals. While ``speaks`` is not set it answers nothing; it
    hangs up instead of answering the requests whose number (from 0, of an action) is in ``hangs_up_at``.
    ``wrong`` are payloads with which it answers an action, right or not; ``refusal`` is its HTTP answer to
    whoever dials.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "csms-ca")
        self.heard: list[Heard] = []
        self.raw: list[Any] = []
        self.errors: dict[str, deque[OCPPError | None]] = defaultdict(deque)
        self.registrations: deque[tuple[str, int]] = deque()
        self.heartbeat_s = 300
        self.ahead_s = 0.0
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.hangs_up_at: dict[str, set[int]] = defaultdict(set)
        self.wrong: dict[str, dict[str, Any]] = {}
        self.refusal: HTTPStatus | None = None
        self.points: list[Point] = []
        self.port = 0
        self.subprotocols: tuple[Subprotocol, ...] = OCPP
        self._profile = 2
        self._server: Server | None = None
        server = new_key()
        (folder / "csms.cert.pem").write_bytes(self.authority.sign(common_name("csms"), server.public_key()))
        (folder / "csms.key.pem").write_bytes(key_pem(server))

    @property
    def point(self) -> "Point":
        """The station that is connected now."""
        return self.points[-1]

    @property
    def connected(self) -> bool:
        return bool(self.points) and not self.point.over

    def of(self, *actions: str) -> list[Heard]:
        """What was heard of these, in order."""
        return [heard for heard in self.heard if heard.action in actions]

    def once(self, action: str) -> list[Heard]:
        """The same without what was said again under the same message id."""
        return list({heard.message_id: heard for heard in self.of(action)}.values())

    async def up(self, *, profile: int = 2) -> None:
        """Be there, on the same port each time."""
        self._profile = profile
        files = self.folder / "csms.cert.pem", self.folder / "csms.key.pem"
        if profile == 3:
            context = server_context(self.authority.certificate, *files)
        else:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*files)
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            ssl=context,
            subprotocols=self.subprotocols,
            process_request=self._admitted,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def down(self) -> None:
        """Be gone."""
        self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break every link without a word."""
        for point in self.points:
            point.socket.transport.abort()

    async def decide(self, point: "Point", action: str) -> None:
        """What comes of a request: an answer, an error, silence, or nothing any more."""
        number = len(self.of(action)) - 1
        if number in self.hangs_up_at[action]:
            point.socket.transport.abort()
        await self.speaks.wait()
        if self.errors[action] and (error := self.errors[action].popleft()) is not None:
            raise error

    def _admitted(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.refusal is not None:
            answer = socket.respond(self.refusal, "not here\n")
            answer.headers["Location"] = f"wss://127.0.0.1:{self.port}/elsewhere"
            return answer
        wanted = f"Basic {b64encode(f'{STATION}:{PASSWORD}'.encode()).decode()}"
        if self._profile == 3 or request.headers.get("Authorization") == wanted:
            return None
        return socket.respond(HTTPStatus.UNAUTHORIZED, "who are you?\n")

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        point = Point(self, socket.request.path.rpartition("/")[2], socket)
        self.points.append(point)
        await point.listen()


class Point(ChargePoint):  # type: ignore[misc]
    """One link of a station."""

    def __init__(self, csms: Csms, station_id: str, socket: ServerConnection) -> None:
        super().__init__(station_id, socket, response_timeout=10)
        self.csms = csms
        self.socket = socket
        self.over = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Until the link ends; requests are answered while others are awaited."""
        try:
            with suppress(ConnectionClosed):
                async for raw in self.socket:
                    self._hear(raw)
        finally:
            self.over = True
            for task in self._tasks:
                task.cancel()

    def _hear(self, raw: str | bytes) -> None:
        frame = json.loads(raw)
        self.csms.raw.append(frame)
        if frame[0] == 2:
            self.csms.heard.append(Heard(*frame[1:]))
        task = asyncio.create_task(self._route(raw, frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask(self, raw: list[Any]) -> list[Any]:
        """Say something that need not be right, and wait for the answer to it."""
        await self.socket.send(json.dumps(raw))
        async with asyncio.timeout(10):
            while True:
                for frame in self.csms.raw:
                    if frame[0] in {3, 4} and frame[1] == raw[1]:
                        return list(frame)
                await asyncio.sleep(0.001)

    @on("BootNotification")  # type: ignore[untyped-decorator]
    async def on_boot(self, **payload: Any) -> Any:
        await self.csms.decide(self, "BootNotification")
        registrations = self.csms.registrations
        status, interval = registrations.popleft() if registrations else ("Accepted", self.csms.heartbeat_s)
        return call_result.BootNotification(current_time=self._now(), interval=interval, status=status)

    @on("Heartbeat")  # type: ignore[untyped-decorator]
    async def on_heartbeat(self, **payload: Any) -> Any:
        await self.csms.decide(self, "Heartbeat")
        return call_result.Heartbeat(current_time=self._now())

    @on("BatterySwap")  # type: ignore[untyped-decorator]
    async def on_battery_swap(self, **payload: Any) -> Any:
        await self.csms.decide(self, "BatterySwap")
        return call_result.BatterySwap()

    @on("StatusNotification")  # type: ignore[untyped-decorator]
    async def on_status(self, **payload: Any) -> Any:
        await self.csms.decide(self, "StatusNotification")
        return call_result.StatusNotification()

    @on("NotifyEvent")  # type: ignore[untyped-decorator]
    async def on_event(self, **payload: Any) -> Any:
        await self.csms.decide(self, "NotifyEvent")
        return call_result.NotifyEvent()

    @on("NotifyReport")  # type: ignore[untyped-decorator]
    async def on_report(self, **payload: Any) -> Any:
        return call_result.NotifyReport()

    def _now(self) -> str:
        moment = datetime.fromtimestamp(datetime.now(UTC).timestamp() + self.csms.ahead_s, UTC)
        return moment.isoformat().replace("+00:00", "Z")

    async def _route(self, raw: str | bytes, frame: list[Any]) -> None:
        with suppress(OSError, ConnectionClosed):
            if frame[0] == 2 and (wrong := self.csms.wrong.pop(frame[2], None)) is not None:
                await self.socket.send(json.dumps([3, frame[1], wrong]))
            else:
                await self.route_message(raw)


def credentials(csms: Csms, folder: Path) -> dict[str, Any]:
    """What a station shows, as settings: a password and a certificate, both good."""
    password = folder / "station.password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    request = keys.request_certificate(STATION, folder).read_bytes()
    certificate = keys.certificate_path(folder, STATION)
    certificate.write_bytes(csms.authority.sign_request(request))
    return {
        "ca_file": csms.authority.certificate,
        "password_file": password,
        "certificate_file": certificate,
        "key_file": keys.key_path(folder, STATION),
    }


@asynccontextmanager
async def management(folder: Path, *, profile: int = 2) -> AsyncIterator[Csms]:
    """A CSMS that is there."""
    csms = Csms(folder)
    await csms.up(profile=profile)
    try:
        yield csms
    finally:
        csms.speaks.set()
        await csms.down()
