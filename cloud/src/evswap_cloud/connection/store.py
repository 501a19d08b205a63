"""Contacts, beside the stations' states: conditional writes that any order of arrival ends alike with."""

from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.aws import error_code
from evswap_cloud.connection.contact import (
    VERSIONS_COMPARE_WITHIN,
    Contact,
    Presence,
    Word,
    contact_item,
    milliseconds,
)
from evswap_cloud.connection.judgement import Connection
from evswap_cloud.errors import LatestStateError
from evswap_cloud.latest import LatestState, Offer
from evswap_cloud.marks import NEWS, VERSION
from evswap_schema import ConnectionState, format_timestamp

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef


class ContactWriter(Protocol):
    """Where what is heard of links goes. Whoever has never reported is no station: nothing is kept of him.
    All methods raise ``LatestStateError``."""

    def note_presence(self, station_id: str, presence: Presence) -> Offer:
        """Keep ``presence`` unless what is kept supersedes it."""

    def note_word(self, station_id: str, word: Word) -> Offer:
        """Keep ``word`` unless what is kept supersedes it."""

    def note_connection(self, state: LatestState, connection: Connection) -> Offer:
        """Keep what was made of ``state``, unless another reading has come since."""


_REPORTED: Final = "attribute_exists(station_id)"
_PRESENCE: Final = (
    f"{_REPORTED} AND (attribute_not_exists(presence_at) OR presence_at <= :long_before"
    " OR (presence_at < :long_after AND (presence_version < :presence_version{or_same})))"
)
_OR_SAME_CONNECTION: Final = " OR (presence_version = :presence_version AND presence_state = :online)"
_WORD: Final = f"{_REPORTED} AND (attribute_not_exists(word_at) OR (word_at < :word_at{{of_this_run}}))"
_OF_THIS_RUN: Final = " AND word_session = :word_session"


class DynamoContacts:
    """The contacts in the table of latest states."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def note_presence(self, station_id: str, presence: Presence) -> Offer:
        values: dict[str, AttributeValueTypeDef] = {
            ":long_before": {"N": str(milliseconds(presence.at - VERSIONS_COMPARE_WITHIN))},
            ":long_after": {"N": str(milliseconds(presence.at + VERSIONS_COMPARE_WITHIN))},
        }
        condition = _PRESENCE.format(or_same="")
        if presence.state is ConnectionState.OFFLINE:
            condition = _PRESENCE.format(or_same=_OR_SAME_CONNECTION)
            values[":online"] = {"S": ConnectionState.ONLINE.value}
        return self._note(
            station_id, Contact(presence=presence, noted=presence.state.value), condition, values
        )

    def note_word(self, station_id: str, word: Word) -> Offer:
        of_this_run = _OF_THIS_RUN if word.state is ConnectionState.OFFLINE else ""
        condition = _WORD.format(of_this_run=of_this_run)
        return self._note(station_id, Contact(word=word, noted=word.state.value), condition, {})

    def note_connection(self, state: LatestState, connection: Connection) -> Offer:
        values: dict[str, AttributeValueTypeDef] = {":seen": {"S": format_timestamp(state.received_at)}}
        return self._note(
            state.station_id, Contact(noted=connection.value), f"{_REPORTED} AND received_at = :seen", values
        )

    def _note(
        self,
        station_id: str,
        contact: Contact,
        condition: str,
        values: dict[str, "AttributeValueTypeDef"],
    ) -> Offer:
        """One conditional write, which those who watch the table's stream take for news (``marks``)."""
        item = contact_item(contact)
        setting = ", ".join((*(f"#{name} = :{name}" for name in item), f"{NEWS} = :one"))
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"station_id": {"S": station_id}},
                UpdateExpression=f"SET {setting} ADD #{VERSION} :one",
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in (*item, VERSION)},
                ExpressionAttributeValues={
                    **{f":{name}": value for name, value in item.items()},
                    **values,
                    ":one": {"N": "1"},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return Offer.NOT_NEWER
        except (ClientError, BotoCoreError) as error:
            raise LatestStateError(operation="write", target=station_id, code=error_code(error)) from error
        return Offer.MOVED
