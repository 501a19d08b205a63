"""The commands ``evswap command`` and ``evswap-cloud command``: one command to one station, from a shell."""

import argparse
import getpass
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Struct

from evswap_cloud.remote.dispatcher import DEFAULT_LIFE, Dispatcher, Order, longest_life
from evswap_cloud.remote.records import Record, State
from evswap_cloud.remote.store import CommandReader
from evswap_schema import (
    Action,
    InvalidMessage,
    ReadNow,
    RequestSwap,
    Reserve,
    SetCharging,
    SetConfiguration,
    Unlock,
    codec,
)

ACTIONS: Final = {
    kind.__struct_config__.tag: kind
    for kind in (Unlock, SetCharging, Reserve, ReadNow, SetConfiguration, RequestSwap)
}
"""What may be said at a shell. Authorisations have a command of their own, which signs them."""

POLL_S: Final = 0.5
_FIELDS: Final = ("bay", "enabled", "until", "id_token", "request_id", "tier", "configuration")


class _Said(Struct, frozen=True):
    action: Action


def add_command_arguments(parser: argparse.ArgumentParser) -> None:
    """Which station, what, and whether to wait for what becomes of it."""
    parser.add_argument("station", metavar="STATION", help="the station's id")
    parser.add_argument("action", choices=list(ACTIONS), metavar="ACTION", help=", ".join(map(str, ACTIONS)))
    parser.add_argument("--bay", type=int, metavar="N", help="which bay")
    parser.add_argument("--enabled", type=_yes_or_no, metavar="yes|no", help="set_charging: whether")
    parser.add_argument("--until", metavar="TIME", help="reserve: until when, such as 2026-11-23T09:00:00Z")
    parser.add_argument("--token", dest="id_token", metavar="HASH", help="keyed hash of a customer's token")
    parser.add_argument("--request-id", type=int, metavar="N", help="request_swap: the swap's number")
    parser.add_argument("--tier", metavar="NAME", help="request_swap: what the customer has paid for")
    parser.add_argument(
        "--configuration",
        type=_json,
        metavar="JSON",
        help='such as {"sampling": {"interval_s": 10}}',
    )
    parser.add_argument(
        "--expires-in",
        type=float,
        default=DEFAULT_LIFE.total_seconds(),
        metavar="SECONDS",
        help="after which the station is not to do it any more (default: %(default)g)",
    )
    parser.add_argument("--key", metavar="KEY", help="the same key gives the same command, once")
    parser.add_argument("--wait", action="store_true", help="wait for its result; exit code 1 unless done")
    parser.set_defaults(refuse=parser.error)


def report_command(options: argparse.Namespace, dispatcher: Dispatcher, commands: CommandReader) -> int:
    """Issue the command of the options and say how far it has come; raises ``CloudError``. 0 where it is
    issued, or, for whoever waits, done; else 1."""
    issued = dispatcher.issue(_order(options))
    _say(issued.record)
    if issued.failure is not None:
        sys.stderr.write(f"{issued.failure}; the station gets it when it asks\n")
    if not options.wait:
        return 0
    return 0 if _awaited(issued.record, commands).state is State.DONE else 1


def shell_user() -> str:
    """Who issues what is issued at this shell."""
    return f"shell:{getpass.getuser()}"


def _order(options: argparse.Namespace) -> Order:
    action = _action(options)
    life, longest = timedelta(seconds=options.expires_in), longest_life(action)
    if not timedelta(seconds=1) <= life <= longest:
        options.refuse(f"--expires-in is 1 to {longest.total_seconds():.0f} for {options.action}")
    return Order(
        station_id=options.station, action=action, issued_by=shell_user(), life=life, key=options.key
    )


def _action(options: argparse.Namespace) -> Action:
    """By the contract's own rules; what the action has no use for is refused."""
    kind = ACTIONS[options.action]
    given = {name: value for name in _FIELDS if (value := getattr(options, name)) is not None}
    if strange := given.keys() - set(kind.__struct_fields__):
        options.refuse(f"{options.action} has no {', '.join(sorted(strange))}")
    try:
        return codec.convert({"action": {"action": options.action, **given}}, _Said).action
    except InvalidMessage as error:
        options.refuse(str(error))
        raise


def _awaited(record: Record, commands: CommandReader) -> Record:
    """The record with its result, or as it is when the cloud should have given it up."""
    command = record.command
    last = record
    while last.deadline is not None and datetime.now(UTC) < last.deadline + timedelta(minutes=2):
        time.sleep(POLL_S)
        found = commands.get(command.station_id, command.command_id)
        if found is not None and found.state is not last.state:
            _say(found)
        last = found or last
    return last


def _say(record: Record) -> None:
    reason = f": {record.reason}" if record.reason else ""
    sys.stdout.write(f"command {record.command.command_id} {record.state}{reason}\n")
    sys.stdout.flush()


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError("say yes or no")
    return text == "yes"


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise argparse.ArgumentTypeError(f"{json.dumps(text)} is not JSON ({error})") from error
