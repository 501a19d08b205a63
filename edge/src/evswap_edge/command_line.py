"""The command line: ``evswap-edge``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from evswap_edge import logs
from evswap_edge.commands import COMMANDS, Command
from evswap_edge.config import Log
from evswap_edge.documents import ConfigurationError
from evswap_edge.emulators import EmulatorError
from evswap_edge.hal import DriverError
from evswap_edge.hosting import MetricsUnavailable
from evswap_edge.keys import KeyFileError
from evswap_edge.outbox import OutboxError
from evswap_edge.provisioning import ProvisioningError
from evswap_edge.safety.releasing import ReleaseError
from evswap_edge.simulation import SimulationError
from evswap_edge.transports import CredentialsError, RestartRequired, TransportError

_log: Final = logging.getLogger("evswap_edge")

_EXAMPLE: Final = """\
a station on this machine, from nothing:

  evswap-edge provision --station-id station-01 --directory . \\
      --host xxxx-ats.iot.eu-central-1.amazonaws.com \\
      --claim-certificate claim.cert.pem --claim-key claim.key.pem
      makes station-01.key.pem (never leaves this machine) and obtains station-01.cert.pem for it;
      where there is no claim: evswap-edge csr, and have the request signed

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

exit codes: 0 stopped by SIGTERM or SIGINT, 2 configuration, 3 credentials (check and provision; a station
samples on without), 4 has to be started again (the Greengrass nucleus was), 1 anything else.
A second signal ends the program at once; nothing that was sampled is lost by that.
"""


_FAILURES: Final = (
    DriverError,
    EmulatorError,
    KeyFileError,
    MetricsUnavailable,
    OutboxError,
    ProvisioningError,
    ReleaseError,
    SimulationError,
    TransportError,
)


class Exit(IntEnum):
    """What the exit code of the program means."""

    STOPPED = 0
    FAILED = 1
    CONFIGURATION = 2
    CREDENTIALS = 3
    RESTART = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = next((word for word in given if not word.startswith("-")), None)
    options = _parser(chosen=chosen).parse_args(given)
    return int(_guarded(COMMANDS[options.command], options))


def _parser(*, chosen: str | None) -> argparse.ArgumentParser:
    """It knows all commands, and of the ``chosen`` one what it takes: that costs an import."""
    parser = argparse.ArgumentParser(
        prog="evswap-edge",
        description="A battery-swap station: samples its bays, keeps every sample until the cloud has it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is, and end")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        parser_of_command = commands.add_parser(name, help=command.help, description=command.help)
        if name == chosen:
            command.add_arguments(parser_of_command)
    return parser


class _Version(argparse.Action):
    """``importlib.metadata`` brings many modules along: only who asks for the version pays for them."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('evswap-edge')}")
        parser.exit()


def _guarded(command: Command, options: argparse.Namespace) -> Exit:
    """Run ``command`` and report how it ended, in the way that suits it."""
    logs.configure(Log().level)
    report = _report_as_log if command.is_service else _report_as_text
    try:
        command.run(options)
    except ConfigurationError as error:
        report(error, file=str(error.file), line=error.line, key=error.key)
        return Exit.CONFIGURATION
    except CredentialsError as error:
        report(error, file=str(error.path))
        return Exit.CREDENTIALS
    except RestartRequired as error:
        report(error)
        return Exit.RESTART
    except _FAILURES as error:
        report(error)
        return Exit.FAILED
    except Exception:  # noqa: BLE001 - the outermost frame: a bug becomes an exit code
        _log.exception("ended by a bug")
        return Exit.FAILED
    return Exit.STOPPED


def _report_as_log(error: Exception, **details: object) -> None:
    _log.error("%s", error, extra=details)


def _report_as_text(error: Exception, **_: object) -> None:
    print(f"evswap-edge: {error}", file=sys.stderr)
