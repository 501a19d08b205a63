"""A Greengrass nucleus as its component sees it: the IPC socket, with the limits of nucleus lite 2.6.

Prints the environment that a nucleus gives, as lines to paste into a shell, then `ready PATH`, then one JSON
line for everything that happens (a message that reached the broker, a state, a refusal). It takes commands as
lines on standard input, and answers each with one line (`ok` or `error: ...`):

  configure {"station": {"sampling": {"interval_s": 1}}}     deploy a change of the configuration
  broker up|silent|down|losing [SECONDS]
                             acknowledge publishes; never do, and take ten; have no link to the broker; say
                             success and lose them; SECONDS later (nucleus lite: 91 after the broker is back)
  answers hold|release       leave requests to publish without an answer; answer them
  fail NAME [COUNT]          answer the next publishes with ServiceError, UnauthorizedError, ...
  publish TOPIC TEXT         a message from the cloud; from 5,000 bytes on it vanishes
  acknowledge on|off         the cloud archives what arrives, and says so to a station that asks
  refuse OPERATION [COUNT]   answer the next requests for it with ServiceError: its daemon is not there
  subscriptions end|forget   end all streams; forget those from the cloud, and tell nobody
  hang-up                    end all connections
  restart                    end them, and make the SVCUID void; prints the new one
  status                     what has happened so far, as JSON

It ends with its standard input, or by SIGTERM.

  evswap-edge emulate greengrass --socket /tmp/ipc.socket --recipe deploy/greengrass/recipe.yaml
"""

import argparse
import asyncio
import json
import shlex
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evswap_edge.emulators import console
from evswap_edge.emulators.greengrass.commands import Commands
from evswap_edge.emulators.greengrass.configuration import Configuration
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.recipe import read_recipe
from evswap_edge.stopping import until_stopped

HELP: Final = "the IPC of a Greengrass nucleus, for one component"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it listens, and for which component."""
    parser.add_argument("--socket", type=Path, required=True, metavar="PATH", help="the socket to make")
    parser.add_argument(
        "--recipe",
        type=Path,
        required=True,
        metavar="FILE",
        help="the component: name, configuration, access",
    )
    parser.add_argument("--acknowledge", action="store_true", help="begin with `acknowledge on`")
    parser.add_argument(
        "--thing-name", default="station-01", metavar="NAME", help="the core's thing (station-01)"
    )


def run(options: argparse.Namespace) -> None:
    """Serve until standard input ends or a signal comes."""
    recipe = read_recipe(options.recipe)
    nucleus = EmulatedNucleus(
        options.socket.absolute(),
        component=recipe.component,
        thing_name=options.thing_name,
        configuration=Configuration(recipe.default_configuration),
        tell=_print_event,
    )
    nucleus.acknowledging = options.acknowledge
    asyncio.run(until_stopped(lambda stop: _serve(nucleus, stop)))


async def _serve(nucleus: EmulatedNucleus, stop: asyncio.Event) -> None:
    await nucleus.start()
    try:
        for name, value in nucleus.environment().items():
            console.say(f"export {name}={shlex.quote(value)}")
        console.say(f"ready {nucleus.socket}")
        await console.obey_lines(Commands(nucleus).obey, stop)
    finally:
        await nucleus.aclose()


def _print_event(event: Mapping[str, Any]) -> None:
    console.say(json.dumps({name: _printable(value) for name, value in event.items()}))


def _printable(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, bytes) else value
