"""Ten stations in containers, for all tests that look at them."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from evswap_docker.settings import Settings
from tests.conftest import SkipAloud
from tests.docker.engine import NoEngine, Provided, provided
from tests.docker.project import Project

STATIONS = 10


@pytest.fixture(scope="session")
def engine(skip_aloud: SkipAloud) -> Iterator[Provided]:
    """One that answers; skipped aloud where there can be none."""
    try:
        with provided(Settings.of().cache) as found:
            yield found
    except NoEngine as error:
        skip_aloud(str(error), could_run=error.could_run)


@pytest.fixture(scope="session")
def project(engine: Provided) -> Iterator[Project]:
    """Nothing runs yet; whatever a test starts is gone afterwards: containers, volumes, network, images."""
    made = Project(engine, f"evswap-test-{uuid.uuid4().hex[:8]}")
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="session")
def stations(project: Project) -> Project:
    """Ten, started as a person starts them."""
    project.up(STATIONS)
    return project


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No docker on the PATH: an empty folder that a test may put one into."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in [name for name in os.environ if name.startswith(("DOCKER_", "EVSWAP_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    return folder
