"""Who may invoke a function: statements of its resource policy."""

import json
from typing import Any

from evswap_cloud.operations.deployment import LIVE
from evswap_local.clients import Clients
from evswap_local.stack.change import Outcome


def allow_invoke(clients: Clients, function: str, *, statement: str, principal: str, source: str) -> Outcome:
    """Lets the service ``principal`` invoke the alias of ``function`` on behalf of the ARN ``source``, by one
    ``statement``."""
    found = _statements(clients, function).get(statement)
    if found is not None and source in json.dumps(found):
        return Outcome.UNCHANGED
    if found is not None:
        clients.functions.remove_permission(FunctionName=function, StatementId=statement, Qualifier=LIVE)
    clients.functions.add_permission(
        FunctionName=function,
        Qualifier=LIVE,
        StatementId=statement,
        Action="lambda:InvokeFunction",
        Principal=principal,
        SourceArn=source,
    )
    return Outcome.CREATED if found is None else Outcome.UPDATED


def _statements(clients: Clients, function: str) -> dict[str, Any]:
    try:
        policy = json.loads(clients.functions.get_policy(FunctionName=function, Qualifier=LIVE)["Policy"])
    except clients.functions.exceptions.ResourceNotFoundException:
        return {}
    return {statement.get("Sid", ""): statement for statement in policy["Statement"]}
