"""The numbers of the protocol. Moments and spans are milliseconds, moments since 1970."""

from typing import Final

SECOND: Final = 1_000

MAX_FRAME_BYTES: Final = 32_768
"""What API Gateway takes as one frame, in either direction."""

FRAME_EVERY: Final = SECOND
"""At most one frame of changes to a connection in this time. What happens meanwhile becomes one."""

BEAT: Final = 30 * SECOND
"""How often a client says that it is there. API Gateway ends a connection that is idle for ten minutes."""

MAX_SILENCE: Final = 180 * SECOND
"""A client whose newest frame that it is known to have read is older than this is gone, or too slow. A
browser lets the timers of a page in the background run once a minute."""

MAX_AGE: Final = 7_200 * SECOND
"""How long API Gateway keeps a connection."""

WARNING: Final = 300 * SECOND
"""How long before its end a connection is told of it."""

SUBSCRIBE_EVERY: Final = 2 * SECOND
"""A subscription reads every station that it is about."""

MAX_STATIONS: Final = 100
"""That a subscription names one by one."""

MAX_SNAPSHOT: Final = 5_000
"""Stations in a subscription: those of a larger fleet are watched by regions."""

MIN_CELL: Final = 3
MAX_CELL: Final = 12
"""Characters of a region's geohash."""

MAX_VERSION: Final = 2**53 - 1
"""What every JSON reader keeps exactly."""

ATTEMPTS: Final = 3
"""To send a frame. After a frame that was not sent the client would be missing something: it is dropped,
comes back and resumes."""

TICKET_LIFE: Final = 60 * SECOND
