"""Fleet provisioning by claim, from provisioning.yaml: the template, its hook, and the claim's policy."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.functions import function_arn, function_name
from evswap_local.stack.permissions import allow_invoke
from evswap_local.stack.policies import apply_policy
from evswap_local.stack.roles import role_arn
from evswap_local.stack.source import Source

FILE = "provisioning.yaml"
STATION = "station"
INVOKE_STATEMENT = "provisioning"
HOOK = "preProvisioningHook"


def apply_provisioning(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the templates. A hook is allowed before the template that runs it: AWS IoT checks."""
    for template in source.yaml(FILE).values():
        name, claim = template["name"], template["claim"]
        policy = apply_policy(clients, claim["policy_name"], source.json(claim["policy_file"]))
        yield Change("policy", claim["policy_name"], policy)
        hook = function_name(source, template["pre_provisioning_hook"]["function"])
        yield Change("permission", f"{name} to {hook}", _allow_hook(clients, source, name, hook))
        yield Change("provisioning template", name, _apply(clients, source, template))


def template_name(source: Source) -> str:
    """The name of the template that stations are provisioned by."""
    return source.named(FILE, STATION)


def claim_policy_name(source: Source) -> str:
    """The name of the policy that a claim certificate has."""
    return str(source.yaml(FILE)[STATION]["claim"]["policy_name"])


def _allow_hook(clients: Clients, source: Source, template: str, function: str) -> Outcome:
    values = source.values
    return allow_invoke(
        clients,
        function,
        statement=INVOKE_STATEMENT,
        principal="iot.amazonaws.com",
        source=f"arn:aws:iot:{values.region}:{values.account_id}:provisioningtemplate/{template}",
    )


def _apply(clients: Clients, source: Source, template: Mapping[str, Any]) -> Outcome:
    name, wanted = template["name"], _settings(source, template)
    body = source.json(template["template_file"])
    try:
        found: Any = clients.iot.describe_provisioning_template(templateName=name)
    except clients.iot.exceptions.ResourceNotFoundException:
        clients.iot.create_provisioning_template(
            templateName=name, templateBody=json.dumps(body), type=template["type"], **wanted
        )
        return Outcome.CREATED
    outcome = Outcome.UNCHANGED
    if any(found.get(key) != value for key, value in wanted.items()):
        clients.iot.update_provisioning_template(templateName=name, **wanted)
        outcome = Outcome.UPDATED
    if json.loads(found["templateBody"]) != body:
        _put_body(clients, name, body)
        outcome = Outcome.UPDATED
    return outcome


def _settings(source: Source, template: Mapping[str, Any]) -> dict[str, Any]:
    hook = template["pre_provisioning_hook"]
    return {
        "description": template["description"],
        "enabled": template["enabled"],
        "provisioningRoleArn": role_arn(source, template["role"]),
        HOOK: {
            "payloadVersion": hook["payload_version"],
            "targetArn": function_arn(source, hook["function"]),
        },
    }


def _put_body(clients: Clients, name: str, body: Mapping[str, Any]) -> None:
    """AWS IoT keeps five versions of a template: the older ones make room."""
    versions: list[Any] = [*clients.iot.list_provisioning_template_versions(templateName=name)["versions"]]
    for version in versions:
        if not version["isDefaultVersion"]:
            clients.iot.delete_provisioning_template_version(
                templateName=name, versionId=version["versionId"]
            )
    clients.iot.create_provisioning_template_version(
        templateName=name, templateBody=json.dumps(body), setAsDefault=True
    )
