"""The configuration that is wished for a station, as a device shadow of AWS IoT.

The named shadow ``configuration`` of the station's thing holds what is wished (``desired``), what the station
runs with (``reported``), and the service tells the station of the difference (``delta``). Topics and answers
as in AWS IoT Core's Developer Guide, "Device Shadow MQTT topics". The stations' second IoT policy is
generated from here.
"""

import re
from typing import Final

from evswap_schema.errors import InvalidTopic
from evswap_schema.fields import STATION_ID_PATTERN

NAME: Final = "configuration"
"""Of the shadow."""

GET: Final = "get"
UPDATE: Final = "update"
REQUESTS: Final = (GET, UPDATE)
"""What a station publishes."""

GET_ACCEPTED: Final = "get/accepted"
GET_REJECTED: Final = "get/rejected"
UPDATE_ACCEPTED: Final = "update/accepted"
UPDATE_REJECTED: Final = "update/rejected"
DELTA: Final = "update/delta"
ANSWERS: Final = (GET_ACCEPTED, GET_REJECTED, UPDATE_ACCEPTED, UPDATE_REJECTED, DELTA)
"""What a station hears."""

REFUSED: Final = "refused"
"""The key of ``reported`` that holds ``{"key", "reason"}`` while a wish is refused. No section has that
name."""

_STATION_ID: Final = re.compile(STATION_ID_PATTERN)


def shadow_topic(station_id: str, what: str) -> str:
    """The topic of one of ``REQUESTS`` or ``ANSWERS``. Raises ``InvalidTopic``."""
    if not _STATION_ID.match(station_id):
        raise InvalidTopic(topic=station_id, rule=f"a level has to match {STATION_ID_PATTERN}")
    if what not in {*REQUESTS, *ANSWERS}:
        raise InvalidTopic(topic=what, rule=f"one of {', '.join((*REQUESTS, *ANSWERS))}")
    return topic_of(station_id, what)


def topic_of(thing: str, what: str) -> str:
    """As ``shadow_topic``, for whatever stands for a thing's name in a policy."""
    return f"$aws/things/{thing}/shadow/name/{NAME}/{what}"
