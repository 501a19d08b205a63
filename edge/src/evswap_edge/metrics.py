"""A station's figures for Prometheus, on loopback unless told otherwise.

Figures are read when somebody asks, from what the station counts anyway: a sample costs nothing more. Names
follow https://prometheus.io/docs/practices/naming/; docs/operations-edge.md says at which values to worry.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from evswap_edge.clock import TimeSource
from evswap_edge.outbox import Outbox
from evswap_edge.vitals import LATENCY_BOUNDS_S, Vitals
from evswap_schema import Clock

_STATION: Final = "station_id"


class Shown(Protocol):
    """What a station lets be seen."""

    @property
    def station_id(self) -> str: ...
    @property
    def vitals(self) -> Vitals: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def time(self) -> TimeSource: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One metric: a value for each station, or, where it has a ``label``, one for each value of that."""

    name: str
    meaning: str
    read: Callable[[Shown], float | Mapping[str, float]]
    label: str | None = None
    only_grows: bool = False

    def family(self, shown: Iterable[Shown]) -> Metric:
        """The metric with the values of all that is ``shown``."""
        kind = CounterMetricFamily if self.only_grows else GaugeMetricFamily
        labels = [_STATION] if self.label is None else [_STATION, self.label]
        family = kind(self.name, self.meaning, labels=labels)
        for station in shown:
            value = self.read(station)
            if isinstance(value, Mapping):
                for which, one in value.items():
                    family.add_metric([station.station_id, which], one)
            else:
                family.add_metric([station.station_id], value)
        return family


def _oldest_age_s(station: Shown) -> float:
    """Of an earlier boot, whose clock counts no more, nothing but that it is old is known."""
    oldest = station.outbox.waiting.oldest
    if oldest is None:
        return 0.0
    if oldest.boot_id != station.time.boot_id:
        return math.nan
    return station.time.monotonic() - oldest.uptime


FIGURES: Final = (
    Figure(
        name="evswap_samples",
        meaning="Samples taken.",
        only_grows=True,
        read=lambda station: station.vitals.samples,
    ),
    Figure(
        name="evswap_samples_skipped",
        meaning="Samples left out because the one before took too long.",
        only_grows=True,
        read=lambda station: station.vitals.skipped,
    ),
    Figure(
        name="evswap_sensor_failures",
        meaning="Readings of a sensor that failed.",
        label="sensor",
        only_grows=True,
        read=lambda station: station.vitals.sensor_failures,
    ),
    Figure(
        name="evswap_clock_synchronized",
        meaning="1 while the wall clock is set by a time source.",
        read=lambda station: station.time.state() is Clock.SYNCHRONIZED,
    ),
    Figure(
        name="evswap_outbox_samples",
        meaning="Samples that wait for their delivery.",
        read=lambda station: station.outbox.waiting.all_samples,
    ),
    Figure(
        name="evswap_outbox_events",
        meaning="Events that wait for their delivery.",
        read=lambda station: station.outbox.waiting.events,
    ),
    Figure(
        name="evswap_outbox_set_aside",
        meaning="Things that can never be delivered, kept for a technician.",
        read=lambda station: station.outbox.waiting.set_aside,
    ),
    Figure(
        name="evswap_outbox_bytes",
        meaning="Size of the outbox's files.",
        read=lambda station: station.outbox.waiting.bytes,
    ),
    Figure(
        name="evswap_outbox_oldest_seconds",
        meaning="How long the oldest that waits has waited; NaN when it is of an earlier boot.",
        read=_oldest_age_s,
    ),
    Figure(
        name="evswap_outbox_dropped",
        meaning="What was given up for want of room, by class.",
        label="class",
        only_grows=True,
        read=lambda station: station.outbox.losses.by_class(),
    ),
    Figure(
        name="evswap_outbox_in_memory",
        meaning="1 while new samples are kept in memory because the disk cannot be written.",
        read=lambda station: station.outbox.trouble is not None,
    ),
    Figure(
        name="evswap_link_up",
        meaning="1 while there is a connection.",
        read=lambda station: station.vitals.linked,
    ),
    Figure(
        name="evswap_credentials_unusable",
        meaning="1 while certificate or key are of no use: missing, expired, no pair, or refused.",
        read=lambda station: station.vitals.credentials_problem is not None,
    ),
    Figure(
        name="evswap_links",
        meaning="Connections made.",
        only_grows=True,
        read=lambda station: station.vitals.links,
    ),
    Figure(
        name="evswap_messages_in_flight",
        meaning="Messages that wait for their acknowledgement.",
        read=lambda station: station.vitals.in_flight,
    ),
    Figure(
        name="evswap_messages_accepted",
        meaning="Messages that the far side has acknowledged.",
        label="lane",
        only_grows=True,
        read=lambda station: station.vitals.accepted,
    ),
    Figure(
        name="evswap_messages_refused",
        meaning="Messages that can never be delivered.",
        label="lane",
        only_grows=True,
        read=lambda station: station.vitals.refused,
    ),
    Figure(
        name="evswap_messages_retried",
        meaning="Messages that had to be sent again.",
        label="lane",
        only_grows=True,
        read=lambda station: station.vitals.retried,
    ),
)
"""All but the latencies, which are a histogram. A counter's name gets ``_total`` where it is served."""

LATENCY: Final = "evswap_acknowledgement_seconds"


class Board(Collector):
    """Where the stations of a process put up what they let be seen."""

    def __init__(self) -> None:
        self._shown: dict[str, Shown] = {}

    @contextmanager
    def showing(self, station: Shown) -> Iterator[None]:
        """Show ``station`` for as long as the context lasts."""
        self._shown[station.station_id] = station
        try:
            yield
        finally:
            del self._shown[station.station_id]

    def collect(self) -> Iterator[Metric]:
        """Called by the library's thread for each request."""
        shown = tuple(self._shown.values())
        for figure in FIGURES:
            yield figure.family(shown)
        yield _latencies(shown)


def _latencies(shown: Iterable[Shown]) -> Metric:
    family = HistogramMetricFamily(
        LATENCY, "From handing a message over to its acknowledgement.", labels=[_STATION]
    )
    bounds = [*(str(bound) for bound in LATENCY_BOUNDS_S), "+Inf"]
    for station in shown:
        latencies = station.vitals.latencies
        buckets = list(zip(bounds, latencies.at_most(), strict=True))
        family.add_metric([station.station_id], buckets, latencies.total_s)
    return family


@contextmanager
def served(board: Board, *, host: str, port: int) -> Iterator[None]:
    """Answer ``GET /metrics`` at ``host``:``port`` from a thread, for as long as the context lasts. Raises
    ``OSError`` when the port cannot be had."""
    registry = CollectorRegistry()
    registry.register(board)
    server, thread = start_http_server(port, addr=host, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
