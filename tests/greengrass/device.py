"""A device with a Greengrass nucleus, as far as a component sees it: folders, lifecycle, environment, IPC.

The IPC is the emulator that we ship, in a process of its own; the lifecycle's scripts are the recipe's own.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from evswap_hil.deadline import wait_until
from evswap_schema import decode_batch, decode_reading

THING = "station-01"
LONGEST_S = 60
_VARIABLE = re.compile(r"\{[a-z]+:[A-Za-z/]+\}")


class Device:
    """One component's place on a device: an empty work folder, and its artifacts.

    ``recipe`` and ``artifacts`` are folders and files as the build lays them out.
    """

    def __init__(self, folder: Path, recipe: Path, artifacts: Path) -> None:
        self.recipe_file = recipe
        self.recipe: dict[str, Any] = yaml.safe_load(recipe.read_text())
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.artifacts = artifacts
        self._folder = folder
        self._make_python3()

    def lifecycle(self, name: str) -> list[str]:
        """The recipe's own script, with what the nucleus puts in for its variables."""
        (manifest,) = self.recipe["Manifests"]
        script = manifest["Lifecycle"][name]["Script"]
        for variable, path in (("{artifacts:path}", self.artifacts), ("{work:path}", self.work)):
            script = script.replace(variable, str(path))
        assert not _VARIABLE.search(script), "a variable that this nucleus does not know"
        return ["/bin/sh", "-c", script]

    def install(self, *, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the recipe's install, on a device with another PATH if one is given."""
        return subprocess.run(
            self.lifecycle("install"),
            cwd=self.work,
            env=self._environment() | ({"PATH": path} if path else {}),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )

    def start(self, nucleus: "NucleusProcess") -> "ComponentProcess":
        """Run the recipe's run, with the environment that ``nucleus`` gives."""
        return ComponentProcess(
            self.lifecycle("run"),
            self.work,
            self._environment() | nucleus.environment,
            self._folder / "log.jsonl",
        )

    def waiting(self) -> int:
        """How many samples the outbox holds."""
        with closing(sqlite3.connect(self.work / "outbox.sqlite")) as outbox:
            (count,) = outbox.execute("SELECT samples + parcel_samples FROM ledger").fetchone()
        return int(count)

    def _environment(self) -> dict[str, str]:
        """Of a service that knows nothing of us, and whose pip could reach no registry if it tried."""
        return {
            "PATH": f"{self._folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self._folder),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
        }

    def _make_python3(self) -> None:
        """The device's Python is the one that these tests run with."""
        python3 = self._folder / "bin" / "python3"
        python3.parent.mkdir()
        python3.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).resolve()}" "$@"\n')
        python3.chmod(0o755)


class NucleusProcess:
    """`evswap-edge emulate greengrass`, and what it printed."""

    def __init__(self, socket: Path, recipe: Path) -> None:
        self.environment: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self._answers: list[str] = []
        self._ready = False
        arguments = ("--socket", str(socket), "--recipe", str(recipe), "--thing-name", THING, "--acknowledge")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "evswap_edge", "emulate", "greengrass", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()
        self.until(lambda: self._ready)

    def obey(self, command: str) -> str:
        """Give ``command`` and return what was answered."""
        asked = len(self._answers)
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        self.until(lambda: len(self._answers) > asked)
        answer = self._answers[asked]
        assert answer.startswith("ok"), answer
        return answer.removeprefix("ok").strip()

    def configure(self, station: Mapping[str, Any]) -> None:
        """Deploy a change of the station's configuration."""
        self.obey(f"configure {json.dumps({'station': station})}")

    def restart(self) -> None:
        """As when the IPC daemon is restarted."""
        name, _, value = self.obey("restart").partition("=")
        self.environment[name] = value

    def status(self) -> dict[str, Any]:
        """Its own count of what has happened."""
        status: dict[str, Any] = json.loads(self.obey("status"))
        return status

    def states(self) -> list[str]:
        """What the component has reported, in order."""
        return [event["state"] for event in list(self.events) if "state" in event]

    def sequences(self) -> list[int]:
        """Of all samples that the broker has got, in order; decoded as the cloud does."""
        found: list[int] = []
        for event in list(self.events):
            topic = event.get("topic", "")
            payload = b64decode(event.get("payload", ""))
            if topic == f"ev/station/{THING}/telemetry":
                found.append(decode_reading(payload).sequence or 0)
            elif topic == f"$aws/rules/evswap_batch/ev/station/{THING}/telemetry/batch":
                found += [reading.sequence or 0 for reading in decode_batch(payload).readings]
        return found

    def batches(self) -> int:
        """How many batches the broker has got."""
        return sum(event.get("topic", "").endswith("/batch") for event in list(self.events))

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for ``condition``, with a deadline."""
        wait_until(lambda: bool(condition()), what="what the test waits for", within=LONGEST_S, every=0.05)

    def kill(self) -> None:
        """As a crash does."""
        self._process.kill()
        self._end()

    def stop(self) -> int:
        """As its user does; returns the exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._end()

    def _end(self) -> int:
        code = self._process.wait(LONGEST_S)
        self._listening.join(LONGEST_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return code

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.events.append(json.loads(line))
            elif line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                self.environment[name] = value
            elif line.startswith("ready "):
                self._ready = True
            else:
                self._answers.append(line.strip())


class ComponentProcess:
    """The component, and its log."""

    def __init__(self, command: list[str], work: Path, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(command, cwd=work, env=dict(environment), stderr=stderr)

    def said(self, text: str) -> bool:
        """Whether a line of the log says ``text``; each one is an object."""
        lines = [
            json.loads(line)
            for line in self._log.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return any(text in line["message"] for line in lines)

    def stop(self) -> int:
        """SIGTERM, as systemd does; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LONGEST_S)

    def ended(self) -> int:
        """Wait until it has ended by itself; returns the exit code."""
        return self.process.wait(LONGEST_S)

    def kill(self) -> None:
        """As nobody should."""
        self.process.kill()
        self.process.wait(LONGEST_S)
