"""Waiting for something to become true, on the monotonic clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Found = TypeVar("Found")


class NotInTime(Exception):
    """What was waited for did not happen within `seconds`."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} did not happen within {seconds:g} s")
        self.what = what
        self.seconds = seconds


@dataclass(frozen=True)
class Waited(Generic[Found]):
    """What was found, and after how many seconds."""

    found: Found
    seconds: float


def wait_until(
    probe: Callable[[], Found | Literal[False] | None], *, what: str, within: float, every: float = 0.1
) -> Waited[Found]:
    """Ask `probe` every `every` seconds until its answer is true, and return that answer.

    The probe is asked at least once. Raises NotInTime after `within` seconds.
    """
    started = time.monotonic()
    while True:
        found = probe()
        elapsed = time.monotonic() - started
        if found:
            return Waited(found, elapsed)
        if elapsed >= within:
            raise NotInTime(what, within)
        time.sleep(min(every, max(0.0, within - elapsed)))
