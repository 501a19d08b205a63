"""How often a station's messages may arrive: at least once, and what was under way at most once more for each
time that its link broke or it was started again."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Final

from evswap_edge.config import Publishing

WINDOW: Final[int] = Publishing().window
"""Messages that may be under way at once."""


def connections(log: Iterable[str]) -> Counter[str]:
    """How often each station was connected, told by the lines of its log."""
    lines = (json.loads(line) for line in log if line.startswith("{"))
    return Counter(line["station_id"] for line in lines if "station_id" in line and _is_connected(line))


def _is_connected(line: dict[str, str]) -> bool:
    message = line["message"]
    return line["logger"].startswith("evswap_edge.transports.") and (
        message.startswith("connected to ")
        or (message.startswith("connection to ") and "works again" in message)
    )


def sent_again_at_most(connected: int) -> int:
    """How many messages may have been sent twice by a station that was connected so often."""
    return WINDOW * max(0, connected - 1)
