"""The shortest way through a deployment and back: a station's message in, and the API and the archive asked
for it.

The message is a reading of a station that nobody rides to (``maintenance``, no batteries), by its own
certificate: the way is the stations' own, with nothing short-cut.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.archive import reading_object
from evswap_cloud.aws import error_code
from evswap_cloud.operations.errors import SmokeFailure
from evswap_schema import (
    Channel,
    Reading,
    StationStatus,
    aws_topic,
    encode_reading,
    format_timestamp,
    parse_timestamp,
)

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

DEADLINE_S: Final = 60.0
"""How long each step may take: a cold start, and a queue's window."""

API: Final = "the API answers"
BROKER: Final = "the broker takes a reading"
SHOWN: Final = "the API shows it"
ARCHIVED: Final = "the archive has it"
"""The steps."""

_POLL_S: Final = 0.2
_NOT_FOUND: Final = 404
_ABSENT: Final = ("404", "NoSuchKey", "NotFound")


class Publisher(Protocol):
    """A station's connection."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Return when the broker has accepted it; raises ``SmokeFailure``."""


class Step(Struct, frozen=True, kw_only=True):
    """A step that was taken, and how long it took."""

    name: str
    detail: str
    seconds: float


class Api:
    """The REST API as its readers have it."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"x-api-key": key} if key else {}

    def get(self, path: str) -> tuple[int, Any]:
        """Status and document; raises ``SmokeFailure`` where nobody answers in JSON."""
        request = urllib.request.Request(f"{self._url}{path}", headers=self._headers)  # noqa: S310 - the operator's
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except (OSError, ValueError) as error:
            raise SmokeFailure(step=API, problem=f"{self._url}{path}: {error}") from error


def smoke(
    *,
    station_id: str,
    api: Api,
    publisher: Publisher,
    now: Callable[[], datetime],
    archive: "tuple[S3Client, str] | None" = None,
    deadline_s: float = DEADLINE_S,
) -> Iterator[Step]:
    """Take each step and say what it showed; raises ``SmokeFailure`` at the first that fails. ``archive`` is
    a client and the bucket, where the operator may look into it."""
    sent = _reading(station_id, now())
    yield _timed(API, lambda: _answers(api))
    yield _timed(BROKER, lambda: _publish(publisher, sent))
    yield _timed(SHOWN, lambda: _shows(api, sent, deadline_s))
    if archive is not None:
        s3, bucket = archive
        yield _timed(ARCHIVED, lambda: _has(s3, bucket, sent, deadline_s))


def _reading(station_id: str, moment: datetime) -> Reading:
    return Reading(
        station_id=station_id,
        battery_available=0,
        battery_charging=0,
        temperature=None,
        humidity=None,
        status=StationStatus.MAINTENANCE,
        timestamp=moment,
    )


def _timed(name: str, take: Callable[[], str]) -> Step:
    began = time.monotonic()
    detail = take()
    return Step(name=name, detail=detail, seconds=time.monotonic() - began)


def _answers(api: Api) -> str:
    status, _page = api.get("/stations?limit=1")
    if status != 200:
        raise SmokeFailure(step=API, problem=f"GET /stations?limit=1 gives {status}")
    return "GET /stations?limit=1 gives 200"


def _publish(publisher: Publisher, sent: Reading) -> str:
    topic = aws_topic(Channel.TELEMETRY, sent.station_id)
    publisher.publish(topic, encode_reading(sent))
    return f"acknowledged on {topic}"


def _shows(api: Api, sent: Reading, deadline_s: float) -> str:
    path = f"/stations/{sent.station_id}"

    def shown() -> str | None:
        status, station = api.get(path)
        if status not in (200, _NOT_FOUND):
            raise SmokeFailure(step=SHOWN, problem=f"GET {path} gives {status}")
        if status == 200 and parse_timestamp(station["timestamp"]) >= sent.timestamp:
            return f"GET {path} has {format_timestamp(sent.timestamp)}"
        return None

    return _await(SHOWN, shown, deadline_s)


def _has(s3: "S3Client", bucket: str, sent: Reading, deadline_s: float) -> str:
    """Under the name that a reading's content alone decides."""
    key = reading_object(
        sent, encode_reading(sent), received_at=sent.timestamp, client_id=sent.station_id, flags=()
    ).key

    def there() -> str | None:
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            if error_code(error) in _ABSENT:
                return None
            raise SmokeFailure(step=ARCHIVED, problem=f"{key}: {error_code(error)}") from error
        return f"s3://{bucket}/{key}"

    return _await(ARCHIVED, there, deadline_s)


def _await(step: str, look: Callable[[], str | None], deadline_s: float) -> str:
    end = time.monotonic() + deadline_s
    while (found := look()) is None:
        if time.monotonic() > end:
            raise SmokeFailure(step=step, problem=f"not within {deadline_s:.0f} s")
        time.sleep(_POLL_S)
    return found
