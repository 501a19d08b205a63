"""IAM roles, from roles/*.json."""

import json
from collections.abc import Iterator
from typing import Any

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source

FOLDER = "roles"
POLICY_NAME = "evswap"


def apply_roles(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes each role with its trust and its one inline policy."""
    for file in sorted((source.folder / FOLDER).glob("*.json")):
        role = source.json(f"{FOLDER}/{file.name}")
        yield Change("role", role["name"], _apply(clients, role))


def role_arn(source: Source, key: str) -> str:
    """The ARN of the role in ``roles/<key>.json``."""
    return f"arn:aws:iam::{source.values.account_id}:role/{source.json(f'{FOLDER}/{key}.json')['name']}"


def _apply(clients: Clients, role: dict[str, Any]) -> Outcome:
    name, trust, policy = role["name"], json.dumps(role["trust"]), json.dumps(role["policy"])
    try:
        found = clients.iam.get_role(RoleName=name)["Role"]
    except clients.iam.exceptions.NoSuchEntityException:
        clients.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=trust, Description=role.get("description", "")
        )
        clients.iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=policy)
        return Outcome.CREATED
    outcome = Outcome.UNCHANGED
    if _document(found["AssumeRolePolicyDocument"]) != role["trust"]:
        clients.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        outcome = Outcome.UPDATED
    if _inline_policy(clients, name) != role["policy"]:
        clients.iam.put_role_policy(RoleName=name, PolicyName=POLICY_NAME, PolicyDocument=policy)
        outcome = Outcome.UPDATED
    return outcome


def _inline_policy(clients: Clients, role_name: str) -> Any:
    try:
        found = clients.iam.get_role_policy(RoleName=role_name, PolicyName=POLICY_NAME)
    except clients.iam.exceptions.NoSuchEntityException:
        return None
    return _document(found["PolicyDocument"])


def _document(document: Any) -> Any:
    """botocore decodes policy documents where IAM returns them as text; take either."""
    return json.loads(document) if isinstance(document, str) else document
