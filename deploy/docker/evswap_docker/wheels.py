"""The wheels that go into the images, fetched by this machine's pip, so that the build needs no network."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evswap_docker.errors import WheelsMissing
from evswap_docker.settings import ROOT

GLIBC = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
"""What Debian 12 and newer can load."""
PIP_DEADLINE_S = 600
MARK = ".whole"


@dataclass(frozen=True)
class Target:
    """The machine (`x86_64`, `aarch64`) and the Python (`3.13`) of the base image."""

    machine: str
    python: str

    def options(self) -> list[str]:
        """How pip is told."""
        abi = f"cp{self.python.replace('.', '')}"
        return [
            *(f"--platform={glibc}_{self.machine}" for glibc in GLIBC),
            *("--python-version", self.python, "--implementation", "cp"),
            *("--abi", abi, "--abi", "abi3", "--abi", "none"),
        ]


def keep_wheels(cache: Path, target: Target, requirements: Sequence[Path]) -> Path:
    """The folder with the wheels of ``requirements`` for ``target``; fetched once, kept while they are the
    same. Raises WheelsMissing."""
    folder = cache / f"wheels-{_fingerprint(target, requirements)}"
    if (folder / MARK).is_file():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".wheels-") as draft:
        for file in requirements:
            _pip(
                file.name,
                *("download", "--require-hashes", "--only-binary=:all:", "--no-deps", *target.options()),
                *("--dest", draft, "--requirement", str(file)),
            )
        (Path(draft) / MARK).touch()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(draft, folder.with_suffix(".new"), dirs_exist_ok=True)
        folder.with_suffix(".new").replace(folder)
    return folder


def build_own(distributions: Sequence[str], folder: Path) -> None:
    """Wheels of our own distributions, from the checkout; raises WheelsMissing.

    By the build backend that this Python has (requirements/local.txt brings it), without looking for another.
    """
    paths = [str(ROOT / distribution) for distribution in distributions]
    options = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    _pip(", ".join(distributions), *options, *paths)


def _fingerprint(target: Target, requirements: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{target.machine} {target.python}".encode())
    for file in requirements:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _pip(what: str, *arguments: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        *arguments,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PIP_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WheelsMissing(what, f"no end after {PIP_DEADLINE_S} s") from error
    if done.returncode != 0:
        raise WheelsMissing(what, done.stderr or done.stdout)
