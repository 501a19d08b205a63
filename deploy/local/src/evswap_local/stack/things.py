"""What all stations share in AWS IoT: their policy (policies/station.json) and their thing type."""

import json
from collections.abc import Iterator
from typing import Any

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source

FILE = "policies/station.json"
MOST_VERSIONS = 5
"""AWS IoT keeps at most five versions of a policy."""


def policy_name(source: Source) -> str:
    """The name of the policy that every station's certificate has."""
    return f"{source.values.prefix}-station"


def thing_type(source: Source) -> str:
    """The thing type of every station."""
    return f"{source.values.prefix}-station"


def apply_things(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the policy (a new version of it when it differs) and the thing type."""
    yield Change("policy", policy_name(source), _apply_policy(clients, source))
    yield Change("thing type", thing_type(source), _apply_thing_type(clients, thing_type(source)))


def _apply_policy(clients: Clients, source: Source) -> Outcome:
    name, document = policy_name(source), source.json(FILE)
    try:
        found = clients.iot.get_policy(policyName=name)["policyDocument"]
    except clients.iot.exceptions.ResourceNotFoundException:
        clients.iot.create_policy(policyName=name, policyDocument=json.dumps(document))
        return Outcome.CREATED
    if json.loads(found) == document:
        return Outcome.UNCHANGED
    _make_room(clients, name)
    clients.iot.create_policy_version(policyName=name, policyDocument=json.dumps(document), setAsDefault=True)
    return Outcome.UPDATED


def _make_room(clients: Clients, name: str) -> None:
    versions: list[Any] = [*clients.iot.list_policy_versions(policyName=name)["policyVersions"]]
    superseded = sorted((version for version in versions if not version["isDefaultVersion"]), key=_made_at)
    if len(versions) >= MOST_VERSIONS:
        clients.iot.delete_policy_version(policyName=name, policyVersionId=superseded[0]["versionId"])


def _made_at(version: Any) -> int:
    return int(version["versionId"])


def _apply_thing_type(clients: Clients, name: str) -> Outcome:
    try:
        clients.iot.describe_thing_type(thingTypeName=name)
    except clients.iot.exceptions.ResourceNotFoundException:
        clients.iot.create_thing_type(thingTypeName=name)
        return Outcome.CREATED
    return Outcome.UNCHANGED
