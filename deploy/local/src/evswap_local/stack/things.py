"""What all stations share in AWS IoT, from things.yaml: their policies and their thing type."""

from collections.abc import Iterator

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.policies import apply_policy
from evswap_local.stack.source import Source

FILE = "things.yaml"


def policy_names(source: Source) -> tuple[str, ...]:
    """The names of the policies that every station's certificate has."""
    return tuple(policy["name"] for policy in source.yaml(FILE)["policies"].values())


def thing_type(source: Source) -> str:
    """The thing type of every station."""
    return str(source.yaml(FILE)["thing_type"])


def apply_things(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the policies (a new version of one that differs) and the thing type."""
    for policy in source.yaml(FILE)["policies"].values():
        document = source.json(policy["file"])
        yield Change("policy", policy["name"], apply_policy(clients, policy["name"], document))
    yield Change("thing type", thing_type(source), _apply_thing_type(clients, thing_type(source)))


def _apply_thing_type(clients: Clients, name: str) -> Outcome:
    try:
        clients.iot.describe_thing_type(thingTypeName=name)
    except clients.iot.exceptions.ResourceNotFoundException:
        clients.iot.create_thing_type(thingTypeName=name)
        return Outcome.CREATED
    return Outcome.UNCHANGED
