"""The entrypoint of the local AWS's container: `evswap up` in the foreground.

``run`` starts the stack, waits, and stops it in order when it is told to. ``health`` tells whether it stands.
``visible`` prints which stations the REST API shows, as JSON: name and time of the last message.
"""

import ctypes
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

EVSWAP = "/opt/evswap/bin/evswap"
CHECKOUT = "/opt/evswap/checkout"
STATE = Path(os.environ.get("EVSWAP_STATE_DIR", "/var/lib/evswap"))
READY = Path("/tmp/ready")  # noqa: S108 - a tmpfs of the container's own
ANYWHERE = "0.0.0.0"  # noqa: S104 - the container's own network; compose publishes on loopback only
UP = ("up", "--bind", ANYWHERE, "--port", "4566", "--mqtt-port", "8883", "--no-fleet", "--stations", "1")
PR_SET_CHILD_SUBREAPER = 36
HTTP_TIMEOUT_S = 5


class Stop(Exception):
    """A signal asked for it."""


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    match list(arguments):
        case ["run"]:
            return run()
        case ["health"]:
            return health()
        case ["visible"]:
            return visible()
        case _:
            return evswap(*arguments)


def run() -> int:
    """Runs until a signal comes, or until the emulator ends by itself (1)."""
    READY.unlink(missing_ok=True)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise_stop)
    try:
        if (code := evswap(*UP)) != 0:
            return code
        READY.touch()
        reap_until(None)
    except Stop:
        READY.unlink(missing_ok=True)
        return evswap("down")
    sys.stderr.write("aws: the emulator has ended by itself\n")
    return 1


def health() -> int:
    """0 when `evswap up` has ended well and the API answers."""
    if not READY.exists():
        return 1
    with urllib.request.urlopen(f"{_api_url()}/stations", timeout=HTTP_TIMEOUT_S):  # noqa: S310 - our own
        return 0


def visible() -> int:
    """Every station that the API shows, page by page."""
    from evswap_local.api import stations

    shown = [
        {"station_id": station["station_id"], "received_at": station["received_at"]}
        for station in stations(_api_url())
    ]
    sys.stdout.write(json.dumps(shown) + "\n")
    return 0


def _api_url() -> str:
    return str(json.loads((STATE / "stack.json").read_text(encoding="utf-8"))["api_url"])


def evswap(*arguments: str) -> int:
    """A command of evswap's, on the stack of this container; its exit code. A stop is passed on to it."""
    command = [EVSWAP, arguments[0], "--root", CHECKOUT, *arguments[1:]]
    child = os.posix_spawn(EVSWAP, command, os.environ)
    try:
        return reap_until(child)
    except Stop:
        os.kill(child, signal.SIGTERM)
        reap_until(child)
        raise


def reap_until(child: int | None) -> int:
    """Waits until ``child`` has ended and returns its exit code; without one, until no child is left.

    `evswap up` leaves the emulator behind, which becomes a child of this process. It has to be waited for, or
    it stays a zombie, and `evswap down` waits for it in vain.
    """
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            return 0
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise Stop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
