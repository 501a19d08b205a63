"""What the stations' minutes were, for fast answers about the last 90 days (docs/history.md).

quarters  the minutes of a quarter of an hour, packed, and what two tellings of it come to
shelf     where they are kept: an item a station and quarter
course    what they come to between two moments, at a coarser step
"""

from evswap_cloud.history.course import (
    FIELDS,
    RESOLUTIONS,
    Course,
    FieldCourse,
    course_of,
)
from evswap_cloud.history.quarters import EARLIEST, LENGTH, Quarter, merged, quarters_of
from evswap_cloud.history.shelf import (
    RETENTION,
    DynamoHistory,
    HistoryReader,
    HistoryWriter,
    Keeping,
    from_item,
    to_item,
)

__all__ = [
    "EARLIEST",
    "FIELDS",
    "LENGTH",
    "RESOLUTIONS",
    "RETENTION",
    "Course",
    "DynamoHistory",
    "FieldCourse",
    "HistoryReader",
    "HistoryWriter",
    "Keeping",
    "Quarter",
    "course_of",
    "from_item",
    "merged",
    "quarters_of",
    "to_item",
]
