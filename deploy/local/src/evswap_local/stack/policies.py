"""AWS IoT policies, from policies/*.json: a new version when one differs."""

import json
from typing import Any

from evswap_local.clients import Clients
from evswap_local.stack.change import Outcome

MOST_VERSIONS = 5
"""AWS IoT keeps at most five versions of a policy."""


def apply_policy(clients: Clients, name: str, document: dict[str, Any]) -> Outcome:
    """Makes the policy called ``name``, or gives it another default version."""
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
