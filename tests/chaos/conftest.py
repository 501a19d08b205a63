"""What the chaos suite shares."""

import time
from collections.abc import Callable

import pytest

LONGEST_WAIT_S = 60.0


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition holds; fail when it does not within a generous time."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + LONGEST_WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "did not come to hold in time"
            time.sleep(0.01)

    return wait
