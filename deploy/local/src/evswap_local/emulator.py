"""The process called ``ministack``: AWS on this machine."""

import json
import os
import select
import shutil
import sys
import time
import urllib.request
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from evswap_local.credentials import Credentials
from evswap_local.errors import DidNotStart
from evswap_local.files import write_private
from evswap_local.layout import StateFolder
from evswap_local.ports import demand_free
from evswap_local.processes import Processes, Running
from evswap_local.settings import Settings

NAME = "ministack"
START_DEADLINE_S = 120.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TERM", "USER")
"""What a process of ours gets of the caller's environment: nothing that could point it at a real AWS."""


def start_emulator(
    processes: Processes, python: Path, state: StateFolder, settings: Settings, credentials: Credentials
) -> Running:
    """Starts it and waits until it has proved that its holes are closed; raises PortTaken, DidNotStart."""
    processes.stop(NAME)
    demand_free(settings.bind, settings.port, "--port")
    demand_free(settings.bind, settings.mqtt_port, "--mqtt-port")
    empty_temporary(state)
    receiving, reporting = os.pipe()
    try:
        running = processes.start(
            NAME,
            _command(python, state, settings, reporting),
            environment=_environment(credentials),
            inherit=[reporting],
        )
        os.close(reporting)
        reporting = -1
        _await_report(receiving, processes.log_of(NAME))
    finally:
        for descriptor in (receiving, reporting):
            if descriptor >= 0:
                os.close(descriptor)
    return running


def empty_temporary(state: StateFolder) -> None:
    """Removes what functions of a run before have unpacked."""
    shutil.rmtree(state.temporary, ignore_errors=True)
    state.temporary.mkdir(mode=0o700)


def fetch_trust_anchor(settings: Settings, target: Path) -> None:
    """Writes the certificate that signed the MQTT listener's own to ``target``."""
    with urllib.request.urlopen(f"{settings.endpoint_url}/_ministack/iot/ca.pem", timeout=30) as answer:  # noqa: S310
        write_private(target, answer.read().decode("ascii"))


def own_environment() -> dict[str, str]:
    """The part of this process's environment that its children get."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def _command(python: Path, state: StateFolder, settings: Settings, reporting: int) -> list[str]:
    launcher = str(files("evswap_local") / "ministack" / "launcher.py")
    return [
        *(str(python), "-I", launcher),
        *("--host", settings.bind),
        *("--port", str(settings.port)),
        *("--mqtt-port", str(settings.mqtt_port)),
        *("--region", settings.region),
        *("--state-dir", str(state.ministack)),
        *("--temporary-dir", str(state.temporary)),
        *("--live-file", str(state.live_addresses)),
        *("--report-fd", str(reporting)),
    ]


def _environment(credentials: Credentials) -> Mapping[str, str]:
    return own_environment() | {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
    }


def _await_report(descriptor: int, log: Path) -> None:
    """Reads the launcher's one line of JSON."""
    deadline, said = time.monotonic() + START_DEADLINE_S, b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise DidNotStart(NAME, f"it was not ready within {START_DEADLINE_S:.0f} s", log)
        part = os.read(descriptor, 65536)
        if not part:
            raise DidNotStart(NAME, "it ended before it was ready", log)
        said += part
    report = json.loads(said)
    if not report.get("ready"):
        raise DidNotStart(NAME, report["error"], log)
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if report["python"] != ours:
        raise DidNotStart(
            NAME,
            f"its Python is {report['python']} and this one {ours}, so it could not run the functions' code; "
            f"make both environments with the same Python",
            log,
        )
