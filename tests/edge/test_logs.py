"""Logs are JSON, one object a line, and say which station speaks."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from evswap_edge.episode import Episode
from evswap_edge.logs import STATION, JsonFormatter


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("evswap_edge.test")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


def test_a_line_is_an_object_with_its_extras(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    logger.warning("lost %d\nlines", 2, extra={"sequences": [1, 2]})
    line = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert (line["level"], line["logger"], line["message"]) == (
        "warning",
        "evswap_edge.test",
        "lost 2\nlines",
    )
    assert line["sequences"] == [1, 2]
    assert line["ts"].endswith("Z")
    assert "station_id" not in line
    assert set(line) == {"ts", "level", "logger", "message", "sequences"}


def test_an_exception_is_a_field(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("failed")
    assert json.loads(stream.getvalue())["exception"].endswith("ValueError: why")


async def test_each_task_logs_for_its_own_station(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written

    async def work(station_id: str) -> None:
        STATION.set(station_id)
        await asyncio.sleep(0)
        await asyncio.to_thread(logger.info, "from a thread")

    await asyncio.gather(work("a"), work("b"))
    assert sorted(json.loads(line)["station_id"] for line in stream.getvalue().splitlines()) == ["a", "b"]


def test_an_episode_is_two_lines_however_long(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    now = 0.0
    episode = Episode(logger, "sensor x", monotonic=lambda: now)
    episode.end()
    for _ in range(2):
        for _ in range(50):
            episode.begin("no answer")
            now += 5.0
        episode.end()
        episode.end()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"] for line in lines] == [
        "sensor x: no answer",
        "sensor x: works again after 250.0 s",
    ] * 2
    assert (lines[1]["failures"], lines[1]["lasted_s"]) == (50, 250.0)
