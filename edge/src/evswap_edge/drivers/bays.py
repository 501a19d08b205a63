"""Which bays a driver is for, as people write it: ``3``, ``1-8``, ``[9, 10]``, ``[1-4, 7]``."""

import re
from typing import Final

from evswap_schema.fields import BayNumber
from evswap_schema.limits import MAX_BAYS

# A string with a pattern cannot stand in a union with a tuple: msgspec 0.22 frees memory that is not its own
# when the process ends. What a string has to look like is therefore said here.
BayRanges = BayNumber | str | tuple[BayNumber | str, ...]
"""The type of a setting ``bays``; ``bay_numbers`` says which they are."""

_RANGE: Final = re.compile(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*)?")


def bay_numbers(ranges: BayRanges) -> tuple[int, ...]:
    """The numbers in the order in which they stand there. Raises ``ValueError``, which names the key
    ``bays``."""
    parts = ranges if isinstance(ranges, tuple) else (ranges,)
    numbers = tuple(number for part in parts for number in _range(part))
    if not numbers:
        raise ValueError("bays: none is named")
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            raise ValueError(f"bays: bay {number} stands there a second time")
    return numbers


def written(numbers: tuple[int, ...]) -> str:
    """The shortest way to write them: ``1-8, 10``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _range(part: int | str) -> range:
    if isinstance(part, int):
        return range(part, part + 1)
    ends = _RANGE.fullmatch(part)
    first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, 0)
    if not 1 <= first <= last <= MAX_BAYS:
        raise ValueError(f"bays: {part!r} is no range of bays from 1 to {MAX_BAYS}")
    return range(first, last + 1)
