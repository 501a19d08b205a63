"""What every test folder shares; every environment runs it, so: standard library, pytest, hypothesis."""

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.mosquitto import Mosquitto

# A busy machine is no fault of the code under test.
hypothesis.settings.register_profile("evswap", deadline=None)
hypothesis.settings.load_profile("evswap")

RELEASE = "release"
"""Marks what takes so long that every change has no time for it."""
IS_RELEASE = os.environ.get("EVSWAP_RELEASE") == "true"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{RELEASE}: runs by `make release`, or with EVSWAP_RELEASE=true")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not IS_RELEASE:
        leave_out(config, items, {item for item in items if item.get_closest_marker(RELEASE)})


def leave_out(config: pytest.Config, items: list[pytest.Item], others: Collection[pytest.Item]) -> None:
    """Have pytest count ``others`` as deselected, and not run them."""
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]


class SkipAloud(Protocol):
    def __call__(self, reason: str, *, could_run: bool) -> NoReturn: ...


def _skip_aloud(reason: str, *, could_run: bool) -> NoReturn:
    if could_run and os.environ.get("CI") == "true":
        pytest.fail(f"CI has to run this and did not: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def skip_aloud() -> SkipAloud:
    """Skip with a reason that the summary prints; in CI a failure, where the suite could have run.

    `could_run` says that nothing about the machine prevents it: what is missing can be installed.
    """
    return _skip_aloud


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process sends logs to what was standard error then; pytest closes
    that, and whatever is logged in a later test would fail there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def mosquitto(tmp_path: Path, skip_aloud: SkipAloud) -> "Iterator[Mosquitto]":
    """A running broker of the test's own."""
    from tests.mosquitto import MISSING, Mosquitto, find_mosquitto  # not every environment has what it needs

    if find_mosquitto() is None:
        skip_aloud(MISSING, could_run=True)
    with Mosquitto(tmp_path / "mosquitto") as broker:
        yield broker
