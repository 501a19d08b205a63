"""Ingest: from what the rules hand over to the archive, the latest state and the quarantine.

Pure: the stores come from outside, and the only clock is the one that AWS IoT wrote into the envelope. Every
effect is idempotent, so a record that failed half-way is repaired by doing it again.
"""

from evswap_cloud.ingest.bulk import BulkIngest
from evswap_cloud.ingest.change import ChangeIngest
from evswap_cloud.ingest.events import EventIngest
from evswap_cloud.ingest.live import LiveIngest
from evswap_cloud.ingest.records import Delivery, Each, Failure, Ingest, Receipt, Report

__all__ = [
    "BulkIngest",
    "ChangeIngest",
    "Delivery",
    "Each",
    "EventIngest",
    "Failure",
    "Ingest",
    "LiveIngest",
    "Receipt",
    "Report",
]
