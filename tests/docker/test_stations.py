"""Ten stations from compose, for real: seen in the API, cut off, killed, moved, and not a sample lost."""

import re
from collections import Counter

import pytest

from evswap_hil.deadline import wait_until
from tests.docker.conftest import STATIONS
from tests.docker.project import PREFIX, PYTHON, Committed, Outbox, Project, Sample
from tests.repeats import sent_again_at_most

pytestmark = pytest.mark.timeout(900)

NAMES = {f"{PREFIX}{number:02d}" for number in range(1, STATIONS + 1)}
OFFLINE_S = 30
CLAIM_PUBLISHES = """
import asyncio, pathlib, sys
from evswap_edge.clock import SystemTime
from evswap_edge.message import Message
from evswap_edge.transports import Caller, Rejected
from evswap_edge.transports.aws_iot import Settings
from evswap_edge.transports.aws_link import AwsIotTransport

async def main():
    claim = pathlib.Path("/run/claim")
    files = {"certificate_file": claim / "claim.cert.pem", "key_file": claim / "claim.key.pem"}
    settings = Settings(host="aws", ca_file=claim / "ca.pem", **files)
    link = AwsIotTransport(settings, Caller(station_id="claim:somebody", time=SystemTime()))
    await asyncio.wait_for(link.connect(), 20)
    try:
        await link.send(Message(topic="ev/station/docker-01/telemetry", payload=b"{}"))
    except Rejected as refusal:
        print(hex(refusal.reason_code))
    finally:
        await link.aclose()

asyncio.run(main())
"""


def test_ten_stations_are_visible_in_the_published_api(stations: Project) -> None:
    def all_are_counted() -> str | None:
        told = stations.run("status")
        return told if f"{STATIONS} of {STATIONS} visible" in told else None

    # A station of a machine that has much else to do may be silent for a minute.
    printed = wait_until(all_are_counted, what="a status that counts all", within=180, every=2).found
    found = re.search(r"^api_url +(\S+)$", printed, re.MULTILINE)
    assert found
    page = stations.get(f"{found[1]}/stations")
    assert {station["station_id"] for station in page["stations"]} == NAMES


def test_each_container_is_another_station_and_becomes_healthy(stations: Project) -> None:
    containers = stations.containers()
    assert {stations.station_of(container) for container in containers} == NAMES
    wait_until(
        lambda: all(
            each["State"]["Health"]["Status"] == "healthy" for each in stations.engine.inspect(*containers)
        ),
        what="ten healthy containers",
        within=90,
        every=2,
    )


def test_a_station_is_nobody_and_can_write_nowhere_but_its_volume(stations: Project) -> None:
    container = stations.containers()[0]
    assert stations.docker("exec", container, "id", "-u").strip() == "10001"
    for path in ("/opt/evswap/x", "/etc/x", "/home/x", "/run/claim/x"):
        refused = stations.engine.try_run("exec", container, "touch", path)
        assert refused.returncode != 0
        assert "Read-only" in refused.stderr
    status = stations.docker("exec", container, "cat", "/proc/1/status")
    told = dict(re.findall(r"^(\w+):\s*(\S+)", status, re.MULTILINE))
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
    assert told["NoNewPrivs"] == "1"
    host = stations.engine.inspect(container)[0]["HostConfig"]
    assert host["Memory"] == 128 * 2**20
    assert host["PidsLimit"] == 64
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "5m", "max-file": "3"}


def test_the_images_hold_no_secret(stations: Project) -> None:
    for image in (f"{stations.name}-station", f"{stations.name}-aws"):
        looked = stations.engine.try_run(
            *("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "grep", image),
            *(
                "-rlsE",
                "--include=*.pem",
                "BEGIN (EC |RSA )?PRIVATE KEY",
                "/opt",
                "/etc",
                "/run",
                "/root",
                "/data",
            ),
            timeout_s=60,
        )
        assert looked.stdout == ""


def test_a_station_keeps_its_key_to_itself(stations: Project) -> None:
    container = stations.containers()[0]
    folder = f"/data/{stations.station_of(container)}"
    listed = stations.docker(
        "exec", container, "stat", "-c", "%a %u", folder, f"{folder}/{folder[6:]}.key.pem"
    )
    assert listed.split() == ["700", "10001", "600", "10001"]


def test_the_claim_is_refused_to_publish_telemetry(stations: Project) -> None:
    printed = stations.docker("exec", stations.containers()[0], PYTHON, "-c", CLAIM_PUBLISHES)
    assert printed.strip() == "0x87"


def test_cut_off_and_killed_every_committed_sample_is_archived(stations: Project) -> None:
    containers = stations.containers()
    cut_off, killed, witness = containers[:5], containers[5:7], containers[7]
    lost_links = {stations.station_of(container) for container in cut_off}
    killed.sort(key=stations.station_of)
    before = stations.outboxes(witness)
    committed = Committed()

    for container in cut_off:
        stations.docker("network", "disconnect", f"{stations.name}_default", container)
    for container in killed:
        stations.docker("kill", "--signal", "KILL", container)
    committed.note(stations.outboxes(witness))

    def waited_long_enough() -> bool:
        now = stations.outboxes(witness)
        return all(now[name].waiting >= OFFLINE_S / stations.interval_s for name in lost_links)

    wait_until(waited_long_enough, what=f"{OFFLINE_S} s of samples at those cut off", within=180, every=2)
    for container in cut_off:
        stations.docker("network", "connect", f"{stations.name}_default", container)
    let_the_last_begin(stations, killed)
    stations.up(STATIONS, "--no-build")
    assert {stations.station_of(container) for container in stations.containers()} == NAMES

    def all_at_work_and_delivered() -> bool:
        now = stations.outboxes(witness)
        return all(now[name].has_grown_since(before[name]) and now[name].waiting <= 3 for name in NAMES)

    wait_until(
        all_at_work_and_delivered, what="new samples, and the delivery of every backlog", within=180, every=2
    )
    at_rest = stop_when_empty(stations, committed)
    assert at_rest.keys() == NAMES
    assert not any(outbox.aside for outbox in at_rest.values())

    def complete_archive() -> dict[str, Counter[Sample]] | None:
        found = stations.archived()
        return found if all(found[name].keys() >= committed.of(name) for name in NAMES) else None

    archived = wait_until(complete_archive, what="a complete archive", within=180, every=3).found
    assert archived.keys() == NAMES
    connected = stations.connections()
    for name in NAMES:
        assert archived[name].keys() == committed.of(name), name
        again = archived[name].total() - len(archived[name])
        assert again <= sent_again_at_most(connected[name]), name
    streams = {stream for samples in archived.values() for stream, _ in samples}
    print(f"{sum(map(len, archived.values()))} samples of {STATIONS} stations in {len(streams)} streams")


def let_the_last_begin(stations: Project, stopped: list[str]) -> None:
    """The last of them takes the drawer of the first, which goes on under another stream."""
    last = stopped[-1]
    stations.docker("start", last)
    wait_until(lambda: stations.is_at_work(last), what="a station in the last of them", within=120, every=1)


def stop_when_empty(stations: Project, committed: Committed) -> dict[str, Outbox]:
    """Stops all stations at a moment when nothing is left to deliver; what they have is `committed` then."""
    for _ in range(5):
        stations.docker("stop", *stations.containers())
        outboxes = stations.outboxes_at_rest()
        committed.note(outboxes)
        if not any(outbox.waiting for outbox in outboxes.values()):
            return outboxes
        stations.up(STATIONS, "--no-build")
    pytest.fail("whenever the stations were stopped, something still waited")


def test_fewer_and_more_again_go_on_with_the_same_drawers(stations: Project) -> None:
    stations.up(2, "--no-build")
    assert {stations.station_of(container) for container in stations.containers()} < NAMES
    assert len(stations.containers()) == 2
    before = stations.outboxes_at_rest()
    stations.up(4, "--no-build")
    assert {stations.station_of(container) for container in stations.containers()} == {
        f"{PREFIX}{number:02d}" for number in range(1, 5)
    }
    assert stations.outboxes_at_rest().keys() == before.keys() == NAMES


def test_down_keeps_the_volumes_and_removes_them_when_told_to(stations: Project) -> None:
    def volumes() -> set[str]:
        listed = stations.docker("volume", "ls", "--quiet", "--filter", f"name={stations.name}_")
        return {name.removeprefix(f"{stations.name}_") for name in listed.split()}

    stations.run("down")
    assert stations.containers() == []
    assert volumes() == {"aws", "claim", "stations"}
    stations.run("down", "--volumes")
    assert volumes() == set()
    assert stations.try_run("status").returncode == 1
