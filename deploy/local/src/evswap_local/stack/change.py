"""What became of one resource."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """CREATED and UPDATED did something; UNCHANGED did nothing."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Change:
    """``kind`` and ``name`` say which resource."""

    kind: str
    name: str
    outcome: Outcome
