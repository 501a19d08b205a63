"""`make` on a machine that lacks something: one sentence that says what to do, and nothing half-made."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    """The little of a checkout that the bootstrap touches."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "bootstrap").symlink_to(CHECKOUT / "tools" / "bootstrap")
    (tmp_path / "requirements.txt").touch()
    return tmp_path


def bootstrap(tree, python, path=None):
    return subprocess.run(
        ["/bin/bash", tree / "tools" / "bootstrap", ".venv", "requirements.txt"],
        env={"PYTHON": str(python), "PATH": path or "/usr/bin:/bin"},
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def python_that(tree, refuses):
    """An interpreter that fails whatever program mentions `refuses`, as one without a module does."""
    fake = tree / "python"
    fake.write_text(f'#!/bin/sh\ncase "$*" in *{refuses}*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    return fake


def test_an_old_python_is_refused_in_one_sentence(tree):
    outcome = bootstrap(tree, python_that(tree, refuses="version_info"))
    assert outcome.returncode == 1
    assert "3.11 or newer" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert not (tree / ".venv").exists()


def test_no_python_at_all_is_said_in_one_sentence(tree):
    tools = tree / "bin"
    tools.mkdir()
    (tools / "dirname").symlink_to("/usr/bin/dirname")
    outcome = bootstrap(tree, python="", path=str(tools))
    assert outcome.returncode == 1
    assert "none was found on the PATH" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_a_missing_venv_module_names_the_package_to_install(tree):
    outcome = bootstrap(tree, python_that(tree, refuses="ensurepip"))
    assert outcome.returncode == 1
    assert "apt install python3-venv" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert not (tree / ".venv").exists()


def test_a_failed_installation_leaves_no_environment(tree):
    (tree / "requirements.txt").write_text("./no-such-folder\n")
    outcome = bootstrap(tree, sys.executable)
    assert outcome.returncode == 1
    assert "could not be installed" in outcome.stderr
    assert not (tree / ".venv").exists()


def test_an_environment_is_made_and_then_kept(tree):
    made = bootstrap(tree, sys.executable)
    assert made.returncode == 0, made.stderr
    mark = tree / ".venv" / "mark"
    mark.touch()
    refreshed = bootstrap(tree, sys.executable)
    assert refreshed.returncode == 0, refreshed.stderr
    assert mark.exists()
