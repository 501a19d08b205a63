"""The AWS IoT policies, made from the contract: a station's from its topic table, its shadow's from the
shadow's topics, those of the claim and of renewal from provisioning, a Greengrass core's from what a nucleus
does.

``python -m evswap_cloud.policies --write`` writes them to ``cloud/stack/policies``.

Every topic of a station is pinned to the thing name that the certificate is attached to, so one policy serves
all stations and none can speak as another. In a policy ``+`` and ``#`` are literals: a subscription names its
filter as it stands, and what may be received or published has ``*`` in place of the level that varies.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from evswap_schema import TOPICS, Direction, TopicRow, provisioning, shadow
from evswap_schema.topics import ROOT

MAX_POLICY_CHARACTERS: Final = 2_048
"""AWS IoT's limit for one policy document, white space not counted."""

_THING: Final = "${iot:Connection.Thing.ThingName}"
_CORE_ACTIONS: Final = [
    "greengrass:GetComponentVersionArtifact",
    "greengrass:GetDeploymentConfiguration",
    "greengrass:ListThingGroupsForCoreDevice",
    "greengrass:ResolveComponentCandidates",
]
_TEMPLATE: Final = "${prefix}-station"
_FOLDER: Final = Path(__file__).parents[2] / "stack" / "policies"

Statement = dict[str, Any]


def station_policy(rows: Iterable[TopicRow] = tuple(TOPICS.values())) -> dict[str, Any]:
    """The policy document that lets a station use the topics of ``rows``, and no others, as itself."""
    rows = tuple(rows)
    up = [row for row in rows if row.direction is Direction.UP]
    down = [row for row in rows if row.direction is Direction.DOWN]
    statements = [
        _connect(),
        _allow("iot:Publish", [_topic(row) for row in up]),
        _allow("iot:RetainPublish", [_topic(row) for row in up if row.retained]),
        _allow("iot:Subscribe", [_topic_filter(row) for row in down]),
        _allow("iot:Receive", [_topic(row) for row in down]),
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [statement for statement in statements if statement["Resource"]],
    }


def shadow_policy() -> dict[str, Any]:
    """The policy document that lets a station follow its shadow. Every station has it beside its own: both
    together are longer than AWS IoT takes."""
    requests = [shadow.topic_of(_THING, request) for request in shadow.REQUESTS]
    statements = [
        _allow("iot:Publish", [_arn(f"topic/{request}") for request in requests]),
        _allow("iot:Subscribe", [_arn(f"topicfilter/{request}/*") for request in requests]),
        _allow("iot:Receive", [_arn(f"topic/{request}/*") for request in requests]),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def renewal_policy() -> dict[str, Any]:
    """The policy document that lets a station have its own certificate replaced. Every station has it beside
    its own. For whom a certificate is asked stands in the request, not in the topic: the hook looks at it."""
    requests = _certificate_requests()
    statements = [
        _allow("iot:Publish", [_arn(f"topic/{request}") for request in requests]),
        _allow("iot:Subscribe", [_arn(f"topicfilter/{request}/*") for request in requests]),
        _allow("iot:Receive", [_arn(f"topic/{request}/*") for request in requests]),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def claim_policy() -> dict[str, Any]:
    """The policy document of a claim certificate: ask for a certificate, register with it, and nothing
    else."""
    requests = _certificate_requests()
    replies = [reply for request in requests for reply in provisioning.answers(request)]
    statements = [
        _allow("iot:Connect", [_arn(f"client/{provisioning.CLAIM_CLIENT_ID_PREFIX}*")]),
        _allow("iot:Publish", [_arn(f"topic/{topic}") for topic in requests]),
        _allow("iot:Subscribe", [_arn(f"topicfilter/{topic}") for topic in replies]),
        _allow("iot:Receive", [_arn(f"topic/{topic}") for topic in replies]),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def greengrass_policy() -> dict[str, Any]:
    """The policy document of a Greengrass core, beside that of the station that it is: what the nucleus needs
    for itself, and nothing of the station's topics.

    Deployments come as jobs, or to the other nucleus by a named shadow. The credentials that fetch artifacts
    are those of the role alias ``${prefix}-greengrass``. After AWS's "Minimal AWS IoT policy for AWS IoT
    Greengrass V2 core devices"; the last statement's actions know no resource that is a thing's own.
    """
    own = f"$aws/things/{_THING}"
    spoken = [f"{own}/greengrassv2/health/json"]
    heard = [f"{own}/jobs/*", f"{own}/shadow/name/AWSManagedGreengrassV2Deployment/*"]
    statements = [
        _allow("iot:Publish", [_arn(f"topic/{topic}") for topic in (*spoken, *heard)]),
        _allow("iot:Subscribe", [_arn(f"topicfilter/{topic}") for topic in heard]),
        _allow("iot:Receive", [_arn(f"topic/{topic}") for topic in heard]),
        _allow("iot:AssumeRoleWithCertificate", [_arn("rolealias/${prefix}-greengrass")]),
        _allow(_CORE_ACTIONS, ["*"]),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


POLICIES: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "station.json": station_policy,
    "shadow.json": shadow_policy,
    "renewal.json": renewal_policy,
    "claim.json": claim_policy,
    "greengrass.json": greengrass_policy,
}
"""The files in ``cloud/stack/policies``, and what makes them."""


def render(document: dict[str, Any]) -> str:
    """The text of a policy file."""
    return json.dumps(document, indent=2) + "\n"


def _connect() -> Statement:
    attached = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    return {**_allow("iot:Connect", [_arn(f"client/{_THING}")]), "Condition": attached}


def _allow(action: str | list[str], resources: list[str]) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resources}


def _topic(row: TopicRow) -> str:
    prefix = f"$aws/rules/{row.rule}/" if row.basic_ingest else ""
    return _arn(f"topic/{prefix}{ROOT}/{_THING}/{row.suffix.replace('+', '*')}")


def _topic_filter(row: TopicRow) -> str:
    return _arn(f"topicfilter/{ROOT}/{_THING}/{row.suffix}")


def _certificate_requests() -> list[str]:
    """The topics on which a certificate is asked for, by the template of whatever prefix the stack has."""
    stand_in = "template"
    registration = provisioning.registration_topic(stand_in).replace(f"/{stand_in}/", f"/{_TEMPLATE}/")
    return [provisioning.CERTIFICATE_REQUEST_TOPIC, registration]


def _arn(resource: str) -> str:
    return f"arn:aws:iot:${{region}}:${{account_id}}:{resource}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the policies, or with ``--write`` put them where the stack keeps them."""
    parser = argparse.ArgumentParser(prog="python -m evswap_cloud.policies", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write cloud/stack/policies/*.json")
    documents = {name: make() for name, make in POLICIES.items()}
    if not parser.parse_args(arguments).write:
        sys.stdout.write(render(documents))
        return 0
    if not _FOLDER.is_dir():
        sys.stderr.write(f"{_FOLDER} does not exist: run this from a checkout of the repository\n")
        return 1
    for name, document in documents.items():
        (_FOLDER / name).write_text(render(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
