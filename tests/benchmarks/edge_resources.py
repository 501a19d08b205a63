"""What a station takes while it runs: memory beside the library it stands on, and a share of the processor.

`python -m tests.benchmarks.edge_resources PLOT.svg` plots the memory over 100,000 samples at accelerated
time.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import msgspec

from tests.benchmarks.edge_bars import Bar
from tests.benchmarks.figures import FULL
from tests.benchmarks.station_at_work import STATION, configuration
from tests.chaos.station import Orders
from tests.mosquitto import Mosquitto

CHECKOUT: Final = Path(__file__).parents[2]
SAMPLES: Final = 100_000

_MIB: Final = 1024 * 1024
_PATIENCE_S: Final = 30.0
_SETTLED_S: Final = 5.0 if FULL else 0.5
"""After this a process has imported what it ever will, and has sent something."""
_SPEED: Final = 2_500.0
"""One sample in 2 ms, for the station in 5 s."""
_GROWTH_LIMIT: Final = 1.05
_BARE: Final = """
import sys, time
from awscrt import io, mqtt5
from awsiot import mqtt5_client_builder
host, port, certificate, key, ca = sys.argv[1:]
connected = lambda _: print("connected", flush=True)
client = mqtt5_client_builder.mtls_from_path(
    certificate, key, endpoint=host, port=int(port), ca_filepath=ca, client_id="bare",
    on_lifecycle_connection_success=connected,
)
client.start()
time.sleep(3600)
"""


def memory(folder: Path, broker: Mosquitto) -> Bar:
    """A station over aws-iot, as `evswap-edge run` starts it, beside awsiot imported and connected."""
    mine = broker.station_credentials("bare")
    files = [str(mine.certificate_file), str(mine.key_file), str(mine.ca_file)]
    with _process([sys.executable, "-c", _BARE, broker.host, str(broker.port), *files]) as bare:
        _wait_until_connected(broker, "bare")
        time.sleep(_SETTLED_S)
        bare_bytes = resident_bytes(bare.pid)
    with _station(folder / "memory", broker, transport="aws-iot") as station:
        time.sleep(_SETTLED_S)
        own_bytes = resident_bytes(station.pid)
    return Bar(
        name="resident memory of a station (aws-iot), in times of awsiot imported and connected",
        value=own_bytes / bare_bytes,
        unit="",
        limit=1.5,
        detail=f"{own_bytes / _MIB:.1f} MiB against {bare_bytes / _MIB:.1f} MiB",
    )


def processor(folder: Path, broker: Mosquitto, seconds: float) -> Bar:
    """The default configuration: a sample of eight simulated bays every 5 s, on-change."""
    with _station(folder / "processor", broker) as station:
        time.sleep(_SETTLED_S)
        before = processor_s(station.pid)
        time.sleep(seconds)
        share = (processor_s(station.pid) - before) / seconds
    return Bar(name="share of a core, default configuration", value=100 * share, unit="%", limit=1)


def growth(folder: Path, broker: Mosquitto, samples: int) -> tuple[Bar, list[tuple[int, float]]]:
    """Resident MiB over so many samples at accelerated time, delivered meanwhile. The first fifth is for
    caches to fill; after it nothing may grow."""
    course = list(_course(folder / "growth", broker, samples))
    settled = [mib for number, mib in course if number >= samples / 5]
    bar = Bar(
        name=f"memory after {samples:,} samples, in times of that after a fifth of them",
        value=settled[-1] / settled[0],
        unit="",
        limit=_GROWTH_LIMIT,
        detail=f"{settled[0]:.1f} MiB, {settled[-1]:.1f} MiB at the end, {max(settled):.1f} MiB at most",
    )
    return bar, course


def _course(folder: Path, broker: Mosquitto, samples: int) -> Iterator[tuple[int, float]]:
    """How many samples were taken, and the resident MiB then, fifty times."""
    folder.mkdir()
    witness = folder / "witness.jsonl"
    orders = Orders(
        configuration=str(configuration(folder, broker, batch_age_s=60)),
        boot_id=str(UUID(int=random.Random(1).getrandbits(128), version=4)),
        witness=str(witness),
        speed=_SPEED,
        is_brief=True,
    )
    (folder / "orders.json").write_bytes(msgspec.json.encode(orders))
    command = [sys.executable, "-m", "tests.chaos.station", str(folder / "orders.json")]
    step = samples // 50
    with _process(command, log=folder / "station.log") as station:
        for mark in range(step, samples + 1, step):
            while _taken(witness) < mark:
                if station.poll() is not None:
                    raise RuntimeError((folder / "station.log").read_text()[-2000:])
                time.sleep(0.05)
            yield _taken(witness), resident_bytes(station.pid) / _MIB


def _taken(witness: Path) -> int:
    """A byte a sample."""
    return witness.stat().st_size if witness.exists() else 0


def plot(course: Sequence[tuple[int, float]]) -> str:
    """The course as SVG: samples to the right, resident MiB upwards from 0."""
    width, height, margin = 720, 260, 48
    most_samples, most_mib = max(number for number, _ in course), max(mib for _, mib in course) * 1.25

    def place(number: float, mib: float) -> str:
        across = margin + (width - 2 * margin) * number / most_samples
        return f"{across:.1f},{height - margin - (height - 2 * margin) * mib / most_mib:.1f}"

    line = " ".join(place(number, mib) for number, mib in course)
    marks = "".join(
        f'<text x="{place(share * most_samples, 0).split(",")[0]}" y="{height - margin + 18}"'
        f' text-anchor="middle">{share * most_samples:,.0f}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        f' font-size="12"><rect width="{width}" height="{height}" fill="white"/>'
        f'<polyline points="{place(0, most_mib)} {place(0, 0)} {place(most_samples, 0)}" fill="none"'
        f' stroke="gray"/><polyline points="{line}" fill="none" stroke="steelblue" stroke-width="2"/>{marks}'
        f'<text x="{margin}" y="{margin - 14}">resident memory of a station, MiB (highest:'
        f" {max(mib for _, mib in course):.1f}), over samples taken and delivered</text></svg>\n"
    )


def resident_bytes(pid: int) -> int:
    """proc(5): the second field of statm, in pages."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def processor_s(pid: int) -> float:
    """Of all its threads; the first field of schedstat is in nanoseconds
    (https://docs.kernel.org/scheduler/sched-stats.html)."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def _station(
    folder: Path, broker: Mosquitto, *, transport: str = "mqtt"
) -> Iterator["subprocess.Popen[bytes]"]:
    """`evswap-edge run`, connected."""
    file = configuration(folder, broker, transport=transport, batch_age_s=60)
    command = [sys.executable, "-m", "evswap_edge", "run", "--config", str(file)]
    with _process(command, log=folder / "station.log") as process:
        _wait_until_connected(broker, STATION)
        yield process


@contextmanager
def _process(command: Sequence[str], *, log: Path | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") if log else open(os.devnull, "wb") as output:  # noqa: PTH123
        process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _wait_until_connected(broker: Mosquitto, client: str) -> None:
    before = broker.log.count(f" as {client} ")
    deadline = time.monotonic() + _PATIENCE_S
    while broker.log.count(f" as {client} ") == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{client} does not connect:\n{broker.log[-2000:]}")
        time.sleep(0.05)


def main(file: Path) -> None:
    with TemporaryDirectory() as scratch, Mosquitto(Path(scratch) / "mosquitto", persistence=False) as broker:
        bar, course = growth(Path(scratch), broker, SAMPLES)
    file.write_text(plot(course))
    print(bar)
    print(json.dumps(course))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
