"""Who may command stations, from identity.yaml: the user pool, its scopes and its clients."""

from collections.abc import Iterator, Mapping
from typing import Any

from evswap_local.clients import Clients
from evswap_local.errors import BadStack
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source

FILE = "identity.yaml"
MACHINES = "machines"


def apply_identity(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the pool with its domain, the resource server with its scopes, and the clients."""
    identity = source.yaml(FILE)
    pool = identity["user_pool"]
    pool_id = find_pool(clients, source)
    made = pool_id is None
    if pool_id is None:
        pool_id = _create_pool(clients, pool)
    yield Change("user pool", pool["name"], Outcome.CREATED if made else Outcome.UNCHANGED)
    server = identity["resource_server"]
    yield Change("resource server", server["identifier"], _keep_server(clients, pool_id, server))
    for client in identity["clients"].values():
        yield Change("client", client["name"], _keep_client(clients, pool_id, client))


def find_pool(clients: Clients, source: Source) -> str | None:
    """The id of the stack's user pool."""
    name = source.yaml(FILE)["user_pool"]["name"]
    for page in clients.cognito.get_paginator("list_user_pools").paginate(PaginationConfig={"PageSize": 60}):
        for pool in page["UserPools"]:
            if pool["Name"] == name:
                return pool["Id"]
    return None


def pool_arn(source: Source, pool_id: str) -> str:
    """The ARN of the pool."""
    values = source.values
    return f"arn:aws:cognito-idp:{values.region}:{values.account_id}:userpool/{pool_id}"


def machine_credentials(clients: Clients, source: Source) -> tuple[str, str]:
    """The id and the secret of the machines' client; raises BadStack where there is none."""
    pool_id = find_pool(clients, source)
    name = source.yaml(FILE)["clients"][MACHINES]["name"]
    found = None if pool_id is None else _find_client(clients, pool_id, name)
    if found is None:
        raise BadStack(FILE, "the stack has no user pool yet: run `evswap up`")
    return found["ClientId"], found["ClientSecret"]


def _create_pool(clients: Clients, pool: Mapping[str, Any]) -> str:
    pool_id = clients.cognito.create_user_pool(
        PoolName=pool["name"],
        MfaConfiguration="OFF",
        DeletionProtection="ACTIVE" if pool["deletion_protection"] else "INACTIVE",
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": True},
        Policies={
            "PasswordPolicy": {
                "MinimumLength": pool["password_minimum_length"],
                "RequireLowercase": False,
                "RequireNumbers": False,
                "RequireSymbols": False,
                "RequireUppercase": False,
                "TemporaryPasswordValidityDays": 7,
            }
        },
    )["UserPool"]["Id"]
    clients.cognito.set_user_pool_mfa_config(
        UserPoolId=pool_id,
        MfaConfiguration=pool["mfa"],
        SoftwareTokenMfaConfiguration={"Enabled": True},
    )
    clients.cognito.create_user_pool_domain(UserPoolId=pool_id, Domain=pool["domain"])
    return pool_id


def _keep_server(clients: Clients, pool_id: str, server: Mapping[str, Any]) -> Outcome:
    wanted: Any = [
        {"ScopeName": name, "ScopeDescription": text} for name, text in sorted(server["scopes"].items())
    ]
    named: Any = {"UserPoolId": pool_id, "Identifier": server["identifier"]}
    try:
        found = clients.cognito.describe_resource_server(**named)["ResourceServer"]
    except clients.cognito.exceptions.ResourceNotFoundException:
        clients.cognito.create_resource_server(**named, Name=server["name"], Scopes=wanted)
        return Outcome.CREATED
    if sorted(found["Scopes"], key=lambda scope: scope["ScopeName"]) == wanted:
        return Outcome.UNCHANGED
    clients.cognito.update_resource_server(**named, Name=server["name"], Scopes=wanted)
    return Outcome.UPDATED


def _keep_client(clients: Clients, pool_id: str, client: Mapping[str, Any]) -> Outcome:
    wanted: dict[str, Any] = {
        "AllowedOAuthFlowsUserPoolClient": True,
        "AllowedOAuthFlows": [client["flow"]],
        "AllowedOAuthScopes": client["scopes"],
        "CallbackURLs": client["callback_urls"],
        "SupportedIdentityProviders": ["COGNITO"],
        "ExplicitAuthFlows": ["ALLOW_REFRESH_TOKEN_AUTH"],
        "PreventUserExistenceErrors": "ENABLED",
        "AccessTokenValidity": client["access_token_minutes"],
        "RefreshTokenValidity": client["refresh_token_days"],
        "TokenValidityUnits": {"AccessToken": "minutes", "RefreshToken": "days"},
    }
    found = _find_client(clients, pool_id, client["name"])
    if found is None:
        clients.cognito.create_user_pool_client(
            UserPoolId=pool_id, ClientName=client["name"], GenerateSecret=client["secret"], **wanted
        )
        return Outcome.CREATED
    if all((found.get(key) or type(value)()) == value for key, value in wanted.items()):
        return Outcome.UNCHANGED
    clients.cognito.update_user_pool_client(UserPoolId=pool_id, ClientId=found["ClientId"], **wanted)
    return Outcome.UPDATED


def _find_client(clients: Clients, pool_id: str, name: str) -> dict[str, Any] | None:
    for page in clients.cognito.get_paginator("list_user_pool_clients").paginate(UserPoolId=pool_id):
        for client in page["UserPoolClients"]:
            if client["ClientName"] == name:
                found = clients.cognito.describe_user_pool_client(
                    UserPoolId=pool_id, ClientId=client["ClientId"]
                )
                return {**found["UserPoolClient"]}
    return None
