"""Why a port cannot be opened, and what to look at. The calls here block: run them in a thread."""

import asyncio
import errno
import fcntl
import grp
import os
import socket
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from evswap_edge.hal import DriverUnavailable

_TCP_ADVICE: Final = "look at the address, the cable and the gateway's power"
_REASONS: Final[Mapping[int, str]] = {
    errno.ENOENT: "does not exist; is the adapter plugged in? `ls /dev/serial/by-id` names those that are",
    errno.ENODEV: "has no hardware behind it; is the adapter plugged in?",
    errno.ENXIO: "has no hardware behind it; is the adapter plugged in?",
    errno.EIO: "has no hardware behind it any more; was the adapter pulled out?",
    errno.EBUSY: "is in use by another program; `fuser -v` on it shows which",
    errno.EWOULDBLOCK: "is in use by another program; `fuser -v` on it shows which",
    errno.EISDIR: "is a folder and no serial port",
    errno.ENOTTY: "is no serial port",
}


def require_serial(port: str) -> None:
    """Open ``port`` as its user is about to, and close it. Raises ``DriverUnavailable`` with the reason.

    The library only logs why it could not; and what hangs in a broken adapter's ``open``, hangs in this
    thread.
    """
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            termios.tcgetattr(descriptor)
        finally:
            os.close(descriptor)
    except PermissionError as error:
        raise DriverUnavailable(device=port, reason=_denied(port)) from error
    except (OSError, termios.error) as error:
        number, text = error.args[:2]
        raise DriverUnavailable(device=port, reason=_REASONS.get(number, str(text))) from error


async def why_not_tcp(host: str, port: int, *, within_s: float) -> str:
    """Try what has just failed once more, and say how it fails."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), within_s)
    except TimeoutError:
        return f"no connection within {within_s:g} s; {_TCP_ADVICE}"
    except socket.gaierror as error:
        return f"the name is not known ({error.strerror}); look at the address"
    except OSError as error:
        return f"no connection ({os.strerror(error.errno) if error.errno else error}); {_TCP_ADVICE}"
    writer.close()
    return "the connection came too late; it is tried again"


def _denied(port: str) -> str:
    group = _group(port)
    advice = f"`sudo usermod -aG {group} $USER` and a new login give it" if group else "look at its owner"
    return f"permission denied; the port belongs to the group {group or 'of root'}: {advice}"


def _group(port: str) -> str | None:
    """Who may use it: ``dialout`` on Debian and Raspberry Pi OS, ``uucp`` elsewhere."""
    try:
        return grp.getgrgid(Path(port).stat().st_gid).gr_name
    except (OSError, KeyError):
        return None
