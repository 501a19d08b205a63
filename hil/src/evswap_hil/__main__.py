"""The command `evswap-hil`.

Exit code: 0 everything is as it must be, 1 something is not, 2 it could not be found out.
"""

import argparse
import sys
from collections.abc import Sequence

from evswap_hil.commands import COMMANDS
from evswap_hil.commands.exits import UNUSABLE, Unusable

INTERRUPTED = 130

EXAMPLE = """\
a first look:

  evswap up                          a stack to look at
  evswap-hil check                   is it as it must be?
  evswap-hil run --bench virtual     a station on a bench of emulated hardware: functional suite, fault suite
  evswap-hil validate --bench FILE   is this a bench?

exit codes: 0 everything is as it must be, 1 something is not, 2 it could not be found out (one sentence
says why).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except Unusable as error:
        print(f"evswap-hil: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("evswap-hil: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evswap-hil",
        description="Looks at stations and stacks from outside.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help, description=f"{command.help}."))
    return parser


if __name__ == "__main__":
    sys.exit(main())
