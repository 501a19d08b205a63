"""Commands for a running emulator: lines on standard input, and one line on standard output for each."""

import asyncio
import sys
from collections.abc import Callable
from typing import Final, TextIO

Obey = Callable[[str], str]

_LONGEST_LINE: Final = 16_384


async def obey_lines(obey: Obey, stop: asyncio.Event) -> None:
    """Answer every line of standard input by ``obey``, until it ends or ``stop`` is set."""
    lines = await _reader(sys.stdin)
    asked = asyncio.create_task(stop.wait())
    try:
        while (line := await _line(lines, unless=asked)) is not None:
            if line.strip():
                say(obey(line) if len(line) <= _LONGEST_LINE else "error: the line is too long")
    finally:
        asked.cancel()


def say(text: str) -> None:
    """One line, at once: whoever reads it waits for it."""
    print(text, flush=True)


async def _line(lines: asyncio.StreamReader, *, unless: asyncio.Task[bool]) -> str | None:
    reading = asyncio.create_task(lines.readline())
    await asyncio.wait((reading, unless), return_when=asyncio.FIRST_COMPLETED)
    if not reading.done():
        reading.cancel()
        return None
    try:
        return reading.result().decode(errors="replace") or None
    except ValueError:
        return "?" * (_LONGEST_LINE + 1)  # the reader has thrown it away: too long to be a command


async def _reader(source: TextIO) -> asyncio.StreamReader:
    """A reader that does not block: of a pipe or a terminal as it comes, of a file at once."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    except ValueError:
        reader = asyncio.StreamReader()
        reader.feed_data(source.buffer.read())
        reader.feed_eof()
    return reader
