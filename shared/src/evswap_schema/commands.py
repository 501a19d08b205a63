"""Commands to a station, and the one result that each of them gets."""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from evswap_schema import codec
from evswap_schema.authorisation import AuthorisationId, SignedAuthorisation
from evswap_schema.events import RequestId
from evswap_schema.fields import BayNumber, ShortText, StationId, Timestamp, TokenHash
from evswap_schema.limits import MAX_AUTHORISATIONS, MAX_COMMAND_BYTES

CommandId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="Unique for ever; a topic level.")
]


class _Action(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="action"):
    pass


class Reserve(_Action, frozen=True, kw_only=True, tag="reserve"):
    """Keep the battery in ``bay`` for a customer until ``until``."""

    bay: BayNumber
    until: Timestamp
    id_token: TokenHash


class Unlock(_Action, frozen=True, kw_only=True, tag="unlock"):
    """Open ``bay``. Refused where the command's age cannot be judged."""

    bay: BayNumber


class SetCharging(_Action, frozen=True, kw_only=True, tag="set_charging"):
    """Allow or stop charging in ``bay``."""

    bay: BayNumber
    enabled: bool


class RequestSwap(_Action, frozen=True, kw_only=True, tag="request_swap"):
    """Authorise one swap (OCPP 2.1: RequestBatterySwapRequest). ``tier`` is what the customer has paid
    for.

    The station accepts it when it has a battery to give, and it is done when the swap is over.
    """

    request_id: RequestId
    id_token: TokenHash
    tier: ShortText | None = None


class CacheAuthorisations(_Action, frozen=True, kw_only=True, tag="cache_authorisations"):
    """Keep ``authorisations`` for the time without a link, and keep those that were ``withdrawn`` no more.

    One that is sent again replaces what it said before; the swaps that were used of it stay used. All are
    taken or none.
    """

    authorisations: Annotated[tuple[SignedAuthorisation, ...], Meta(max_length=MAX_AUTHORISATIONS)] = ()
    withdrawn: Annotated[tuple[AuthorisationId, ...], Meta(max_length=MAX_AUTHORISATIONS)] = ()

    def __post_init__(self) -> None:
        if not self.authorisations and not self.withdrawn:
            raise ValueError("authorisations or withdrawn have to name one")


class ReadNow(_Action, frozen=True, kw_only=True, tag="read_now"):
    """Take a reading at once and send it."""


class SetConfiguration(_Action, frozen=True, kw_only=True, tag="set_configuration"):
    """Change the keys given; the station validates them before it applies any."""

    configuration: dict[str, Any]


Action = Reserve | Unlock | SetCharging | RequestSwap | CacheAuthorisations | ReadNow | SetConfiguration


class Command(Struct, frozen=True, kw_only=True):
    """Something that a station is to do before ``expires_at``, or not at all."""

    command_id: CommandId
    station_id: StationId
    issued_at: Timestamp
    expires_at: Timestamp
    action: Action

    def __post_init__(self) -> None:
        if self.expires_at <= self.issued_at:
            raise ValueError("expires_at has to be later than issued_at")


class Outcome(StrEnum):
    """``accepted`` is under way; the others are final. ``unknown``: a crash hid whether a relay moved."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DONE = "done"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class CommandResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a command."""

    command_id: CommandId
    station_id: StationId
    outcome: Outcome
    timestamp: Timestamp
    reason: Annotated[str, Meta(max_length=200)] | None = None


class PendingRequest(Struct, frozen=True, kw_only=True):
    """A station that has a new link asks for the commands that wait for it."""

    station_id: StationId


def encode_command(command: Command) -> bytes:
    """Write ``command`` as JSON."""
    return codec.encode(command)


def decode_command(raw: bytes) -> Command:
    """Read a command; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, Command, limit=MAX_COMMAND_BYTES)


def encode_result(result: CommandResult) -> bytes:
    """Write ``result`` as JSON."""
    return codec.encode(result)


def decode_result(raw: bytes) -> CommandResult:
    """Read a command's result; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, CommandResult, limit=MAX_COMMAND_BYTES)


def encode_pending_request(request: PendingRequest) -> bytes:
    """Write ``request`` as JSON."""
    return codec.encode(request)


def decode_pending_request(raw: bytes) -> PendingRequest:
    """Read a request; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, PendingRequest, limit=MAX_COMMAND_BYTES)
