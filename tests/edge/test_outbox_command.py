"""``evswap-edge outbox``: what a technician sees, copies and frees, with the station running or not."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from evswap_edge.__main__ import main
from evswap_edge.outbox.keeper import Keeper
from evswap_edge.outbox.operations import Forget, NewSample, PutAside, Seal, Take
from evswap_edge.outbox.records import Bounds, Kind
from evswap_schema import Channel, aws_topic, decode_reading, encode_batches, encode_reading
from tests.edge.conftest import MakeReading
from tests.edge.outboxes import ALL, ask, copy, event, keeper, parcel_of, sample, size, stamp

STATION = """\
station_id: station-01
driver: {name: simulated, bays: 8}
outbox: {path: outbox.sqlite}
transport: {name: aws-iot, host: unreachable.invalid, certificate_file: c.pem, key_file: k.pem}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["outbox", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "station.yaml").write_text(STATION)
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path, make_reading: MakeReading) -> Iterator[Keeper]:
    """Two readings in a parcel, one in none, an event, and one that can never be delivered."""
    outbox = keeper(path)
    readings = [make_reading(number, bays=3) for number in range(4)]

    def body(number: int) -> Callable[[str, int], bytes]:
        return lambda stream_id, sequence: encode_reading(
            msgspec.structs.replace(readings[number], stream_id=stream_id, sequence=sequence)
        )

    samples = ask(outbox, *[NewSample(body(number), stamp(5.0 * number)) for number in range(4)])
    (batch,) = encode_batches(
        [decode_reading(stored.body) for stored in samples[:2]], topic=aws_topic(Channel.BATCH, "station-01")
    )
    ask(outbox, Seal(samples[:2], [parcel_of(samples[:2], batch.payload)]))
    ask(outbox, PutAside([samples[3].ticket], "payload format invalid"), event(b'{"event": "swap"}'))
    yield outbox
    outbox.close()


def test_inspect_says_what_waits_beside_a_running_station(run: Run, path: Path, outbox: Keeper) -> None:
    code, said, _ = run("inspect", "--config", path.parent / "station.yaml")
    assert code == 0
    assert "3 wait, 2 of them in 1 parcels" in said
    assert "station-01, used by process" in said
    assert "last sequence number 4" in said
    assert "1 can never be delivered" in said
    ask(outbox, sample())
    code, said, _ = run("inspect", "--path", path, "--json")
    report = json.loads(said)
    assert (report["samples"], report["parcels"], report["events"], report["set_aside"]) == (2, 1, 1, 1)
    assert report["lost"] == {"samples": 0, "events": 0, "volatile": 0, "set_aside": 0}
    assert report["oldest"].startswith("2026-03-01T")
    assert report["bytes"] == size(path)


def test_inspect_reads_what_a_killed_station_left_and_what_a_stopped_one_did(
    run: Run, path: Path, outbox: Keeper, tmp_path: Path
) -> None:
    killed = copy(path, tmp_path / "killed")
    (tmp_path / "killed" / "outbox.sqlite.lock").write_text("4000000")
    _, said, _ = run("inspect", "--path", killed)
    assert "no running station" in said
    assert "3 wait" in said
    outbox.close()
    before = path.read_bytes()
    _, said, _ = run("inspect", "--path", path)
    assert "3 wait" in said
    assert path.read_bytes() == before


def test_export_gives_every_reading_by_itself(run: Run, path: Path, outbox: Keeper) -> None:
    copied = path.with_name("waiting.jsonl")
    code, said, counted = run("export", "--path", path, "--output", copied)
    assert (code, said, counted) == (0, "", "5 lines\n")
    things = [json.loads(line) for line in copied.read_text().splitlines()]
    assert [thing["kind"] for thing in things] == ["event", "reading", "reading", "reading", "set_aside"]
    assert things[0]["message"] == {"event": "swap"}
    assert [thing["sequence"] for thing in things[1:4]] == [1, 2, 3]
    assert [thing["message"]["sequence"] for thing in things[1:4]] == [1, 2, 3]
    assert all(len(thing["message"]["bays"]) == 3 for thing in things[1:4])
    assert things[4]["reason"] == "payload format invalid"
    assert outbox.standing.waiting.all_samples == 3
    code, _, said = run("export", "--path", path, "--output", copied)
    assert code == 1
    assert "File exists" in said


def test_export_gives_what_it_cannot_read_as_it_is(run: Run, path: Path) -> None:
    with_noise = keeper(path)
    ask(with_noise, event(b"\xff\x00"))
    with_noise.close()
    _, said, _ = run("export", "--path", path)
    assert json.loads(said)["base64"] == "/wA="


def test_vacuum_gives_room_back_and_only_to_a_stopped_station(run: Run, path: Path) -> None:
    outbox = keeper(path, Bounds())
    ask(outbox, *[sample(bytes(range(256)) * 20) for _ in range(2_000)])
    (taken,) = ask(outbox, Take(Kind.SAMPLE, ALL))
    ask(outbox, Forget([item.ticket for item in taken[1:]]))
    code, _, said = run("vacuum", "--path", path)
    assert code == 1
    assert "in use by process" in said
    outbox.close()
    before = size(path)
    code, said, _ = run("vacuum", "--path", path)
    assert code == 0
    assert "MiB before" in said
    assert size(path) < before / 10
    again = keeper(path, Bounds())
    assert again.standing.waiting.samples == 1
    again.close()


@pytest.mark.parametrize("action", ["inspect", "export", "vacuum"])
def test_what_is_no_outbox_is_an_error_that_says_so(run: Run, path: Path, action: str) -> None:
    code, _, said = run(action, "--path", path)
    assert code == 1
    assert "is not there" in said
    assert not path.exists()
    path.write_bytes(b"no database" * 1_000)
    code, _, said = run(action, "--path", path)
    assert code == 1
    assert "not a database" in said


def test_inspect_says_what_to_do_with_a_file_of_the_first_schema(run: Run, path: Path) -> None:
    keeper(path).close()
    older(path)
    code, _, said = run("inspect", "--path", path)
    assert code == 1
    assert "has schema 1" in said


def older(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 1")
    db.close()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["outbox", "--help"])
    said = capsys.readouterr().out
    assert "evswap-edge outbox inspect --config station.yaml" in said
    assert "with the station stopped" in said
