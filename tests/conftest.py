"""What every test folder shares; every environment runs it, so: standard library, pytest, hypothesis."""

import os
from typing import NoReturn, Protocol

import hypothesis
import pytest

# A busy machine is no fault of the code under test.
hypothesis.settings.register_profile("evswap", deadline=None)
hypothesis.settings.load_profile("evswap")


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
