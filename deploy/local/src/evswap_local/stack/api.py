"""The REST API, from openapi.yaml: resource by resource, as ministack 1.5.33 imports nothing."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.identity import FILE as IDENTITY
from evswap_local.stack.identity import find_pool, pool_arn
from evswap_local.stack.permissions import allow_invoke
from evswap_local.stack.source import Source

FILE = "openapi.yaml"
STAGE = "dev"
HTTP_METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}
ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
VALIDATORS = "x-amazon-apigateway-request-validators"
VALIDATOR = "x-amazon-apigateway-request-validator"
PLACES = {"path": "path", "query": "querystring", "header": "header"}
GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
INVOKE_STATEMENT = "apigateway"
AUTHORISED = "COGNITO_USER_POOLS"
FUNCTION = re.compile(r":function:([A-Za-z0-9_-]+)")


def apply_api(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the API and everything in it, and deploys it when anything changed."""
    document = source.yaml(FILE)
    name = document["info"]["title"]
    api_id = find_api(clients, name)
    made = api_id is None
    if api_id is None:
        api_id = clients.apigateway.create_rest_api(
            name=name,
            description=document["info"]["description"],
            endpointConfiguration={"types": ["REGIONAL"]},
        )["id"]
    yield Change("REST API", name, Outcome.CREATED if made else Outcome.UNCHANGED)
    changes = [
        *_apply_validators(clients, api_id, document[VALIDATORS]),
        _apply_authoriser(clients, source, api_id),
        *_apply_methods(clients, api_id, document),
        *_apply_gateway_responses(clients, api_id, document.get(GATEWAY_RESPONSES, {})),
    ]
    yield from changes
    for function in sorted(_functions(document)):
        yield Change("permission", f"API to {function}", _allow_invoke(clients, source, api_id, function))
    yield Change("stage", STAGE, _deploy(clients, api_id, changes))


def find_api(clients: Clients, name: str) -> str | None:
    """The id of the REST API called ``name``."""
    for page in clients.apigateway.get_paginator("get_rest_apis").paginate():
        for api in page["items"]:
            if api["name"] == name:
                return api["id"]
    return None


def api_url(endpoint_url: str, api_id: str) -> str:
    """Where the API answers on this machine."""
    return f"{endpoint_url}/restapis/{api_id}/{STAGE}/_user_request_"


def _apply_validators(clients: Clients, api_id: str, validators: Mapping[str, Any]) -> Iterator[Change]:
    found = _validators(clients, api_id)
    for name, wanted in validators.items():
        if name in found and _covers(found[name], wanted):
            yield Change("request validator", name, Outcome.UNCHANGED)
            continue
        if name in found:
            clients.apigateway.delete_request_validator(
                restApiId=api_id, requestValidatorId=found[name]["id"]
            )
        clients.apigateway.create_request_validator(restApiId=api_id, name=name, **wanted)
        yield Change("request validator", name, Outcome.UPDATED if name in found else Outcome.CREATED)


def _validators(clients: Clients, api_id: str) -> dict[str, dict[str, Any]]:
    """Each request validator by its name."""
    answer = clients.apigateway.get_request_validators(restApiId=api_id)
    return {item["name"]: {**item} for item in answer["items"]}


def _apply_authoriser(clients: Clients, source: Source, api_id: str) -> Change:
    """What verifies the tokens of the methods that have scopes."""
    name, pool_id = source.yaml(IDENTITY)["authoriser"], find_pool(clients, source)
    wanted: Any = {"type": AUTHORISED, "providerARNs": [pool_arn(source, pool_id)] if pool_id else []}
    found = _authorisers(clients, api_id).get(name)
    if found is not None and _covers(found, wanted):
        return Change("authoriser", name, Outcome.UNCHANGED)
    if found is not None:
        clients.apigateway.delete_authorizer(restApiId=api_id, authorizerId=found["id"])
    clients.apigateway.create_authorizer(
        restApiId=api_id, name=name, identitySource="method.request.header.Authorization", **wanted
    )
    return Change("authoriser", name, Outcome.CREATED if found is None else Outcome.UPDATED)


def _authorisers(clients: Clients, api_id: str) -> dict[str, dict[str, Any]]:
    """Each authoriser by its name."""
    answer = clients.apigateway.get_authorizers(restApiId=api_id)
    return {item["name"]: {**item} for item in answer["items"]}


def _apply_methods(clients: Clients, api_id: str, document: Mapping[str, Any]) -> Iterator[Change]:
    resources = _resources(clients, api_id)
    validators = _validators(clients, api_id)
    [authoriser] = _authorisers(clients, api_id).values()
    paths = document["paths"]
    for path, item in paths.items():
        resource_id = _keep_resource(clients, api_id, path, resources)
        for key, operation in item.items():
            if key in HTTP_METHODS or key == ANY_METHOD:
                method = "ANY" if key == ANY_METHOD else key.upper()
                validator = validators[operation.get(VALIDATOR, document[VALIDATOR])]["id"]
                wanted = {
                    **_method(operation),
                    **_authorisation(operation, authoriser["id"]),
                    "requestValidatorId": validator,
                }
                outcome = _keep_method(clients, api_id, resource_id, method, wanted, operation)
                yield Change("method", f"{method} {path}", outcome)
    yield from _remove_others(clients, api_id, paths, resources)


def _resources(clients: Clients, api_id: str) -> dict[str, str]:
    """The id of each resource by its path."""
    pages = clients.apigateway.get_paginator("get_resources").paginate(restApiId=api_id)
    return {item["path"]: item["id"] for page in pages for item in page["items"]}


def _keep_resource(clients: Clients, api_id: str, path: str, resources: dict[str, str]) -> str:
    if path not in resources:
        parent, _, part = path.rpartition("/")
        resources[path] = clients.apigateway.create_resource(
            restApiId=api_id,
            parentId=_keep_resource(clients, api_id, parent or "/", resources),
            pathPart=part,
        )["id"]
    return resources[path]


def _keep_method(
    clients: Clients,
    api_id: str,
    resource_id: str,
    method: str,
    wanted: Mapping[str, Any],
    operation: Mapping[str, Any],
) -> Outcome:
    integration = _integration(operation[INTEGRATION])
    found = _find_method(clients, api_id, resource_id, method)
    if found is not None:
        if _covers(found, wanted) and _covers(found.get("methodIntegration", {}), integration):
            return Outcome.UNCHANGED
        clients.apigateway.delete_method(restApiId=api_id, resourceId=resource_id, httpMethod=method)
    clients.apigateway.put_method(restApiId=api_id, resourceId=resource_id, httpMethod=method, **wanted)
    put: dict[str, Any] = {key: value for key, value in integration.items() if key != "httpMethod"}
    clients.apigateway.put_integration(
        restApiId=api_id,
        resourceId=resource_id,
        httpMethod=method,
        integrationHttpMethod=integration["httpMethod"],
        **put,
    )
    return Outcome.CREATED if found is None else Outcome.UPDATED


def _find_method(clients: Clients, api_id: str, resource_id: str, method: str) -> dict[str, Any] | None:
    try:
        found = clients.apigateway.get_method(restApiId=api_id, resourceId=resource_id, httpMethod=method)
    except clients.apigateway.exceptions.NotFoundException:
        return None
    return {**found}


def _method(operation: Mapping[str, Any]) -> dict[str, Any]:
    """API Gateway checks parameters for presence only; the function validates everything."""
    return {
        "apiKeyRequired": False,
        "operationName": operation["operationId"],
        "requestParameters": {
            f"method.request.{PLACES[parameter['in']]}.{parameter['name']}": True
            for parameter in operation.get("parameters", [])
            if parameter["required"]
        },
    }


def _authorisation(operation: Mapping[str, Any], authoriser_id: str) -> dict[str, Any]:
    """An operation with ``security`` needs a token with one of its scopes."""
    if "security" not in operation:
        return {"authorizationType": "NONE"}
    [scheme] = operation["security"]
    [scopes] = scheme.values()
    return {
        "authorizationType": AUTHORISED,
        "authorizerId": authoriser_id,
        "authorizationScopes": scopes,
    }


def _integration(integration: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": integration["type"].upper(),
        "httpMethod": integration["httpMethod"],
        "uri": integration["uri"],
        "passthroughBehavior": integration["passthroughBehavior"].upper(),
        "timeoutInMillis": integration["timeoutInMillis"],
    }


def _covers(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all((found.get(key) or type(value)()) == value for key, value in wanted.items())


def _remove_others(
    clients: Clients, api_id: str, paths: Mapping[str, Any], resources: Mapping[str, str]
) -> Iterator[Change]:
    """Takes away what openapi.yaml no longer has, the deepest first."""
    for path in sorted(resources, key=len, reverse=True):
        if path != "/" and not any(wanted == path or wanted.startswith(f"{path}/") for wanted in paths):
            clients.apigateway.delete_resource(restApiId=api_id, resourceId=resources[path])
            yield Change("resource (no longer wanted)", path, Outcome.UPDATED)


def _apply_gateway_responses(clients: Clients, api_id: str, responses: Mapping[str, Any]) -> Iterator[Change]:
    found = {
        item["responseType"]: item
        for item in clients.apigateway.get_gateway_responses(restApiId=api_id)["items"]
        if not item.get("defaultResponse")
    }
    for kind, response in responses.items():
        wanted: Any = {
            "responseParameters": response.get("responseParameters", {}),
            "responseTemplates": response.get("responseTemplates", {}),
        }
        if "statusCode" in response:
            wanted["statusCode"] = str(response["statusCode"])
        there: Any = found.get(kind)  # type: ignore[call-overload]
        if there is not None and _covers(there, wanted):
            yield Change("gateway response", kind, Outcome.UNCHANGED)
            continue
        put: Any = {"restApiId": api_id, "responseType": kind, **wanted}
        clients.apigateway.put_gateway_response(**put)
        outcome = Outcome.CREATED if there is None else Outcome.UPDATED
        yield Change("gateway response", kind, outcome)


def _functions(document: Mapping[str, Any]) -> set[str]:
    """The names of the functions behind the methods."""
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    return {name for each in operations for name in FUNCTION.findall(each[INTEGRATION]["uri"])}


def _allow_invoke(clients: Clients, source: Source, api_id: str, function: str) -> Outcome:
    values = source.values
    return allow_invoke(
        clients,
        function,
        statement=INVOKE_STATEMENT,
        principal="apigateway.amazonaws.com",
        source=f"arn:aws:execute-api:{values.region}:{values.account_id}:{api_id}/*/*/*",
    )


def _deploy(clients: Clients, api_id: str, changes: list[Change]) -> Outcome:
    try:
        clients.apigateway.get_stage(restApiId=api_id, stageName=STAGE)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        outcome = Outcome.CREATED
    else:
        if all(change.outcome is Outcome.UNCHANGED for change in changes):
            return Outcome.UNCHANGED
        outcome = Outcome.UPDATED
    clients.apigateway.create_deployment(restApiId=api_id, stageName=STAGE)
    return outcome
