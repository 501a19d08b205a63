"""The station as a process of the bench's own machine."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.step import step

from evswap_hil.bench.drivers.climate import ClimateEmulatorDriver
from evswap_hil.bench.drivers.link import LinkProxyDriver
from evswap_hil.bench.errors import StationRefused
from evswap_hil.bench.protocols import StationProtocol
from evswap_hil.bench.resources import EvswapStack, StationProcess
from evswap_hil.bench.settings import Scratch, Settings
from evswap_hil.child import Child, ChildError, tail
from evswap_hil.programs import EDGE

CHECK_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 30.0

_LINK: Final = {
    "keep_alive_s": 15,
    "acknowledge_timeout_s": 5,
    "reconnect_min_s": 0.5,
    "reconnect_max_s": 5,
}
"""A station in the field is more patient; its patience is not what is tested."""

_PATIENCE: Final = {"retry_min_s": 0.2, "retry_max_s": 5}
_SENSOR_TIMEOUT_S: Final = 0.3


@target_factory.reg_driver
@attr.s(eq=False)
class StationProcessDriver(Driver, StationProtocol):
    """Runs `evswap-edge` with the visitor's certificate, over the link, with the emulated sensor."""

    bindings = {
        "settings": StationProcess,
        "stack": EvswapStack,
        "climate": ClimateEmulatorDriver,
        "link": LinkProxyDriver,
    }

    def on_activate(self) -> None:
        given = Settings(self.target)
        self._stack = given.stack(self.stack.stack_file)
        self._program = given.program(EDGE)
        self._registers = given.file_or_name(self.settings.registers)
        self._log = given.log("station")
        self._scratch = Scratch()
        self._child: Child | None = None

    def on_deactivate(self) -> None:
        if self.is_running():
            self.stop()
        self._scratch.discard()

    @property
    def station_id(self) -> str:
        return self._stack.visitor_station_id

    @Driver.check_active
    @step()
    def prepare(self) -> None:
        self._config.write_text(json.dumps(self._configuration(), indent=2))
        answer = self._ask("check", "--config", str(self._config))
        if answer.returncode != 0:
            raise StationRefused((answer.stderr or answer.stdout).strip())

    @Driver.check_active
    @step()
    def start(self) -> None:
        self._child = Child(
            [self._program, "run", "--config", self._config], name=self.station_id, log=self._log
        )

    @Driver.check_active
    @step()
    def stop(self) -> int:
        return self._running().stop(STOP_WITHIN_S)

    @Driver.check_active
    @step()
    def kill(self) -> None:
        self._running().kill()

    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    def log(self, lines: int) -> str:
        return tail(self._log, lines=lines)

    @Driver.check_active
    def version(self) -> str:
        return self._ask("--version").stdout.strip()

    @property
    def _config(self) -> Path:
        # YAML includes JSON: the station reads it.
        return self._scratch.path / "station.yaml"

    def _configuration(self) -> dict[str, Any]:
        host, port = self.link.address
        own = self._stack.certificate_of(self.station_id)
        climate = {"name": "modbus", "port": self.climate.port, "unit": self.climate.sensor.unit}
        climate |= {"registers": self._registers, "timeout_s": _SENSOR_TIMEOUT_S}
        return {
            "station_id": self.station_id,
            "driver": {"climate": climate, "bays": {"name": "simulated", "bays": self.settings.bays}},
            "outbox": {"path": str(self._scratch.path / "outbox.sqlite")},
            "transport": {
                "name": "aws-iot",
                "host": host,
                "port": port,
                "certificate_file": str(own.certificate),
                "key_file": str(own.key),
                "ca_file": str(self._stack.ca_file),
                **_LINK,
            },
            "sampling": {"interval_s": self.settings.interval_s},
            "reporting": {"mode": "every-sample"},
            "publishing": _PATIENCE,
        }

    def _ask(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        try:
            return subprocess.run(
                [self._program, *arguments],
                capture_output=True,
                text=True,
                timeout=CHECK_WITHIN_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StationRefused(str(error)) from error

    def _running(self) -> Child:
        if self._child is None:
            raise ChildError(f"{self.station_id} was never started")
        return self._child
