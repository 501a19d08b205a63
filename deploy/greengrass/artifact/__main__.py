"""Installs the station that this ZIP holds: ``python3 evswap-station.zip WORK_FOLDER``.

The recipe's ``install`` runs it on the device. It needs no network: everything that is installed is in the
ZIP, and its hashes are checked. A new version gets a virtual environment of its own beside the one that runs,
and the link ``venv`` moves when it is complete: an installation that was interrupted is begun again, and the
station that runs is not disturbed.

It is read by whatever Python the device has, also one that is too old for the station: to say so.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

OLDEST_PYTHON = (3, 11)
COMPLETE = "evswap-complete"
_KEPT = 2
"""Environments: the new one, and the one before it, which may still run."""

_PIP = (
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
    "--no-compile",
    "--no-index",
    "--require-hashes",
)
"""Compiled is what is imported, when it first is: an SD card is slow, and most is never imported."""


class InstallationError(Exception):
    """What keeps the station from being installed; the text says what to do."""


def main(arguments: list[str]) -> int:
    """Install into the folder that is named; 0 when it is installed, 1 when it cannot be."""
    if len(arguments) != 1:
        print("usage: python3 evswap-station.zip WORK_FOLDER", file=sys.stderr)
        return 2
    try:
        install(Path(sys.argv[0]), Path(arguments[0]))
    except InstallationError as error:
        print(f"evswap: {error}", file=sys.stderr)
        return 1
    return 0


def install(artifact: Path, work: Path) -> None:
    """Make ``work/venv`` the station of ``artifact``. Raises ``InstallationError``."""
    with zipfile.ZipFile(artifact) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        _check_device(manifest["targets"])
        environment = work / "venvs" / hashlib.sha256(artifact.read_bytes()).hexdigest()[:16]
        if (environment / COMPLETE).exists():
            print(f"evswap: {manifest['version']} is installed")
        else:
            _make(environment, archive)
            print(f"evswap: {manifest['version']} installed into {environment}")
    point(work / "venv", environment)
    forget_old(environment)


def this_device() -> str:
    """What wheels have to fit here, as ``build.py --target`` calls it."""
    # A 32-bit Python may run on a 64-bit kernel, which is what machine() tells of.
    width = "" if sys.maxsize > 2**32 else "-32bit"
    return f"{sys.platform}-{platform.machine()}{width}-cp{sys.version_info[0]}{sys.version_info[1]}"


def _check_device(targets: list[str]) -> None:
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise InstallationError(
            f"this device's python3 is {platform.python_version()}, and the station needs"
            f" {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later: install that"
        )
    if this_device() not in targets:
        raise InstallationError(
            f"this device is {this_device()}, and the artifact holds {', '.join(targets)}:"
            f" build it with --target {this_device()}, or install that Python"
        )
    if platform.libc_ver()[0] != "glibc":
        raise InstallationError("this device's C library is not glibc, for which the artifact was built")


def _make(environment: Path, archive: zipfile.ZipFile) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    environment.parent.mkdir(parents=True, exist_ok=True)
    _run(
        [sys.executable, "-m", "venv", str(environment)],
        "no virtual environment can be made: install the package python3-venv",
    )
    with tempfile.TemporaryDirectory(dir=environment) as folder:
        archive.extractall(folder)
        wheels, requirements = Path(folder) / "wheels", Path(folder) / "requirements.txt"
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", *_PIP]
        _run(
            [*pip, "--find-links", str(wheels), "--requirement", str(requirements)],
            "the artifact's wheels cannot be installed: build it again",
        )
    (environment / COMPLETE).touch()


def _run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said: Any = (done.stderr or done.stdout).strip()
        raise InstallationError(f"{problem}\n{said}")


def point(link: Path, environment: Path) -> None:
    """Move ``link`` in one step, so that there always is one."""
    new = link.with_name(link.name + ".new")
    if new.is_symlink():
        new.unlink()
    new.symlink_to(environment.relative_to(link.parent))
    new.replace(link)
    (environment / COMPLETE).touch()


def forget_old(current: Path) -> None:
    """Remove all environments but the ``_KEPT`` newest."""

    def installed_at(environment: Path) -> float:
        complete = environment / COMPLETE
        return complete.stat().st_mtime if complete.exists() else 0.0

    by_age = sorted(current.parent.iterdir(), key=installed_at, reverse=True)
    for environment in by_age[_KEPT:]:
        shutil.rmtree(environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
