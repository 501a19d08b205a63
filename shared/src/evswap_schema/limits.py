"""Every limit of the contract, each in this one place.

The AWS figures are from the IoT Core quotas and prices; why each limit is what it is stands beside it.
"""

from datetime import timedelta
from typing import Final

MAX_READING_BYTES: Final = 32 * 1024
"""Largest telemetry message: 120 bays written flat take about 21 KB; IoT Core itself refuses more than 128
KB.
"""

MAX_BATCH_BYTES: Final = 5_000
"""Largest batch, topic included: AWS meters in 5 KB steps and Greengrass nucleus lite loses larger messages.
"""

BATCH_HEADROOM: Final = 96
"""What a batch has to be smaller for its header to be rewritten later (``rewrite_batch``): two flags, and
other digits in its timestamp, each of them badly compressed.
"""

MAX_BATCH_INFLATED_BYTES: Final = 256 * 1024
"""Largest batch once inflated: 5,000 bytes of deflate can hold 5 MB, which no station has a use for."""

MAX_BATCH_SAMPLES: Final = 360
"""Most samples in one batch: half an hour at 5 s."""

MAX_BATCH_MINUTES: Final = 15
"""Most minute aggregates in one batch: a quarter of an hour, the longest batch age that is worth having."""

MAX_MINUTE_SAMPLES: Final = 600
"""Most samples that a minute's aggregate speaks of; where there were more, it says so many."""

MAX_BATCH_BAY_SAMPLES: Final = 20_000
"""Most samples times bays in one batch: bounds what a small message can make its reader build."""

MAX_BAYS: Final = 250
"""Most bays of a station; the largest cabinets known have about 120."""

MAX_BATTERIES: Final = 1_000
"""Largest count of batteries that a reading may state."""

MAX_EVENT_BYTES: Final = MAX_READING_BYTES
MAX_COMMAND_BYTES: Final = MAX_READING_BYTES

MAX_AUTHORISATION_BYTES: Final = 8 * 1024
"""Largest payload of an authorisation: 100 stations with the longest names take 6.7 KB."""

MAX_AUTHORISATIONS: Final = 40
"""Most authorisations in one command: of 750 bytes each, the longest for one station, they fit into
``MAX_COMMAND_BYTES``."""

MAX_ACKNOWLEDGED: Final = 200
"""Most messages in one acknowledgement: 4 KB, as Greengrass nucleus lite loses what comes down with 5,000
bytes or more."""

MAX_SEQUENCE: Final = 2**53 - 1
"""Largest sequence number: the largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
"""How far a timestamp may lie after its receipt before it is taken for a wrong clock."""
