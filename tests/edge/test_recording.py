"""From a reading to a durable sample, and what a boot learns of its clock meanwhile."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import Stamp, stamp_now
from evswap_edge.outbox import Outbox, OutboxFull, Sample
from evswap_edge.reporting.changes import Changes, DeadBands
from evswap_edge.reporting.recording import Recorder
from evswap_edge.testing import ManualTime
from evswap_schema import Clock, decode_reading
from tests.edge.conftest import MakeReading
from tests.edge.publishing import opened


class Recording:
    def __init__(self, outbox: Outbox, time: ManualTime) -> None:
        self.time = time
        self.samples: list[Sample] = []
        self.recorder = Recorder(
            outbox,
            Changes(DeadBands(temperature=0.5, humidity=2.0)),
            alarms=frozenset,
            on_samples=lambda stored: self.samples.extend(sample for sample, _ in stored),
        )

    async def record(self, reading: Any) -> None:
        await self.recorder.record([(reading, stamp_now(self.time))])


async def test_readings_get_their_identity_in_the_order_in_which_they_are_recorded(
    tmp_path: Path, make_reading: MakeReading
) -> None:
    outbox = await opened(tmp_path)
    recording = Recording(outbox, ManualTime())
    await asyncio.gather(*(recording.record(make_reading(n // 10)) for n in range(50)))
    bodies = [decode_reading(sample.body) for sample in recording.samples]
    assert [body.sequence for body in bodies] == list(range(1, 51))
    assert [body.battery_available for body in bodies] == [n // 10 for n in range(50)]
    assert {body.stream_id for body in bodies} == {outbox.stream_id}
    assert [sample.sequence for sample in recording.samples if sample.changed] == [1, 11, 21, 31, 41]
    await outbox.aclose()


async def test_news_that_could_not_be_stored_is_news_again(
    tmp_path: Path, make_reading: MakeReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = await opened(tmp_path)
    recording = Recording(outbox, ManualTime())

    async def full(*_: Any, **__: Any) -> Sample:
        raise OutboxFull(outbox.path, "database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "append_all", full)
        with pytest.raises(OutboxFull):
            await recording.record(make_reading())
    await recording.record(make_reading())
    assert [sample.changed for sample in recording.samples] == [True]
    await outbox.aclose()


async def test_a_boot_learns_its_offset_whenever_its_clock_has_been_set(
    tmp_path: Path, make_reading: MakeReading, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="evswap_edge.reporting")
    time = ManualTime(state=Clock.ESTIMATED)
    outbox = await opened(tmp_path, time)
    recording = Recording(outbox, time)
    learnt: list[float | None] = []
    for state, jump in [
        (Clock.ESTIMATED, 0),
        (Clock.ESTIMATED, 86_400),
        (Clock.SYNCHRONIZED, -3_600),
        (Clock.SYNCHRONIZED, 0),
        (Clock.ESTIMATED, 500),
        (Clock.SYNCHRONIZED, -490),
    ]:
        time.clock_state = state
        time.jump(jump)
        await recording.record(make_reading())
        learnt.append(outbox.offset_of(time.boot_id))
    offsets = [sample.stamp.offset_s for sample in recording.samples]
    assert learnt == [None, None, offsets[2], offsets[2], offsets[2], offsets[5]]
    assert len(caplog.messages) == 4
    await outbox.aclose()
    again = await opened(tmp_path, time)
    assert again.offset_of(time.boot_id) == offsets[5]
    await again.aclose()


def test_a_stamp_tells_what_both_clocks_showed() -> None:
    time = ManualTime()
    time.stall(0.123_456_7)
    stamp = stamp_now(time)
    assert stamp == Stamp(time.boot_id, time.monotonic(), stamp.offset_s, Clock.SYNCHRONIZED)
    assert stamp.wall_s == pytest.approx(time.now().timestamp(), abs=1e-5)
    assert stamp.wall_clock == time.now().replace(microsecond=123_000)
