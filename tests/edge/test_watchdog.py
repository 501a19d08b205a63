"""What systemd hears of a station."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from evswap_edge.testing import ManualTime, settle
from evswap_edge.watchdog import Systemd, keep_informed


class Listening:
    """The other end of the socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        messages: list[str] = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode().split("\n")[0])
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def systemd(address: str) -> Iterator[Listening]:
    systemd = Listening(address)
    yield systemd
    systemd.close()


class Told:
    """A service under the eyes of systemd."""

    def __init__(self, systemd: Systemd) -> None:
        self.time = ManualTime()
        self.stop, self.begun = asyncio.Event(), asyncio.Event()
        self.healthy = True
        self.task = asyncio.create_task(
            keep_informed(systemd, self.time, self.stop, begun=self.begun, healthy=lambda: self.healthy)
        )

    async def end(self) -> None:
        self.stop.set()
        await self.task


async def test_ready_then_alive_then_stopping(systemd: Listening, address: str) -> None:
    told = Told(Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}))
    await settle()
    assert systemd.heard() == []
    told.begun.set()
    await settle()
    assert systemd.heard() == ["READY=1", "WATCHDOG=1"]
    await told.time.advance(29.9)
    assert systemd.heard() == ["WATCHDOG=1"] * 2
    await told.end()
    assert systemd.heard() == ["STOPPING=1"]


async def test_a_station_that_does_not_work_is_not_called_alive(
    systemd: Listening, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}))
    told.begun.set()
    told.healthy = False
    await settle()
    assert systemd.heard() == ["READY=1"]
    assert "no sample was taken" in caplog.text
    told.healthy = True
    await told.time.advance(10.1)
    assert systemd.heard() == ["WATCHDOG=1"]
    await told.end()


async def test_stopped_before_it_begun(systemd: Listening, address: str) -> None:
    told = Told(Systemd({"NOTIFY_SOCKET": address}))
    await settle()
    await told.end()
    assert systemd.heard() == ["STOPPING=1"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}],
    ids=["unset", "zero", "no number", "for another process"],
)
def test_no_watchdog_where_none_was_asked_for(address: str, environment: dict[str, str]) -> None:
    assert Systemd({"NOTIFY_SOCKET": address, **environment}).deadline_s is None


def test_the_watchdog_of_this_process(address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}
    assert Systemd(environment).deadline_s == 1.5


def test_the_abstract_namespace() -> None:
    name = f"evswap-test-{os.getpid()}"
    systemd = Listening(f"\0{name}")
    try:
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")
        assert systemd.heard() == ["READY=1"]
    finally:
        systemd.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234"])
def test_nobody_asked(address: str) -> None:
    Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"}).tell("READY=1")


def test_a_supervisor_that_is_gone_is_no_reason_to_stop(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    Systemd({"NOTIFY_SOCKET": address}).tell("READY=1")
    assert "systemd cannot be told READY=1" in caplog.text
