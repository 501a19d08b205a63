"""The stack in cloud/stack as a bill.

What one station's day moved is measured (``profile``); how often queues hand over is computed for the whole
fleet, as a thousand stations share an invocation. What nobody could measure without AWS is a constant here,
with its reason.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from msgspec import structs

from evswap_local.cost.capacity import UNBOUNDED, Capacity, Demand
from evswap_local.cost.compute import Effort
from evswap_local.cost.fleet import DAYS_A_MONTH, Billing, Fleet
from evswap_local.cost.lines import Bill, Line
from evswap_local.cost.profile import Profile, Recording, Work
from evswap_local.cost.stack import QueueReader, Stack
from evswap_schema import Channel

_GB: Final = 1024**3
_RECORDS_A_RECEIVE: Final = 1.0
"""A receive may bring ten, but answers as soon as there is one (SQS Developer Guide, "Amazon SQS long
polling"), and at 17 records a second a poller of Lambda's waits nearly always. The dearest that AWS's
description allows; no page says how often Lambda asks while it gathers."""
_RECORDS_A_DELETE: Final = 10.0
_POLL_S: Final = 20.0
"""A poller that finds nothing has waited so long."""
_BY_CLOCK: Final = frozenset({"history"})
"""Tables that grow by the clock, and not by swaps."""
_KEPT_DAYS: Final = {"history": 90.0, "authorisations": 90.0}
"""Of what passes in tables for which no setting says it (``evswap_cloud.history.RETENTION``,
``evswap_cloud.ledger.layouts.ACCOUNTS_RETENTION``)."""
_COMPRESSED_SHARE: Final = 0.25
"""Of an answer's bytes that go out: API Gateway compresses for who accepts it, and JSON to a tenth; some do
not."""
_STATIONS_A_PAGE: Final = 100
"""Of the API, as it was measured. A frame tells of a station what a page does."""
_REQUEST_LOG_BYTES: Final = 1_000
"""A line of the function and one of the access log for each request to the API."""
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
_SWEEP_EVERY_S: Final = 60.0
"""All stations are gone round so often (cloud/stack/schedules.yaml)."""
_SWEPT_CPU_S: Final = 100e-6
"""An item of a station read out of an answer and judged."""
_PAGE_BYTES: Final = 1024**2
_READ_BYTES: Final = 4_096
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
        sweeps = self._fleet.seconds / _SWEEP_EVERY_S
        yield from Effort(
            name="sweep",
            memory_mb=self._stack.memory_mb("sweep"),
            invocations=sweeps,
            cpu_s=sweeps * self._fleet.stations * _SWEPT_CPU_S,
            calls={"dynamodb": sweeps * (2 + self._swept_bytes / _PAGE_BYTES)},
            call_cpu_s=self._profile.call_cpu_s,
            parallel=False,
        ).lines()

    def _dynamodb(self) -> Iterator[Line]:
        writes = self._units("writes")
        reads = self._units("reads")
        asked = self._requests * self._profile.requests["page"].reads
        reads["stations"] = reads.get("stations", 0.0) + asked + self._swept_units
        own = self._with_capacity(writes.keys() | reads.keys())
        for what, every in (("write", writes), ("read", reads)):
            for table, units in every.items():
                if table not in own:
                    price = f"dynamodb-{what}-unit"
                    yield Line(kind="DynamoDB", what=f"{table}: {what}s", quantity=units, price=price)
        yield from self._provisioned(own, reads)
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

    def _with_capacity(self, in_use: Collection[str]) -> Mapping[str, Capacity]:
        if self._fleet.billing is Billing.PROVISIONED:
            return dict.fromkeys(in_use, UNBOUNDED)
        return self._fleet.settings.provisioned_tables

    def _provisioned(self, own: Mapping[str, Capacity], reads: Mapping[str, float]) -> Iterator[Line]:
        """Reads of people are as even as those by the clock."""
        hours, utilisation = self._fleet.seconds / 3_600.0, self._fleet.settings.table_utilisation / 100.0
        for table, capacity in own.items():
            written, read = self._demand("writes", table), self._demand("reads", table)
            asked = reads.get(table, 0.0) / self._fleet.seconds
            read = Demand(even=asked - read.by_swaps, by_swaps=read.by_swaps)
            indexes = len(self._stack.tables[table].get("global_indexes", ()))
            for what, units in (
                ("write", written.paid(capacity.write_units, capacity.most_write_units, utilisation)),
                ("read", read.paid(capacity.read_units, capacity.most_read_units, utilisation)),
            ):
                yield Line(
                    kind="DynamoDB",
                    what=f"{table}: {what} capacity",
                    quantity=(units + indexes * capacity.index_units) * hours,
                    price=f"dynamodb-{what}-capacity-hour",
                )
        if own:
            yield Line(
                kind="DynamoDB",
                what="alarms of auto scaling",
                quantity=sum(capacity.alarms for capacity in own.values()) * self._fleet.months,
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
        watched_s = self._fleet.seconds * self._fleet.pages
        pushes = self._fleet.seconds / self._push_window_s
        frames = pushes * self._fleet.pages
        yield Line(
            kind="live",
            what=f"frames, one in {self._push_window_s:g} s and page",
            quantity=frames,
            price="websocket-message",
        )
        yield Line(kind="live", what="connected minutes", quantity=watched_s / 60.0, price="websocket-minute")
        yield from Effort(
            name="live pages",
            memory_mb=_LIVE_MEMORY_MB,
            invocations=pushes,
            cpu_s=pushes * _LIVE_CPU_S,
            calls={"dynamodb": pushes + frames},
            call_cpu_s=self._profile.call_cpu_s,
        ).lines()
        shown = self._changes.messages * self._fleet.pages * page.bytes / _STATIONS_A_PAGE
        sent = (requests * page.bytes * _COMPRESSED_SHARE + shown) / _GB
        yield Line(kind="API", what="data out", quantity=sent, price="data-out-gb")

    def _watching(self) -> Iterator[Line]:
        months = self._fleet.months
        yield Line(
            kind="watching", what="alarms", quantity=self._stack.alarm_metrics * months, price="alarm-metric"
        )
        yield Line(
            kind="watching",
            what="metrics of ours",
            quantity=self._stack.own_metrics * months,
            price="custom-metric",
        )
        dashboards = months * self._fleet.settings.dashboard
        yield Line(kind="watching", what="dashboard", quantity=dashboards, price="dashboard")
        logged = self._requests * _REQUEST_LOG_BYTES / _GB
        yield Line(kind="watching", what="logs written", quantity=logged, price="logs-gb")
        yield Line(
            kind="watching", what="logs kept 7 days", quantity=logged * 7.0 / 30.0, price="logs-gb-month"
        )
        yield Line(
            kind="watching",
            what="X-Ray of the API",
            quantity=self._requests * self._fleet.settings.tracing_share,
            price="xray-trace",
        )

    # --- what is behind them ------------------------------------------------------------------------------

    def _stored_bytes(self) -> float:
        """On average over the days. What happens is kept for a while, and grows until then; all else stays as
        large as it is."""
        recorded = self._recording
        swaps = self._fleet.swaps_a_day / recorded.swaps
        days = 24.0 / recorded.hours
        passing = sum(
            size * (days if table in _BY_CLOCK else swaps) * self._days_there(table)
            for table, size in recorded.grown_bytes.items()
        )
        standing = sum(recorded.stored_bytes.values()) - sum(recorded.grown_bytes.values())
        return self._fleet.stations * (standing + passing)

    def _days_there(self, table: str) -> float:
        """How many days of what happens lie in a table, on average over the days of the bill."""
        kept = _KEPT_DAYS.get(table) or self._events_kept_days
        begins, ends = (
            self._fleet.months_kept * DAYS_A_MONTH,
            self._fleet.months_kept * DAYS_A_MONTH + self._fleet.days,
        )
        grows = max(0.0, min(ends, kept) - begins)
        return (grows * (begins + grows / 2.0) + (self._fleet.days - grows) * kept) / self._fleet.days

    @property
    def _events_kept_days(self) -> float:
        set_to = self._fleet.settings.events_kept_days
        return (
            float(self._stack.environment("events")["EVSWAP_EVENTS_KEPT_DAYS"]) if set_to is None else set_to
        )

    def _demand(self, which: str, table: str) -> Demand:
        """Of what stations bring, by its mean a second."""
        each: dict[str, float] = {
            name: getattr(work, which).get(table, 0.0) / self._fleet.seconds
            for name, work in self._channels()
        }
        return Demand(even=each["batches"], by_swaps=each["changes"] + each["events"])

    def _reader(self, function: str) -> QueueReader:
        reader = self._stack.reader(function)
        return replace(reader, window_s=self._fleet.settings.windows_s.get(function, reader.window_s))

    @property
    def _push_window_s(self) -> float:
        return self._fleet.settings.windows_s.get("push", self._stack.push_window_s)

    @property
    def _swept_bytes(self) -> float:
        """What a sweep reads: every station's item."""
        return float(self._fleet.stations * self._recording.stored_bytes["stations"])

    @property
    def _swept_units(self) -> float:
        """A scan is billed by the bytes that it reads; not consistent, at half."""
        return self._fleet.seconds / _SWEEP_EVERY_S * self._swept_bytes / _READ_BYTES / 2.0

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
        bulk = self._reader("bulk").invocations(self._batches.messages, seconds)
        return bulk + self._reader("events").invocations(self._events.messages, seconds)

    def _behind_queue(self, function: str, work: Work) -> Effort:
        """Calls to the tables go by records, those to the archive by the function's own calls."""
        invocations = self._reader(function).invocations(work.messages, self._fleet.seconds)
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
