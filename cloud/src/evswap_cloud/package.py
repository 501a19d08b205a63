"""The zips that Lambda runs: one for each platform and Python, byte for byte the same from the same sources.

Inside: ``evswap_schema``, ``evswap_cloud`` without what only a workstation needs, and the wheels of
``requirements/lambda.txt``. boto3 is not inside: the Lambda runtime has it.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

import evswap_cloud
import evswap_schema

LOCAL: Final = "local"
TARGETS: Final = ("linux-aarch64-cp313", "linux-x86_64-cp313", LOCAL)
"""What ``--all`` builds: Lambda's two processors, and this machine."""

REQUIREMENTS: Final = Path("requirements") / "lambda.txt"
COMPACTOR_REQUIREMENTS: Final = Path("requirements") / "compactor.txt"
"""Those of the one function that has DuckDB: 20 MB, which the others would unpack at each cold start."""

_TARGET: Final = re.compile(r"linux-(?P<machine>x86_64|aarch64)-cp3(?P<minor>\d{2})")
_GLIBC: Final = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")
"""What Lambda's Amazon Linux 2023 can load: glibc 2.34 and older."""

_WORKSTATION_ONLY: Final = {
    *("__main__.py", "audit.py", "commands.py", "erasure.py", "lines.py", "package.py", "policies.py"),
    *("history_commands.py", "query.py", "signing.py"),
}
_LEFT_OUT: Final = {"__pycache__", "bin"}
_OF_THIS_INSTALLATION: Final = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_FIRST_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say; the true time would make each build different."""

_READABLE: Final = 0o100644 << 16
_PIP_DEADLINE_S: Final = 300


class PackagingError(Exception):
    """The root of what packaging raises; the text says what to do."""


class UnknownTarget(PackagingError):
    """``target`` is neither ``local`` nor a platform and a Python."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(
            f"unknown target {target}: use {LOCAL}, linux-x86_64-cp313, linux-aarch64-cp313,"
            " or these with another Python"
        )


class RequirementsMissing(PackagingError):
    """There is no file of hashed requirements at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"{path} does not exist: run this in a checkout, or name the file with --requirements"
        )


class WheelsUnavailable(PackagingError):
    """pip could not get the wheels of ``target``; ``output`` is what it said."""

    def __init__(self, target: str, output: str) -> None:
        self.target = target
        self.output = output
        super().__init__(f"pip could not get the wheels for {target}:\n{output.strip()}")


class Zip(Struct, frozen=True, kw_only=True):
    """A zip that was built."""

    target: str
    path: Path
    sha256: str
    size: int


def build(target: str, output: Path, *, requirements: Path | None = None, compactor: bool = False) -> Zip:
    """Build the zip of ``target`` in folder ``output`` as ``evswap-cloud-<target>.zip``, or the compactor's
    as ``evswap-compactor-<target>.zip``; raises ``PackagingError``.

    ``local`` is the platform and the Python that run this. ``requirements`` is that of the checkout unless
    given.
    """
    platform = _pip_platform(target)
    requirements = requirements or _of_checkout(COMPACTOR_REQUIREMENTS if compactor else REQUIREMENTS)
    if not requirements.is_file():
        raise RequirementsMissing(requirements)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".evswap-cloud-", dir=output) as folder:
        wheels, draft = Path(folder) / "wheels", Path(folder) / "draft.zip"
        _install(target, platform, requirements, wheels)
        _write(draft, [*_wheel_files(wheels), *_own_files()])
        path = draft.replace(output / f"evswap-{'compactor' if compactor else 'cloud'}-{target}.zip")
    content = path.read_bytes()
    return Zip(target=target, path=path, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def _pip_platform(target: str) -> list[str]:
    if target == LOCAL:
        return []
    match = _TARGET.fullmatch(target)
    if match is None:
        raise UnknownTarget(target)
    python = f"3{match['minor']}"
    tags = [f"--platform={glibc}_{match['machine']}" for glibc in _GLIBC]
    return [*tags, f"--python-version={python}", "--implementation=cp", f"--abi=cp{python}"]


def _of_checkout(file: Path) -> Path:
    """``file`` above this one when it lies in a checkout, else below the working directory."""
    for folder in Path(evswap_cloud.__file__).parents:
        if (folder / file).is_file():
            return folder / file
    return Path.cwd() / file


def _install(target: str, platform: Sequence[str], requirements: Path, folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "install"),
        *("--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"),
        *("--require-hashes", "--only-binary=:all:", "--no-deps"),
        *platform,
        *("--target", str(folder), "--requirement", str(requirements)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_DEADLINE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise WheelsUnavailable(target, f"no end after {_PIP_DEADLINE_S} s") from error
    if done.returncode != 0:
        raise WheelsUnavailable(target, done.stderr or done.stdout)


def _wheel_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not _LEFT_OUT & set(name.parts) and path.name not in _OF_THIS_INSTALLATION:
            yield name.as_posix(), path


def _own_files() -> Iterator[tuple[str, Path]]:
    for package in (evswap_schema, evswap_cloud):
        root = Path(str(package.__file__)).parent
        for path in root.rglob("*"):
            name = path.relative_to(root)
            unwanted = package is evswap_cloud and name.as_posix() in _WORKSTATION_ONLY
            if path.is_file() and "__pycache__" not in name.parts and not unwanted:
                yield f"{root.name}/{name.as_posix()}", path


def _write(path: Path, files: Sequence[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(files):
            entry = zipfile.ZipInfo(name, _FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _READABLE
            archive.writestr(entry, source.read_bytes())
