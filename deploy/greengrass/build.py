"""Builds the Greengrass component: recipe and artifact, laid out as GDK and nucleus lite expect them.

The artifact is a ZIP that installs itself (`artifact/__main__.py`): our wheels built from this checkout,
those of requirements/station.txt for each target, and their hashes. The same sources make the same bytes.

  python deploy/greengrass/build.py --target linux-aarch64-cp311       Raspberry Pi OS 12
  python deploy/greengrass/build.py --target local                     this machine and this Python

Several targets may share an artifact: the device takes what fits.
"""

import argparse
import hashlib
import importlib.util
import json
import re
import runpy
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

LOCAL: Final = "local"
ARTIFACT: Final = "evswap-station.zip"

_HERE: Final = Path(__file__).parent
_INSTALLER: Final = _HERE / "artifact" / "__main__.py"
_CHECKOUT: Final = _HERE.parents[1]
_REQUIREMENTS: Final = _CHECKOUT / "requirements" / "station.txt"
_DISTRIBUTIONS: Final = ("shared", "edge")
_TARGET: Final = re.compile(r"linux-(?P<machine>x86_64|aarch64)-cp(?P<python>3\d{2})")
_GLIBC: Final = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""What Debian 12 and Raspberry Pi OS 12 can load: glibc 2.36 and older."""

_FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a ZIP can say; the true time would make each build different."""

_READABLE: Final = 0o100644 << 16
_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
_PIP_DEADLINE_S: Final = 600


class BuildError(Exception):
    """What keeps the component from being built; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Component:
    """What a recipe says of the component that is built."""

    name: str
    version: str

    @classmethod
    def of(cls, recipe: str) -> "Component":
        """Read it."""
        content: dict[str, Any] = yaml.safe_load(recipe)
        return cls(content["ComponentName"], content["ComponentVersion"])


def build(targets: Sequence[str], output: Path) -> Path:
    """Build recipe and artifact for ``targets`` below ``output``; returns the artifact. Raises
    ``BuildError``."""
    recipe = (_HERE / "recipe.yaml").read_text()
    component = Component.of(recipe)
    for target in targets:
        _pip_platform(target)
    with tempfile.TemporaryDirectory(prefix="evswap-greengrass-") as folder:
        wheels = Path(folder)
        own = _own_wheels(wheels / "own")
        for target in targets:
            _third_party_wheels(target, wheels / "theirs")
        artifact = output / "artifacts" / component.name / component.version / ARTIFACT
        artifact.parent.mkdir(parents=True, exist_ok=True)
        _write(artifact, _content(component, targets, own, sorted((wheels / "theirs").iterdir())))
    _write_recipes(recipe, component, output)
    return artifact


def _own_wheels(folder: Path) -> list[Path]:
    if importlib.util.find_spec("hatchling") is None:
        raise BuildError(
            f"hatchling is not installed in {sys.executable}: run `make`, and use .venv/bin/python"
        )
    sources = [str(_CHECKOUT / name) for name in _DISTRIBUTIONS]
    _run_pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), *sources)
    return sorted(folder.iterdir())


def _third_party_wheels(target: str, folder: Path) -> None:
    strict = ("--require-hashes", "--only-binary=:all:", "--no-deps")
    wanted = ("--dest", str(folder), "--requirement", str(_REQUIREMENTS))
    _run_pip("download", *strict, *_pip_platform(target), *wanted)


def _pip_platform(target: str) -> list[str]:
    if target == LOCAL:
        return []
    match = _TARGET.fullmatch(target)
    if match is None:
        raise BuildError(f"unknown target {target}: use {LOCAL}, linux-aarch64-cp311, linux-x86_64-cp313 ...")
    tags = [f"--platform={glibc}_{match['machine']}" for glibc in _GLIBC]
    python = match["python"]
    return [
        *tags,
        f"--python-version={python}",
        "--implementation=cp",
        f"--abi=cp{python}",
        "--abi=abi3",
        "--abi=none",
    ]


def _run_pip(*arguments: str) -> None:
    try:
        done = subprocess.run(
            [*_PIP, *arguments], capture_output=True, text=True, timeout=_PIP_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"pip {arguments[0]} has not ended after {_PIP_DEADLINE_S} s") from error
    if done.returncode != 0:
        raise BuildError(f"pip {arguments[0]} failed:\n{(done.stderr or done.stdout).strip()}")


def _content(
    component: Component, targets: Sequence[str], own: Sequence[Path], theirs: Sequence[Path]
) -> dict[str, bytes]:
    """The artifact's files by name."""
    manifest = {"version": component.version, "targets": sorted({_device(target) for target in targets})}
    pins = "".join(f"{_pin(wheel)}\n" for wheel in own)
    return {
        "__main__.py": _INSTALLER.read_bytes(),
        "manifest.json": json.dumps(manifest, indent=2).encode(),
        "requirements.txt": pins.encode() + _REQUIREMENTS.read_bytes(),
        **{f"wheels/{wheel.name}": wheel.read_bytes() for wheel in (*own, *theirs)},
    }


def _device(target: str) -> str:
    """``target`` as the device will call itself."""
    if target != LOCAL:
        return target
    return str(runpy.run_path(str(_INSTALLER))["this_device"]())


def _pin(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version} --hash=sha256:{_sha256(wheel)}"


def _write(path: Path, files: dict[str, bytes]) -> None:
    """Stored, not packed: wheels are."""
    draft = path.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _FIRST_DATE)
            entry.external_attr = _READABLE
            archive.writestr(entry, content)
    draft.replace(path)


def _write_recipes(recipe: str, component: Component, output: Path) -> None:
    """For GDK, which fills in the bucket, and for a local deployment, which brings its artifacts along."""
    for path, text in (
        (output / "recipes" / "recipe.yaml", recipe),
        (
            output / "local" / "recipes" / f"{component.name}-{component.version}.yaml",
            _without_artifacts(recipe),
        ),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _without_artifacts(recipe: str) -> str:
    """They come last. As text: comments and quotation marks are to stay."""
    kept, found, _ = recipe.partition("\n    Artifacts:\n")
    if not found:
        raise BuildError(
            "the recipe has no Artifacts at its end: build.py and recipe.yaml do not fit together"
        )
    return kept + "\n"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", action="append", required=True, metavar="TARGET", help="repeatable")
    parser.add_argument(
        "--output", type=Path, default=_HERE / "greengrass-build", metavar="DIR", help="(greengrass-build)"
    )
    options = parser.parse_args(arguments)
    try:
        artifact = build(options.target, options.output)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    print(f"{artifact}  {artifact.stat().st_size:,} bytes  sha256 {_sha256(artifact)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
