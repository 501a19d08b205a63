"""Live updates, from live.yaml: the WebSocket API, and the mapping that feeds it from a table's stream."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evswap_cloud.operations.deployment import LIVE
from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.functions import function_arn, function_name
from evswap_local.stack.permissions import allow_invoke
from evswap_local.stack.source import Source
from evswap_local.stack.tables import stream_arn

FILE = "live.yaml"
API_STATEMENT = "live"


def apply_live(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the API with its routes, and the mapping. A deployment is made where anything changed."""
    document = source.yaml(FILE)
    api = document["api"]
    api_id, outcome = _keep_api(clients, api)
    yield Change("WebSocket API", api["name"], outcome)
    authoriser_id, outcome = _keep_authoriser(clients, source, api_id, api["authoriser"])
    changes = [Change("authoriser", api["authoriser"]["name"], outcome)]
    integration_id, outcome = _keep_integration(clients, source, api_id, api["function"])
    changes.append(Change("integration", api["function"], outcome))
    for key in api["routes"]:
        outcome = _keep_route(clients, api_id, _route(key, integration_id, authoriser_id))
        changes.append(Change("route", key, outcome))
    yield from changes
    for function in (api["function"], api["authoriser"]["function"]):
        yield Change("permission", f"live updates to {function}", _allow(clients, source, api_id, function))
    yield Change("stage", api["stage"], _deploy(clients, api_id, api, changes))
    yield Change("event source", f"stream of {document['feed']['table']}", _feed(clients, source, document))


def find_live_api(clients: Clients, source: Source) -> str | None:
    """The id of the WebSocket API."""
    return _find(clients.apigatewayv2.get_apis()["Items"], Name=source.yaml(FILE)["api"]["name"]).get("ApiId")


def live_stage(source: Source) -> str:
    """The stage that it answers at."""
    return str(source.yaml(FILE)["api"]["stage"])


def _find(items: Any, **wanted: str) -> dict[str, Any]:
    """The first of ``items`` that has what is ``wanted``, or nothing."""
    found = (item for item in items if _has(item, wanted))
    return dict(next(found, {}))


def _has(item: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(item.get(name) == value for name, value in wanted.items())


def _keep_api(clients: Clients, api: Mapping[str, Any]) -> tuple[str, Outcome]:
    wanted: dict[str, Any] = {
        "Name": api["name"],
        "Description": api["description"],
        "RouteSelectionExpression": api["route_selection_expression"],
    }
    found = _find(clients.apigatewayv2.get_apis()["Items"], Name=api["name"])
    if not found:
        made = clients.apigatewayv2.create_api(ProtocolType="WEBSOCKET", **wanted)
        return made["ApiId"], Outcome.CREATED
    if _has(found, wanted):
        return found["ApiId"], Outcome.UNCHANGED
    clients.apigatewayv2.update_api(ApiId=found["ApiId"], **wanted)
    return found["ApiId"], Outcome.UPDATED


def _keep_authoriser(
    clients: Clients, source: Source, api_id: str, authoriser: Mapping[str, Any]
) -> tuple[str, Outcome]:
    wanted: dict[str, Any] = {
        "Name": authoriser["name"],
        "AuthorizerType": "REQUEST",
        "AuthorizerUri": _uri(source, authoriser["function"]),
        "IdentitySource": [authoriser["identity_source"]],
    }
    gateway = clients.apigatewayv2
    found = _find(gateway.get_authorizers(ApiId=api_id)["Items"], Name=authoriser["name"])
    if not found:
        return gateway.create_authorizer(ApiId=api_id, **wanted)["AuthorizerId"], Outcome.CREATED
    if _has(found, wanted):
        return found["AuthorizerId"], Outcome.UNCHANGED
    gateway.update_authorizer(ApiId=api_id, AuthorizerId=found["AuthorizerId"], **wanted)
    return found["AuthorizerId"], Outcome.UPDATED


def _keep_integration(clients: Clients, source: Source, api_id: str, function: str) -> tuple[str, Outcome]:
    wanted: dict[str, Any] = {
        "IntegrationType": "AWS_PROXY",
        "IntegrationMethod": "POST",
        "IntegrationUri": _uri(source, function),
    }
    gateway = clients.apigatewayv2
    found = _find(gateway.get_integrations(ApiId=api_id)["Items"])
    if not found:
        return gateway.create_integration(ApiId=api_id, **wanted)["IntegrationId"], Outcome.CREATED
    if _has(found, wanted):
        return found["IntegrationId"], Outcome.UNCHANGED
    gateway.update_integration(ApiId=api_id, IntegrationId=found["IntegrationId"], **wanted)
    return found["IntegrationId"], Outcome.UPDATED


def _route(key: str, integration_id: str, authoriser_id: str) -> dict[str, Any]:
    """Only the handshake is authorised: API Gateway knows nothing else to ask for later."""
    authorisation = (
        {"AuthorizationType": "CUSTOM", "AuthorizerId": authoriser_id}
        if key == "$connect"
        else {"AuthorizationType": "NONE"}
    )
    return {"RouteKey": key, "Target": f"integrations/{integration_id}", **authorisation}


def _keep_route(clients: Clients, api_id: str, wanted: dict[str, Any]) -> Outcome:
    gateway = clients.apigatewayv2
    found = _find(gateway.get_routes(ApiId=api_id)["Items"], RouteKey=wanted["RouteKey"])
    if not found:
        gateway.create_route(ApiId=api_id, **wanted)
        return Outcome.CREATED
    if _has(found, wanted):
        return Outcome.UNCHANGED
    gateway.update_route(ApiId=api_id, RouteId=found["RouteId"], **wanted)
    return Outcome.UPDATED


def _uri(source: Source, function: str) -> str:
    arn = function_arn(source, function)
    return f"arn:aws:apigateway:{source.values.region}:lambda:path/2015-03-31/functions/{arn}/invocations"


def _allow(clients: Clients, source: Source, api_id: str, function: str) -> Outcome:
    values = source.values
    return allow_invoke(
        clients,
        function_name(source, function),
        statement=API_STATEMENT,
        principal="apigateway.amazonaws.com",
        source=f"arn:aws:execute-api:{values.region}:{values.account_id}:{api_id}/*",
    )


def _deploy(clients: Clients, api_id: str, api: Mapping[str, Any], changes: list[Change]) -> Outcome:
    gateway = clients.apigatewayv2
    found = _find(gateway.get_stages(ApiId=api_id)["Items"], StageName=api["stage"])
    if found and all(change.outcome is Outcome.UNCHANGED for change in changes):
        return Outcome.UNCHANGED
    deployment_id = gateway.create_deployment(ApiId=api_id)["DeploymentId"]
    if found:
        gateway.update_stage(ApiId=api_id, StageName=api["stage"], DeploymentId=deployment_id)
        return Outcome.UPDATED
    gateway.create_stage(ApiId=api_id, StageName=api["stage"], DeploymentId=deployment_id)
    return Outcome.CREATED


def _feed(clients: Clients, source: Source, document: Mapping[str, Any]) -> Outcome:
    feed = document["feed"]
    arn, name = stream_arn(clients, source, feed["table"]), function_name(source, feed["function"])
    wanted: dict[str, Any] = {
        "BatchSize": feed["batch_size"],
        "MaximumBatchingWindowInSeconds": feed["window_s"],
        "MaximumRecordAgeInSeconds": feed["maximum_record_age_s"],
        "FilterCriteria": {"Filters": [{"Pattern": json.dumps(each)} for each in feed["filters"]]},
    }
    functions = clients.functions
    mappings = functions.list_event_source_mappings(EventSourceArn=arn, FunctionName=name)
    alias = f"{name}:{LIVE}"
    if not mappings["EventSourceMappings"]:
        functions.create_event_source_mapping(
            EventSourceArn=arn, FunctionName=alias, StartingPosition=feed["starting_position"], **wanted
        )
        return Outcome.CREATED
    found: dict[str, Any] = {**mappings["EventSourceMappings"][0]}
    if found["FunctionArn"].endswith(f":{alias}") and _has(found, wanted):
        return Outcome.UNCHANGED
    functions.update_event_source_mapping(UUID=found["UUID"], FunctionName=alias, **wanted)
    return Outcome.UPDATED
