"""`evswap up` for real, with its troubles on the way. What a whole stack does stands in tests/e2e."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evswap_local.emulator import own_environment
from tests.functions_zip import lend_functions_zip
from tests.local.real import ROOT, free_ports

ENDS_WITHIN_S = 170
"""On a machine that has much else to do; a test's own time ends ten seconds later."""


class Stack:
    """An ``evswap`` stack of one test."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.folder = folder
        port, mqtt_port = free_ports(2)
        self._up = ["up", "--port", str(port), "--mqtt-port", str(mqtt_port), "--stations", "1"]
        lend_functions_zip(folder)
        self._environment = own_environment() | {"EVSWAP_MINISTACK_PYTHON": str(python)}

    def begin(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "evswap_local", *command, "--state-dir", str(self.folder)],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def up(self, *options: str) -> subprocess.Popen[str]:
        return self.begin(*self._up, "--interval", "0.5", *options)

    def left(self) -> list[psutil.Process]:
        """Every process that mentions the folder."""
        return [
            process
            for process in psutil.process_iter(["cmdline", "environ"])
            if process.pid != os.getpid() and str(self.folder) in str(process.info)
        ]


@pytest.fixture
def stack(ministack_python: Path, tmp_path: Path) -> Iterator[Stack]:
    made = Stack(ministack_python, tmp_path / "state")
    yield made
    with made.begin("down") as down:
        down.communicate(timeout=ENDS_WITHIN_S)


@pytest.mark.parametrize(
    ("step", "number"),
    [("starting AWS", signal.SIGHUP), ("stack:", signal.SIGINT), ("fleet:", signal.SIGTERM)],
)
def test_a_signal_halfway_stops_what_was_started(stack: Stack, step: str, number: signal.Signals) -> None:
    with stack.up() as up:
        assert up.stderr is not None
        for line in up.stderr:
            if line.startswith(step):
                break
        up.send_signal(number)
        up.communicate(timeout=ENDS_WITHIN_S)
    assert up.returncode == 130
    assert stack.left() == []
    assert list((stack.folder / "run").iterdir()) == []
    assert not (stack.folder / "tmp").exists()


@pytest.mark.release
def test_a_renewed_certificate_is_used_from_then_on(stack: Stack) -> None:
    with stack.up("--no-fleet") as up:
        out, err = up.communicate(timeout=ENDS_WITHIN_S)
    assert up.returncode == 0, err
    assert "api_url" in out
    with stack.begin("certificate", "renew", "station-01") as renew:
        assert "another certificate" in renew.communicate(timeout=ENDS_WITHIN_S)[0]
    with stack.up("--no-fleet") as again:
        out, err = again.communicate(timeout=ENDS_WITHIN_S)
    assert again.returncode == 0, err
    assert "2 unchanged" in err


@pytest.mark.release
def test_a_second_up_is_told_to_wait(stack: Stack) -> None:
    with stack.up("--no-fleet") as first:
        assert first.stderr is not None
        first.stderr.readline()
        with stack.up("--no-fleet") as second:
            _, said = second.communicate(timeout=ENDS_WITHIN_S)
        first.communicate(timeout=ENDS_WITHIN_S)
    assert second.returncode == 1
    assert str(first.pid) in said
    assert first.returncode == 0
