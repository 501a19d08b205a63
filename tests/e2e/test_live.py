"""Live updates as somebody has them who watches: over the stack's WebSocket, by an independent client."""

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message

pytestmark = pytest.mark.any_maker

VISITOR = "visitor"
CHANGE = f"$aws/rules/evswap_change/ev/station/{VISITOR}/telemetry/change"
IT: dict[str, Any] = {"kind": "stations", "stations": [VISITOR]}


def ticket(stack: LocalStack) -> str:
    address = f"{stack.described_as_json['api_url']}/live/tickets"
    request = urllib.request.Request(address, method="POST", data=b"")  # noqa: S310 - the address is our own
    with urllib.request.urlopen(request, timeout=IN_TIME_S) as answer:  # noqa: S310
        assert answer.status == 201
        return str(json.load(answer)["ticket"])


@contextmanager
def connected(stack: LocalStack, proof: str | None = None, **options: Any) -> Iterator[ClientConnection]:
    address = f"{stack.described_as_json['live_url']}?ticket={proof or ticket(stack)}"
    with open_socket(address, open_timeout=IN_TIME_S, **options) as socket:
        yield socket


class Watcher:
    """Keeps of each station the highest version, as docs/live.md says."""

    def __init__(self, socket: ClientConnection, known: dict[str, Any] | None = None) -> None:
        self.socket, self.known = socket, known or {}

    def subscribe(self, scope: Any) -> None:
        have = {name: one["version"] for name, one in self.known.items()}
        self.socket.send(json.dumps({"action": "subscribe", "scope": scope, "have": have}))
        self.until(lambda frame: frame["type"] == "synchronised")

    def until(self, arrived: Callable[[dict[str, Any]], bool]) -> None:
        deadline = time.monotonic() + IN_TIME_S
        while True:
            frame = json.loads(self.socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            for one in frame.get("states", ()):
                if one["version"] > self.known.get(one["station_id"], {"version": -1})["version"]:
                    self.known[one["station_id"]] = one
            if arrived(frame):
                return

    @property
    def version(self) -> int:
        """Of what is known of the visitor. A station is told of again where only its contact is new."""
        return int(self.known[VISITOR]["version"])

    def until_version(self, version: int) -> None:
        if self.version < version:
            self.until(lambda _: self.version >= version)

    def until_available(self, count: int) -> None:
        if self.known.get(VISITOR, {}).get("battery_available") != count:
            self.until(lambda _: self.known.get(VISITOR, {}).get("battery_available") == count)


def change(stream: str, sequence: int, available: int) -> bytes:
    return seed_message(
        VISITOR, stream_id=stream, sequence=sequence, clock="synchronized", battery_available=available
    )


def test_a_change_is_on_the_socket(stack: LocalStack) -> None:
    stream = uuid4().hex
    with stack.visitor() as visitor, connected(stack) as socket:
        visitor.publish(CHANGE, change(stream, 1, 71))
        watcher = Watcher(socket)
        watcher.subscribe(IT)
        watcher.until_available(71)
        took = []
        for sequence, available in enumerate((72, 73, 74), start=2):
            began = time.monotonic()
            visitor.publish(CHANGE, change(stream, sequence, available))
            watcher.until_available(available)
            took.append(time.monotonic() - began)
    print(f"a change is on the socket after {', '.join(f'{each:.2f}' for each in took)} s")


def test_whoever_was_away_has_what_whoever_stayed_has(stack: LocalStack) -> None:
    stream = uuid4().hex
    with stack.visitor() as visitor, connected(stack) as socket:
        visitor.publish(CHANGE, change(stream, 1, 81))
        stayed = Watcher(socket)
        stayed.subscribe(IT)
        stayed.until_available(81)
        with connected(stack) as other:
            left = Watcher(other)
            left.subscribe(IT)
            left.until_available(81)
        visitor.publish(CHANGE, change(stream, 2, 82))
        stayed.until_available(82)
        with connected(stack) as again:
            resumed = Watcher(again, left.known)
            resumed.subscribe(IT)
            resumed.until_available(82)
            newest = max(resumed.version, stayed.version)
            for watcher in (resumed, stayed):
                watcher.until_version(newest)
            assert resumed.known == stayed.known


def test_a_client_is_answered_when_it_says_that_it_is_there_or_something_else(stack: LocalStack) -> None:
    with connected(stack) as socket:
        watcher = Watcher(socket)
        watcher.subscribe({"kind": "all"})
        socket.send(json.dumps({"action": "alive", "at": 0}))
        watcher.until(lambda frame: frame["type"] == "heartbeat")
        socket.send("something else")
        watcher.until(lambda frame: frame["type"] == "problem" and frame["problem"]["status"] == 400)


def test_a_ticket_lets_one_connection_in_and_no_other_page_watches(stack: LocalStack) -> None:
    proof = ticket(stack)
    refused = [(ticket(stack), {"origin": "https://evil.example"}), ("A" * 43, {})]
    with connected(stack, proof, origin=stack.described_as_json["aws_endpoint_url"]):
        refused.append((proof, {}))
    for presented, options in refused:
        with pytest.raises(InvalidStatus) as answer, connected(stack, presented, **options):
            pass
        assert answer.value.response.status_code == 403


def test_the_page_comes_with_its_scripts_and_nobody_else_shows_it(stack: LocalStack) -> None:
    page = stack.described_as_json["live_page_url"]
    for name, kind in (("", "text/html"), ("live.js", "text/javascript"), ("stations.js", "text/javascript")):
        with urllib.request.urlopen(f"{page}{name}", timeout=30) as answer:  # noqa: S310
            assert answer.headers["content-type"].startswith(kind)
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    with urllib.request.urlopen(f"{page}addresses.json", timeout=30) as answer:  # noqa: S310
        assert json.load(answer).keys() == {"tickets", "socket"}
