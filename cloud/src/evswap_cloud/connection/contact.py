"""What is known of a station's link to the cloud, from two sources that know nothing of each other.

AWS IoT says when a client connects and disconnects (presence); it repeats itself and keeps no order, and
numbers the connections of a client. The station and its will say it on the station's own topic (its word).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from evswap_cloud.envelope import from_milliseconds
from evswap_schema import ConnectionState

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

VERSIONS_COMPARE_WITHIN: Final = timedelta(minutes=30)
"""AWS IoT begins again at 0 when a client has been away for about an hour, so farther apart the time decides:
https://docs.aws.amazon.com/iot/latest/developerguide/life-cycle-events.html."""


class Presence(Struct, frozen=True, kw_only=True):
    """AWS IoT's event: ``version`` is the connection's number, which both of its events have."""

    state: ConnectionState
    version: int
    at: datetime


class Word(Struct, frozen=True, kw_only=True):
    """The station's own message, or its will: ``session`` is one run of the station, ``at`` AWS IoT's
    clock."""

    state: ConnectionState
    session: str
    at: datetime


class Contact(Struct, frozen=True, kw_only=True):
    """Each source's last; and what was made of them when the stations were counted last, or one of them
    spoke."""

    presence: Presence | None = None
    word: Word | None = None
    noted: str | None = None


NOTHING_HEARD: Final = Contact()


def presence_supersedes(new: Presence, stored: Presence | None) -> bool:
    """Whether ``new`` happened after ``stored``. ``DynamoContacts`` says the same as a condition."""
    if stored is None:
        return True
    if abs(new.at - stored.at) >= VERSIONS_COMPARE_WITHIN:
        return new.at > stored.at
    return (new.version, new.state is ConnectionState.OFFLINE) > (
        stored.version,
        stored.state is ConnectionState.OFFLINE,
    )


def word_supersedes(new: Word, stored: Word | None) -> bool:
    """Whether ``new`` is the station's last word. The will of another session than the one that spoke last is
    late, and means nothing. ``DynamoContacts`` says the same as a condition."""
    if stored is None:
        return True
    is_of_this_run = new.state is ConnectionState.ONLINE or new.session == stored.session
    return is_of_this_run and new.at > stored.at


def contact_item(contact: Contact) -> dict[str, "AttributeValueTypeDef"]:
    """As DynamoDB's attribute values, beside those of the station's state."""
    item: dict[str, AttributeValueTypeDef] = {}
    if contact.presence is not None:
        item |= {
            "presence_state": {"S": contact.presence.state.value},
            "presence_version": {"N": str(contact.presence.version)},
            "presence_at": {"N": str(milliseconds(contact.presence.at))},
        }
    if contact.word is not None:
        item |= {
            "word_state": {"S": contact.word.state.value},
            "word_session": {"S": contact.word.session},
            "word_at": {"N": str(milliseconds(contact.word.at))},
        }
    return item | ({} if contact.noted is None else {"connection": {"S": contact.noted}})


def contact_from_item(item: Mapping[str, "AttributeValueTypeDef"]) -> Contact:
    """The reverse of ``contact_item``."""
    return Contact(
        presence=Presence(
            state=ConnectionState(item["presence_state"]["S"]),
            version=int(item["presence_version"]["N"]),
            at=from_milliseconds(int(item["presence_at"]["N"])),
        )
        if "presence_at" in item
        else None,
        word=Word(
            state=ConnectionState(item["word_state"]["S"]),
            session=item["word_session"]["S"],
            at=from_milliseconds(int(item["word_at"]["N"])),
        )
        if "word_at" in item
        else None,
        noted=item["connection"]["S"] if "connection" in item else None,
    )


def milliseconds(moment: datetime) -> int:
    """Since 1970, as AWS IoT counts them."""
    return round(moment.timestamp() * 1_000)
