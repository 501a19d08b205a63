"""The command line: ``evswap-edge``."""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from evswap_edge import logs
from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import Log, describe, read_any, read_fleet, read_station
from evswap_edge.documents import ConfigurationError
from evswap_edge.fleet import run_fleet
from evswap_edge.hal import DriverError
from evswap_edge.keys import KeyFileError, request_certificate
from evswap_edge.outbox import OutboxError
from evswap_edge.transports import CredentialsError, TransportError
from evswap_schema import STATION_ID_PATTERN

_log: Final = logging.getLogger("evswap_edge")

_EXAMPLE: Final = """\
a station on this machine, from nothing:

  evswap-edge csr --station-id station-01 --directory .
      makes station-01.key.pem (never leaves this machine) and station-01.csr.pem;
      have the latter signed, and put the answer beside them as station-01.cert.pem

  cat > station.yaml <<END
  station_id: station-01
  driver: {name: simulated, bays: 8}
  outbox: {path: outbox.sqlite}
  transport:
    name: aws-iot
    host: xxxx-ats.iot.eu-central-1.amazonaws.com
    certificate_file: station-01.cert.pem
    key_file: station-01.key.pem
  END

  evswap-edge check --config station.yaml
  evswap-edge run --config station.yaml

exit codes: 0 stopped by SIGTERM or SIGINT, 2 configuration, 3 credentials, 1 anything else.
A second signal ends the program at once; nothing that was sampled is lost by that.
"""


class Exit(IntEnum):
    """What the exit code of the program means."""

    STOPPED = 0
    FAILED = 1
    CONFIGURATION = 2
    CREDENTIALS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    return int(_guarded(options.command, options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evswap-edge",
        description="A battery-swap station: samples its bays, keeps every sample until the cloud has it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("run", _run, "run one station"),
        ("fleet", _fleet, "run many simulated stations in one process"),
        ("check", _check, "say what a configuration would run, and what is wrong with it"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", type=Path, required=True, metavar="FILE", help="the YAML file")
        sub.set_defaults(
            command=command, reports=_report_as_log if command is not _check else _report_as_text
        )
    csr = commands.add_parser("csr", help="make this station's key and the request to certify it")
    csr.add_argument("--station-id", type=_station_id, required=True, metavar="ID")
    csr.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="where key and request are put"
    )
    csr.set_defaults(command=_csr, reports=_report_as_text)
    return parser


def _station_id(text: str) -> str:
    if not re.match(STATION_ID_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r}: letters, digits, - and _ only, at most 64")
    return text


# --- commands -------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> None:
    configuration = read_station(options.config)
    logs.configure(configuration.log.level)
    (station,) = configuration.stations
    clock = SystemTime()
    asyncio.run(_until_stopped(lambda stop: run_station(station, clock, stop)))


def _fleet(options: argparse.Namespace) -> None:
    configuration = read_fleet(options.config)
    logs.configure(configuration.log.level)
    clock = SystemTime()
    asyncio.run(_until_stopped(lambda stop: run_fleet(configuration.stations, clock, stop)))


def _check(options: argparse.Namespace) -> None:
    """Either kind of file; it is told apart by the key that only a fleet has."""
    configuration = read_any(options.config)
    clock = SystemTime()
    for station in configuration.stations:
        station.transport.kind.check(station.transport.settings, clock)
        print(describe(station))


def _csr(options: argparse.Namespace) -> None:
    request = request_certificate(options.station_id, options.directory)
    print(f"{request}: have it signed, and put the certificate beside it")


# --- from beginning to exit code ------------------------------------------------------------------------


async def _until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run ``work``; the first SIGTERM or SIGINT asks it to stop, the second does not ask."""
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.on_signal, number)
    await work(stop.event)


class _Stop:
    """The wish to stop, as signals express it."""

    _SAME_REQUEST_S: Final = 0.5
    """timeout(1), a terminal or a supervisor may send one signal to the process and to its group."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self._asked_at = 0.0

    def on_signal(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if not self.event.is_set():
            _log.info("%s: stops", number.name)
            self._asked_at = now
            self.event.set()
        elif now - self._asked_at > self._SAME_REQUEST_S:
            _log.warning("%s again: ends at once", number.name)
            os._exit(Exit.FAILED)


def _guarded(command: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> Exit:
    """Run ``command`` and report how it ended, in the way that suits it."""
    logs.configure(Log().level)
    try:
        command(options)
    except ConfigurationError as error:
        options.reports(error, file=str(error.file), line=error.line, key=error.key)
        return Exit.CONFIGURATION
    except CredentialsError as error:
        options.reports(error, file=str(error.path))
        return Exit.CREDENTIALS
    except (DriverError, OutboxError, TransportError, KeyFileError) as error:
        options.reports(error)
        return Exit.FAILED
    except Exception:  # noqa: BLE001 - the outermost frame: a bug becomes an exit code
        _log.exception("ended by a bug")
        return Exit.FAILED
    return Exit.STOPPED


def _report_as_log(error: Exception, **details: object) -> None:
    _log.error("%s", error, extra=details)


def _report_as_text(error: Exception, **_: object) -> None:
    print(f"evswap-edge: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
