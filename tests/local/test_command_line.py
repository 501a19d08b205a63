"""The command line: what it accepts, and how it fails."""

from pathlib import Path

import pytest

from evswap_local.__main__ import COMMANDS, main
from evswap_local.commands.up import merge
from evswap_local.errors import OtherSettings
from evswap_local.settings import Reporting, Settings
from tests.local.real import ROOT, free_ports


def run(state: Path, *arguments: str) -> int:
    command, *rest = arguments
    return main([command, "--root", str(ROOT), "--state-dir", str(state), *rest])


@pytest.mark.parametrize("arguments", [[], *[[name] for name in COMMANDS]])
def test_help_teaches(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "evswap" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--stations", "0"],
        ["up", "--stations", "many"],
        ["up", "--interval", "0"],
        ["up", "--bays", "251"],
        ["up", "--speed", "11"],
        ["up", "--port", "80"],
        ["up", "--reporting", "sometimes"],
        ["up", "--bind", "192.168.1.1"],
        ["logs", "nobody"],
        ["archive", "list", "--since", "yesterday"],
        ["archive", "count", "--station", "station-01"],
        ["fleet"],
        ["unknown"],
    ],
)
def test_wrong_use_is_exit_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["env"],
        ["archive", "count"],
        ["archive", "list", "--station", "station-01"],
        ["logs", "live"],
        ["fleet", "start"],
        ["certificate", "renew", "visitor"],
    ],
)
def test_without_a_running_stack_they_say_so(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "state", *arguments) == 1
    assert "evswap up" in capsys.readouterr().err


def test_logs_of_what_has_not_run_yet_are_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make logs` names none."""
    assert run(tmp_path / "state", "logs") == 0
    assert capsys.readouterr() == ("", "")


def test_status_without_a_stack_is_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "state", "status") == 1
    assert "does not run" in capsys.readouterr().out


def test_down_without_a_stack_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "state", "down") == 0
    assert "nothing runs" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()


def test_outside_a_checkout_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--root", str(tmp_path)]) == 1
    assert "--root" in capsys.readouterr().err


def test_up_with_an_interpreter_that_cannot_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVSWAP_MINISTACK_PYTHON", "/bin/false")
    port, mqtt_port = free_ports(2)
    assert run(tmp_path, "up", "--port", str(port), "--mqtt-port", str(mqtt_port)) == 1
    said = capsys.readouterr().err
    assert "ministack did not start" in said
    assert "Traceback" not in said
    assert list((tmp_path / "run").iterdir()) == []


def test_options_not_given_keep_what_runs() -> None:
    running = Settings(stations=3, interval_s=0.5, port=5000, reporting=Reporting.ON_CHANGE)
    assert merge({"stations": 25}, running) == Settings(
        stations=25, interval_s=0.5, port=5000, reporting=Reporting.ON_CHANGE
    )
    assert merge({}, None) == Settings()


def test_another_port_than_the_running_one_is_refused() -> None:
    with pytest.raises(OtherSettings, match="evswap down"):
        merge({"mqtt_port": 9999}, Settings())
    assert merge({"mqtt_port": 9999}, None).mqtt_port == 9999
