"""The second chance of a test: for what fails by chance, never for what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "suite.py"

STEADY = "def test_steady(): pass\n"
UNSTEADY = """
from pathlib import Path

def test_unsteady():
    before = Path("asked-before")
    is_second = before.exists()
    before.touch()
    assert is_second
"""
WRONG = "def test_wrong_{number}(): assert False\n"


def _suite(folder: Path, tests: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "test_some.py").write_text(tests)
    return subprocess.run(
        [sys.executable, SUITE, "test_some.py"],
        check=False,
        cwd=folder,
        env={"PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_passes_runs_once(tmp_path: Path) -> None:
    run = _suite(tmp_path, STEADY)
    assert run.returncode == 0
    assert "once more" not in run.stdout


def test_what_fails_by_chance_passes_alone_and_is_named(tmp_path: Path) -> None:
    run = _suite(tmp_path, STEADY + UNSTEADY)
    assert run.returncode == 0
    assert "assert is_second" in run.stdout
    assert "unsteady: test_some.py::test_unsteady failed" in run.stdout


def test_what_is_wrong_fails_twice_whatever_else_was_unsteady(tmp_path: Path) -> None:
    run = _suite(tmp_path, STEADY + UNSTEADY + WRONG.format(number=1))
    assert run.returncode == 1
    assert run.stdout.count("1 failed") == 1
    assert "unsteady: test_some.py::test_unsteady failed" in run.stdout
    assert "unsteady: test_some.py::test_wrong_1" not in run.stdout


def test_many_failures_are_no_chance(tmp_path: Path) -> None:
    run = _suite(tmp_path, UNSTEADY + "".join(WRONG.format(number=number) for number in range(3)))
    assert run.returncode == 1
    assert "once more" not in run.stdout


def test_failures_of_an_earlier_run_are_forgotten(tmp_path: Path) -> None:
    _suite(tmp_path, "".join(WRONG.format(number=number) for number in range(9)))
    run = _suite(tmp_path, UNSTEADY)
    assert run.returncode == 0


@pytest.mark.parametrize("tests", ["", "import nothing_of_this_name\n"], ids=["no tests", "not importable"])
def test_what_could_not_run_is_no_pass(tests: str, tmp_path: Path) -> None:
    run = _suite(tmp_path, tests)
    assert run.returncode not in {0, 1}
    assert "once more" not in run.stdout


def test_suites_that_run_at_once_keep_their_failures_apart(tmp_path: Path) -> None:
    own = tmp_path / "own"
    _suite(tmp_path, WRONG.format(number=1), TOX_ENV_DIR=str(own))
    assert (own / ".pytest_cache").is_dir()
    assert not (tmp_path / ".pytest_cache").exists()
