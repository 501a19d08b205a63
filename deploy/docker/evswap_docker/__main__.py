"""The command line: ``deploy/docker/stations``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evswap_docker.commands import Commands
from evswap_docker.context import RECIPES
from evswap_docker.engine import Engine
from evswap_docker.errors import DockerError
from evswap_docker.settings import Settings

MOST_STATIONS = 500
EXAMPLE = """\
  deploy/docker/stations up 20          twenty stations and a local AWS, images built first
  deploy/docker/stations down           stop them; keys, certificates, outboxes and the archive stay
  deploy/docker/stations down --volumes stop them and forget everything

environment: BASE_IMAGE (python:3.13-slim), EVSWAP_PORT (4566), DOCKER_HOST, COMPOSE_PROJECT_NAME (evswap),
EVSWAP_INTERVAL_S (5), EVSWAP_REPORTING (every-sample). `up` may be interrupted and repeated at any moment.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 not, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return _do(options, Commands(Engine.find(), Settings.of()))
    except DockerError as error:
        sys.stderr.write(f"stations: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stations: interrupted; the same command again goes on from here\n")
        return 130


def _do(options: argparse.Namespace, commands: Commands) -> int:
    match options.command:
        case "up":
            commands.up(options.stations, build=not options.no_build)
        case "down":
            commands.down(volumes=options.volumes)
        case "status":
            commands.status()
        case "build":
            commands.build()
        case "context":
            commands.context(options.image, options.folder)
        case _:
            return commands.logs(options.services)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stations",
        description="Stations and a local AWS in containers.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start, or bring to another number of stations")
    up.add_argument("stations", type=_count, metavar="N", help="how many stations")
    up.add_argument("--no-build", action="store_true", help="take the images as they are")
    down = commands.add_parser("down", help="stop; volumes stay")
    down.add_argument("--volumes", action="store_true", help="remove keys, outboxes and the archive too")
    commands.add_parser("status", help="containers, and stations in the API")
    logs = commands.add_parser("logs", help="what the containers say")
    logs.add_argument("services", nargs="*", choices=["aws", "station", []], metavar="aws|station")
    commands.add_parser("build", help="build the images and nothing else")
    context = commands.add_parser("context", help="make a folder to build an image from by other means")
    context.add_argument("image", choices=sorted(RECIPES))
    context.add_argument("folder", type=Path, help="it must not exist")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_STATIONS:
        raise argparse.ArgumentTypeError(f"{number} is not between 1 and {MOST_STATIONS}")
    return number


if __name__ == "__main__":
    sys.exit(main())
