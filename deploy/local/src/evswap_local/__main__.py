"""The command line: ``evswap``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.commands import add_authorise_arguments, add_erase_arguments
from evswap_cloud.errors import CloudError
from evswap_cloud.history_commands import add_compact_arguments, add_query_arguments
from evswap_cloud.operations.command_line import operations
from evswap_cloud.remote.command_line import add_command_arguments
from evswap_edge.keys import KeyFileError
from evswap_local.commands import archive, cost, down, env, history, logs, people, stations, status, up
from evswap_local.commands.operations import add_smoke_arguments, on_running_stack, run_smoke
from evswap_local.context import Context
from evswap_local.errors import LocalError

EXAMPLE = """\
a first look:

  evswap up                      AWS and ten stations on this machine
  evswap status                  what runs, and how fresh it is
  evswap logs fleet --follow     what the stations do
  eval "$(evswap env)"           then `aws s3 ls`, or any boto3 script, sees the local AWS
  evswap up --stations 25        grow the running stack
  evswap down                    stop; what was written stays

Everything is kept in .evswap/ in the checkout (--state-dir or EVSWAP_STATE_DIR names another folder).
Exit codes: 0 done, 1 it failed (one sentence says why), 2 wrong use, 130 interrupted.
"""

Arguments = Callable[[argparse.ArgumentParser], None]
Run = Callable[[Context, argparse.Namespace], int]

COMMANDS: dict[str, tuple[Arguments, Run, str]] = {
    "up": (up.add_arguments, up.run, "start AWS, the stack and the stations; or change what runs"),
    "down": (down.add_arguments, down.run, "stop everything; what was written stays"),
    "status": (status.add_arguments, status.run, "what runs, where, and how fresh it is"),
    "logs": (logs.add_arguments, logs.run, "what the processes and the functions say"),
    "env": (env.add_arguments, env.run, "lines for a shell: the AWS CLI and boto3 on the local AWS"),
    "fleet": (stations.add_fleet_arguments, stations.run_fleet, "start or stop the stations alone"),
    "certificate": (
        stations.add_certificate_arguments,
        stations.run_certificate,
        "give a station another certificate",
    ),
    "audit": (people.add_audit_arguments, people.run_audit, "check the archive of events against itself"),
    "erase": (add_erase_arguments, people.run_erase, "remove a person from every store"),
    "authorise": (
        add_authorise_arguments,
        people.run_authorise,
        "let a customer swap at stations that are offline",
    ),
    "command": (add_command_arguments, people.run_command, "have a station do something"),
    "token": (people.add_token_arguments, people.run_token, "an access token, for commands by the REST API"),
    "smoke": (add_smoke_arguments, run_smoke, "send a reading through a deployment, and look for it"),
    "archive": (archive.add_arguments, archive.run, "count or list what the archive holds"),
    "cost": (cost.add_arguments, cost.run, "what the network costs on AWS, by line"),
    "compact": (add_compact_arguments, history.run_compact, "make Parquet of the raw archive"),
    "query": (add_query_arguments, history.run_query, "ask the whole history in SQL"),
}

COMMANDS |= {
    name: (add_arguments, on_running_stack(report), text)
    for name, (text, add_arguments, report) in operations().items()
}

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    options = _parser().parse_args(arguments)
    _add, run, _help = COMMANDS[options.command]
    try:
        return run(Context.of(options.root, options.state_dir), options)
    except LocalError as error:
        sys.stderr.write(f"\nevswap: {error}\n")
        return 1
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"\nevswap: the local AWS failed: {error}; see `evswap logs ministack`\n")
        return 1
    except (CloudError, KeyFileError, OSError) as error:
        sys.stderr.write(f"\nevswap: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nevswap: interrupted\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evswap",
        description="Battery-swap stations and their cloud, all on this machine.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (add_arguments, _run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_arguments(command)
        where = command.add_argument_group("where")
        where.add_argument("--state-dir", type=Path, metavar="DIR", help="state folder (default: .evswap)")
        where.add_argument(
            "--root", type=Path, metavar="DIR", help="the checkout (default: around the current folder)"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
