"""A bench's YAML is looked at before anything is switched."""

import re
from pathlib import Path

import pytest

from evswap_hil.__main__ import main
from evswap_hil.bench.validation import problems_of
from evswap_hil.benches import shipped

VIRTUAL = shipped()["virtual"].read_text()
RASPBERRY_PI = shipped()["raspberry-pi"].read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return tmp_path / "bench.yaml"


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--bench", name]) == 0
    assert "describes a bench" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("targets:", "target:", ["top level: unknown key target; did you mean targets?"]),
        ("resources:", "resource:", ["targets.main: unknown key resource; did you mean resources?"]),
        ("TcpLink:", "TcpLnk:", ["targets.main.resources: unknown class TcpLnk; did you mean TcpLink?"]),
        (
            "StationStrategy: {}",
            "StationStrategi: {}",
            ["targets.main.drivers: unknown class StationStrategi; did you mean StationStrategy?"],
        ),
        (
            "interval_s: 1.0",
            "intervall_s: 1.0",
            ["targets.main.resources.StationProcess: unknown key intervall_s; did you mean interval_s?"],
        ),
        ("      StationStrategy: {}\n", "", ["targets.main.drivers: there is no StationStrategy"]),
        ("      ClimateSensor:\n        registers: sht20\n        unit: 1\n", "", ["ClimateSensor"]),
        ("unit: 1", "unit: 300", ["targets.main", "unit"]),
        ("evswap_hil.bench.classes", "evswap_hil.bench.clases", ["imports: evswap_hil.bench.clases"]),
        ("CloudDriver: {}", "CloudDriver:", ["Name: {}"]),
    ],
)
def test_a_mistake_is_told_with_its_place(
    bench: Path, right: str, wrong: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert right in VIRTUAL
    bench.write_text(VIRTUAL.replace(right, wrong))
    assert main(["validate", "--bench", str(bench)]) == 1
    said = capsys.readouterr().out
    assert [text for text in told if text not in said] == []
    assert re.search(r": [12] problems?$", said.strip())
    assert "Traceback" not in said


def test_a_missing_key_is_told(bench: Path) -> None:
    bench.write_text(RASPBERRY_PI.replace("        station_id: bench-01\n", ""))
    assert [str(each) for each in problems_of(bench)] == [
        "targets.main.resources.StationService: the key station_id is missing"
    ]


def test_all_mistakes_of_a_kind_are_told_at_once(bench: Path) -> None:
    bench.write_text(VIRTUAL.replace("bays: 8", "bayes: 8").replace("port: 0", "prot: 0"))
    assert len(problems_of(bench)) == 2


def test_an_unknown_power_switch_is_told(bench: Path) -> None:
    bench.write_text(RASPBERRY_PI.replace("model: gude", "model: gode"))
    (problem,) = problems_of(bench)
    assert "gode" in str(problem)


@pytest.mark.parametrize(
    "text", ["", "- a list\n", "a: [\n", "targets: 3\n", "targets: {main: 3}\n", "imports: x\n"]
)
def test_what_is_no_bench_at_all_is_told(bench: Path, text: str) -> None:
    bench.write_text(text)
    assert problems_of(bench)


def test_a_file_that_is_not_there_is_told(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--bench", str(bench)]) == 2
    assert "no bench" in capsys.readouterr().err
