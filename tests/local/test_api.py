"""Asking the REST API, here a stand-in that speaks its pages."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from evswap_local.api import await_visible, stations, visible
from evswap_local.errors import DidNotStart, StationsMissing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 2


class Api(ThreadingHTTPServer):
    """Serves ``known`` in pages of two; ``asked`` counts the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.known: dict[str, datetime] = {}
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.server.asked += 1
        query = parse_qs(urlsplit(self.path).query)
        start = int(query.get("cursor", ["0"])[0])
        rows = [
            {"station_id": name, "received_at": moment.isoformat().replace("+00:00", "Z")}
            for name, moment in self.server.known.items()
        ]
        page: dict[str, Any] = {
            "count": len(rows[start : start + PAGE]),
            "stations": rows[start : start + PAGE],
        }
        if start + PAGE < len(rows):
            page["next_cursor"] = str(start + PAGE)
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Quiet."""


def alive() -> None:
    """The process has not ended."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_page_is_read(api: Api) -> None:
    api.known = {f"station-{number:02d}": NOW for number in range(5)}
    assert [station["station_id"] for station in stations(api.url)] == list(api.known)


def test_only_what_was_heard_since_then_is_visible(api: Api) -> None:
    api.known = {"old": NOW - timedelta(seconds=1), "new": NOW, "other": NOW}
    assert visible(api.url, ["old", "new", "absent"], NOW) == {"new"}


def test_waiting_ends_when_all_are_there(api: Api) -> None:
    counts: list[int] = []

    def progress(count: int) -> None:
        counts.append(count)
        api.known[f"s{len(api.known)}"] = NOW

    await_visible(
        api.url, ["s0", "s1"], since=NOW, deadline_s=30, progress=progress, demand_alive=lambda: None
    )
    assert counts == [0, 1, 2]


def test_waiting_names_those_that_never_came(api: Api) -> None:
    api.known = {"s0": NOW}
    with pytest.raises(StationsMissing) as missing:
        await_visible(
            api.url,
            ["s0", "s1"],
            since=NOW,
            deadline_s=0.1,
            progress=lambda _: None,
            demand_alive=lambda: None,
        )
    assert missing.value.missing == ("s1",)


def test_waiting_ends_with_the_process(api: Api) -> None:
    def dead() -> None:
        raise DidNotStart("fleet", "no certificate", log=__file__)  # type: ignore[arg-type]

    with pytest.raises(DidNotStart, match="no certificate"):
        await_visible(api.url, ["s0"], since=NOW, deadline_s=30, progress=lambda _: None, demand_alive=dead)
