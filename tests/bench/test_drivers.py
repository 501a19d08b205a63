"""Each driver alone: bound by labgrid, at the real program, or at a machine that writes commands down."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labgrid import Environment, Target

from evswap_hil.bench.drivers.climate import ClimateEmulatorDriver
from evswap_hil.bench.drivers.link import LinkProxyDriver
from evswap_hil.bench.drivers.nftables import NftablesLinkDriver
from evswap_hil.bench.drivers.process import StationProcessDriver
from evswap_hil.bench.drivers.systemd import SystemdStationDriver
from evswap_hil.bench.errors import StationRefused
from evswap_hil.bench.resources import BrokerPort, StationService
from evswap_hil.benches import shipped
from evswap_hil.emulator import Fault, StimulusRefused
from evswap_hil.stack import InvalidStackFile, NoStackFile
from tests.bench.fakes import FakeShell
from tests.conftest import SkipAloud


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    """A stack that only looks like one; its broker is a socket that takes connections."""
    return tmp_path / "stack.json"


@pytest.fixture
def broker(stack_file: Path) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stack_file.write_text(
            f"""{{"api_url": "http://127.0.0.1:1/x", "mqtt_host": "127.0.0.1", "mqtt_port": {port},
            "ca_file": "/nowhere/ca.pem", "aws_endpoint_url": "http://127.0.0.1:1", "region": "eu-central-1",
            "archive_bucket": "a", "stations_table": "s", "certificates_dir": "/nowhere",
            "visitor_station_id": "visitor"}}"""
        )
        yield listener


@pytest.fixture
def target(tmp_path: Path, stack_file: Path, edge: Path) -> Iterator[Target]:
    """The virtual bench, with the real program and its logs apart."""
    environment = Environment(str(shipped()["virtual"]))
    environment.config.set_option("stack_file", str(stack_file))
    environment.config.set_option("logs", str(tmp_path / "logs"))
    environment.config.data["tools"] = {"evswap-edge": str(edge)}
    made = environment.get_target("main")
    assert made is not None
    yield made
    environment.cleanup()


def active(target: Target, driver: type) -> Any:
    return target.get_driver(driver)


class TestClimate:
    def test_the_real_emulator_obeys_and_goes(self, target: Target) -> None:
        climate = active(target, ClimateEmulatorDriver)
        port = Path(climate.port)
        assert port.is_symlink()
        climate.temperature(-12.3)
        climate.humidity(55.5)
        for fault in Fault:
            climate.fail(fault)
        climate.heal()
        target.deactivate(climate)
        assert not port.is_symlink()

    def test_a_stimulus_that_is_none_is_refused(self, target: Target) -> None:
        climate = active(target, ClimateEmulatorDriver)
        with pytest.raises(StimulusRefused, match="nan"):
            climate.temperature(float("nan"))


class TestLink:
    def test_it_leads_to_the_broker_and_can_be_cut(self, target: Target, broker: socket.socket) -> None:
        link = active(target, LinkProxyDriver)
        with socket.create_connection(link.address, timeout=10) as line:
            line.sendall(b"hello")
            far, _peer = broker.accept()
            with far:
                assert far.recv(5) == b"hello"
                link.cut()
                with pytest.raises(ConnectionResetError):
                    line.recv(1)
        link.restore()
        link.swallow()
        target.deactivate(link)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(link.address, timeout=10)

    def test_without_a_stack_it_says_so(self, target: Target, stack_file: Path) -> None:
        with pytest.raises(NoStackFile):
            active(target, LinkProxyDriver)
        stack_file.write_text("{}")
        with pytest.raises(InvalidStackFile):
            active(target, LinkProxyDriver)


class TestStationProcess:
    def test_the_station_itself_looks_at_its_configuration(
        self, target: Target, broker: socket.socket
    ) -> None:
        """There is no certificate: the station's own check says which file."""
        station = active(target, StationProcessDriver)
        assert station.station_id == "visitor"
        assert station.version().startswith("evswap-edge ")
        with pytest.raises(StationRefused, match=r"visitor\.cert\.pem"):
            station.prepare()
        assert not station.is_running()
        assert station.log(5) == ""


def shell_and(target: Target, *, answers: dict[str, tuple[list[str], int]] | None = None) -> FakeShell:
    make: Any = FakeShell
    shell: FakeShell = make(target, None, answers=answers or {})
    return shell


class TestSystemd:
    @pytest.fixture
    def machine(self) -> Target:
        target = Target("main")
        make: Any = StationService
        make(target, None, station_id="bench-01")
        return target

    def station(self, machine: Target) -> Any:
        make: Any = SystemdStationDriver
        station = make(machine, None)
        machine.activate(station)
        return station

    def test_the_unit_is_driven(self, machine: Target) -> None:
        answers: dict[str, tuple[list[str], int]] = {
            "systemctl show --property=ExecMainStatus": (["0"], 0),
            "systemctl show --property=ActiveState": (["active"], 0),
            "journalctl": (["one", "two"], 0),
        }
        shell = shell_and(machine, answers=answers)
        station = self.station(machine)
        station.prepare()
        station.start()
        assert station.is_running()
        assert station.stop() == 0
        station.kill()
        assert station.log(7) == "one\ntwo"
        assert station.station_id == "bench-01"
        unit = "evswap-edge.service"
        assert shell.commands == [
            f"sudo systemctl stop {unit}",
            "/opt/evswap/bin/evswap-edge check --config /etc/evswap/station.yaml",
            f"sudo systemctl start {unit}",
            f"systemctl show --property=ActiveState --value {unit}",
            f"sudo systemctl stop {unit}",
            f"systemctl show --property=ExecMainStatus --value {unit}",
            f"sudo systemctl kill --signal=SIGKILL {unit}",
            f"sudo systemctl stop {unit}",
            f"sudo systemctl reset-failed {unit}",
            f"journalctl --unit={unit} --lines=7 --output=cat",
        ]

    def test_a_configuration_that_is_none_is_told(self, machine: Target) -> None:
        shell_and(machine, answers={"/opt/evswap/bin/evswap-edge check": (["no such driver"], 2)})
        with pytest.raises(StationRefused, match="no such driver"):
            self.station(machine).prepare()


class TestNftables:
    @pytest.fixture
    def commands(self) -> list[str]:
        """What a machine is told whose link is cut, swallowed and restored, and left cut at the end."""
        target = Target("main")
        resource: Any = BrokerPort
        resource(target, None, port=8883)
        shell = shell_and(target)
        driver: Any = NftablesLinkDriver
        link = driver(target, None)
        target.activate(link)
        link.cut()
        link.swallow()
        link.restore()
        link.cut()
        target.deactivate(link)
        return shell.commands

    def test_a_table_of_its_own_is_made_and_removed(self, commands: list[str]) -> None:
        assert all("inet evswap_bench" in command for command in commands)
        assert "delete table" in commands[-1]
        assert any("tcp dport 8883 reject with tcp reset" in command for command in commands)
        assert any("tcp dport 8883 drop" in command for command in commands)

    def test_nftables_takes_every_command(self, commands: list[str], skip_aloud: SkipAloud) -> None:
        """In a network namespace of its own: no rule of this machine is touched."""
        if os.geteuid() != 0 or shutil.which("nft") is None:
            installs = os.geteuid() == 0 and shutil.which("apt-get") is not None
            skip_aloud("nft, as root, is not there; .ci/run installs it", could_run=installs)
        script = "set -e\n" + "\n".join(commands).replace("sudo ", "")
        last = "\nnft list tables"
        answer = subprocess.run(
            ["unshare", "--net", "sh", "-c", script + last],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
