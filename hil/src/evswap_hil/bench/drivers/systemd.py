"""The station as a systemd unit of a machine that takes commands (labgrid's SSHDriver, or a console)."""

import shlex
from typing import Final

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.protocol import CommandProtocol
from labgrid.step import step

from evswap_hil.bench.errors import StationRefused
from evswap_hil.bench.protocols import StationProtocol
from evswap_hil.bench.resources import StationService

_STATUS: Final = "ExecMainStatus"


@target_factory.reg_driver
@attr.s(eq=False)
class SystemdStationDriver(Driver, StationProtocol):
    """Starts and stops the unit; its configuration is the machine's own. Needs root there, or sudo."""

    bindings = {"service": StationService, "shell": CommandProtocol}

    @property
    def station_id(self) -> str:
        return str(self.service.station_id)

    @Driver.check_active
    @step()
    def prepare(self) -> None:
        """The unit is stopped, since a machine that was just switched on has started it."""
        self._systemctl("stop")
        said, errors, status = self.shell.run(
            f"{self._program} check --config {shlex.quote(self.service.config)}"
        )
        if status != 0:
            raise StationRefused("\n".join([*said, *errors]))

    @Driver.check_active
    @step()
    def start(self) -> None:
        self._systemctl("start")

    @Driver.check_active
    @step()
    def stop(self) -> int:
        self._systemctl("stop")
        return int(self._property(_STATUS))

    @Driver.check_active
    @step()
    def kill(self) -> None:
        """Stopped as well, so that systemd does not start it again before the test does."""
        self._systemctl("kill --signal=SIGKILL")
        self._systemctl("stop")
        self._systemctl("reset-failed")

    @Driver.check_active
    def is_running(self) -> bool:
        return self._property("ActiveState") == "active"

    @Driver.check_active
    def log(self, lines: int) -> str:
        said: list[str] = self.shell.run_check(f"journalctl --unit={self._unit} --lines={lines} --output=cat")
        return "\n".join(said)

    @Driver.check_active
    def version(self) -> str:
        return "\n".join(self.shell.run_check(f"{self._program} --version"))

    @property
    def _unit(self) -> str:
        return shlex.quote(self.service.unit)

    @property
    def _program(self) -> str:
        return shlex.quote(self.service.program)

    def _systemctl(self, verb: str) -> None:
        self.shell.run_check(f"sudo systemctl {verb} {self._unit}")

    def _property(self, name: str) -> str:
        said: list[str] = self.shell.run_check(f"systemctl show --property={name} --value {self._unit}")
        return said[0]
