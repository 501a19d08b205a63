"""What one station's day moved, measured by ``python -m tests.cost``: the real edge in virtual time, and the
real functions over an AWS in memory.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from evswap_local.errors import LocalError

FILE: Final = "profile.json"


class NotMeasured(LocalError):
    """No recording is of such a cabinet with batches of ``batch_age_s``; ``measured`` are those that there
    are: bays, and seconds."""

    def __init__(self, bays: int, batch_age_s: float, measured: list[tuple[int, float]]) -> None:
        self.bays = bays
        self.batch_age_s = batch_age_s
        self.measured = measured
        known = ", ".join(f"{bays} and {age:g}" for bays, age in measured)
        super().__init__(
            f"{bays} bays with batches of {batch_age_s:g} s were not measured;"
            f" bays and seconds can be {known}"
        )


class Work(Struct, frozen=True, kw_only=True):
    """What one station's messages of one channel were, and what their function did with them.

    ``steps`` counts 5 KB of payload and topic, as AWS IoT does; ``queue_steps`` 64 KB of the envelope, as SQS
    does. ``writes`` and ``reads`` are DynamoDB's request units by table, ``refused`` the writes among them
    whose condition failed. ``calls`` by service; ``archived_bytes`` are the messages' share of the archive's
    objects. ``cpu_s`` is our own code's, without that of the calls.
    """

    messages: float
    bytes: float
    largest: int
    steps: float
    queue_steps: float
    groups: float
    writes: dict[str, float]
    reads: dict[str, float]
    refused: dict[str, float]
    calls: dict[str, float]
    archived_bytes: float
    cpu_s: float

    def times(self, factor: float) -> "Work":
        """So many times as much; the largest message stays as large as it is."""
        scaled: dict[str, Any] = {
            name: _times(value, factor) for name, value in structs.asdict(self).items() if name != "largest"
        }
        return structs.replace(self, **scaled)


def _times(value: float | dict[str, float], factor: float) -> float | dict[str, float]:
    if isinstance(value, dict):
        return {key: count * factor for key, count in value.items()}
    return value * factor


class Recording(Struct, frozen=True, kw_only=True):
    """A station's shift: ``hours`` of a cabinet of ``bays``, in which it swapped ``swaps`` times, once it had
    settled."""

    bays: int
    batch_age_s: float
    hours: float
    samples: int
    swaps: int
    channels: dict[str, Work]
    stored_bytes: dict[str, int]
    """What lay in each table at its end, as DynamoDB bills it."""
    grown_bytes: dict[str, int]
    """What of it came in the hours that count, and goes again some day: events, swaps, authorisations and
    minutes."""


class Request(Struct, frozen=True, kw_only=True):
    """A request to the API, as its function answered it."""

    reads: float
    calls: int
    bytes: int
    cpu_s: float


class Profile(Struct, frozen=True, kw_only=True):
    """``command`` measured it on ``measured_on``. ``call_cpu_s`` is what a call by boto3 takes of the
    processor; ``seed_bytes`` is the flat message of the original design."""

    command: str
    measured_on: str
    call_cpu_s: float
    seed_bytes: int
    requests: dict[str, Request]
    recordings: list[Recording]

    def recording(self, bays: int, batch_age_s: float) -> Recording:
        """The one of such a cabinet with batches of this age, in seconds; raises ``NotMeasured``."""
        for one in self.recordings:
            if (one.bays, one.batch_age_s) == (bays, batch_age_s):
                return one
        raise NotMeasured(bays, batch_age_s, [(one.bays, one.batch_age_s) for one in self.recordings])


@cache
def profile() -> Profile:
    """The one that bills are made with."""
    return msgspec.json.decode(files(__package__).joinpath(FILE).read_bytes(), type=Profile)
