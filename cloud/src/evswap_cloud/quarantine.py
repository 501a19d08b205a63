"""Where messages go that must not reach the stores: byte for byte, with the reason beside them."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote
from uuid import UUID, uuid5

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.archive import day_folder
from evswap_cloud.aws import error_code
from evswap_cloud.errors import QuarantineError, Reason
from evswap_schema import STATION_ID_PATTERN, compact_timestamp, format_timestamp

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MAX_METADATA_BYTES: Final = 2_048
"""S3's limit for the names and values of an object's metadata together."""

_NAMESPACE: Final = UUID("9d1c6a52-53c8-5b1f-9a0e-7d1f0c6b4e33")
_LONGEST: Final = {"topic": 400, "client-id": 200, "field": 200, "rule": 400, "value": 400}


class Quarantined(Struct, frozen=True, kw_only=True):
    """A message that was refused, and why. ``station_id`` is the topic's level, whatever it says."""

    body: bytes
    reason: Reason
    field: str
    rule: str
    value: str
    topic: str
    station_id: str
    client_id: str
    received_at: datetime

    @property
    def key(self) -> str:
        """The name of the object: the same message received at the same moment has the same."""
        station = self.station_id if re.match(STATION_ID_PATTERN, self.station_id) else "unknown"
        identity = f"{self.topic}/{self.client_id}/{hashlib.sha256(self.body).hexdigest()}"
        name = f"{station}_{compact_timestamp(self.received_at)}_{uuid5(_NAMESPACE, identity)}.bin"
        return f"quarantine/{day_folder(self.received_at)}/{name}"

    @property
    def metadata(self) -> Mapping[str, str]:
        """What S3 keeps beside the body: percent-encoded and cut to fit, as a hostile sender chose much of
        it.
        """
        texts = {
            "topic": self.topic,
            "client-id": self.client_id,
            "field": self.field,
            "rule": self.rule,
            "value": self.value,
        }
        return {
            "reason": self.reason.value,
            "received-at": format_timestamp(self.received_at),
            **{name: _encoded(text, _LONGEST[name]) for name, text in texts.items()},
        }


class Quarantine(Protocol):
    """Where refused messages are kept."""

    def keep(self, message: Quarantined) -> None:
        """Keep ``message``; durable when this returns; again is harmless; raises ``QuarantineError``."""


class S3Quarantine:
    """The quarantine in an S3 bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def keep(self, message: Quarantined) -> None:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=message.key,
                Body=message.body,
                ContentType="application/octet-stream",
                Metadata=dict(message.metadata),
            )
        except (ClientError, BotoCoreError) as error:
            raise QuarantineError(operation="put", target=message.key, code=error_code(error)) from error


def _encoded(text: str, longest: int) -> str:
    """Percent-encode as much of ``text`` as fits into ``longest`` characters, never half of one."""
    pieces = []
    room = longest
    for character in text[:longest]:
        piece = quote(character, safe="/+$=:,;()[]", errors="replace")
        room -= len(piece)
        if room < 0:
            break
        pieces.append(piece)
    return "".join(pieces)
