"""One running stack for the tests that only look at it, and one of their own for those that break it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SkipAloud
from tests.e2e.local_stack import ROOT, LocalStack, stack_in

STATIONS = 3


@pytest.fixture(scope="session")
def local_aws(skip_aloud: SkipAloud) -> None:
    """What every stack needs: the emulator's environment, which `make` makes."""
    if not (ROOT / ".venv-ministack").exists():
        skip_aloud(
            "the local AWS is not installed; run the tests by `make test` or `make system`", could_run=True
        )


@pytest.fixture(scope="session")
def stack(local_aws: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Three stations that sample twice a second. Tests share it, so none of them may stop a part of it."""
    with stack_in(tmp_path_factory.mktemp("stack")) as running:
        running.up("--stations", str(STATIONS), "--interval", "0.5")
        yield running


@pytest.fixture
def own_stack(local_aws: None, tmp_path: Path) -> Iterator[LocalStack]:
    """A stack that is not up yet, for a test that stops, kills and starts parts of it."""
    with stack_in(tmp_path) as own:
        yield own
