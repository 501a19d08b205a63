"""The page for live updates, and the short address of its WebSocket: ``/live/`` and ``/live``.

Both lie where AWS itself answers, so the page is of the same origin as all that it asks. ``addresses`` is a
file that `evswap up` writes when it has made the stack: ``tickets``, the path that gives them, and
``socket``, the path of the WebSocket API.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SOCKET = "/live"
FOLDER = "/live/"
ADDRESSES = "addresses.json"
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "stations.js": "text/javascript; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self' ws:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads its own scripts and talks to where it comes from. No other page may show it."""


@dataclass(frozen=True)
class LivePage:
    """``files`` is the folder with the page."""

    files: Path
    addresses: Path

    def has(self, path: str) -> bool:
        """Whether ``path`` is of the page."""
        return path.startswith(FOLDER)

    def socket_path(self) -> str | None:
        """Where the WebSocket API is; None while there is no stack."""
        try:
            found = json.loads(self.addresses.read_text(encoding="utf-8"))["socket"]
        except (OSError, ValueError, KeyError):
            return None
        return str(found)

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answers a request for a file of the page."""
        name = scope["path"].removeprefix(FOLDER) or "index.html"
        file = self.addresses if name == ADDRESSES else self.files / name
        kind = "application/json" if name == ADDRESSES else TYPES.get(name)
        if scope["method"] not in ("GET", "HEAD") or kind is None or not file.is_file():
            await _send(send, 404, "text/plain; charset=utf-8", b"There is no such page.\n")
            return
        await _send(send, 200, kind, b"" if scope["method"] == "HEAD" else file.read_bytes())


async def _send(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = {
        "content-type": kind,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
