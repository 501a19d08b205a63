"""The original design as a bill: each sample a message on the broker, a call of a function, one PutItem, one
PutObject, and a log of each call. Beside it the same REST API, the same alarms and no live page.
"""

import math
from collections.abc import Iterator
from typing import Final

from evswap_local.cost.compute import Effort
from evswap_local.cost.fleet import Fleet
from evswap_local.cost.lines import Bill, Line
from evswap_local.cost.profile import Profile

_GB: Final = 1024**3
_STEP_BYTES: Final = 5_000
_WRITE_BYTES: Final = 1_024
_MEMORY_MB: Final = 256
_LOG_BYTES: Final = 500
"""START, END and REPORT of a call (some 300 bytes), and one line of its own."""
_CPU_S: Final = 200e-6
"""To read and check a message, and to write it twice."""
_ALARMS: Final = 10
"""Its table of alarms names so many."""


def seed_bill(fleet: Fleet, profile: Profile) -> Bill:
    """What ``fleet`` would cost."""
    return Bill(design="seed", lines=list(_lines(fleet, profile)))


def _lines(fleet: Fleet, profile: Profile) -> Iterator[Line]:
    messages = fleet.samples
    steps = messages * math.ceil(profile.seed_bytes / _STEP_BYTES)
    minutes = fleet.stations * fleet.seconds / 60.0
    yield Line(kind="IoT", what="connected minutes", quantity=minutes, price="iot-connection-minute")
    yield Line(kind="IoT", what="messages, 5 KB", quantity=steps, price="iot-message")
    yield Line(kind="IoT", what="rule, 5 KB", quantity=steps, price="iot-rule")
    yield Line(kind="IoT", what="action, 5 KB", quantity=steps, price="iot-action")
    yield from Effort(
        name="handler",
        memory_mb=_MEMORY_MB,
        invocations=messages,
        cpu_s=messages * _CPU_S,
        calls={"dynamodb": messages, "s3": messages},
        call_cpu_s=profile.call_cpu_s,
        parallel=False,
    ).lines(second="lambda-gb-second-x86")
    writes = messages * math.ceil(profile.seed_bytes / _WRITE_BYTES)
    yield Line(kind="DynamoDB", what="writes", quantity=writes, price="dynamodb-write-unit")
    yield Line(kind="S3", what="objects written", quantity=messages, price="s3-put")
    kept = messages * profile.seed_bytes / _GB * (fleet.months_kept / fleet.months + 0.5)
    yield Line(kind="S3", what="objects kept", quantity=kept * fleet.months, price="s3-gb-month")
    requests = fleet.requests_a_minute * fleet.seconds / 60.0
    yield Line(kind="API", what="requests", quantity=requests, price="api-request")
    logged = messages * _LOG_BYTES / _GB
    yield Line(kind="watching", what="logs written", quantity=logged, price="logs-gb")
    yield Line(kind="watching", what="alarms", quantity=_ALARMS * fleet.months, price="alarm-metric")
