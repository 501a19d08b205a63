"""The packaging command where nothing needs to be downloaded. tests/integration builds the zips."""

from pathlib import Path

import pytest
import yaml

from evswap_cloud.__main__ import main
from evswap_cloud.package import LOCAL, TARGETS
from tests.cloud.messages import STACK


@pytest.mark.parametrize("target", ["windows-x86_64-cp313", "linux-x86_64", "linux-riscv64-cp313", "local "])
def test_an_unknown_target_is_wrong_use_and_the_known_ones_are_named(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["package", "--target", target, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert target in error
    assert "linux-aarch64-cp313" in error
    assert list(tmp_path.iterdir()) == []


def test_missing_requirements_are_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "lambda.txt"
    assert main(["package", "--output", str(tmp_path), "--requirements", str(missing)]) == 1
    error = capsys.readouterr().err
    assert str(missing) in error
    assert "--requirements" in error


def test_wheels_that_pip_refuses_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requirements = tmp_path / "lambda.txt"
    requirements.write_text("msgspec==0.22.0\n")
    assert main(["package", "--output", str(tmp_path / "out"), "--requirements", str(requirements)]) == 1
    assert "hashes" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_all_builds_what_the_functions_run_on_and_this_machine() -> None:
    functions = yaml.safe_load((STACK / "functions.yaml").read_text())
    assert {functions["package_target"], LOCAL} <= set(TARGETS)
