"""The stack in cloud/stack as a bill.

What one station's day moved is measured (``profile``); how often queues hand over is computed for the whole
fleet, as a thousand stations share an invocation. What nobody could measure without AWS is a constant here,
with its reason.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from evswap_local.cost.compute import Effort
from evswap_local.cost.fleet import Billing, Fleet
from evswap_local.cost.lines import Bill, Line
from evswap_local.cost.profile import Profile, Recording, Work
from evswap_local.cost.stack import Stack
from evswap_schema import Channel

_GB: Final = 1024**3
_RECORDS_A_RECEIVE: Final = 1.5
"""A receive may bring ten. At 17 records a second five pollers find one or two whenever they ask."""
_RECORDS_A_DELETE: Final = 10.0
_POLL_S: Final = 20.0
"""A poller that finds nothing has waited so long."""
_UTILISATION: Final = 0.7
"""What auto scaling of provisioned capacity aims at."""
_SCALING_ALARMS: Final = 8
"""That auto scaling keeps for a table: two bounds each for rising and falling writes and reads."""
HAPPENINGS: Final = frozenset({"events", "ledger", "authorisations", "history"})
_HAPPENINGS_DAYS: Final = 90.0
"""The longest that an item of these tables is kept."""
_REQUEST_LOG_BYTES: Final = 1_000
"""A line of the function and one of the access log for each request to the API."""
_TRACED_AT_ONCE: Final = 60.0
"""Requests a minute that X-Ray records all of, by its default rule; of those beyond one in twenty."""
_TRACED_SHARE: Final = 0.05
_COMPACTION_CPU_S: Final = 60e-6
"""A sample read, sorted and written as Parquet."""
_PARQUET_SHARE: Final = 0.5
"""Of the gzipped lines' bytes."""
_RAW_DAYS: Final = 30.0
"""The raw archive outlives its verified compaction by so much, at most."""
_GLACIER_MONTHS: Final = 3.0
_KMS_EVERY_S: Final = 300.0
"""DynamoDB asks KMS again for a table's key so often, for each of the roles that use it."""
_ROLES_A_TABLE: Final = 3
_LIVE_MEMORY_MB: Final = 256
_LIVE_CPU_S: Final = 0.002
"""To make a frame out of what a second brought, and to send it to one connection."""


class Ours:
    """The bill of ``fleet`` on ``stack``, by ``profile``."""

    def __init__(self, fleet: Fleet, profile: Profile, stack: Stack) -> None:
        """Raises ``NotMeasured``."""
        self._fleet = fleet
        self._profile = profile
        self._stack = stack
        self._recording: Recording = profile.recording(fleet.bays, fleet.batch_age_s)
        self._batches = self._scaled_by_time()
        self._changes = self._scaled_to(Channel.CHANGE, fleet.swaps * fleet.changes_a_swap)
        self._events = self._scaled_to(Channel.EVENT, fleet.swaps * fleet.events_a_swap)

    def bill(self) -> Bill:
        """All of it."""
        parts = (self._iot, self._sqs, self._functions, self._dynamodb, self._s3, self._api, self._watching)
        return Bill(design="evswap", lines=[line for part in parts for line in part()])

    # --- the parts ----------------------------------------------------------------------------------------

    def _iot(self) -> Iterator[Line]:
        """By Basic Ingest: there is no charge for messages, and one rule with one action for each."""
        yield Line(
            kind="IoT",
            what="connected minutes",
            quantity=self._fleet.stations * self._fleet.seconds / 60.0,
            price="iot-connection-minute",
        )
        for name, work in self._channels():
            yield Line(kind="IoT", what=f"{name}: rule, 5 KB", quantity=work.steps, price="iot-rule")
            yield Line(kind="IoT", what=f"{name}: action, 5 KB", quantity=work.steps, price="iot-action")

    def _sqs(self) -> Iterator[Line]:
        for name, work in (("batches", self._batches), ("events", self._events)):
            yield Line(
                kind="SQS", what=f"{name}: sent by the rule", quantity=work.queue_steps, price="sqs-request"
            )
            yield Line(
                kind="SQS",
                what=f"{name}: received and deleted",
                quantity=work.queue_steps / _RECORDS_A_RECEIVE + work.messages / _RECORDS_A_DELETE,
                price="sqs-request",
            )
        polls = self._stack.pollers * self._fleet.seconds / _POLL_S
        yield Line(kind="SQS", what="empty polls", quantity=polls, price="sqs-request")

    def _functions(self) -> Iterator[Line]:
        for effort in (
            self._behind_queue("bulk", self._batches),
            self._change(),
            self._behind_queue("events", self._events),
        ):
            yield from effort.lines()
        samples = Effort(
            name="compaction",
            memory_mb=1_769,
            invocations=self._fleet.days,
            cpu_s=self._fleet.samples * _COMPACTION_CPU_S,
            calls={"s3": self._objects()},
            call_cpu_s=self._profile.call_cpu_s,
        )
        yield from samples.lines()

    def _dynamodb(self) -> Iterator[Line]:
        writes = self._units("writes")
        reads = self._units("reads")
        reads["stations"] = reads.get("stations", 0.0) + self._requests * self._profile.requests["page"].reads
        if self._fleet.billing is Billing.ON_DEMAND:
            for table, units in writes.items():
                yield Line(
                    kind="DynamoDB", what=f"{table}: writes", quantity=units, price="dynamodb-write-unit"
                )
            for table, units in reads.items():
                yield Line(
                    kind="DynamoDB", what=f"{table}: reads", quantity=units, price="dynamodb-read-unit"
                )
        else:
            yield from self._provisioned(writes, reads)
        stored = self._stored_bytes() / _GB
        yield Line(
            kind="DynamoDB", what="storage", quantity=stored * self._fleet.months, price="dynamodb-gb-month"
        )
        yield Line(
            kind="DynamoDB",
            what="point-in-time recovery",
            quantity=stored * self._fleet.months,
            price="dynamodb-pitr-gb-month",
        )
        yield Line(
            kind="DynamoDB",
            what="keys from KMS",
            quantity=len(self._stack.tables) * _ROLES_A_TABLE * self._fleet.seconds / _KMS_EVERY_S,
            price="kms-request",
        )

    def _provisioned(self, writes: dict[str, float], reads: dict[str, float]) -> Iterator[Line]:
        hours = self._fleet.seconds / 3_600.0
        for units, what in ((writes, "write"), (reads, "read")):
            for table, count in units.items():
                capacity = max(1.0, count / self._fleet.seconds / _UTILISATION)
                yield Line(
                    kind="DynamoDB",
                    what=f"{table}: {what} capacity",
                    quantity=capacity * hours,
                    price=f"dynamodb-{what}-capacity-hour",
                )
        yield Line(
            kind="DynamoDB",
            what="alarms of auto scaling",
            quantity=len(self._stack.tables) * _SCALING_ALARMS * self._fleet.months,
            price="alarm-metric",
        )

    def _s3(self) -> Iterator[Line]:
        objects = self._objects()
        yield Line(kind="S3", what="objects written", quantity=objects, price="s3-put")
        yield Line(kind="S3", what="objects compacted", quantity=objects, price="s3-get")
        raw = (self._batches.archived_bytes + self._events.archived_bytes) / _GB
        a_month = raw / self._fleet.months * _PARQUET_SHARE
        kept_raw = (
            raw / self._fleet.months * min(_RAW_DAYS / 30.0, self._fleet.months_kept + self._fleet.months / 2)
        )
        kept = self._fleet.months_kept + self._fleet.months / 2
        warm, cold = min(kept, _GLACIER_MONTHS) * a_month, max(0.0, kept - _GLACIER_MONTHS) * a_month
        months = self._fleet.months
        yield Line(kind="S3", what="raw lines kept", quantity=kept_raw * months, price="s3-gb-month")
        yield Line(kind="S3", what="Parquet kept", quantity=warm * months, price="s3-gb-month")
        yield Line(
            kind="S3", what="Parquet in Glacier", quantity=cold * months, price="s3-glacier-ir-gb-month"
        )

    def _api(self) -> Iterator[Line]:
        requests, page = self._requests, self._profile.requests["page"]
        yield Line(kind="API", what="requests", quantity=requests, price="api-request")
        yield from Effort(
            name="api",
            memory_mb=self._stack.memory_mb("api"),
            invocations=requests,
            cpu_s=requests * page.cpu_s,
            calls={"dynamodb": requests * page.calls},
            call_cpu_s=self._profile.call_cpu_s,
            parallel=False,
        ).lines()
        frames = self._fleet.seconds * self._fleet.pages
        yield Line(
            kind="live", what="frames, one a second and page", quantity=frames, price="websocket-message"
        )
        yield Line(kind="live", what="connected minutes", quantity=frames / 60.0, price="websocket-minute")
        yield from Effort(
            name="live pages",
            memory_mb=_LIVE_MEMORY_MB,
            invocations=self._fleet.seconds,
            cpu_s=self._fleet.seconds * _LIVE_CPU_S,
            calls={"dynamodb": self._fleet.seconds + frames},
            call_cpu_s=self._profile.call_cpu_s,
        ).lines()
        sent = (requests * page.bytes + frames * page.bytes / 10.0) / _GB
        yield Line(kind="API", what="data out", quantity=sent, price="data-out-gb")

    def _watching(self) -> Iterator[Line]:
        months = self._fleet.months
        yield Line(
            kind="watching", what="alarms", quantity=self._stack.alarm_metrics * months, price="alarm-metric"
        )
        yield Line(kind="watching", what="dashboard", quantity=months, price="dashboard")
        logged = self._requests * _REQUEST_LOG_BYTES / _GB
        yield Line(kind="watching", what="logs written", quantity=logged, price="logs-gb")
        yield Line(
            kind="watching", what="logs kept 7 days", quantity=logged * 7.0 / 30.0, price="logs-gb-month"
        )
        rate = self._fleet.requests_a_minute
        traced = min(rate, _TRACED_AT_ONCE) + max(0.0, rate - _TRACED_AT_ONCE) * _TRACED_SHARE
        yield Line(
            kind="watching",
            what="X-Ray of the API",
            quantity=traced * self._fleet.seconds / 60.0,
            price="xray-trace",
        )

    # --- what is behind them ------------------------------------------------------------------------------

    def _stored_bytes(self) -> float:
        """On average over the days. What happens is kept for a while, and grows until then; all else stays as
        large as it is."""
        age_days = self._fleet.months_kept * 30.0 + self._fleet.days / 2.0
        grown = min(age_days, _HAPPENINGS_DAYS) * 24.0 / self._recording.hours
        return self._fleet.stations * sum(
            size * (grown if table in HAPPENINGS else 1.0)
            for table, size in self._recording.stored_bytes.items()
        )

    @property
    def _requests(self) -> float:
        return self._fleet.requests_a_minute * self._fleet.seconds / 60.0

    def _channels(self) -> Iterator[tuple[str, Work]]:
        yield from (("batches", self._batches), ("changes", self._changes), ("events", self._events))

    def _scaled_by_time(self) -> Work:
        """Batches come by the clock, and each is a write. The second write of those that a change has
        overtaken goes by changes."""
        work = self._scaled(Channel.BATCH, self._fleet.station_days * 24.0 / self._recording.hours)
        recorded = self._recording.channels[Channel.CHANGE].messages / self._recording.hours
        changes = self._fleet.swaps * self._fleet.changes_a_swap / (self._fleet.station_days * 24.0)
        second = work.writes["stations"] - work.groups
        spared = second * (1.0 - changes / recorded)
        return structs.replace(
            work,
            writes=work.writes | {"stations": work.writes["stations"] - spared},
            calls=work.calls | {"dynamodb": work.calls["dynamodb"] - spared},
        )

    def _scaled_to(self, channel: Channel, messages: float) -> Work:
        return self._scaled(channel, messages / self._recording.channels[channel].messages)

    def _scaled(self, channel: Channel, factor: float) -> Work:
        return self._recording.channels[channel].times(factor)

    def _objects(self) -> float:
        """Of the archive, each from one call of a function."""
        seconds = self._fleet.seconds
        bulk = self._stack.reader("bulk").invocations(self._batches.messages, seconds)
        return bulk + self._stack.reader("events").invocations(self._events.messages, seconds)

    def _behind_queue(self, function: str, work: Work) -> Effort:
        """Calls to the tables go by records, those to the archive by the function's own calls."""
        invocations = self._stack.reader(function).invocations(work.messages, self._fleet.seconds)
        return Effort(
            name=function,
            memory_mb=self._stack.memory_mb(function),
            invocations=invocations,
            cpu_s=work.cpu_s,
            calls=work.calls | {"s3": invocations},
            call_cpu_s=self._profile.call_cpu_s,
        )

    def _change(self) -> Effort:
        return Effort(
            name="change",
            memory_mb=self._stack.memory_mb("change"),
            invocations=self._changes.messages,
            cpu_s=self._changes.cpu_s,
            calls=self._changes.calls,
            call_cpu_s=self._profile.call_cpu_s,
            parallel=False,
        )

    def _units(self, which: str) -> dict[str, float]:
        """DynamoDB's request units by table."""
        sums: dict[str, float] = {}
        for _, work in self._channels():
            units: dict[str, float] = getattr(work, which)
            for table, count in units.items():
                sums[table] = sums.get(table, 0.0) + count
        return sums
