"""From the raw archive to Parquet: each message once, by the day of its sample, sorted, and nothing lost."""

import gzip
import json
from datetime import timedelta

import msgspec
import pytest

from evswap_cloud.compaction import EVENTS, READINGS, Limits, compact
from evswap_cloud.errors import HistoryError
from evswap_schema import Clock, Event
from tests.cloud.compaction.history import History, run, sampled
from tests.cloud.messages import NOW, bay, reading
from tests.cloud.station_events import alarm, inventory, refusal, swap

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def history() -> History:
    return History()


def sequences(history: History) -> dict[str, list[int]]:
    return {day: [row["sequence"] for row in rows] for day, rows in history.days().items()}


def test_what_batches_and_single_messages_brought_stands_there_once_sorted(history: History) -> None:
    history.receive(run("station-02"))
    history.receive(run("station-01"))
    for one in run("station-01")[:3]:
        history.receive_singly(one, NOW + timedelta(seconds=2))
    outcome = history.compact()
    rows = history.rows()
    assert [(row["station_id"], row["sequence"]) for row in rows] == [
        (station, number) for station in ("station-01", "station-02") for number in range(1, 13)
    ]
    assert (outcome.objects, outcome.rows, outcome.days) == (5, 27, ("2026-11-23",))
    assert {row["received_at"] for row in rows} == {NOW.replace(tzinfo=None)}, "of copies the first receipt"


def test_of_a_batch_and_a_single_message_the_one_with_bays_counts(history: History) -> None:
    with_bays = sampled(7, NOW, bays=(bay(1),))
    history.receive_singly(sampled(7, NOW), NOW - timedelta(seconds=1))
    history.receive([with_bays])
    history.compact()
    history.receive_singly(sampled(7, NOW), NOW - timedelta(seconds=2))
    history.compact()
    [row] = history.rows()
    assert [each["bay"] for each in row["bays"]] == [1]


def test_every_column_is_what_the_station_said(history: History) -> None:
    one = sampled(
        7, NOW, bays=(bay(1), bay(2, battery=None)), temperature=None, quality={"temperature": "failed"},
        firmware="1.2", clock=Clock.SYNCHRONIZED,
    )  # fmt: skip
    history.receive([one])
    history.compact()
    [row] = history.rows()
    assert row["timestamp"] == NOW.replace(tzinfo=None)
    assert (row["temperature"], row["quality"], row["firmware"]) == (None, {"temperature": "failed"}, "1.2")
    assert (row["humidity"], row["status"], row["clock"]) == (42.0, "operational", "synchronized")
    assert [each["bay"] for each in row["bays"]] == [1, 2]
    assert row["bays"][0]["battery"]["serial_number"] == "B-1"
    assert row["bays"][1]["battery"] is None
    assert row["original"] is None


def test_a_seed_message_is_known_by_its_time_and_keeps_what_no_column_holds(history: History) -> None:
    plain, strange = reading(), reading(timestamp=NOW - timedelta(seconds=6))
    history.receive_singly(plain)
    history.receive_singly(strange)
    [key] = [key for key in history.archive.bodies if "081524" in key]
    document = json.loads(history.archive.bodies[key]) | {
        "inverter": {"watts": 250},
        "battery_available": 12.0,
    }
    document["timestamp"] = "2026-11-23T10:15:24.250+02:00"
    body = json.dumps(document, indent=1).encode()
    history.archive.bodies[key] = body
    history.compact()
    first, second = history.rows()
    assert first["timestamp"] == (NOW - timedelta(seconds=6)).replace(tzinfo=None), "offsets are normalised"
    assert first["battery_available"] == 12
    assert json.loads(first["original"]) == document
    assert second["original"] is None


def test_a_day_is_that_of_the_sample_and_late_data_opens_it_again(history: History) -> None:
    around = [sampled(number, MIDNIGHT + timedelta(seconds=number - 3)) for number in range(1, 6)]
    history.receive([around[0], around[4]])
    history.compact()
    assert sequences(history) == {"2026-11-22": [1], "2026-11-23": [5]}
    before = history.manifest().days
    history.receive(around[1:2], NOW + timedelta(days=13))
    outcome = history.compact()
    assert outcome.days == ("2026-11-22",)
    assert sequences(history) == {"2026-11-22": [1, 2], "2026-11-23": [5]}
    assert history.manifest().days["2026-11-23"] == before["2026-11-23"], "the other day is left alone"


def test_a_column_that_older_files_have_not_is_null_there(history: History) -> None:
    older = msgspec.structs.replace(
        READINGS, columns={name: type_ for name, type_ in READINGS.columns.items() if name != "firmware"}
    )
    history.receive([sampled(1, NOW, firmware="1.0")])
    history.compact(older)
    history.receive([sampled(2, NOW, firmware="1.1")])
    history.compact()
    assert [row["firmware"] for row in history.rows()] == [None, "1.1"]


def test_nothing_new_writes_nothing(history: History) -> None:
    history.receive(run())
    history.compact()
    before = dict(history.compacted.bodies)
    outcome = history.compact()
    assert (outcome.objects, outcome.days, history.compacted.bodies) == (0, (), before)


def test_a_corrected_time_moves_a_reading_to_its_day_in_whatever_order_it_came(history: History) -> None:
    estimated = sampled(3, MIDNIGHT - timedelta(days=9), clock=Clock.ESTIMATED)
    corrected = sampled(3, NOW, clock=Clock.SYNCHRONIZED)
    others = [sampled(2, NOW - timedelta(seconds=5)), sampled(4, NOW + timedelta(seconds=5))]
    for first, second in ((estimated, corrected), (corrected, estimated)):
        history = History()
        history.receive([first])
        history.receive(others)
        history.compact()
        history.receive([second], NOW + timedelta(seconds=30))
        history.compact()
        assert sequences(history) == {"2026-11-23": [2, 3, 4]}
        assert history.rows()[1]["clock"] == "synchronized"


def test_both_copies_in_one_run_are_one_reading(history: History) -> None:
    history.receive([sampled(3, MIDNIGHT - timedelta(days=9), clock=Clock.ESTIMATED)])
    history.receive([sampled(3, NOW, clock=Clock.SYNCHRONIZED)])
    history.compact()
    assert sequences(history) == {"2026-11-23": [3]}
    assert not any("day=14" in key for key in history.compacted.bodies)


def test_a_large_day_is_divided_and_late_data_opens_one_share(history: History) -> None:
    stations = [f"station-{number:02}" for number in range(1, 21)]
    for station in stations:
        history.receive(run(station))
    limits = Limits(rows_per_share=80)
    history.compact(limits=limits)
    day = history.manifest().days["2026-11-23"]
    assert (day.shares, day.rows) == (4, 240)
    shares = {file.share: {row["station_id"] for row in history.file(file.key)} for file in day.files}
    assert sum(map(len, shares.values())) == 20
    history.receive([sampled(13, NOW + timedelta(seconds=5), "station-07")])
    history.compact(limits=limits)
    after = history.manifest().days["2026-11-23"]
    [new] = set(after.files) - set(day.files)
    assert "station-07" in {row["station_id"] for row in history.file(new.key)}
    assert after.rows == 241


def test_a_day_that_has_grown_is_divided_anew(history: History) -> None:
    for number in range(1, 11):
        history.receive(run(f"station-{number:02}"))
    history.compact(limits=Limits(rows_per_share=200))
    for number in range(11, 21):
        history.receive(run(f"station-{number:02}"))
    history.compact(limits=Limits(rows_per_share=80))
    day = history.manifest().days["2026-11-23"]
    assert (day.shares, day.rows) == (4, 240)
    assert len({(row["station_id"], row["sequence"]) for row in history.rows()}) == 240


def test_a_run_goes_as_far_as_it_may(history: History) -> None:
    for number in range(5):
        history.receive([sampled(number, NOW)], NOW + timedelta(seconds=number))
    outcome = history.compact(limits=Limits(objects=3))
    assert (outcome.objects, outcome.left) == (3, 2)
    outcome = history.compact(limits=Limits(objects=3))
    assert (outcome.objects, outcome.left, len(history.rows())) == (2, 0, 5)


# --- events ---


def test_events_are_there_without_their_customers(history: History) -> None:
    happened: list[Event] = [swap(1), alarm(2), inventory(3), refusal(4)]
    history.receive_events(happened)
    history.receive_events(happened[:2], NOW + timedelta(minutes=1))
    history.compact(EVENTS)
    rows = history.rows(EVENTS)
    assert [(row["sequence"], row["kind"]) for row in rows] == [
        (1, "swap"), (2, "alarm"), (3, "inventory"), (4, "refusal"),
    ]  # fmt: skip
    assert rows[0]["batteries"][0]["serial_number"] == "B-1"
    assert (rows[1]["alarm"], rows[1]["count"]) == ("samples_dropped", 17)
    assert not any(b"0" * 64 in body for body in history.compacted.bodies.values())
    assert "id_token" not in rows[0]


def test_originals_of_events_stay_as_they_alone_have_everything(history: History) -> None:
    history.receive_events([swap(1)])
    history.now += timedelta(days=300)
    for _ in range(2):
        [outcome] = compact(
            archive=history.archive,
            compacted=history.compacted,
            kinds=(EVENTS,),
            limits=Limits(keep_days=0),
            clock=lambda: history.now,
        )
        assert outcome.deleted == 0
    assert len(history.archive.bodies) == 1


# --- originals ---


def test_originals_go_after_their_days_and_not_before(history: History) -> None:
    history.receive(run())
    history.receive_singly(reading())
    history.compact(limits=Limits(keep_days=7))
    history.now += timedelta(days=6, hours=23)
    assert history.compact(limits=Limits(keep_days=7)).deleted == 0
    history.now += timedelta(hours=1)
    outcome = history.compact(limits=Limits(keep_days=7))
    assert (outcome.deleted, history.archive.bodies, history.manifest().takings) == (2, {}, ())
    assert len(history.rows()) == 13


def test_no_original_goes_while_a_file_is_missing_or_changed(history: History) -> None:
    history.receive(run())
    history.compact()
    [file] = history.manifest().files()
    history.now += timedelta(days=8)
    history.compacted.bodies[file.key] += b"x"
    with pytest.raises(HistoryError, match="no original is deleted"):
        history.compact()
    assert len(history.archive.bodies) == 1


@pytest.mark.parametrize("broken", [b"{\n", b'{"station_id": "station-01"}\n', b"\xff\n", b"[]\n"])
def test_an_object_with_a_line_that_is_no_message_gives_the_others_and_stays(
    history: History, broken: bytes
) -> None:
    history.receive(run())
    [key] = history.archive.bodies
    lines = gzip.decompress(history.archive.bodies[key]) + broken
    history.archive.bodies[key] = gzip.compress(lines)
    outcome = history.compact(limits=Limits(keep_days=0))
    assert (outcome.rows, outcome.unreadable, outcome.deleted) == (12, 1, 0)
    assert len(history.rows()) == 12
    assert key in history.archive.bodies


def test_an_object_that_is_nothing_at_all_is_counted_and_stays(history: History) -> None:
    history.archive.write("bulk/year=2026/month=11/day=23/x.jsonl.gz", b"no gzip")
    history.archive.write("telemetry/year=2026/month=11/day=23/x.json", b"{}")
    history.receive(run())
    outcome = history.compact()
    assert (outcome.rows, outcome.unreadable) == (12, 2)


# --- what Athena reads ---


def test_athena_finds_the_current_files_of_a_day_in_its_list(history: History) -> None:
    history.receive(run())
    history.compact()
    folder = "readings/year=2026/month=11/day=23"
    [file] = history.manifest().files()
    assert file.key.startswith(f"data/{folder}/")
    assert history.compacted.bodies[f"current/{folder}/files.txt"].decode() == f"memory://bucket/{file.key}\n"


def test_superseded_files_stay_a_day_for_who_reads_them(history: History) -> None:
    history.receive(run())
    history.compact()
    [old] = history.manifest().files()
    history.receive([sampled(13, NOW)])
    history.compact()
    assert old.key in history.compacted.bodies
    history.now += timedelta(days=1, seconds=1)
    history.compact()
    assert old.key not in history.compacted.bodies
    assert len(history.rows()) == 13
