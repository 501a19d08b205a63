"""Which bays a driver is for, as people write it: ``3``, ``1-8``, ``[9, 10]``, ``[1-4, 7]``."""

import re
from typing import Annotated, Final

from msgspec import Meta

from evswap_schema.fields import BayNumber
from evswap_schema.limits import MAX_BAYS

BayRange = Annotated[str, Meta(pattern=r"^\s*\d{1,3}\s*(-\s*\d{1,3}\s*)?\Z")]
BayRanges = BayNumber | BayRange | tuple[BayNumber | BayRange, ...]
"""The type of a setting ``bays``; ``bay_numbers`` says which they are."""

_NUMBER: Final = re.compile(r"\d+")


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
    ends = [int(found) for found in _NUMBER.findall(part)]
    first, last = ends[0], ends[-1]
    if not 1 <= first <= last <= MAX_BAYS:
        raise ValueError(f"bays: {part!r} is no range of bays from 1 to {MAX_BAYS}")
    return range(first, last + 1)
