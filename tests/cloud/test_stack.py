"""The stack as data: everything it refers to is there, and it keeps what AWS demands of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from openapi_spec_validator import validate

from evswap_cloud import events, wiring
from evswap_cloud.api.commanding import CONFIGURE, OPERATE
from evswap_cloud.connection.figures import Count
from evswap_cloud.operations.deployment import LIVE
from evswap_schema import TOPICS, AlarmEvent, AlarmState, Channel, Clock, Severity, provisioning
from tests.cloud.messages import NOW, STACK

PLACEHOLDERS = {
    "region": "us-east-1",
    "account_id": "123456789012",
    "prefix": "evswap",
    "archive_bucket": "evswap-archive",
    "compacted_bucket": "evswap-compacted",
    "stations_table": "evswap-stations",
    "fleet_table": "evswap-fleet",
    "events_table": "evswap-events",
    "batteries_table": "evswap-batteries",
    "ledger_table": "evswap-ledger",
    "history_table": "evswap-history",
    "authorisations_table": "evswap-authorisations",
}
FILES = sorted(path for path in STACK.rglob("*") if path.suffix in {".yaml", ".json", ".sql"})
ROLES = sorted(path.stem for path in (STACK / "roles").glob("*.json"))


def text(name: str | Path) -> str:
    return re.sub(r"\$\{([a-z_]+)\}", lambda match: PLACEHOLDERS[match[1]], (STACK / name).read_text())


def load(name: str) -> Any:
    return yaml.safe_load(text(name))


FUNCTIONS = load("functions.yaml")["functions"]
QUEUES = load("queues.yaml")
RULES = load("rules.yaml")
TEMPLATES = load("provisioning.yaml")
THINGS = load("things.yaml")
OPENAPI = load("openapi.yaml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(STACK)))
def test_only_documented_placeholders_stand_in_the_files(path: Path) -> None:
    readme = (STACK / "README.md").read_text()
    for name in re.findall(r"\$\{([^}:]+)\}", path.read_text()):
        assert name in PLACEHOLDERS
        assert f"| `{name}` |" in readme


# --- functions and queues ---


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_handler_exists(name: str) -> None:
    from importlib import import_module

    module, _, attribute = FUNCTIONS[name]["handler"].rpartition(".")
    assert callable(getattr(import_module(module), attribute))


def test_a_function_has_the_settings_that_its_wiring_asks_for_and_no_others() -> None:
    needs = {
        "live": {wiring.ARCHIVE_BUCKET, wiring.STATIONS_TABLE},
        "change": {wiring.ARCHIVE_BUCKET, wiring.STATIONS_TABLE},
        "bulk": {wiring.ARCHIVE_BUCKET, wiring.STATIONS_TABLE, wiring.HISTORY_TABLE},
        "events": {
            wiring.ARCHIVE_BUCKET,
            wiring.EVENTS_TABLE,
            wiring.BATTERIES_TABLE,
            wiring.LEDGER_TABLE,
            wiring.AUTHORISATIONS_TABLE,
            wiring.EVENTS_KEPT_DAYS,
        },
        "connection": {wiring.ARCHIVE_BUCKET, wiring.STATIONS_TABLE},
        "sweep": {wiring.STATIONS_TABLE, wiring.FLEET_TABLE},
        "api": {
            wiring.COMMANDS_TABLE,
            wiring.STATIONS_TABLE,
            wiring.FLEET_TABLE,
            wiring.EVENTS_TABLE,
            wiring.BATTERIES_TABLE,
            wiring.LEDGER_TABLE,
            wiring.HISTORY_TABLE,
        },
        "command": {wiring.STATIONS_TABLE, wiring.COMMANDS_TABLE},
        "reports": {wiring.ARCHIVE_BUCKET, wiring.COMMANDS_TABLE},
        "expire": {wiring.COMMANDS_TABLE},
        "ticket": {wiring.TICKETS_TABLE},
        "watch-authorise": {wiring.TICKETS_TABLE},
        "watch": {wiring.STATIONS_TABLE, wiring.WATCHERS_TABLE},
        "push": {wiring.WATCHERS_TABLE},
        "provision": set(),
        "retire": set(),
    }
    assert {name: set(function["environment"]) for name, function in FUNCTIONS.items()} == needs


@pytest.mark.parametrize("name", [name for name, one in FUNCTIONS.items() if "event_source" in one])
def test_an_event_source_keeps_what_sqs_and_lambda_demand(name: str) -> None:
    function = FUNCTIONS[name]
    source = function["event_source"]
    queue = QUEUES[source["queue"]]
    assert queue["visibility_timeout_s"] >= 6 * function["timeout_s"] + source["window_s"]
    assert 2 <= source["maximum_concurrency"] <= function["reserved_concurrency"]
    assert source["batch_size"] <= 10 or source["window_s"] >= 1
    assert source["report_batch_item_failures"] is True


def test_live_shows_a_change_within_five_seconds() -> None:
    assert FUNCTIONS["live"]["event_source"]["window_s"] <= 1


def test_only_what_may_be_lost_goes_straight_to_a_function() -> None:
    direct = {name for name, rule in RULES.items() if "function" in rule}
    assert direct == {TOPICS[Channel.CHANGE].rule}, "its durable copy is the next batch"
    for name in direct:
        calls = FUNCTIONS[RULES[name]["function"]]["asynchronous"]
        assert 60 <= calls["maximum_event_age_s"] <= 21_600
        assert 0 <= calls["maximum_retries"] <= 2
        assert "dead_letter_queue" not in QUEUES[calls["on_failure_queue"]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_logs_are_kept_seven_days(name: str) -> None:
    assert FUNCTIONS[name]["log_retention_days"] == 7


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_local_overrides_is_there_to_be_overridden(name: str) -> None:
    source = FUNCTIONS[name].get("event_source", {})
    assert source.get("local", {}).keys() <= source.keys()


def test_every_queue_that_a_function_reads_ends_in_a_dead_letter_queue_of_its_own() -> None:
    read = [
        function["event_source"]["queue"] for function in FUNCTIONS.values() if "event_source" in function
    ]
    ends = [QUEUES[name]["dead_letter_queue"] for name in read]
    assert len(set(ends)) == len(read)
    for name in read:
        assert QUEUES[name]["max_receive_count"] >= 5
        assert "dead_letter_queue" not in QUEUES[QUEUES[name]["dead_letter_queue"]]


@pytest.mark.parametrize("name", QUEUES)
def test_a_queue_keeps_messages_fourteen_days_and_encrypts_them(name: str) -> None:
    assert QUEUES[name]["message_retention_s"] == 14 * 24 * 3_600
    assert QUEUES[name]["encryption"] == "SSE-SQS"


# --- rules ---


def test_the_rules_are_those_of_the_topic_table() -> None:
    assert RULES.keys() == {
        *(row.rule for row in TOPICS.values() if row.rule is not None),
        "evswap_presence",  # of AWS IoT's own topics
    }


@pytest.mark.parametrize("name", RULES)
def test_a_rule_refers_to_what_exists_and_has_somewhere_to_put_errors(name: str) -> None:
    rule = RULES[name]
    assert re.fullmatch(r"[a-zA-Z0-9_]+", name)
    assert (STACK / rule["sql_file"]).is_file()
    assert rule["sql_version"] == "2016-03-23"
    assert ("queue" in rule) != ("function" in rule)
    assert rule.get("queue", rule["error_queue"]) in QUEUES
    assert rule.get("function", "api") in FUNCTIONS
    assert rule["error_queue"] in QUEUES
    assert rule.get("queue") != rule["error_queue"]
    assert rule["role"] in ROLES


# --- stores ---


@pytest.mark.parametrize("key", load("tables.yaml"))
def test_a_table_is_on_demand_recoverable_and_encrypted(key: str) -> None:
    table = load("tables.yaml")[key]
    assert table["billing_mode"] == "PAY_PER_REQUEST"
    assert table["partition_key"]["type"] == "S"
    assert table["point_in_time_recovery"] is True
    assert table["encryption"] == "aws-managed-key"


def test_events_are_found_by_time_and_forgotten() -> None:
    table = load("tables.yaml")["events"]
    assert table["local_indexes"].keys() == {events.INDEX}
    alarm = AlarmEvent(
        station_id="s", stream_id="s", sequence=1, timestamp=NOW, clock=Clock.SYNCHRONIZED,
        alarm="a", state=AlarmState.RAISED, severity=Severity.INFO,
    )  # fmt: skip
    item = events.to_item(events.StationEvent(event=alarm, occurred_at=NOW, received_at=NOW))
    keys = (table["partition_key"], table["sort_key"], table["local_indexes"][events.INDEX])
    assert all(item[key["name"]].keys() == {key["type"]} for key in keys)
    assert item[table["expiry_attribute"]].keys() == {"N"}


def test_the_archive_is_versioned_encrypted_and_closed_to_the_public() -> None:
    bucket = load("buckets.yaml")["archive"]
    assert bucket["versioning"] is True
    assert bucket["encryption"] == "AES256"
    assert set(bucket["public_access_block"].values()) == {True}
    expiring = {"", "quarantine/", "events/", "query-results/"}
    assert {rule["prefix"] for rule in bucket["lifecycle"]} <= expiring, "telemetry goes by the compactor"


def test_what_is_compacted_moves_to_where_athena_still_reads_and_nothing_small_does() -> None:
    moves = [rule for rule in load("buckets.yaml")["compacted"]["lifecycle"] if "transition_days" in rule]
    assert [(rule["transition_days"], rule["storage_class"]) for rule in moves] == [(90, "GLACIER_IR")]
    assert moves[0]["minimum_bytes"] >= 128 * 1024


@pytest.mark.parametrize("key", load("buckets.yaml"))
def test_every_bucket_refuses_plain_http_and_forgets_what_was_superseded(key: str) -> None:
    bucket = load("buckets.yaml")[key]
    assert bucket["tls_only"] is True
    assert set(bucket["public_access_block"].values()) == {True}
    assert any("noncurrent_expiration_days" in rule for rule in bucket["lifecycle"])


def test_every_name_is_a_placeholder() -> None:
    assert load("names.yaml").keys() == PLACEHOLDERS.keys() - {"region", "account_id", "prefix"}


# --- alarms ---

ALARMS = load("alarms.yaml")
WATCHED = {
    "function": set(FUNCTIONS),
    "table": set(load("tables.yaml")),
    "queue": {name for name, queue in QUEUES.items() if "dead_letter_queue" in queue},
    "end": {name for name, queue in QUEUES.items() if "dead_letter_queue" not in queue},
    "rule": set(RULES),
    "api": {"rest"},
    "fleet": {"all"},
}
METRICS = load("metrics.yaml")
QUERIES = load("queries.yaml")


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_what_exists_computes_with_what_it_has_and_says_what_to_do(name: str) -> None:
    alarm = ALARMS[name]
    assert set(alarm.get("only", [])) <= WATCHED[alarm["watches"]]
    assert alarm["missing_data"] == "notBreaching"
    assert alarm["description"].count(".") >= 2
    if "expression" in alarm:
        assert set(re.findall(r"[a-z]+", alarm["expression"])) == alarm["metrics"].keys()
    else:
        assert len(alarm["metrics"]) == 1


def test_a_metric_of_a_log_counts_what_its_function_logs_and_is_watched() -> None:
    watched = {
        metric["name"]
        for alarm in ALARMS.values()
        for metric in alarm["metrics"].values()
        if metric["namespace"] == "evswap"
    }
    assert {metric["name"] for metric in METRICS.values()} == watched
    assert len(METRICS) <= 10
    assert {metric["function"] for metric in METRICS.values()} == {"sweep"}
    figures = msgspec.to_builtins(Count(NOW).figures())
    for metric in METRICS.values():
        value = figures
        for part in metric["value"].removeprefix("$.").split("."):
            value = value[part]
        assert value == 0


def test_saved_queries_ask_functions_that_are_there() -> None:
    for query in QUERIES.values():
        assert query["logs"] == "all" or set(query["logs"]) <= FUNCTIONS.keys()
        assert query["description"].endswith(".")


def test_the_seeds_monitoring_table_has_its_alarms() -> None:
    limits = {name: (alarm["watches"], alarm["threshold"]) for name, alarm in ALARMS.items()}
    assert limits["function-errors"] == ("function", 1)
    assert limits["function-duration"] == ("function", 5_000)
    assert limits["table-throttles"] == ("table", 0)
    assert limits["api-5xx"] == ("api", 5)
    assert limits["api-latency"] == ("api", 1_000)


def test_the_alarms_metrics_are_few_as_each_has_its_price() -> None:
    def subjects(alarm: dict[str, Any]) -> int:
        return len(alarm.get("only", WATCHED[alarm["watches"]]))

    assert sum(subjects(alarm) * len(alarm["metrics"]) for alarm in ALARMS.values()) < 130


# --- roles ---


def role(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text(Path("roles") / f"{name}.json"))
    return document


def allowed(name: str) -> Iterator[tuple[str, str]]:
    """Each action with each resource."""
    for statement in role(name)["policy"]["Statement"]:
        assert statement["Effect"] == "Allow"
        resources = statement["Resource"]
        for resource in [resources] if isinstance(resources, str) else resources:
            for action in statement["Action"]:
                yield action, resource


WILDCARDS = {
    "arn:aws:logs:": "the log streams of the function's own group: Lambda names them",
    "arn:aws:s3:::evswap-archive/telemetry/": "one object a message, named after it",
    "arn:aws:s3:::evswap-archive/bulk/": "one object an invocation, named after its content",
    "arn:aws:s3:::evswap-archive/events/": "one object an invocation, named after its content",
    "arn:aws:s3:::evswap-archive/quarantine/": "one object a refused message",
    "arn:aws:iot:us-east-1:123456789012:topic/ev/station/": "one topic a station, of one kind",
    "arn:aws:iot:us-east-1:123456789012:thing/": "one thing a station, named when it is provisioned",
    "arn:aws:iot:us-east-1:123456789012:cert/": "a certificate's name is its hash",
    "arn:aws:execute-api:us-east-1:123456789012:": "an API's id is made with it, a connection's later",
    "arn:aws:dynamodb:us-east-1:123456789012:table/evswap-stations/stream/": "a stream's name is a moment",
}
"""Where a resource may end in a wildcard, and why."""

ENDINGS = {
    ":topic/": ("/acknowledgement", "/commands/*"),
    ":execute-api:": ("/live/POST/@connections/*", "/live/DELETE/@connections/*"),
}
"""What has to follow the first wildcard, where that is not the end."""


@pytest.mark.parametrize("name", ROLES)
def test_no_role_has_a_wildcard_without_a_reason(name: str) -> None:
    for action, resource in allowed(name):
        assert "*" not in action
        if "*" in resource:
            assert any(resource.startswith(beginning) for beginning in WILDCARDS)
            endings = next((ends for kind, ends in ENDINGS.items() if kind in resource), ("",))
            assert resource.partition("*")[2] in endings


def test_roles_are_the_ones_that_functions_rules_and_templates_have() -> None:
    used = [one["role"] for one in (*FUNCTIONS.values(), *RULES.values(), *TEMPLATES.values())]
    assert sorted(used) == ROLES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_role_is_for_lambda_and_its_own_things(name: str) -> None:
    function = FUNCTIONS[name]
    [trust] = role(function["role"])["trust"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    queues = {
        resource.rpartition(":")[2] for action, resource in allowed(function["role"]) if "sqs:" in action
    }
    own = [function["event_source"]["queue"]] if "event_source" in function else []
    own += [function["asynchronous"]["on_failure_queue"]] if "asynchronous" in function else []
    assert queues == {QUEUES[queue]["name"] for queue in own}
    logs = {resource for action, resource in allowed(function["role"]) if "logs:" in action}
    assert logs == {f"arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/{function['name']}:*"}


def test_the_seeds_permission_model() -> None:
    def done_by(name: str, service: str) -> set[str]:
        return {action for action, _ in allowed(name) if action.startswith(service)}

    assert done_by("function-api", "dynamodb:") == {
        *("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Scan", "dynamodb:Query")
    }
    assert done_by("function-api", "s3:") == set()
    assert done_by("function-change", "dynamodb:") == {"dynamodb:UpdateItem"}
    assert done_by("function-change", "s3:") == {"s3:PutObject"}
    assert done_by("function-events", "dynamodb:") == {
        *("dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:BatchGetItem")
    }
    assert done_by("function-live", "dynamodb:") == {"dynamodb:UpdateItem"}
    assert done_by("function-bulk", "dynamodb:") == {"dynamodb:UpdateItem", "dynamodb:PutItem"}
    for name in ("function-live", "function-bulk", "function-events"):
        assert done_by(name, "s3:") == {"s3:PutObject", "s3:GetObject"}


def test_only_two_functions_can_send_a_command_and_the_api_that_anybody_reads_is_none_of_them() -> None:
    sends = "arn:aws:iot:us-east-1:123456789012:topic/ev/station/*/commands/*"
    may = {key for key, one in FUNCTIONS.items() if ("iot:Publish", sends) in set(allowed(one["role"]))}
    assert may == {"command", "reports"}
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    assert not any(action in writes for action, _ in allowed("function-api"))


@pytest.mark.parametrize("name", load("schedules.yaml"))
def test_a_schedule_calls_a_function_that_exists_and_that_is_ready_before_the_next(name: str) -> None:
    schedule = load("schedules.yaml")[name]
    assert schedule["function"] in FUNCTIONS
    assert re.fullmatch(r"(rate|cron)\(.+\)", schedule["expression"])
    if schedule["expression"] == "rate(1 minute)":
        assert FUNCTIONS[schedule["function"]]["timeout_s"] < 60


@pytest.mark.parametrize("name", ["function-live", "function-change", "function-bulk"])
def test_states_and_their_bays_are_only_moved(name: str) -> None:
    tables = {
        (action, resource.rpartition("/")[2])
        for action, resource in allowed(name)
        if action.startswith("dynamodb:")
    }
    minutes = {("dynamodb:PutItem", "evswap-history")} if name == "function-bulk" else set()
    assert tables == minutes | {("dynamodb:UpdateItem", "evswap-stations")}


@pytest.mark.parametrize(
    ("name", "folder"),
    [("function-live", "telemetry"), ("function-bulk", "bulk"), ("function-events", "events")],
)
def test_what_is_archived_may_be_compared_with_and_refused_messages_only_added(
    name: str, folder: str
) -> None:
    objects = {
        (action, resource.removeprefix("arn:aws:s3:::evswap-archive/")) for action, resource in allowed(name)
    }
    assert ("iot:Publish", "arn:aws:iot:us-east-1:123456789012:topic/ev/station/*/acknowledgement") in objects
    assert {(action, resource) for action, resource in objects if action.startswith("s3:")} == {
        ("s3:PutObject", f"{folder}/*"),
        ("s3:GetObject", f"{folder}/*"),
        ("s3:PutObject", "quarantine/*"),
    }


@pytest.mark.parametrize("name", RULES)
def test_a_rules_role_is_for_that_rule_and_sends_to_its_queues_only(name: str) -> None:
    rule = RULES[name]
    [trust] = role(rule["role"])["trust"]["Statement"]
    assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
    assert trust["Condition"]["ArnEquals"]["aws:SourceArn"].endswith(f":rule/{name}")
    sends = {resource.rpartition(":")[2] for _, resource in allowed(rule["role"])}
    queues = [rule["queue"], rule["error_queue"]] if "queue" in rule else [rule["error_queue"]]
    assert sends == {QUEUES[queue]["name"] for queue in queues}


# --- provisioning ---


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_refers_to_what_exists(name: str) -> None:
    template = TEMPLATES[name]
    assert template["role"] in ROLES
    assert template["pre_provisioning_hook"]["function"] in FUNCTIONS
    assert (STACK / template["template_file"]).is_file()
    assert (STACK / template["claim"]["policy_file"]).is_file()


def test_the_template_is_the_one_that_stations_ask_for() -> None:
    assert TEMPLATES["station"]["name"] == provisioning.TEMPLATE
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,36}", TEMPLATES["station"]["name"])
    body = json.loads(text("provisioning/station.json"))
    assert set(body["Parameters"]) == {provisioning.STATION_ID_PARAMETER, "AWS::IoT::Certificate::Id"}


def test_the_template_makes_a_thing_with_the_stations_policies_and_nothing_else() -> None:
    resources = list(json.loads(text("provisioning/station.json"))["Resources"].values())
    policies = [one["Properties"] for one in resources if one["Type"] == "AWS::IoT::Policy"]
    by_type = {one["Type"]: one["Properties"] for one in resources if one["Type"] != "AWS::IoT::Policy"}
    assert by_type == {
        "AWS::IoT::Thing": {
            "ThingName": {"Ref": provisioning.STATION_ID_PARAMETER},
            "ThingTypeName": THINGS["thing_type"],
        },
        "AWS::IoT::Certificate": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
    }
    assert policies == [{"PolicyName": policy["name"]} for policy in THINGS["policies"].values()]


def test_the_policies_of_a_station_exist_and_are_no_more_than_aws_iot_takes() -> None:
    assert len(THINGS["policies"]) <= 10
    assert all((STACK / policy["file"]).is_file() for policy in THINGS["policies"].values())


def test_the_role_of_provisioning_looks_up_the_policies_of_a_station() -> None:
    looks_up = {resource for action, resource in allowed("provisioning") if action == "iot:GetPolicy"}
    names = {resource.rpartition("/")[2] for resource in looks_up}
    assert names == {policy["name"] for policy in THINGS["policies"].values()}


def test_the_role_of_provisioning_is_for_that_template_and_can_neither_delete_nor_make_policies() -> None:
    [trust] = role(TEMPLATES["station"]["role"])["trust"]["Statement"]
    assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
    assert trust["Condition"]["ArnLike"]["aws:SourceArn"].endswith(
        f":provisioningtemplate/{provisioning.TEMPLATE}"
    )
    verbs = ("Create", "Describe", "Update", "List", "Attach", "Get")
    actions = {action.removeprefix("iot:") for action, _ in allowed(TEMPLATES["station"]["role"])}
    assert all(action.startswith(verbs) for action in actions)
    assert "CreatePolicy" not in actions


def test_only_the_function_that_retires_certificates_may_revoke_them_and_it_makes_none() -> None:
    may = {key for key, one in FUNCTIONS.items() if "iot:UpdateCertificate" in dict(allowed(one["role"]))}
    assert may == {"retire"}
    done = {action for action, _ in allowed("function-retire") if action.startswith("iot:")}
    assert done == {"iot:ListThingPrincipals", "iot:DescribeCertificate", "iot:UpdateCertificate"}


def test_the_hook_answers_before_aws_iot_gives_up_and_only_reads() -> None:
    hook = FUNCTIONS[TEMPLATES["station"]["pre_provisioning_hook"]["function"]]
    assert hook["timeout_s"] <= 5
    done = {action for action, _ in allowed(hook["role"]) if action.startswith("iot:")}
    assert done == {"iot:ListThingPrincipals", "iot:DescribeCertificate"}


# --- the API's description ---


def nodes(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, document
    if isinstance(document, dict | list):
        for name, child in document.items() if isinstance(document, dict) else enumerate(document):
            yield from nodes(child, f"{path}/{name}")


def test_the_description_is_valid_openapi() -> None:
    assert OPENAPI["openapi"] == "3.0.3"
    validate(OPENAPI)


NOT_IMPORTED = {
    "additionalProperties", "anyOf", "deprecated", "discriminator", "example", "examples", "exclusiveMaximum",
    "exclusiveMinimum", "maxItems", "minItems", "oneOf", "readOnly", "writeOnly",
}  # fmt: skip
"""What API Gateway's notes on OpenAPI say it refuses, drops or ignores."""


def test_the_description_stays_within_what_api_gateway_imports() -> None:
    for path, node in nodes(OPENAPI):
        if not isinstance(node, dict) or "/x-amazon-" in path or path.endswith("/properties"):
            continue
        assert not NOT_IMPORTED & node.keys(), path
        if "$ref" in node:
            assert node["$ref"].startswith("#/components/schemas/"), path
        if node.get("type") in {"integer", "number"}:
            assert "format" not in node, path


def test_names_of_models_and_segments_are_ones_that_api_gateway_takes() -> None:
    assert all(name.isalnum() for name in OPENAPI["components"]["schemas"])
    for path, item in OPENAPI["paths"].items():
        assert re.fullmatch(r"(/([A-Za-z0-9_.,:-]+|\{[A-Za-z0-9_]+\}))+", path)
        assert "parameters" not in item, "they belong to the methods"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in OPENAPI["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_method_is_the_api_function_and_leaves_it_the_time_it_has() -> None:
    others = {
        "issueCommand": "command",
        "issueTicket": "ticket",
        "preflightTickets": "ticket",
        "refuseTickets": "ticket",
    }
    for _, _, operation in operations():
        function = FUNCTIONS[others.get(operation["operationId"], "api")]
        integration = operation["x-amazon-apigateway-integration"]
        assert integration["type"] == "aws_proxy"
        assert integration["httpMethod"] == "POST"
        assert f":function:{function['name']}:{LIVE}/invocations" in integration["uri"]
        assert integration["timeoutInMillis"] == function["timeout_s"] * 1_000


def test_every_resource_answers_a_preflight_and_refuses_other_methods() -> None:
    for item in OPENAPI["paths"].values():
        assert item.keys() - {"get", "post"} == {"options", "x-amazon-apigateway-any-method"}
        assert item.keys() & {"get", "post"}


def test_a_command_needs_a_scope_that_is_there_and_whoever_has_a_client_can_have_it() -> None:
    identity = load("identity.yaml")
    server = identity["resource_server"]
    scopes = {f"{server['identifier']}/{name}" for name in server["scopes"]}
    assert scopes == {OPERATE, CONFIGURE}
    secured = {
        operation["operationId"]: operation["security"]
        for *_, operation in operations()
        if "security" in operation
    }
    assert secured == {"issueCommand": [{"commands": [OPERATE, CONFIGURE]}]}
    for client in identity["clients"].values():
        assert scopes <= set(client["scopes"])
        assert client["secret"] is (client["flow"] == "client_credentials")


def test_every_answer_may_be_read_from_another_origin_and_names_its_request() -> None:
    for _, _, operation in operations():
        for response in operation["responses"].values():
            assert {"Access-Control-Allow-Origin", "X-Request-Id"} <= response["headers"].keys()


def test_every_get_can_be_asked_whether_the_client_has_the_answer_already() -> None:
    for path, method, operation in operations():
        if method == "get":
            assert {"200", "304"} <= operation["responses"].keys(), path
            assert "If-None-Match" in {one["name"] for one in operation["parameters"]}, path


@pytest.mark.parametrize("kind", OPENAPI["x-amazon-apigateway-gateway-responses"])
def test_the_gateways_own_errors_are_problems_that_another_origin_may_read(kind: str) -> None:
    response = OPENAPI["x-amazon-apigateway-gateway-responses"][kind]
    headers = response["responseParameters"]
    assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
    assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    [template] = response["responseTemplates"].values()
    problem = json.loads(template.replace("$context.error.messageString", '"message"'))
    assert {"type", "title", "detail"} <= problem.keys()
    assert problem["request_id"] == "$context.requestId"
    assert problem.get("status") == response.get("statusCode")


def test_the_gateway_has_an_answer_for_every_kind_of_error() -> None:
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= OPENAPI["x-amazon-apigateway-gateway-responses"].keys()


def test_limits_in_the_description_are_the_functions() -> None:
    from evswap_cloud.api.paging import DEFAULT_LIMIT, MAX_LIMIT

    for path in ("/stations", "/stations/{station_id}/events"):
        [limit] = (one for one in OPENAPI["paths"][path]["get"]["parameters"] if one["name"] == "limit")
        assert limit["schema"] == {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LIMIT,
            "default": DEFAULT_LIMIT,
        }
