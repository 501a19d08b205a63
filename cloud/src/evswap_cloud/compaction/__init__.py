"""The compacted history: Parquet by day sampled, each reading and event once, made from the raw archive.

``objects`` is what lies in a bucket, ``kinds`` what is compacted and which columns it has, ``manifest``
which files are current and which raw objects are in them. ``staging`` takes raw objects, ``merging`` makes
the files of a day, ``compactor`` is one run from beginning to end.
"""

from evswap_cloud.compaction.compactor import Compactor, Limits, Outcome, compact
from evswap_cloud.compaction.engine import Resources
from evswap_cloud.compaction.kinds import EVENTS, KINDS, READINGS, Kind
from evswap_cloud.compaction.objects import Objects, S3Objects

__all__ = [
    "EVENTS",
    "KINDS",
    "READINGS",
    "Compactor",
    "Kind",
    "Limits",
    "Objects",
    "Outcome",
    "Resources",
    "S3Objects",
    "compact",
]
