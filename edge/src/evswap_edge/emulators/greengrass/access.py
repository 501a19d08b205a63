"""Whether a component's ``accessControl`` lets it do what it asks for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MQTT: Final = "aws.greengrass.ipc.mqttproxy"
LOCAL: Final = "aws.greengrass.ipc.pubsub"


def is_allowed(access_control: Any, *, service: str, operation: str, resource: str) -> bool:
    """Whether one of the policies for ``service`` names ``operation`` and covers ``resource``.

    ``*`` in a resource stands for any text; for the MQTT proxy ``+`` and ``#`` are those of a topic filter.
    A ``{iot:thingName}`` is no variable in nucleus lite 2.6, but itself.
    """
    return any(
        {operation, "*"} & set(policy.get("operations") or ())
        for policy in _policies(access_control, service)
        if any(_covers(pattern, resource, service) for pattern in policy.get("resources") or ())
    )


def _policies(access_control: Any, service: str) -> Iterator[Mapping[str, Any]]:
    policies = access_control.get(service) if isinstance(access_control, Mapping) else None
    if isinstance(policies, Mapping):
        yield from (policy for policy in policies.values() if isinstance(policy, Mapping))


def _covers(pattern: str, resource: str, service: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*")
    if service == MQTT:
        expression = expression.replace(r"\+", "[^/]*").replace(r"\#", ".*")
    return re.fullmatch(expression, resource) is not None
