"""Finding the product's programs."""

import sys
from pathlib import Path

import pytest

from evswap_hil.programs import Program, ProgramMissing
from tests.hil.programs import program

TOOL = Program("evswap-test-tool", variable="EVSWAP_TEST_TOOL", option="--tool")


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    return program(tmp_path, TOOL.name, "")


def test_the_one_that_is_named_is_taken(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOOL.variable, "/nowhere/at/all")
    assert TOOL.find(tool) == tool


def test_the_variable_comes_next(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOOL.variable, str(tool))
    assert TOOL.find() == tool


def test_then_the_neighbour_of_this_python(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tool.with_name("python")))
    assert TOOL.find() == tool


def test_then_the_path(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tool.parent))
    assert TOOL.find() == tool


def test_missing_it_says_what_mends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="--tool or EVSWAP_TEST_TOOL"):
        TOOL.find()


def test_one_that_was_named_is_never_replaced(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tool.parent))
    monkeypatch.setenv(TOOL.variable, "/nowhere/at/all")
    with pytest.raises(ProgramMissing, match="/nowhere/at/all"):
        TOOL.find()
