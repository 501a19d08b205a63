"""The command ``evswap-cloud``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evswap_cloud.commands import add_commands
from evswap_cloud.history_commands import add_history_commands
from evswap_cloud.operations.command_line import add_operations
from evswap_cloud.package import LOCAL, TARGETS, PackagingError, UnknownTarget, build


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 is success, 1 a failure, 2 wrong use."""
    parser = argparse.ArgumentParser(prog="evswap-cloud", description="Tools for the cloud side of evswap.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    package = commands.add_parser("package", help="build the zips that the Lambda functions run")
    package.add_argument(
        "--target",
        action="append",
        dest="targets",
        metavar="TARGET",
        help=f"linux-x86_64-cp313, linux-aarch64-cp313 or {LOCAL} (this interpreter, default); repeatable",
    )
    package.add_argument(
        "--all",
        action="store_const",
        const=list(TARGETS),
        dest="targets",
        help=f"build {', '.join(TARGETS)}",
    )
    package.add_argument(
        "--output", type=Path, default=Path("dist"), help="folder of the zips (default: dist)"
    )
    package.add_argument("--requirements", type=Path, help="hashed requirements of the wheels inside")
    package.add_argument(
        "--compactor", action="store_true", help="the compactor's zips, which have DuckDB, and no others"
    )
    package.set_defaults(run=_package)
    add_commands(commands)
    add_history_commands(commands)
    add_operations(commands)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def _package(options: argparse.Namespace) -> int:
    for target in options.targets or [LOCAL]:
        try:
            built = build(
                target, options.output, requirements=options.requirements, compactor=options.compactor
            )
        except UnknownTarget as error:
            sys.stderr.write(f"evswap-cloud: {error}\n")
            return 2
        except (PackagingError, OSError) as error:
            sys.stderr.write(f"evswap-cloud: {error}\n")
            return 1
        sys.stdout.write(f"{built.path}  {built.size} bytes  sha256:{built.sha256}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
