"""What an AWS holds of the stack, read through its API: a line for each setting, to compare two of them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

LIVE = "live"
"""The alias by which functions are called."""

Client = Any
Inventory = dict[str, str]
"""`kind/name/setting/...` -> the setting's value, as JSON."""


class Reader:
    """Reads one AWS. `client` makes a boto3 client; `endpoint` is what its queue URLs begin with."""

    def __init__(self, client: Any, endpoint: str) -> None:
        self._client, self._endpoint = client, endpoint

    def inventory(self) -> Inventory:
        """Everything, with the names that only this AWS has (its port, ids) taken out."""
        kinds = {
            "table": self.tables,
            "bucket": self.buckets,
            "queue": self.queues,
            "role": self.roles,
            "function": self.functions,
            "log-group": self.log_groups,
            "rule": self.rules,
            "schedule": self.schedules,
            "identity": self.identity,
            "iot": self.devices,
            "api": self.api,
            "live": self.live,
            "only-aws": self.only_aws,
        }
        found = {kind: dict(read()) for kind, read in kinds.items()}
        return dict(_flat(json.loads(self._without_ids(json.dumps(found, default=str)))))

    def _without_ids(self, text: str) -> str:
        text = text.replace(self._endpoint, "http://aws")
        for api in self._client("apigateway").get_rest_apis()["items"]:
            text = text.replace(api["id"], "API")
        gateway = self._client("apigatewayv2")
        for api in gateway.get_apis()["Items"]:
            for integration in gateway.get_integrations(ApiId=api["ApiId"])["Items"]:
                text = text.replace(integration["IntegrationId"], "INTEGRATION")
            text = text.replace(api["ApiId"], "LIVE")
        text = re.sub(r"/stream/[0-9T:.-]+", "/stream", text)
        for pool in self._client("cognito-idp").list_user_pools(MaxResults=60)["UserPools"]:
            text = text.replace(pool["Id"], "POOL")
        return text

    def tables(self) -> Iterator[tuple[str, Any]]:
        dynamodb = self._client("dynamodb")
        for name in dynamodb.list_tables()["TableNames"]:
            table = dynamodb.describe_table(TableName=name)["Table"]
            expiry = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
            backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
            yield (
                name,
                {
                    "keys": table["KeySchema"],
                    "attributes": table["AttributeDefinitions"],
                    "indexes": {
                        index["IndexName"]: _only(index, "KeySchema", "Projection")
                        for index in (
                            *table.get("LocalSecondaryIndexes", ()),
                            *table.get("GlobalSecondaryIndexes", ()),
                        )
                    },
                    "expiry": _only(expiry, "TimeToLiveStatus", "AttributeName"),
                    "billing": table.get("BillingModeSummary", {}).get("BillingMode"),
                    "encryption": _only(table.get("SSEDescription", {}), "Status", "SSEType"),
                    "deletion_protection": table.get("DeletionProtectionEnabled", False),
                    "recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
                    "stream": table.get("StreamSpecification"),
                },
            )

    def buckets(self) -> Iterator[tuple[str, Any]]:
        s3 = self._client("s3")
        for bucket in s3.list_buckets()["Buckets"]:
            name = bucket["Name"]
            encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
            lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
            yield (
                name,
                {
                    "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
                    "encryption": [rule["ApplyServerSideEncryptionByDefault"] for rule in encryption],
                    "public_access": s3.get_public_access_block(Bucket=name)[
                        "PublicAccessBlockConfiguration"
                    ],
                    "ownership": s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"],
                    "lifecycle": {rule.pop("ID"): rule for rule in lifecycle},
                },
            )

    def queues(self) -> Iterator[tuple[str, Any]]:
        sqs = self._client("sqs")
        for url in sqs.list_queues()["QueueUrls"]:
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            settings = {
                name: value
                for name, value in attributes.items()
                if not name.startswith("Approximate") and not name.endswith("Timestamp")
            }
            redrive = json.loads(settings.pop("RedrivePolicy", "null"))
            yield url.rpartition("/")[2], {**settings, "redrive": redrive}

    def roles(self) -> Iterator[tuple[str, Any]]:
        iam = self._client("iam")
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
            yield (
                name,
                {
                    "trust": role["AssumeRolePolicyDocument"],
                    "description": role.get("Description"),
                    "inline": {
                        policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                        for policy in inline
                    },
                    "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
                },
            )

    def functions(self) -> Iterator[tuple[str, Any]]:
        functions = self._client("lambda")
        for function in functions.list_functions()["Functions"]:
            name = function["FunctionName"]
            settings = _only(
                function,
                *("Description", "Handler", "Runtime", "Architectures", "MemorySize", "Timeout", "Role"),
                *("Environment", "TracingConfig", "LoggingConfig", "Layers", "DeadLetterConfig"),
            )
            sources = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
            concurrency = functions.get_function_concurrency(FunctionName=name)
            yield (
                name,
                {
                    **settings,
                    "code": function["CodeSha256"],
                    "concurrency": concurrency.get("ReservedConcurrentExecutions"),
                    "permissions": self._permissions(functions, name),
                    "asynchronous": self._asynchronous(functions, name),
                    "alias": self._alias(functions, name),
                    "sources": {source["EventSourceArn"]: _source(source) for source in sources},
                },
            )

    def _alias(self, functions: Client, name: str) -> Any:
        """Its version's settings and code: how often it was published before is nobody's setting."""
        alias = functions.get_alias(FunctionName=name, Name=LIVE)
        version = functions.get_function_configuration(FunctionName=name, Qualifier=alias["FunctionVersion"])
        return {"published": alias["FunctionVersion"] != "$LATEST", "code": version["CodeSha256"]}

    def _asynchronous(self, functions: Client, name: str) -> Any:
        try:
            found = functions.get_function_event_invoke_config(FunctionName=name, Qualifier=LIVE)
        except functions.exceptions.ResourceNotFoundException:
            return {}
        settings = _only(found, "MaximumRetryAttempts", "MaximumEventAgeInSeconds")
        return {**settings, "on_failure": found["DestinationConfig"]["OnFailure"]}

    def _permissions(self, functions: Client, name: str) -> Any:
        try:
            policy = functions.get_policy(FunctionName=name, Qualifier=LIVE)["Policy"]
        except functions.exceptions.ResourceNotFoundException:
            return {}
        return {statement.pop("Sid"): statement for statement in json.loads(policy)["Statement"]}

    def log_groups(self) -> Iterator[tuple[str, Any]]:
        """Without those of functions that are gone: a test's."""
        functions = {each["FunctionName"] for each in self._client("lambda").list_functions()["Functions"]}
        for group in self._client("logs").describe_log_groups()["logGroups"]:
            name = group["logGroupName"]
            if name.removeprefix("/aws/lambda/") in functions or not name.startswith("/aws/lambda/"):
                yield name, {"retention_days": group.get("retentionInDays")}

    def rules(self) -> Iterator[tuple[str, Any]]:
        iot = self._client("iot")
        for rule in iot.list_topic_rules()["rules"]:
            found = iot.get_topic_rule(ruleName=rule["ruleName"])["rule"]
            yield (
                rule["ruleName"],
                _only(
                    found, "sql", "awsIotSqlVersion", "description", "ruleDisabled", "actions", "errorAction"
                ),
            )

    def schedules(self) -> Iterator[tuple[str, Any]]:
        events = self._client("events")
        for rule in events.list_rules()["Rules"]:
            targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            settings = _only(rule, "Description", "ScheduleExpression", "State")
            yield rule["Name"], {**settings, "targets": targets}

    def identity(self) -> Iterator[tuple[str, Any]]:
        cognito = self._client("cognito-idp")
        for each in cognito.list_user_pools(MaxResults=60)["UserPools"]:
            pool = cognito.describe_user_pool(UserPoolId=each["Id"])["UserPool"]
            settings = _only(pool, "Policies", "AdminCreateUserConfig", "MfaConfiguration", "Domain")
            yield f"pool {pool['Name']}", {**settings, "protection": pool.get("DeletionProtection")}
            servers = cognito.list_resource_servers(UserPoolId=each["Id"], MaxResults=50)["ResourceServers"]
            for server in servers:
                scopes = {scope["ScopeName"]: scope["ScopeDescription"] for scope in server["Scopes"]}
                yield f"resource server {server['Identifier']}", {"name": server["Name"], **scopes}
            for one in cognito.list_user_pool_clients(UserPoolId=each["Id"])["UserPoolClients"]:
                client = cognito.describe_user_pool_client(UserPoolId=each["Id"], ClientId=one["ClientId"])
                yield f"client {one['ClientName']}", _client(client["UserPoolClient"])

    def devices(self) -> Iterator[tuple[str, Any]]:
        iot = self._client("iot")
        for policy in iot.list_policies()["policies"]:
            document = iot.get_policy(policyName=policy["policyName"])["policyDocument"]
            yield f"policy {policy['policyName']}", json.loads(document)
        for kind in iot.list_thing_types()["thingTypes"]:
            yield (
                f"thing type {kind['thingTypeName']}",
                {"deprecated": kind["thingTypeMetadata"]["deprecated"]},
            )
        for template in iot.list_provisioning_templates()["templates"]:
            found = iot.describe_provisioning_template(templateName=template["templateName"])
            settings = _only(
                found, "description", "enabled", "type", "provisioningRoleArn", "preProvisioningHook"
            )
            yield (
                f"template {template['templateName']}",
                {**settings, "body": json.loads(found["templateBody"])},
            )

    def api(self) -> Iterator[tuple[str, Any]]:
        gateway = self._client("apigateway")
        [api] = gateway.get_rest_apis()["items"]
        validators = gateway.get_request_validators(restApiId=api["id"])["items"]
        names = {validator["id"]: validator["name"] for validator in validators}
        yield "endpoint", api["endpointConfiguration"]["types"]
        yield "description", api.get("description")
        authorisers = gateway.get_authorizers(restApiId=api["id"])["items"]
        yield "authorisers", {each["name"]: _only(each, "type", "providerARNs") for each in authorisers}
        yield (
            "validators",
            {
                each["name"]: _only(each, "validateRequestBody", "validateRequestParameters")
                for each in validators
            },
        )
        for resource in gateway.get_resources(restApiId=api["id"], limit=500)["items"]:
            yield f"resource {resource['path']}", sorted(resource.get("resourceMethods", {}))
            for verb in resource.get("resourceMethods", {}):
                method = gateway.get_method(restApiId=api["id"], resourceId=resource["id"], httpMethod=verb)
                yield f"{verb} {resource['path']}", _method(method, names)
        for response in gateway.get_gateway_responses(restApiId=api["id"], limit=500)["items"]:
            if not response.get("defaultResponse"):
                settings = _only(response, "statusCode", "responseParameters", "responseTemplates")
                yield f"response {response['responseType']}", settings
        for stage in gateway.get_stages(restApiId=api["id"])["item"]:
            settings = _only(stage, "accessLogSettings", "tracingEnabled", "methodSettings")
            yield f"stage {stage['stageName']}", settings
        yield "usage plans", [plan["name"] for plan in gateway.get_usage_plans()["items"]]

    def live(self) -> Iterator[tuple[str, Any]]:
        gateway = self._client("apigatewayv2")
        [api] = gateway.get_apis()["Items"]
        yield "api", _only(api, "Name", "Description", "ProtocolType", "RouteSelectionExpression")
        authorisers = {
            each["AuthorizerId"]: each for each in gateway.get_authorizers(ApiId=api["ApiId"])["Items"]
        }
        for each in authorisers.values():
            yield (
                f"authoriser {each['Name']}",
                _only(each, "AuthorizerType", "AuthorizerUri", "IdentitySource"),
            )
        for each in gateway.get_integrations(ApiId=api["ApiId"])["Items"]:
            yield "integration", _only(each, "IntegrationType", "IntegrationMethod", "IntegrationUri")
        for each in gateway.get_routes(ApiId=api["ApiId"])["Items"]:
            authoriser = authorisers.get(each.get("AuthorizerId"), {}).get("Name")
            settings = _only(each, "Target", "AuthorizationType")
            yield f"route {each['RouteKey']}", {**settings, "authoriser": authoriser}
        for each in gateway.get_stages(ApiId=api["ApiId"])["Items"]:
            yield f"stage {each['StageName']}", _only(each, "AccessLogSettings", "DefaultRouteSettings")

    def only_aws(self) -> Iterator[tuple[str, Any]]:
        """What nobody needs on one machine, by name."""
        for alarm in self._client("cloudwatch").describe_alarms()["MetricAlarms"]:
            yield f"alarm {alarm['AlarmName']}", alarm["AlarmActions"]
        for topic in self._client("sns").list_topics()["Topics"]:
            yield f"topic {topic['TopicArn']}", True
        for budget in self._client("budgets").describe_budgets(AccountId="000000000000").get("Budgets", []):
            yield f"budget {budget['BudgetName']}", budget["BudgetLimit"]


def _only(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: found[name] for name in names if found.get(name) not in (None, [], {}, "")}


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    names = ("BatchSize", "MaximumBatchingWindowInSeconds", "ScalingConfig", "FunctionResponseTypes")
    stream = ("StartingPosition", "MaximumRecordAgeInSeconds")
    filters = source.get("FilterCriteria", {}).get("Filters", ())
    return {
        **_only(source, *names, *stream),
        "filters": [json.loads(each["Pattern"]) for each in filters],
        "enabled": source["State"],
        "calls": source["FunctionArn"],
    }


def _client(client: Mapping[str, Any]) -> dict[str, Any]:
    """Without its id and its secret."""
    settings = (
        *("AllowedOAuthFlows", "AllowedOAuthScopes", "AllowedOAuthFlowsUserPoolClient", "ExplicitAuthFlows"),
        *("PreventUserExistenceErrors", "AccessTokenValidity", "RefreshTokenValidity", "TokenValidityUnits"),
        "SupportedIdentityProviders",
    )
    return {
        **{name: client.get(name) for name in settings},
        "callbacks": client.get("CallbackURLs") or [],
        "has_secret": "ClientSecret" in client,
    }


def _method(method: Mapping[str, Any], validators: Mapping[str, str]) -> dict[str, Any]:
    integration = ("type", "httpMethod", "uri", "passthroughBehavior", "timeoutInMillis")
    return {
        **_only(method, "authorizationType", "authorizationScopes", "operationName", "requestParameters"),
        "key_required": method.get("apiKeyRequired", False),
        "validator": validators.get(method.get("requestValidatorId", "")),
        "integration": _only(method["methodIntegration"], *integration),
    }


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Mappings become paths; lists, whose order nobody promises, become one sorted value."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f"{path}/{key}" if path else key)
    elif isinstance(node, list):
        yield path, json.dumps(sorted(json.dumps(_sorted(each), sort_keys=True) for each in node))
    else:
        yield path, json.dumps(node, sort_keys=True)


def _sorted(node: Any) -> Any:
    match node:
        case dict():
            return {key: _sorted(value) for key, value in node.items()}
        case list():
            return sorted((_sorted(each) for each in node), key=lambda each: json.dumps(each, sort_keys=True))
        case _:
            return node
