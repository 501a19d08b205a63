"""The bench's own environment: labgrid is here, and the product's programs are elsewhere."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import SkipAloud

ROOT = Path(__file__).parents[2]

if find_spec("labgrid") is None:

    class Elsewhere(pytest.File):
        """A file that this environment cannot import."""

        def collect(self) -> Iterable[pytest.Item]:
            pytest.skip("labgrid has an environment of its own: tox -e hil-bench", allow_module_level=True)

    def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector:
        collector: pytest.Collector = Elsewhere.from_parent(parent, path=module_path)
        return collector


@pytest.fixture(scope="session")
def edge(skip_aloud: SkipAloud) -> Path:
    """The station's program."""
    return _program("EVSWAP_EDGE", "evswap-edge", skip_aloud)


@pytest.fixture(scope="session")
def evswap(skip_aloud: SkipAloud) -> Path:
    """The program that makes a stack."""
    if not (ROOT / ".venv-ministack").exists():
        skip_aloud("the local AWS is not installed; run the tests by `make test`", could_run=True)
    return _program("EVSWAP", "evswap", skip_aloud)


def _program(variable: str, name: str, skip_aloud: SkipAloud) -> Path:
    """As the variable says; the checkout's own otherwise."""
    file = Path(os.environ.get(variable) or ROOT / ".venv" / "bin" / name)
    if not file.exists():
        skip_aloud(f"{file} is not installed; run the tests by `make test`", could_run=True)
    return file
