"""The page for live updates: where it is answered, and what its script makes of frames."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import MutableMapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from evswap_local.ministack.gate import Gate, Receive, Scope, Send
from evswap_local.ministack.live_page import LivePage
from tests.conftest import SkipAloud

FILES = Path(str(files("evswap_local") / "live_page"))
INSIDE = "/_aws/execute-api/abcd1234/live"


class Asked:
    """What the gate lets through, and what it answers by itself."""

    def __init__(self, folder: Path) -> None:
        self.passed: list[str] = []
        self.addresses = folder / "live.json"
        page = LivePage(files=FILES, addresses=self.addresses)
        self.gate = Gate(inner=self._application, live=page)

    async def _application(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(scope["path"])

    def ask(self, path: str, *, kind: str = "http", method: str = "GET", host: str = "127.0.0.1") -> Any:
        """The status, the headers and the body; None for what was let through."""
        sent: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "websocket.connect"}

        scope = {"type": kind, "path": path, "method": method, "query_string": b""}
        asyncio.run(self.gate({**scope, "headers": [(b"host", host.encode())]}, receive, send))
        if not sent or kind == "websocket":
            return sent
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, sent[1]["body"]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


@pytest.mark.parametrize("name", ["", "live.js", "stations.js"])
def test_the_pages_files_are_answered_without_a_signature(asked: Asked, name: str) -> None:
    status, headers, body = asked.ask(f"/live/{name}")
    assert status == 200
    assert body == (FILES / (name or "index.html")).read_bytes()
    assert "default-src 'none'" in headers["content-security-policy"]
    assert asked.passed == []


@pytest.mark.parametrize("path", ["/live/x", "/live/../gate.py", "/live/%2e%2e/gate.py", "/live//etc/passwd"])
def test_no_other_file_is(asked: Asked, path: str) -> None:
    assert asked.ask(path)[0] == 404


def test_another_name_of_this_machine_shows_nothing(asked: Asked) -> None:
    assert asked.ask("/live/", host="evil.example")[0] == 403
    assert asked.ask("/live", kind="websocket", host="evil.example")[0]["code"] == 1008
    assert asked.passed == []


def test_the_short_address_of_the_socket_leads_to_the_api_of_the_stack(asked: Asked) -> None:
    asked.addresses.write_text(json.dumps({"tickets": "/t", "socket": INSIDE}))
    asked.ask("/live", kind="websocket")
    asked.ask(INSIDE, kind="websocket")
    assert asked.passed == [INSIDE, INSIDE]
    assert json.loads(asked.ask("/live/addresses.json")[2]) == {"tickets": "/t", "socket": INSIDE}


def test_while_there_is_no_stack_there_are_no_addresses(asked: Asked) -> None:
    assert asked.ask("/live/addresses.json")[0] == 404


def test_the_page_loads_nothing_from_elsewhere() -> None:
    text = (FILES / "index.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == {"stations.js", "live.js"}
    assert "://" not in text + (FILES / "stations.js").read_text()
    assert "innerHTML" not in (FILES / "live.js").read_text()


SCRIPT = """
const { Stations } = require(process.argv[1]);
const stations = new Stations();
const changed = JSON.parse(process.argv[2]).map((frame) => stations.take(frame));
console.log(JSON.stringify({
  changed, newest: stations.newest, counts: stations.counts(), have: stations.have(30000),
  little: Object.keys(stations.have(40)), order: stations.sorted().map((one) => one.station_id),
}));
"""


@pytest.fixture
def node(skip_aloud: SkipAloud) -> str:
    found = shutil.which("node")
    if found is None:
        skip_aloud("node is not installed", could_run=False)
    return str(found)


def station(name: str, version: int, available: int) -> dict[str, Any]:
    return {
        "station_id": name,
        "version": version,
        "battery_available": available,
        "battery_charging": 1,
        "status": "operational",
    }


def test_the_pages_script_keeps_the_highest_version_of_each_station(node: str) -> None:
    frames: list[dict[str, Any]] = [
        {"type": "states", "at": 5, "states": [station("b", 1, 4), station("a", 7, 2)]},
        {"type": "synchronised", "at": 5, "stations": 2},
        {"type": "states", "at": 9, "states": [station("b", 2, 3), station("a", 6, 9)]},
        {"type": "heartbeat", "at": 8, "closes_at": 99},
    ]
    answer = subprocess.run(
        [node, "-e", SCRIPT, str(FILES / "stations.js"), json.dumps(frames)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(answer.stdout) == {
        "changed": [["b", "a"], [], ["b"], []],
        "newest": 9,
        "counts": {"stations": 2, "available": 5, "charging": 2, "status": {"operational": 2}},
        "have": {"b": 2, "a": 7},
        "little": ["b", "a"],
        "order": ["a", "b"],
    }


@pytest.mark.parametrize("name", ["live.js", "stations.js"])
def test_the_pages_scripts_can_be_read(node: str, name: str) -> None:
    answer = subprocess.run([node, "--check", str(FILES / name)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
