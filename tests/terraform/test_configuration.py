"""The configuration by itself: its form, what it refuses and how, and what prod has that dev has not."""

import json
from pathlib import Path
from typing import Any

import pytest

from evswap_local.terraform.workspace import exceptions
from tests.terraform.conftest import Account
from tests.terraform.tool import CONFIGURATION, ROOT, Plan, Terraform

STACK = f"-var=stack_folder={ROOT / 'cloud' / 'stack'}"
HERE = ("-var=account_id=000000000000", "-input=false", "-no-color")
DEV, PROD = "-var-file=environments/dev.tfvars", "-var-file=environments/prod.tfvars"
FRUGAL = CONFIGURATION / "environments" / "frugal.tfvars.json"


def refusal(terraform: Terraform, *options: str, environment: dict[str, str] | None = None) -> str:
    """What a plan that is refused says, on one line."""
    answer = terraform.run("plan", *options, environment=environment)
    assert answer.returncode == 1, answer.stdout
    return " ".join(answer.stderr.replace("│", "").split())


def test_it_is_formatted(terraform: Terraform) -> None:
    answer = terraform.run("fmt", "-check", "-recursive", "-diff", str(CONFIGURATION))
    assert answer.returncode == 0, answer.stdout


def test_it_is_valid(terraform: Terraform) -> None:
    answer = terraform.run("validate", "-json")
    found = json.loads(answer.stdout)
    assert (found["valid"], found["diagnostics"]) == (True, [])


def test_every_wrong_variable_is_refused_with_what_to_write(terraform: Terraform) -> None:
    wrong = {
        "region": ("Frankfurt", "name one like us-east-1"),
        "account_id": ("12345", "`aws sts get-caller-identity` shows yours"),
        "environment": ("test", "use -var-file=environments/dev.tfvars"),
        "prefix": ("Evswap_", "lower-case letters, digits and hyphens"),
        "api_rate_limit": ("0", "1 to 10000 requests a second"),
        "api_burst_limit": ("6000", "1 to 5000 requests at once"),
        "live_origins": ('["https://watch.example/"]', "no slash at its end"),
        "object_lock_days": ("-1", "0 for no object lock"),
        "monthly_budget_usd": ("0", "more than 0 US dollars"),
        "alarm_emails": ('["nobody"]', "no e-mail address"),
        "alarm_endpoints": ('[{protocol = "email", endpoint = "x"}]', "go into alarm_emails"),
        "provisioned_tables": (json.dumps({"stations": CAPACITY | {"read_units": 0}}), "at least one unit"),
        "events_kept_days": ("0", "whole days, at least one"),
        "windows_s": ("{bulk = 301, api = 5}", "1 to 300 whole seconds"),
        "table_utilisation": ("95", "20 to 90 percent"),
        "tracing_share": ("5", "between 0 and 1"),
        "without": ('["alarms"]', "Only iot-logging, saved-queries and tls-only"),
    }
    said = refusal(
        terraform, DEV, "-no-color", *(f"-var={name}={value}" for name, (value, _) in wrong.items())
    )
    assert [mend for _, mend in wrong.values() if mend not in said] == []


def test_without_an_environment_it_says_what_is_missing(terraform: Terraform) -> None:
    said = refusal(terraform, "-input=false", "-no-color")
    assert 'The root module input variable "environment" is not set' in said


@pytest.mark.release
def test_without_credentials_it_says_so(terraform: Terraform) -> None:
    said = refusal(terraform, DEV, *HERE)
    assert "No valid credential sources found" in said
    assert "No valid credential sources found" in (ROOT / "docs" / "aws.md").read_text()


@pytest.mark.release
def test_a_region_that_does_not_exist_is_named(terraform: Terraform, account: Account) -> None:
    said = refusal(terraform, DEV, *HERE, "-var=region=us-east-9", environment=account.environment())
    assert "us-east-9" in said
    assert "egion" in said


@pytest.mark.release
def test_another_accounts_credentials_are_refused(terraform: Terraform, account: Account) -> None:
    said = refusal(
        terraform, DEV, "-var=account_id=123456789012", "-no-color", environment=account.environment()
    )
    assert "AWS account ID not allowed: 000000000000" in said


@pytest.mark.release
def test_zips_that_are_not_built_are_named_with_the_command(
    terraform: Terraform, account: Account, tmp_path: Path
) -> None:
    said = refusal(
        terraform, DEV, *HERE, f"-var=packages={tmp_path}", STACK, environment=account.environment()
    )
    zip_file = tmp_path / "evswap-cloud-linux-aarch64-cp313.zip"
    assert f"{zip_file} is not there: `make zips` builds it" in said


# --- dev and prod ---

CAPACITY = {"read_units": 5, "write_units": 20, "most_read_units": 50, "most_write_units": 200}


@pytest.fixture(scope="module")
def prod(terraform: Terraform, account: Account, zips: Path) -> Plan:
    options = (
        PROD,
        STACK,
        f"-var=packages={zips}",
        "-var=object_lock_days=30",
        '-var=alarm_emails=["a@example.com"]',
        '-var=alarm_endpoints=[{protocol = "https", endpoint = "https://pager.example.com"}]',
        f"-var=provisioned_tables={json.dumps({'stations': CAPACITY})}",
    )
    return terraform.plan(*HERE, *options, environment=account.environment())


def modes(plan: Plan) -> dict[str, str]:
    functions = plan.after("aws_lambda_function").values()
    return {each["function_name"]: each["tracing_config"][0]["mode"] for each in functions}


def only(plan: Plan, kind: str) -> dict[str, Any]:
    [found] = plan.after(kind).values()
    return found


def test_x_ray_is_on_in_prod_alone_and_for_the_api_alone(dev: Plan, prod: Plan) -> None:
    assert set(modes(dev).values()) == {"PassThrough"}
    assert [name for name, mode in modes(prod).items() if mode == "Active"] == ["evswap-api"]
    assert only(prod, "aws_api_gateway_stage")["xray_tracing_enabled"] is True
    assert only(dev, "aws_api_gateway_stage")["xray_tracing_enabled"] is False
    sampling = only(prod, "aws_xray_sampling_rule")
    assert (sampling["reservoir_size"], sampling["fixed_rate"]) == (0, 0.05)
    assert dev.after("aws_xray_sampling_rule") == {}
    extra = prod.after("aws_iam_role_policy").keys() - dev.after("aws_iam_role_policy").keys()
    assert extra == {'module.function["api"].aws_iam_role_policy.tracing[0]'}


def test_prod_protects_its_data(dev: Plan, prod: Plan) -> None:
    for plan, protected in ((prod, True), (dev, False)):
        tables = plan.after("aws_dynamodb_table").values()
        assert {each["deletion_protection_enabled"] for each in tables} == {protected}
    assert {each["force_destroy"] for each in prod.after("aws_s3_bucket").values()} == {False}
    locked = {each["bucket"]: each["object_lock_enabled"] for each in prod.after("aws_s3_bucket").values()}
    assert locked == {"evswap-archive-000000000000": False, "evswap-compacted-000000000000": True}


def test_numbers_of_quarters_sort_as_numbers(prod: Plan) -> None:
    """Terraform's YAML takes a bare N for false."""
    types = {
        (table["name"], key["name"]): key["type"]
        for table in prod.after("aws_dynamodb_table").values()
        for key in table["attribute"]
    }
    numbers = {key for key, kind in types.items() if kind != "S"}
    assert {types[key] for key in numbers} == {"N"}
    assert numbers == {("evswap-history", "quarter")}


def test_prod_demands_an_api_key_of_readers_but_not_of_browsers_asking_first(dev: Plan, prod: Plan) -> None:
    methods = prod.after("aws_api_gateway_method").values()
    without = {
        (each["http_method"], each["operation_name"]) for each in methods if not each["api_key_required"]
    }
    assert {operation for verb, operation in without if verb != "OPTIONS"} <= {"issueCommand"}, (
        "it has a token"
    )
    assert all(
        ("OPTIONS", each["operation_name"]) in without for each in methods if each["http_method"] == "OPTIONS"
    )
    assert {each["api_key_required"] for each in dev.after("aws_api_gateway_method").values()} == {False}


def test_commands_need_a_token_in_dev_as_in_prod_and_no_key(dev: Plan, prod: Plan) -> None:
    for plan in (dev, prod):
        methods = plan.after("aws_api_gateway_method").values()
        [secured] = [each for each in methods if each["authorization"] != "NONE"]
        assert (secured["http_method"], secured["authorization"]) == ("POST", "COGNITO_USER_POOLS")
        assert set(secured["authorization_scopes"]) == {"evswap/operate", "evswap/configure"}
        assert not secured["api_key_required"]


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_buckets_refuse_plain_http_and_aws_iot_logs(request: pytest.FixtureRequest, environment: str) -> None:
    plan: Plan = request.getfixturevalue(environment)
    policies = [json.loads(each["policy"]) for each in plan.after("aws_s3_bucket_policy").values()]
    assert [policy["Statement"][0]["Effect"] for policy in policies] == ["Deny", "Deny"]
    assert all(
        policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for policy in policies
    )
    assert only(plan, "aws_iot_logging_options")["default_log_level"] == "ERROR"


def test_only_compacted_objects_go_to_glacier_after_90_days_and_only_large_ones(prod: Plan) -> None:
    moves = {
        address: (rule["filter"][0]["and"][0]["object_size_greater_than"], rule["transition"])
        for address, each in prod.after("aws_s3_bucket_lifecycle_configuration").items()
        for rule in each["rule"]
        if rule["transition"]
    }
    [(address, (smallest, [move]))] = moves.items()
    assert address.endswith('["compacted"]')
    assert smallest == 128 * 1024 - 1
    assert (move["days"], move["storage_class"]) == (90, "GLACIER_IR")


def test_the_seeds_monitoring_table_is_there(prod: Plan) -> None:
    alarms = {each["alarm_name"]: each for each in prod.after("aws_cloudwatch_metric_alarm").values()}
    limits = {name: each["threshold"] for name, each in alarms.items()}
    assert limits["evswap-function-errors-live"] == 1
    assert limits["evswap-function-duration-bulk"] == 5_000
    assert limits["evswap-table-throttles-stations"] == 0
    assert limits["evswap-api-5xx-rest"] == 5
    assert limits["evswap-api-latency-rest"] == 1_000
    assert {
        "evswap-left-over-telemetry-dlq",
        "evswap-left-over-batch-dlq",
        "evswap-left-over-event-dlq",
        "evswap-left-over-change-failures",
        "evswap-left-over-rule-errors",
    } <= limits.keys()
    assert {f"evswap-queue-age-{queue}" for queue in ("telemetry", "batch", "event")} <= limits.keys()
    assert limits["evswap-function-drops-change"] == 0
    assert {each["treat_missing_data"] for each in alarms.values()} == {"notBreaching"}
    [rate] = [
        query for query in alarms["evswap-function-errors-live"]["metric_query"] if query["return_data"]
    ]
    assert rate["expression"] == "100 * errors / MAX([invocations, 1])"


def test_functions_are_versions_and_everybody_calls_the_alias(prod: Plan) -> None:
    functions = prod.after("aws_lambda_function").values()
    assert {each["publish"] for each in functions} == {True}
    aliases = {each["function_name"] for each in prod.after("aws_lambda_alias").values()}
    assert aliases == {each["function_name"] for each in functions}
    assert {each["qualifier"] for each in prod.after("aws_lambda_permission").values()} == {"live"}
    assert {each["qualifier"] for each in prod.after("aws_lambda_function_event_invoke_config").values()} == {
        "live"
    }
    uris = {each["uri"] for each in prod.after("aws_api_gateway_integration").values()}
    assert [uri for uri in uris if not uri.endswith(":live/invocations")] == []


def test_what_checkov_does_not_see_behind_for_each_is_so(prod: Plan) -> None:
    """Its skips in the modules name this test."""
    blocks = prod.after("aws_s3_bucket_public_access_block").values()
    closed = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")
    assert {block[name] for block in blocks for name in closed} == {True}
    buckets = prod.after("aws_s3_bucket")
    for kind in ("public_access_block", "versioning", "server_side_encryption_configuration"):
        assert len(prod.after(f"aws_s3_bucket_{kind}")) == len(buckets), kind
    versioning = prod.after("aws_s3_bucket_versioning").values()
    assert {each["versioning_configuration"][0]["status"] for each in versioning} == {"Enabled"}
    owners = prod.after("aws_s3_bucket_ownership_controls").values()
    assert {each["rule"][0]["object_ownership"] for each in owners} == {"BucketOwnerEnforced"}
    for each in prod.after("aws_s3_bucket_lifecycle_configuration").values():
        assert any(rule["abort_incomplete_multipart_upload"] for rule in each["rule"])
    queues = prod.after("aws_sqs_queue").values()
    assert {each["sqs_managed_sse_enabled"] for each in queues} == {True}


def test_a_table_has_capacity_of_its_own_where_it_is_given(dev: Plan, prod: Plan) -> None:
    tables = {each["name"]: each for each in prod.after("aws_dynamodb_table").values()}
    stations = tables["evswap-stations"]
    assert (stations["billing_mode"], stations["read_capacity"], stations["write_capacity"]) == (
        "PROVISIONED",
        5,
        20,
    )
    assert {each["billing_mode"] for name, each in tables.items() if name != "evswap-stations"} == {
        "PAY_PER_REQUEST"
    }
    targets = {each["scalable_dimension"]: each for each in prod.after("aws_appautoscaling_target").values()}
    assert targets["dynamodb:table:WriteCapacityUnits"]["max_capacity"] == 200
    assert dev.after("aws_appautoscaling_target") == {}


@pytest.mark.release
def test_the_frugal_settings_are_what_the_bill_takes_them_for(
    terraform: Terraform, account: Account, zips: Path
) -> None:
    """`evswap cost --settings` reads the same file."""
    options = (PROD, f"-var-file={FRUGAL}", STACK, f"-var=packages={zips}", "-var=events_kept_days=14")
    plan = terraform.plan(*HERE, *options, environment=account.environment())
    own = {each["name"] for each in plan.after("aws_dynamodb_table").values() if each.get("write_capacity")}
    assert own == {f"evswap-{table}" for table in json.loads(FRUGAL.read_text())["provisioned_tables"]}
    mappings = plan.after("aws_lambda_event_source_mapping")
    windows = {address: each["maximum_batching_window_in_seconds"] for address, each in mappings.items()}
    for name, window in {'"bulk"': 120, '"events"': 60, "feed": 5}.items():
        assert [told for address, told in windows.items() if name in address] == [window]
    hidden = {
        each["name"]: each["visibility_timeout_seconds"] for each in plan.after("aws_sqs_queue").values()
    }
    assert hidden["evswap-batch"] >= 6 * 60 + 120
    assert hidden["evswap-event"] >= 6 * 30 + 60
    assert len(plan.after("aws_appautoscaling_target")) == 6, "reads of stations and events stay as they are"
    for each in plan.after("aws_appautoscaling_policy").values():
        [aim] = each["target_tracking_scaling_policy_configuration"]
        assert aim["target_value"] == 85
    assert plan.after("aws_cloudwatch_dashboard") == {}
    assert only(plan, "aws_xray_sampling_rule")["fixed_rate"] == 0.01
    told = {each["function_name"]: each["environment"] for each in plan.after("aws_lambda_function").values()}
    assert told["evswap-events"][0]["variables"]["EVSWAP_EVENTS_KEPT_DAYS"] == "14"


def test_long_answers_are_compressed_for_who_accepts_it(prod: Plan) -> None:
    assert only(prod, "aws_api_gateway_rest_api")["minimum_compression_size"] == "1024"


def test_alarms_and_budget_reach_who_is_named(prod: Plan) -> None:
    told = {
        (each["protocol"], each["endpoint"]) for each in prod.after("aws_sns_topic_subscription").values()
    }
    assert told == {("email", "a@example.com"), ("https", "https://pager.example.com")}


def test_the_dashboard_shows_every_function_queue_table_and_the_fleet(prod: Plan) -> None:
    """Its body is known when the alarms are: what it is made of is in the configuration's own text."""
    [change] = [one for one in prod.changes() if one["type"] == "aws_cloudwatch_dashboard"]
    assert change["change"]["after_unknown"]["dashboard_body"]
    queries = prod.after("aws_cloudwatch_query_definition").values()
    assert {each["name"].split("/")[1] for each in queries} >= {"failed-records", "errors", "timed-out"}
    groups = {each["name"] for each in prod.after("aws_cloudwatch_log_group").values()}
    assert {group for each in queries for group in each["log_group_names"]} <= groups
    filters = prod.after("aws_cloudwatch_log_metric_filter").values()
    assert {each["log_group_name"] for each in filters} == {"/aws/lambda/evswap-sweep"}


def test_every_log_is_kept_seven_days(prod: Plan) -> None:
    groups = prod.after("aws_cloudwatch_log_group").values()
    assert {each["retention_in_days"] for each in groups} == {7}
    assert len(groups) >= len(prod.after("aws_lambda_function")) + len(["API Gateway", "AWS IoT"])


def test_everything_that_can_be_is_tagged(prod: Plan) -> None:
    tags = {json.dumps(each["tags_all"]) for each in prod.after("aws_lambda_function").values()}
    assert tags == {json.dumps({"environment": "prod", "managed-by": "terraform", "project": "evswap"})}


def test_what_can_be_left_out_is_what_the_local_aws_cannot_have() -> None:
    declared = (CONFIGURATION / "variables.tf").read_text()
    known = exceptions(CONFIGURATION)
    assert f"setsubtract(var.without, {json.dumps(sorted(known))})" in declared
    assert all(entry["cause"] for entry in known.values())
