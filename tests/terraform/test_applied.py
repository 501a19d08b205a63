"""The whole configuration on a local AWS: what is there, what a second plan wants, what is left out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from evswap_local.terraform.workspace import Workspace, exceptions
from tests.e2e.local_stack import LocalStack
from tests.e2e.probe import ALLOWED, Call, probe
from tests.terraform.conftest import Account
from tests.terraform.tool import CONFIGURATION, Plan, Terraform

LEFT_OUT = {
    "iot-logging": r"module\.account\[0\]\.aws_iot_logging_options\.this\[0\]",
    "saved-queries": r"module\.monitoring\.aws_cloudwatch_query_definition\.this\[.*\]",
    "tls-only": r"module\.buckets\.aws_s3_bucket_policy\.tls_only\[.*\]",
}
"""What each exception of cloud/terraform/local.yaml takes out."""

DRIFT = yaml.safe_load((Path(__file__).parent / "drift.yaml").read_text())


@pytest.fixture(scope="module")
def applied(stack: LocalStack) -> Workspace:
    return Workspace(stack.state_dir / "terraform")


@pytest.fixture(scope="module")
def second_plan(terraform: Terraform, stack: LocalStack, applied: Workspace) -> Plan:
    """A plan right after an apply, with the same variables and the state of the stack."""
    return terraform.plan(
        *("-var-file=environments/dev.tfvars", f"-var-file={applied.values}", f"-state={applied.state}"),
        environment=administrator(stack),
    )


def administrator(stack: LocalStack) -> dict[str, str]:
    """What leads Terraform to the stack's AWS."""
    return {**stack.credentials, "AWS_ENDPOINT_URL": stack.described_as_json["aws_endpoint_url"]}


def addresses(state: Path) -> set[str]:
    """The resources in a state file."""
    return {
        f"{resource.get('module', '')}.{resource['type']}.{resource['name']}{_index(instance)}".lstrip(".")
        for resource in json.loads(state.read_text())["resources"]
        if resource["mode"] == "managed"
        for instance in resource["instances"]
    }


def _index(instance: dict[str, Any]) -> str:
    return f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""


def test_the_whole_configuration_is_applied_but_for_the_listed_exceptions(
    dev: Plan, applied: Workspace
) -> None:
    missing = {change["address"] for change in dev.changes()} - addresses(applied.state)
    assert exceptions(CONFIGURATION).keys() == LEFT_OUT.keys()
    explained = {
        pattern: {each for each in missing if re.fullmatch(pattern, each)} for pattern in LEFT_OUT.values()
    }
    assert missing - set().union(*explained.values()) == set()
    assert all(explained.values()), explained


def test_no_secret_is_in_the_state(applied: Workspace) -> None:
    text = applied.state.read_text()
    assert "PRIVATE KEY" not in text
    assert not re.search(r'"(secret|password|private_key|token)": "[^"]', text)


# --- the second plan ---


def drift(plan: Plan) -> Iterator[tuple[str, str]]:
    """The attributes that the plan would change, by the type of the resource."""
    for change in plan.changes():
        before, after = change["change"]["before"] or {}, change["change"]["after"] or {}
        for name in before.keys() | after.keys():
            if before.get(name) != after.get(name):
                yield change["type"], name


def test_a_second_plan_wants_only_what_is_listed_with_its_cause(second_plan: Plan) -> None:
    assert {action for change in second_plan.changes() for action in change["change"]["actions"]} <= {
        "update"
    }
    listed = {(entry["resource"], name) for entry in DRIFT for name in entry["attributes"]}
    found = set(drift(second_plan))
    assert found - listed == set(), "drift that nobody has explained"
    assert listed - found == set(), "entries of drift.yaml that are no longer needed"
    assert all(entry["cause"] for entry in DRIFT)


def test_the_alarms_that_drift_are_kept_all_the_same(stack: LocalStack) -> None:
    """The cause in drift.yaml: what Terraform cannot read back is there, by the other protocol."""
    alarms = stack.aws("cloudwatch").describe_alarms()["MetricAlarms"]
    assert len(alarms) >= 20
    for alarm in alarms:
        assert alarm["ActionsEnabled"], alarm
        assert (
            alarm["AlarmActions"]
            == alarm["OKActions"]
            == ["arn:aws:sns:us-east-1:000000000000:evswap-alarms"]
        )
        assert alarm["TreatMissingData"] == "notBreaching"
    latency = next(alarm for alarm in alarms if alarm["AlarmName"] == "evswap-api-latency-rest")
    assert (latency["ExtendedStatistic"], latency["Period"], latency["Threshold"]) == ("p95", 300, 1_000)


def test_the_dashboard_shows_what_there_is(stack: LocalStack) -> None:
    cloudwatch = stack.aws("cloudwatch")
    body = json.loads(cloudwatch.get_dashboard(DashboardName="evswap-dev")["DashboardBody"])
    [alarms, *graphs] = [widget["properties"] for widget in body["widgets"]]
    pages = cloudwatch.get_paginator("describe_alarms").paginate()
    names = {alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]}
    assert {arn.rpartition(":")[2] for arn in alarms["alarms"]} == names
    shown = {metric[-1] for graph in graphs for metric in graph["metrics"]}
    functions = stack.aws("lambda").list_functions()["Functions"]
    assert {function["FunctionName"] for function in functions} <= shown
    assert set(stack.aws("dynamodb").list_tables()["TableNames"]) <= shown
    queues = stack.aws("sqs").list_queues()["QueueUrls"]
    assert {url.rpartition("/")[2] for url in queues} <= shown
    assert {"StaleStations", "evswap_batch"} <= shown
    assert all(graph["metrics"] for graph in graphs)


def test_a_stack_does_not_move_to_another_region_in_silence(
    terraform: Terraform, stack: LocalStack, applied: Workspace
) -> None:
    answer = terraform.run(
        *("plan", "-input=false", "-no-color", "-refresh=false", f"-state={applied.state}"),
        *("-var-file=environments/dev.tfvars", f"-var-file={applied.values}", "-var=region=eu-central-1"),
        environment=administrator(stack),
    )
    assert answer.returncode == 1
    said = " ".join(answer.stderr.replace("│", "").split())
    assert "at home in account 000000000000, region us-east-1, and stays there" in said


# --- the exceptions ---


def test_iot_logging_still_cannot_be_had(account: Account) -> None:
    role = "arn:aws:iam::000000000000:role/evswap-api"
    with pytest.raises(ClientError):
        account.client("iot").set_v2_logging_options(roleArn=role, defaultLogLevel="ERROR")


def test_queries_still_cannot_be_saved(account: Account) -> None:
    with pytest.raises(ClientError):
        account.client("logs").put_query_definition(name="x", queryString="fields @message")


def test_a_bucket_that_refuses_plain_http_would_still_refuse_the_functions(account: Account) -> None:
    s3, functions = account.client("s3"), account.client("lambda")
    bucket = account.source.values.archive_bucket
    put = Call("s3", "put_object", {"Bucket": bucket, "Key": "telemetry/x", "Body": "x"})
    with probe(functions, "evswap-live") as role:
        assert set(role.answers([put]).values()) == {ALLOWED}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(tls_only(bucket)))
        try:
            assert set(role.answers([put]).values()) == {"AccessDenied"}
        finally:
            s3.delete_bucket_policy(Bucket=bucket)
            s3.delete_object(Bucket=bucket, Key="telemetry/x")


def tls_only(bucket: str) -> dict[str, Any]:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


# --- interrupted ---


@pytest.mark.release
def test_a_first_apply_that_is_interrupted_leaves_nothing_running_and_is_begun_anew(
    stack: LocalStack,
) -> None:
    """`shared_stack` interrupted the first apply of this very stack, which is whole all the same."""
    interrupted = stack.interrupted
    assert interrupted is not None
    assert interrupted.exit_code == 130
    assert "Traceback" not in interrupted.said
    assert interrupted.made > 0, "it had begun"
    assert interrupted.left == []
    assert not interrupted.locked
    assert interrupted.half_made
