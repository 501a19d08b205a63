"""What a request for a command says, and whether whoever sent it may.

API Gateway's authoriser has verified the token before the function is called; what it found is in the
request's context. Nothing is allowed that is not there.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from evswap_cloud.api.problems import bad_parameter, forbidden, unauthorised
from evswap_cloud.remote import DEFAULT_LIFE, MAX_LIFE, Order, longest_life
from evswap_schema import Action, CacheAuthorisations, InvalidMessage, SetConfiguration, codec
from evswap_schema.limits import MAX_COMMAND_BYTES

OPERATE: Final = "evswap/operate"
CONFIGURE: Final = "evswap/configure"
"""The scopes of ``cloud/stack/identity.yaml``: for what is done at a station, and for how it is set."""

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
MAX_KEY_CHARACTERS: Final = 128

MAX_LIFE_S: Final = int(MAX_LIFE.total_seconds())
DEFAULT_LIFE_S: Final = int(DEFAULT_LIFE.total_seconds())


class CommandRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The schema ``CommandRequest`` of openapi.yaml."""

    action: Action
    expires_in_s: Annotated[int, Meta(ge=1, le=MAX_LIFE_S)] = DEFAULT_LIFE_S


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks: the name of a person or the id of a machine's client, with what the token allows."""

    name: str
    scopes: frozenset[str]

    def demand(self, scope: str) -> None:
        """Raises ``ProblemError`` where the token does not have ``scope``."""
        if scope not in self.scopes:
            raise forbidden(f"This command needs a token with the scope {scope}.")


def caller_of(context: Mapping[str, Any]) -> Caller:
    """Who has made the request with this context; raises ``ProblemError`` where nobody was authorised."""
    authoriser = context.get("authorizer")
    claims = authoriser.get("claims") if isinstance(authoriser, Mapping) else None
    if not isinstance(claims, Mapping):
        raise unauthorised("Commands need an access token in the header Authorization.")
    name, scopes = claims.get("username") or claims.get("client_id"), claims.get("scope")
    if not isinstance(name, str) or not name or not isinstance(scopes, str):
        raise unauthorised("Commands need an access token; this is another kind.")
    return Caller(name=name, scopes=frozenset(scopes.split()))


def order_of(station_id: str, body: str | None, key: str | None, caller: Caller) -> Order:
    """What ``caller`` wants of the station; raises ``ProblemError`` that names the field at fault."""
    request = _decoded(body)
    caller.demand(scope_of(request.action))
    life, longest = timedelta(seconds=request.expires_in_s), longest_life(request.action)
    if life > longest:
        raise bad_parameter(
            "expires_in_s", f"expires_in_s is at most {longest.total_seconds():.0f} for this action."
        )
    return Order(
        station_id=station_id, action=request.action, issued_by=caller.name, life=life, key=_usable(key)
    )


def scope_of(action: Action) -> str:
    """What a token needs for ``action``."""
    return CONFIGURE if isinstance(action, SetConfiguration | CacheAuthorisations) else OPERATE


def _decoded(body: str | None) -> CommandRequest:
    try:
        raw = (body or "").encode(errors="surrogatepass")
        return codec.decode(raw, CommandRequest, limit=MAX_COMMAND_BYTES)
    except InvalidMessage as error:
        raise bad_parameter(error.field or "body", f"{error.field or 'body'}: {error.rule}.") from error


def _usable(key: str | None) -> str | None:
    if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()):
        raise bad_parameter(
            IDEMPOTENCY_KEY, f"{IDEMPOTENCY_KEY} has 1 to {MAX_KEY_CHARACTERS} printable ASCII characters."
        )
    return key
