"""``evswap logs``: what the processes and the functions say."""

import argparse
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from evswap_local import emulator, fleet
from evswap_local.context import Context
from evswap_local.stack.functions import FILE, log_group

PROCESSES = (emulator.NAME, fleet.NAME)
FUNCTIONS = (
    *("live", "change", "bulk", "events", "connection", "sweep", "api", "command", "reports", "expire"),
    *("ticket", "watch-authorise", "watch", "push", "provision", "retire"),
)
_NAMES = (*PROCESSES, *FUNCTIONS)
POLL_S = 0.5
CHUNK = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Processes log to files, functions to CloudWatch Logs."""
    parser.add_argument(
        "of",
        nargs="*",
        # argparse before Python 3.12 holds the empty list of no names at all against choices.
        type=_name,
        metavar="|".join(_NAMES),
        help="whose (default: both processes)",
    )
    parser.add_argument(
        "--lines", type=int, default=20, metavar="N", help="the last N (default: %(default)s)"
    )
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")


def _name(text: str) -> str:
    if text not in _NAMES:
        raise argparse.ArgumentTypeError(f"nothing is called {text!r}; choose from {', '.join(_NAMES)}")
    return text


def run(context: Context, options: argparse.Namespace) -> int:
    """Prints the last lines of each, with its name before each line when there are several."""
    names: Sequence[str] = options.of or PROCESSES
    readers = {name: _reader(context, name, options.lines) for name in names}
    while True:
        for name, read in readers.items():
            for line in read():
                sys.stdout.write(f"{name:>9}  {line}\n" if len(readers) > 1 else f"{line}\n")
        sys.stdout.flush()
        if not options.follow:
            return 0
        time.sleep(POLL_S)


def _reader(context: Context, name: str, lines: int) -> Callable[[], Iterator[str]]:
    if name in PROCESSES:
        return FileReader(context.processes.log_of(name), lines).new_lines
    settings, _described = context.demand_running()
    clients = context.clients(settings)
    function = context.source(clients).yaml(FILE)["functions"][name]["name"]

    def fetch(since_ms: int) -> list[tuple[int, str]]:
        pages = clients.logs.get_paginator("filter_log_events").paginate(
            logGroupName=log_group(function), startTime=since_ms
        )
        return [(event["timestamp"], event["message"]) for page in pages for event in page["events"]]

    return EventReader(fetch, lines).new_lines


class FileReader:
    """The last lines of a file, then what is added. A file that was replaced is read from its beginning."""

    def __init__(self, path: Path, lines: int) -> None:
        self._path, self._lines = path, lines
        self._inode: int | None = None
        self._position = 0

    def new_lines(self) -> Iterator[str]:
        """What came since the last call."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if self._inode is None:
                lines = list(deque(file, self._lines))
            else:
                file.seek(self._position if inode == self._inode else 0)
                lines = list(file)
            self._inode, self._position = inode, file.tell()
        yield from (_text(line) for line in lines)


class EventReader:
    """The same for CloudWatch Logs."""

    def __init__(self, fetch: Callable[[int], list[tuple[int, str]]], lines: int) -> None:
        self._fetch, self._lines = fetch, lines
        self._since = 0
        self._seen: set[tuple[int, str]] = set()

    def new_lines(self) -> Iterator[str]:
        """What came since the last call."""
        events = [event for event in self._fetch(self._since) if event not in self._seen]
        kept = events if self._since else (events[-self._lines :] if self._lines else [])
        for moment, message in kept:
            yield f"{datetime.fromtimestamp(moment / 1000, UTC).isoformat()} {message.rstrip()}"
        if events:
            self._since = max(moment for moment, _message in events)
            self._seen = {event for event in [*self._seen, *events] if event[0] == self._since}


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\n")
