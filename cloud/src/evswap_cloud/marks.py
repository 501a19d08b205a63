"""What each write of a station's item says to those who watch: its version, and whether it is news.

A batch a minute moves every station's state, and nearly always nothing has happened. The write itself finds
that out, at no cost: DynamoDB computes with the item as it was before. So a filter of the table's stream lets
only news through (``cloud/stack/functions.yaml``), and nobody has to read before writing.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

VERSION: Final = "version"
"""Counts the writes of a station's state. Begins at the time of the first one's receipt, in milliseconds: a
table that is filled anew goes on above what anybody has seen of the old one."""

NEWS: Final = "news"
"""The old ``shown`` less the new one: 0 where the write said nothing new."""

SHOWN: Final = "shown"
"""Stands for what watchers see of the state: another number where they see something else."""

DEGREES: Final = 5
"""A station's temperature is news when it reaches another multiple of so many degrees Celsius."""

_DIGEST_BYTES: Final = 6
"""So few that every program reads the number exactly, and too many for two states to meet by chance."""


class Watched(Protocol):
    """What watchers see of a state, and when it was received."""

    @property
    def battery_available(self) -> int: ...

    @property
    def battery_charging(self) -> int: ...

    @property
    def temperature(self) -> float | None: ...

    @property
    def status(self) -> str: ...

    @property
    def received_at(self) -> datetime: ...


class Marks(Struct, frozen=True, kw_only=True):
    """Assignments for an update's SET, with their names and values."""

    assignments: tuple[str, ...]
    names: Mapping[str, str]
    values: Mapping[str, "AttributeValueTypeDef"]


def marks(state: Watched) -> Marks:
    """What an update that stores ``state`` sets beside it."""
    return Marks(
        assignments=(
            f"#{VERSION} = if_not_exists(#{VERSION}, :first_version) + :one",
            f"#{NEWS} = if_not_exists(#{SHOWN}, :nothing_shown) - :{SHOWN}",
            f"#{SHOWN} = :{SHOWN}",
        ),
        names={f"#{name}": name for name in (VERSION, NEWS, SHOWN)},
        values={
            ":first_version": {"N": str(int(state.received_at.timestamp() * 1_000))},
            ":one": {"N": "1"},
            ":nothing_shown": {"N": "-1"},
            f":{SHOWN}": {"N": str(shown_number(state))},
        },
    )


def shown_number(state: Watched) -> int:
    """The same for states that watchers see no difference between."""
    degrees = None if state.temperature is None else round(state.temperature / DEGREES)
    seen = f"{state.status} {state.battery_available} {state.battery_charging} {degrees}"
    return int.from_bytes(blake2b(seen.encode(), digest_size=_DIGEST_BYTES).digest(), "big")
