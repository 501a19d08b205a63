"""Which of two readings of a station is the newer: as a rule, and as a condition that DynamoDB checks."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from msgspec import Struct

from evswap_schema import parse_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

T = TypeVar("T")


class Placed(Protocol):
    """What a reading has said, with the reading's place among its station's readings."""

    @property
    def observed_at(self) -> datetime:
        """When it was taken, as far as the station's clock is believed."""

    @property
    def stream_id(self) -> str | None:
        """The run of sequence numbers; None for a seed message."""

    @property
    def sequence(self) -> int | None:
        """The place in the run."""


class Place(Struct, frozen=True, kw_only=True):
    """The place by itself, without what was said."""

    observed_at: datetime
    stream_id: str | None = None
    sequence: int | None = None


def place_of(one: Placed) -> Place:
    """The place of ``one`` by itself."""
    return Place(observed_at=one.observed_at, stream_id=one.stream_id, sequence=one.sequence)


def supersedes(new: Placed, stored: Placed) -> bool:
    """Whether ``new`` is to take the place of ``stored``.

    Within a stream the sequence decides, whatever the clock did; between streams, and for seed messages, the
    clamped time of observation. At the same moment the name of the stream decides, so that the order of
    arrival does not. ``superseding`` says the same as a condition, and a test compares the two.
    """
    if new.sequence is not None and stored.sequence is not None and new.stream_id == stored.stream_id:
        return new.sequence > stored.sequence
    return (new.observed_at, new.stream_id or "") > (stored.observed_at, stored.stream_id or "")


def are_of_one_reading(one: Placed, other: Placed) -> bool:
    """Whether neither is newer: parts of a reading, or the same one again."""
    return not supersedes(one, other) and not supersedes(other, one)


def newest(things: Iterable[T], place: Callable[[T], Placed]) -> T:
    """The newest of ``things``, of which there is at least one; among equals the first."""
    return reduce(lambda best, one: one if supersedes(place(one), place(best)) else best, things)


class Condition(Struct, frozen=True, kw_only=True):
    """A condition for DynamoDB. Each attribute has its name with # before it: some are reserved words."""

    expression: str
    names: dict[str, str]
    values: dict[str, "AttributeValueTypeDef"]


_SAME_STREAM: Final = "(#stream_id = :stream_id AND #sequence < :sequence)"
_EARLIER: Final = (
    "((attribute_not_exists(#stream_id) OR #stream_id <> :stream_id) AND (#observed_at < :observed_at"
    " OR (#observed_at = :observed_at AND (attribute_not_exists(#stream_id) OR #stream_id < :stream_id))))"
)


def superseding(new: Placed) -> Condition:
    """That nothing is stored, or that ``new`` supersedes it."""
    clauses, values = ["attribute_not_exists(#observed_at)"], place_item(new)
    if new.stream_id is None:
        clauses += ["#observed_at < :observed_at"]
    else:
        clauses += [_SAME_STREAM, _EARLIER]
    return Condition(
        expression=" OR ".join(clauses),
        names={f"#{name}": name for name in values},
        values={f":{name}": value for name, value in values.items()},
    )


def place_item(place: Placed) -> dict[str, "AttributeValueTypeDef"]:
    """``place`` as DynamoDB's attribute values; without its stream where it has none."""
    item: dict[str, AttributeValueTypeDef] = {"observed_at": {"S": sortable(place.observed_at)}}
    if place.stream_id is not None:
        item |= {"stream_id": {"S": place.stream_id}, "sequence": {"N": str(place.sequence)}}
    return item


def place_from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> Place:
    """The reverse of ``place_item``. Other attributes are left out."""
    return Place(
        observed_at=parse_timestamp(item["observed_at"]["S"]),
        stream_id=item["stream_id"]["S"] if "stream_id" in item else None,
        sequence=int(item["sequence"]["N"]) if "sequence" in item else None,
    )


def sortable(moment: datetime) -> str:
    """Write ``moment`` so that text sorts as time: RFC 3339 in UTC, always with microseconds."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
