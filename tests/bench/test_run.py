"""`evswap-hil run` for real: a real stack, the real station's program, the real emulator."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evswap_hil.benches import shipped
from evswap_hil.deadline import wait_until
from evswap_hil.requirements import REQUIREMENTS, Suite, of_suites
from tests.bench.stack import RUN_WITHIN_S, RealStack, free_ports, processes_that_mention, stack_in

pytestmark = pytest.mark.timeout(RUN_WITHIN_S + 50)

SWAPPED = """\
title: a sensor whose two values the driver takes for each other
document: made for this test
factory: {baudrate: 9600, parity: none, stop_bits: 1, unit: 1}
temperature: {table: input, address: 0x0002, encoding: int16, scale: 0.1, minimum: -40, maximum: 125}
humidity: {table: input, address: 0x0001, encoding: uint16, scale: 0.1, minimum: 0, maximum: 100}
"""


@pytest.fixture(scope="module")
def stack(edge: Path, evswap: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    with stack_in(tmp_path_factory.mktemp("stack"), evswap, edge) as running:
        yield running


@pytest.fixture
def own_bench(tmp_path: Path) -> Path:
    """The virtual bench as a file of one's own."""
    file = tmp_path / "bench.yaml"
    file.write_text(shipped()["virtual"].read_text())
    return file


def verdicts(report: Path) -> dict[str, str]:
    written = json.loads((report / "report.json").read_text())
    return {each["id"]: each["verdict"] for each in written["requirements"]}


def test_the_station_meets_every_requirement(stack: RealStack, tmp_path: Path) -> None:
    report = tmp_path / "report"
    answer = stack.run_bench("--report", report)
    assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"
    assert verdicts(report) == {each.id: "met" for each in REQUIREMENTS}
    written = json.loads((report / "report.json").read_text())
    assert written["passed"] is True
    assert written["versions"]["station"].startswith("evswap-edge ")
    assert all(len(each["measurements"]) for each in written["requirements"])
    page = (report / "index.html").read_text()
    assert all(each.id in page for each in REQUIREMENTS)
    cases = ElementTree.parse(report / "junit.xml").getroot().iter("testcase")
    assert len(list(cases)) == len(REQUIREMENTS)
    assert "station starts" in (report / "logs" / "station.log").read_text()
    assert stack.leftovers() == []


@pytest.mark.release
def test_swapped_registers_fail_a_requirement_by_its_name(
    stack: RealStack, own_bench: Path, tmp_path: Path
) -> None:
    (tmp_path / "swapped.yaml").write_text(SWAPPED)
    station = "registers: sht20          # how"
    assert station in own_bench.read_text()
    own_bench.write_text(own_bench.read_text().replace(station, "registers: swapped.yaml # how"))
    report = tmp_path / "report"
    answer = stack.run_bench("--bench", own_bench, "--suite", "functional", "--report", report)
    assert answer.returncode == 1, f"{answer.stdout}\n{answer.stderr}"
    found = verdicts(report)
    functional = {each.id for each in of_suites(frozenset({Suite.FUNCTIONAL}))}
    assert found == {
        name: "not met" if name in ("REQ-CLIMATE-1", "REQ-CLIMATE-2") else "met" for name in functional
    }
    assert "FAIL  REQ-CLIMATE-1" in answer.stdout
    assert "not met: REQ-CLIMATE-1, REQ-CLIMATE-2" in answer.stdout
    assert "What is not met" in (report / "index.html").read_text()


@pytest.mark.release
def test_a_station_that_would_not_start_fails_what_needs_it(
    stack: RealStack, own_bench: Path, tmp_path: Path
) -> None:
    own_bench.write_text(
        own_bench.read_text().replace("registers: sht20          # how", "registers: sht21 # how")
    )
    report = tmp_path / "report"
    answer = stack.run_bench("--bench", own_bench, "--suite", "functional", "--report", report)
    assert answer.returncode == 1
    found = verdicts(report)
    assert found.pop("REQ-BOOT-1") == "not met"
    assert set(found.values()) == {"not measured"}
    assert "sht20" in answer.stdout.splitlines()[0]


def test_interrupted_it_leaves_nothing(stack: RealStack, tmp_path: Path) -> None:
    log = tmp_path / "report" / "logs" / "station.log"
    with subprocess.Popen(
        [*stack.command(), "--suite", "faults", "--report", str(tmp_path / "report")],
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        wait_until(lambda: log.exists() and "connected" in log.read_text(), what="the station", within=60)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "interrupted" in said
    assert "station stops" in log.read_text()
    assert stack.leftovers() == []


@pytest.mark.release
def test_killed_it_leaves_no_station_running(stack: RealStack, tmp_path: Path) -> None:
    log = tmp_path / "report" / "logs" / "station.log"
    with subprocess.Popen(
        [*stack.command(), "--suite", "faults", "--report", str(tmp_path / "report")],
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        wait_until(lambda: log.exists() and "connected" in log.read_text(), what="the station", within=60)
        running.kill()
    wait_until(lambda: not processes_that_mention(str(stack.scratch)), what="the end of all", within=60)


class TestWhatCannotBegin:
    """Exit code 2, one sentence, and nothing started."""

    def test_no_stack(self, stack: RealStack, tmp_path: Path) -> None:
        answer = stack.run_bench("--report", tmp_path, stack=tmp_path / "stack.json")
        assert answer.returncode == 2
        assert "stack.json: not found; start a stack first" in answer.stderr

    def test_a_stack_that_was_stopped(self, stack: RealStack, tmp_path: Path) -> None:
        (port,) = free_ports(1)
        described = json.loads(stack.file.read_text())
        described["api_url"] = f"http://127.0.0.1:{port}/x"
        old = tmp_path / "stack.json"
        old.write_text(json.dumps(described))
        answer = stack.run_bench("--report", tmp_path, stack=old)
        assert answer.returncode == 2
        assert "start the stack: evswap up" in answer.stderr

    def test_no_program(self, stack: RealStack, tmp_path: Path) -> None:
        answer = stack.run_bench("--report", tmp_path, "--edge", tmp_path / "evswap-edge")
        assert answer.returncode == 2
        assert "evswap-edge is not there" in answer.stderr
        assert "--edge or EVSWAP_EDGE" in answer.stderr

    def test_no_certificate(self, stack: RealStack, tmp_path: Path) -> None:
        described = json.loads(stack.file.read_text()) | {"certificates_dir": str(tmp_path)}
        bare = tmp_path / "stack.json"
        bare.write_text(json.dumps(described))
        answer = stack.run_bench("--report", tmp_path, stack=bare)
        assert answer.returncode == 2
        assert "has no certificate" in answer.stderr

    def test_a_port_in_use(self, stack: RealStack, own_bench: Path, tmp_path: Path) -> None:
        taken = json.loads(stack.file.read_text())["mqtt_port"]
        own_bench.write_text(own_bench.read_text().replace("port: 0  ", f"port: {taken}  "))
        answer = stack.run_bench("--bench", own_bench, "--report", tmp_path)
        assert answer.returncode == 2
        assert f":{taken}" in answer.stderr
        assert "choose another port" in answer.stderr

    def test_a_bench_without_a_resource(self, stack: RealStack, own_bench: Path, tmp_path: Path) -> None:
        own_bench.write_text(own_bench.read_text().replace("      EvswapStack: {}\n", ""))
        answer = stack.run_bench("--bench", own_bench, "--report", tmp_path)
        assert answer.returncode == 2
        assert "EvswapStack" in answer.stderr

    def test_no_place_for_the_report(self, stack: RealStack, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        answer = stack.run_bench("--report", tmp_path / "file" / "report")
        assert answer.returncode == 2
        assert "cannot write the report" in answer.stderr
