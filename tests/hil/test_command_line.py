"""The command line, in an environment without labgrid."""

import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import evswap_hil
from evswap_hil.__main__ import main
from evswap_hil.benches import NoSuchBench, about, find_bench, shipped
from evswap_hil.commands import COMMANDS
from evswap_hil.commands import options as shared_options

LABGRID_ALONE = ("evswap_hil.bench", "evswap_hil.suites.", "evswap_hil.report.page")


@pytest.mark.parametrize("arguments", [[], *[[name] for name in COMMANDS]])
def test_help_teaches(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "evswap-hil" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["unknown"], ["run", "--suite", "some"], ["check", "--stations", "0"], ["check", "--stations", "x"]],
)
def test_wrong_use_is_exit_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_a_check_without_a_stack_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--stack", str(tmp_path / "stack.json")]) == 2
    assert "start a stack first" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_bench_without_labgrid_says_what_mends_it(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_options, "find_spec", lambda name: None if name == "labgrid" else True)
    assert main([command]) == 2
    said = capsys.readouterr().err
    assert "a bench needs labgrid" in said
    assert "requirements/bench.txt" in said


@pytest.mark.parametrize("command", ["run", "validate"])
def test_an_unknown_bench_is_told_with_the_nearest(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_options, "find_spec", lambda _name: True)
    assert main([command, "--bench", "virtaul"]) == 2
    assert "did you mean virtual?" in capsys.readouterr().err


def test_the_benches_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benches"]) == 0
    said = capsys.readouterr().out
    assert "virtual\n" in said
    assert "raspberry-pi\n" in said
    assert all(about(file) for file in shipped().values())


def test_a_bench_is_found_by_name_or_file(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("# mine\n# alone\ntargets: {}\n")
    assert find_bench("virtual") == shipped()["virtual"]
    assert find_bench(str(own)) == own
    assert about(own) == "mine alone"
    with pytest.raises(NoSuchBench, match="raspberry-pi, virtual"):
        find_bench("something else altogether")


def test_all_but_the_bench_is_imported_without_labgrid() -> None:
    names = [
        module.name
        for module in pkgutil.walk_packages(evswap_hil.__path__, "evswap_hil.", onerror=lambda _: None)
        if not module.name.startswith(LABGRID_ALONE) and not module.name.endswith("__main__")
    ]
    assert "evswap_hil.commands.run" in names
    blocked = "import sys; sys.modules.update(labgrid=None, jinja2=None, pytest=None);"
    answer = subprocess.run(
        [sys.executable, "-c", f"{blocked} import {', '.join(names)}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.stderr == ""
    assert importlib.util.find_spec("evswap_hil.bench") is not None
