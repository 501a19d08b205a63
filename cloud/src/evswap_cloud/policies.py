"""The AWS IoT policy of a station, made from the topic table of the contract.

``python -m evswap_cloud.policies --write`` writes it to ``cloud/stack/policies/station.json``.

Every topic is pinned to the thing name that the certificate is attached to, so one policy serves all stations
and none can speak as another. In a policy ``+`` and ``#`` are literals: a subscription names its filter as it
stands, and what may be received or published has ``*`` in place of the level that varies.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from evswap_schema import TOPICS, Direction, TopicRow
from evswap_schema.topics import ROOT

MAX_POLICY_CHARACTERS: Final = 2_048
"""AWS IoT's limit for one policy document, white space not counted."""

_THING: Final = "${iot:Connection.Thing.ThingName}"
_STATION_POLICY: Final = Path(__file__).parents[2] / "stack" / "policies" / "station.json"

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


def render(document: dict[str, Any]) -> str:
    """The text of a policy file."""
    return json.dumps(document, indent=2) + "\n"


def _connect() -> Statement:
    attached = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    return {**_allow("iot:Connect", [_arn(f"client/{_THING}")]), "Condition": attached}


def _allow(action: str, resources: list[str]) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resources}


def _topic(row: TopicRow) -> str:
    prefix = f"$aws/rules/{row.rule}/" if row.basic_ingest else ""
    return _arn(f"topic/{prefix}{ROOT}/{_THING}/{row.suffix.replace('+', '*')}")


def _topic_filter(row: TopicRow) -> str:
    return _arn(f"topicfilter/{ROOT}/{_THING}/{row.suffix}")


def _arn(resource: str) -> str:
    return f"arn:aws:iot:${{region}}:${{account_id}}:{resource}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the policy, or with ``--write`` put it where the stack keeps it."""
    parser = argparse.ArgumentParser(prog="python -m evswap_cloud.policies", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write cloud/stack/policies/station.json")
    text = render(station_policy())
    if not parser.parse_args(arguments).write:
        sys.stdout.write(text)
        return 0
    if not _STATION_POLICY.parent.is_dir():
        sys.stderr.write(
            f"{_STATION_POLICY.parent} does not exist: run this from a checkout of the repository\n"
        )
        return 1
    _STATION_POLICY.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
