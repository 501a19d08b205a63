"""How the API shows commands. A customer's token, and who issued the command, are nobody's business here."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from evswap_cloud.api.paging import encode_cursor
from evswap_cloud.remote import CommandPage, Record, State

_NOT_SHOWN: Final = ("id_token", "authorisations")


class Teller(StrEnum):
    """Who knows that a command is in its state."""

    CLOUD = "cloud"
    STATION = "station"


class CommandShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``Command`` of openapi.yaml."""

    command_id: str
    station_id: str
    action: dict[str, Any]
    issued_at: datetime
    expires_at: datetime
    state: State
    told_by: Teller
    changed_at: datetime
    timestamp: datetime | None = None
    reason: str | None = None


class CommandsShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The schema ``CommandPage`` of openapi.yaml. ``count`` is the number of commands on this page."""

    count: int
    commands: tuple[CommandShown, ...]
    next_cursor: str | None = None


def shown(record: Record) -> CommandShown:
    """``record`` as anybody may see it."""
    command = record.command
    action: dict[str, Any] = msgspec.to_builtins(command.action)
    return CommandShown(
        command_id=command.command_id,
        station_id=command.station_id,
        action={name: value for name, value in action.items() if name not in _NOT_SHOWN},
        issued_at=command.issued_at,
        expires_at=command.expires_at,
        state=record.state,
        told_by=Teller.CLOUD if record.said_at is None else Teller.STATION,
        changed_at=record.changed_at,
        timestamp=record.said_at,
        reason=record.reason,
    )


def command_json(record: Record) -> str:
    """One command."""
    return msgspec.json.encode(shown(record)).decode()


def command_page_json(page: CommandPage) -> str:
    """One page of a station's commands, the newest first."""
    commands = tuple(map(shown, page.records))
    cursor = encode_cursor(page.records[-1].place) if page.more else None
    return msgspec.json.encode(
        CommandsShown(count=len(commands), commands=commands, next_cursor=cursor)
    ).decode()
