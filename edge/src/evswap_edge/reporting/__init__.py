"""What a station tells, and in which form.

changes      whether a sample says something new
recording    a sample becomes durable
sealing      samples become parcels: batches that are small enough to be sent as they are
minutes      what samples come to, minute by minute, for the history
wording      what is stored becomes messages, at the moment at which it is sent
truth        what a wall clock that was never set has cost a timestamp
"""

from enum import StrEnum


class Mode(StrEnum):
    """How samples travel. Every one of them reaches the archive in both."""

    EVERY_SAMPLE = "every-sample"
    """A flat message for each sample, at once: what the first stations sent, plus identity and quality."""
    ON_CHANGE = "on-change"
    """A change at once; everything, with all bays, in batches."""
