"""What all stations share in AWS IoT: their policy (policies/station.json) and their thing type."""

from collections.abc import Iterator

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.policies import apply_policy
from evswap_local.stack.source import Source

FILE = "policies/station.json"


def policy_name(source: Source) -> str:
    """The name of the policy that every station's certificate has."""
    return f"{source.values.prefix}-station"


def thing_type(source: Source) -> str:
    """The thing type of every station."""
    return f"{source.values.prefix}-station"


def apply_things(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the policy (a new version of it when it differs) and the thing type."""
    name = policy_name(source)
    yield Change("policy", name, apply_policy(clients, name, source.json(FILE)))
    yield Change("thing type", thing_type(source), _apply_thing_type(clients, thing_type(source)))


def _apply_thing_type(clients: Clients, name: str) -> Outcome:
    try:
        clients.iot.describe_thing_type(thingTypeName=name)
    except clients.iot.exceptions.ResourceNotFoundException:
        clients.iot.create_thing_type(thingTypeName=name)
        return Outcome.CREATED
    return Outcome.UNCHANGED
