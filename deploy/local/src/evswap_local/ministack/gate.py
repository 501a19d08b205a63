"""Who may speak to the HTTP side at all: an ASGI filter before ministack's application.

ministack with ``AUTH=true`` checks signatures service by service, serves an unsigned S3 request as root,
and leaves its own administration (``/_ministack/reset`` wipes everything) to anyone. It also answers every
CORS preflight, so a page in a browser could call it. The gate therefore lets through only

* requests that carry a Signature Version 4, which ministack then verifies;
* the REST and WebSocket APIs of the stack, which have their own authorization;
* the token endpoint of the user pool, which demands a client's secret, and its public keys;
* three harmless pages: health, readiness, and the trust anchor of the MQTT listener;
* the page for live updates, which has no data in it.

An unsigned request must also name this machine in its ``Host`` header, or a web page could reach the API by
DNS rebinding.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from evswap_local.ministack.live_page import SOCKET, LivePage

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PAGES = frozenset({"/_ministack/health", "/_ministack/ready", "/_ministack/iot/ca.pem"})
REST_API = re.compile(r"/restapis/[a-z0-9]+/[^/]+/_user_request_(/.*)?", re.DOTALL)
WEBSOCKET_API = re.compile(r"/_aws/execute-api/[a-z0-9]+/.*", re.DOTALL)
TOKENS = "/oauth2/token"
POOL_KEYS = re.compile(r"/[a-z0-9-]+_[A-Za-z0-9]+/\.well-known/jwks\.json")
"""No bucket has an underscore in its name, so this cannot be an object of S3, which would be served."""
ADMINISTRATION = ("/_ministack/", "/_localstack/")
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The application ``inner``, behind the gate.

    ``names`` are the host names under which unsigned requests are answered; empty means any (a container,
    whose names this process cannot know).
    """

    inner: Application
    names: frozenset[str] = LOOPBACK_NAMES
    live: LivePage | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the connection on, or refuses it with status 403 (close code 1008 for a WebSocket)."""
        refusal = self.refusal(scope)
        if refusal is None and self._is_live_page(scope) and self.live is not None:
            await self.live.answer(scope, send)
        elif refusal is None:
            await self.inner(self._with_whole_path(scope), receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await _forbid(send, refusal)

    def refusal(self, scope: Scope) -> str | None:
        """Why this connection may not pass, or None when it may."""
        match scope["type"]:
            case "lifespan":
                return None
            case "websocket":
                return self._websocket_refusal(scope)
            case _:
                return self._http_refusal(scope)

    def _websocket_refusal(self, scope: Scope) -> str | None:
        if scope["path"] != SOCKET and not WEBSOCKET_API.fullmatch(scope["path"]):
            return (
                "only the stack's WebSocket API is open; MQTT is spoken on its own port, with a certificate"
            )
        return self._host_refusal(_headers(scope))

    def _http_refusal(self, scope: Scope) -> str | None:
        path, headers = scope["path"], _headers(scope)
        if path in OPEN_PAGES and scope["method"] in ("GET", "HEAD"):
            return self._host_refusal(headers)
        if self._is_live_page(scope) or _is_of_the_user_pool(scope):
            return self._host_refusal(headers)
        if path.startswith(ADMINISTRATION):
            return "the administration of the local AWS is closed"
        if REST_API.fullmatch(path):
            return self._host_refusal(headers)
        if _is_signed(headers, scope.get("query_string", b"")):
            return None
        return "this request needs a Signature Version 4: run `evswap env` for the credentials"

    def _is_live_page(self, scope: Scope) -> bool:
        return self.live is not None and scope["type"] == "http" and self.live.has(scope["path"])

    def _with_whole_path(self, scope: Scope) -> Scope:
        """The short address of the WebSocket API stands for the long one, while there is one."""
        whole = self.live.socket_path() if self.live is not None else None
        if scope["type"] != "websocket" or scope["path"] != SOCKET or whole is None:
            return scope
        return {**scope, "path": whole, "raw_path": whole.encode()}

    def _host_refusal(self, headers: Mapping[str, str]) -> str | None:
        name = re.sub(r":\d+\Z", "", headers.get("host", "")).lower()
        if not self.names or name in self.names:
            return None
        return "this machine is not known by the name in the Host header"


def _is_of_the_user_pool(scope: Scope) -> bool:
    if scope["path"] == TOKENS:
        return bool(scope["method"] == "POST")
    return scope["method"] == "GET" and bool(POOL_KEYS.fullmatch(scope["path"]))


def _headers(scope: Scope) -> dict[str, str]:
    raw: Iterable[tuple[bytes, bytes]] = scope.get("headers", [])
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def _is_signed(headers: Mapping[str, str], query_string: bytes) -> bool:
    if re.match(r"AWS4-HMAC-SHA256 +Credential=[^/,\s]+/", headers.get("authorization", "")):
        return True
    query = parse_qs(query_string.decode("latin-1"))
    return query.get("X-Amz-Algorithm") == ["AWS4-HMAC-SHA256"] and bool(query.get("X-Amz-Credential"))


async def _forbid(send: Send, reason: str) -> None:
    body = json.dumps({"__type": "AccessDenied", "message": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
