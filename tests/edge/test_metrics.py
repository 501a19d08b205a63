"""The figures that a station shows to Prometheus."""

import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from evswap_edge.clock import TimeSource, stamp_now
from evswap_edge.config import MetricsEndpoint
from evswap_edge.hosting import MetricsUnavailable, shown_at
from evswap_edge.metrics import FIGURES, LATENCY, Board, served
from evswap_edge.outbox import Outbox
from evswap_edge.testing import ManualTime
from evswap_edge.vitals import LATENCY_BOUNDS_S, Latencies, Vitals

DOCS = Path(__file__).parents[2] / "docs" / "operations-edge.md"


@dataclass(frozen=True)
class Shown:
    """A station, as far as it is seen."""

    station_id: str
    vitals: Vitals
    outbox: Outbox
    time: TimeSource


Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@asynccontextmanager
async def opened(folder: Path, time: ManualTime) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(folder / "outbox.sqlite", station_id="station-01", time=time)
    try:
        yield outbox
    finally:
        await outbox.aclose()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def figures(port: int) -> Figures:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(name: str, station_id: str = "station-01", **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset({"station_id": station_id, **labels}.items())


async def test_what_a_station_counts_is_served(tmp_path: Path, time: ManualTime, port: int) -> None:
    vitals = Vitals(samples=7, in_flight=2, linked=True, links=3)
    vitals.accepted["live"] += 5
    vitals.sensor_failures["climate"] += 1
    vitals.latencies.observe(0.02)
    vitals.latencies.observe(400.0)
    board = Board()
    async with opened(tmp_path, time) as outbox:
        with (
            served(board, host="127.0.0.1", port=port),
            board.showing(Shown("station-01", vitals, outbox, time)),
            board.showing(Shown("station-02", Vitals(), outbox, time)),
        ):
            seen = figures(port)
    assert seen[of("evswap_samples_total")] == 7
    assert seen[of("evswap_samples_total", "station-02")] == 0
    assert seen[of("evswap_link_up")] == 1
    assert seen[of("evswap_messages_in_flight")] == 2
    assert seen[of("evswap_messages_accepted_total", lane="live")] == 5
    assert seen[of("evswap_sensor_failures_total", sensor="climate")] == 1
    assert seen[of(f"{LATENCY}_bucket", le="0.01")] == 0
    assert seen[of(f"{LATENCY}_bucket", le="0.025")] == 1
    assert seen[of(f"{LATENCY}_count")] == 2
    assert seen[of(f"{LATENCY}_sum")] == pytest.approx(400.02)


async def test_what_waits_is_served(tmp_path: Path, time: ManualTime, port: int) -> None:
    stamp = stamp_now(time)
    board = Board()
    async with opened(tmp_path, time) as outbox:
        await outbox.append(lambda stream_id, sequence: b"{}", stamp=stamp)
        await outbox.append_event(lambda stream_id, sequence: b"{}", stamp=stamp)
        await time.advance(90)
        with (
            served(board, host="127.0.0.1", port=port),
            board.showing(Shown("station-01", Vitals(), outbox, time)),
        ):
            seen = figures(port)
    assert seen[of("evswap_outbox_samples")] == 1
    assert seen[of("evswap_outbox_events")] == 1
    assert seen[of("evswap_outbox_oldest_seconds")] == 90
    assert seen[of("evswap_outbox_bytes")] > 0
    assert seen[of("evswap_outbox_dropped_total", **{"class": "samples"})] == 0
    assert seen[of("evswap_outbox_in_memory")] == 0


async def test_a_station_that_stopped_is_not_shown(tmp_path: Path, time: ManualTime, port: int) -> None:
    board = Board()
    async with opened(tmp_path, time) as outbox:
        with served(board, host="127.0.0.1", port=port):
            with board.showing(Shown("station-01", Vitals(), outbox, time)):
                assert of("evswap_samples_total") in figures(port)
            assert of("evswap_samples_total") not in figures(port)


def test_the_port_is_free_again_afterwards(port: int) -> None:
    for _ in range(2):
        with served(Board(), host="127.0.0.1", port=port):
            figures(port)


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = int(taken.getsockname()[1])
        with pytest.raises(MetricsUnavailable, match=r"choose another metrics\.port") as caught:
            shown_at(MetricsEndpoint(port=number)).__enter__()
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", number)


def test_every_latency_is_counted_once() -> None:
    latencies = Latencies()
    for bound in LATENCY_BOUNDS_S:
        latencies.observe(bound)
    assert latencies.at_most() == [*range(1, len(LATENCY_BOUNDS_S) + 1), len(LATENCY_BOUNDS_S)]


@pytest.mark.parametrize("name", [*(figure.name for figure in FIGURES), LATENCY])
def test_every_figure_is_explained(name: str) -> None:
    text = DOCS.read_text(encoding="utf-8")
    figure = next((figure for figure in FIGURES if figure.name == name), None)
    served_as = f"{name}_total" if figure and figure.only_grows else name
    assert f"`{served_as}" in text
