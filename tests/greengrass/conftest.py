"""The component is built once, from this checkout and for the Python that runs the tests."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.greengrass.device import ComponentProcess, Device, NucleusProcess

GREENGRASS = Path(__file__).parents[2] / "deploy" / "greengrass"


def build(output: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """Run the build as GDK does."""
    wanted = [argument for target in targets for argument in ("--target", target)]
    command = [sys.executable, "build.py", *wanted, "--output", str(output)]
    return subprocess.run(command, cwd=GREENGRASS, capture_output=True, text=True, timeout=170, check=False)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recipe and artifact."""
    output = tmp_path_factory.mktemp("built")
    done = build(output, "local")
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="session")
def artifacts(built: Path) -> Path:
    """The folder that the nucleus calls {artifacts:path}."""
    return built / "artifacts" / "com.evswap.Station" / "0.1.0"


@pytest.fixture(scope="session")
def device(built: Path, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Device:
    """A device on which the component is installed, after an installation that was interrupted."""
    device = Device(tmp_path_factory.mktemp("device"), built / "recipes" / "recipe.yaml", artifacts)
    digest = hashlib.sha256((artifacts / "evswap-station.zip").read_bytes()).hexdigest()
    half_made = device.work / "venvs" / digest[:16] / "half-made"
    half_made.parent.mkdir(parents=True)
    half_made.touch()
    done = device.install()
    assert done.returncode == 0, done.stderr
    return device


@pytest.fixture
def start_nucleus(device: Device, tmp_path: Path) -> Iterator[Callable[[], NucleusProcess]]:
    """Start an emulated nucleus; it is gone when the test is."""
    started: list[NucleusProcess] = []

    def start() -> NucleusProcess:
        started.append(NucleusProcess(tmp_path / "ipc.socket", device.recipe_file))
        return started[-1]

    yield start
    for nucleus in started:
        nucleus.kill()


@pytest.fixture
def start(device: Device) -> Iterator[Callable[[NucleusProcess], ComponentProcess]]:
    """Start the component under a nucleus, with nothing in its work folder but what was installed; it is gone
    when the test is."""
    for left in device.work.iterdir():
        if not left.name.startswith("venv"):
            left.unlink()
    started: list[ComponentProcess] = []

    def start(nucleus: NucleusProcess) -> ComponentProcess:
        started.append(device.start(nucleus))
        return started[-1]

    yield start
    for component in started:
        component.kill()
